//! How good a ranking is: recall against the exact search, Top-k, mean average precision.

/// The share of the exact neighbours that were found too; 1 where there are none to find.
pub fn recall(exact: &[usize], found: &[usize]) -> f64 {
    if exact.is_empty() {
        return 1.0;
    }
    let hits = exact.iter().filter(|index| found.contains(index)).count();
    ratio(hits, exact.len())
}

/// What one query's full ranking says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranking {
    /// The first one is of the query's class.
    pub top_1: bool,
    /// One of the first three is of the query's class.
    pub top_3: bool,
    /// The mean, over all of the query's class, of the share of its class at or before their rank.
    pub average_precision: f64,
}

/// Judges a ranking of the whole corpus by cosine; equals stand in corpus order.
///
/// `relevant[i]` says whether corpus entry `i` is of the query's class, `similarities[i]` how near it is. The average
/// precision of a query whose class is not in the corpus is 0.
pub fn judge(similarities: &[f64], relevant: impl Fn(usize) -> bool) -> Ranking {
    let mut order: Vec<usize> = (0..similarities.len()).collect();
    order.sort_by(|&a, &b| similarities[b].total_cmp(&similarities[a]));
    let mut hits = 0;
    let mut precisions = 0.0;
    for (rank, &index) in order.iter().enumerate() {
        if relevant(index) {
            hits += 1;
            precisions += ratio(hits, rank + 1);
        }
    }
    Ranking {
        top_1: order.first().is_some_and(|&index| relevant(index)),
        top_3: order.iter().take(3).any(|&index| relevant(index)),
        average_precision: if hits == 0 {
            0.0
        } else {
            precisions / ratio(hits, 1)
        },
    }
}

fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use super::*;

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
