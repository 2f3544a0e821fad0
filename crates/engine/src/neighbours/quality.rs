//! Quality of a ranking: recall against the exact search, Top-k, mean average precision.

/// The share of the exact neighbours that were found; 1 if there are none.
#[must_use]
pub fn recall(exact: &[usize], found: &[usize]) -> f64 {
    if exact.is_empty() {
        return 1.0;
    }
    let hits = exact.iter().filter(|index| found.contains(index)).count();
    ratio(hits, exact.len())
}

/// The quality of one query's full ranking.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranking {
    /// Whether the first entry is of the query's class.
    pub top_1: bool,
    /// Whether one of the first three entries is of the query's class.
    pub top_3: bool,
    /// Average precision: the mean, over all entries of the query's class, of the share of that class at or before
    /// their rank.
    pub average_precision: f64,
}

/// Judges a ranking of the whole corpus by cosine, ties in corpus order.
///
/// `relevant(i)` says whether corpus entry `i` is of the query's class; `similarities[i]` is its similarity. The
/// average precision of a query whose class is not in the corpus is 0.
///
/// Only the entries of the query's class are sorted; the others are counted into the gaps between them.
pub fn judge(similarities: &[f64], relevant: impl Fn(usize) -> bool) -> Ranking {
    let (mut hits, mut others) = (Vec::new(), Vec::new());
    for (index, &similarity) in similarities.iter().enumerate() {
        let place = (distance(similarity), index);
        if relevant(index) { &mut hits } else { &mut others }.push(place);
    }
    hits.sort_unstable();
    // The number of other entries directly before each hit, and after the last one.
    let mut before = vec![0usize; hits.len() + 1];
    for place in others {
        before[hits.partition_point(|hit| *hit < place)] += 1;
    }
    let mut precisions = 0.0;
    let mut passed = 0;
    for (earlier, others) in before[..hits.len()].iter().enumerate() {
        passed += others;
        precisions += ratio(earlier + 1, earlier + 1 + passed);
    }
    Ranking {
        top_1: !hits.is_empty() && before[0] == 0,
        top_3: !hits.is_empty() && before[0] < 3,
        average_precision: if hits.is_empty() {
            0.0
        } else {
            precisions / ratio(hits.len(), 1)
        },
    }
}

/// A key that sorts similarities in descending order of `f64::total_cmp`, with integer comparisons.
fn distance(similarity: f64) -> u64 {
    let bits = similarity.to_bits();
    let negative = bits >> 63 == 1;
    if negative { bits } else { !bits & !(1 << 63) }
}

fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Ranks everything and walks down the ranking.
    fn obvious(similarities: &[f64], relevant: &[bool]) -> Ranking {
        let mut order: Vec<usize> = (0..similarities.len()).collect();
        order.sort_by(|&a, &b| similarities[b].total_cmp(&similarities[a]));
        let (mut hits, mut precisions) = (0, 0.0);
        for (rank, &index) in order.iter().enumerate() {
            if relevant[index] {
                hits += 1;
                precisions += ratio(hits, rank + 1);
            }
        }
        Ranking {
            top_1: order.iter().take(1).any(|&index| relevant[index]),
            top_3: order.iter().take(3).any(|&index| relevant[index]),
            average_precision: if hits == 0 {
                0.0
            } else {
                precisions / ratio(hits, 1)
            },
        }
    }

    proptest! {
        #[test]
        fn counting_gives_what_ranking_everything_gives(
            corpus in prop::collection::vec((-4i8..=4, any::<bool>()), 0..60),
        ) {
            // So few different similarities that many are equal, zeros of both signs among them.
            let similarities: Vec<f64> = corpus
                .iter()
                .map(|&(similarity, _)| if similarity == -4 { -0.0 } else { f64::from(similarity) / 3.0 })
                .collect();
            let relevant: Vec<bool> = corpus.iter().map(|&(_, relevant)| relevant).collect();
            prop_assert_eq!(judge(&similarities, |index| relevant[index]), obvious(&similarities, &relevant));
        }
    }

    #[test]
    fn average_precision_by_hand() {
        // Ranked: 1 (no), 0 (yes), 3 (yes), 2 (no): (1/2 + 2/3) / 2.
        let relevant = [true, false, false, true];
        let found = judge(&[0.8, 0.9, 0.1, 0.5], |index| relevant[index]);
        assert!(!found.top_1 && found.top_3);
        assert!((found.average_precision - 7.0 / 12.0).abs() < 1e-12);
    }

    #[test]
    fn equals_are_ranked_in_corpus_order() {
        let found = judge(&[0.5, 0.5, 0.5, 0.5], |index| index == 1);
        assert!(!found.top_1 && found.top_3);
        assert_eq!(found.average_precision, 0.5);
    }

    #[test]
    fn recall_counts_what_the_exact_search_found() {
        assert_eq!(recall(&[1, 2, 3, 4], &[4, 9, 1, 8]), 0.5);
        assert_eq!(recall(&[], &[]), 1.0);
    }
}
