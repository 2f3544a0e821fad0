//! Whether the new network is better than the one in use: both on the same held-out products, with the uncertainty of the
//! difference.

use serde::Serialize;

/// A difference of so many standard errors is no chance.
const CERTAIN: f64 = 2.0;

/// What makes a picture a right match of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Its product has the same label.
    Label,
    /// It shows the same product.
    Product,
    /// It is among the ten nearest for the teacher.
    Teacher,
}

impl By {
    /// The judgement in words.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Label => "by label: a match is right if it has the query's label",
            Self::Product => "by product: a match is right if it is another picture of the query's product",
            Self::Teacher => "by the teacher: a match is right if it is among the teacher's ten nearest",
        }
    }
}

/// How one held-out product is found: means over its pictures, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Score {
    pub top_1: f64,
    pub top_3: f64,
    pub precision: f64,
}

/// One measure of both networks, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Compared {
    pub in_use: f64,
    pub new: f64,
    /// `new - in_use`.
    pub difference: f64,
    /// The standard error of the difference, over products.
    pub standard_error: f64,
}

impl Compared {
    /// Compares pairs of the network in use and the new one, a pair for each product. Products are drawn by chance, not
    /// their pictures, so a product counts once however many pictures it has.
    #[must_use]
    pub fn of(pairs: impl ExactSizeIterator<Item = [f64; 2]> + Clone) -> Self {
        let count = pairs.len() as f64;
        let mean = |each: &dyn Fn([f64; 2]) -> f64| pairs.clone().map(each).sum::<f64>() / count;
        let difference = mean(&|[in_use, new]| new - in_use);
        let squares = mean(&|[in_use, new]| (new - in_use - difference).powi(2));
        Self {
            in_use: mean(&|[in_use, _]| in_use),
            new: mean(&|[_, new]| new),
            difference,
            // The sample's variance, of the mean.
            standard_error: (squares / (count - 1.0).max(1.0)).sqrt(),
        }
    }

    fn higher(&self) -> bool {
        self.difference > CERTAIN * self.standard_error
    }

    fn lower(&self) -> bool {
        -self.difference > CERTAIN * self.standard_error
    }
}

/// Both networks on the same queries.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Judgement {
    pub by: By,
    /// Held-out products.
    pub products: usize,
    /// Their pictures, each searched for once.
    pub queries: usize,
    /// Pictures that were searched.
    pub corpus: usize,
    pub top_1: Compared,
    pub top_3: Compared,
    pub map: Compared,
}

impl Judgement {
    /// Judges by the scores of the held-out products, `[in use, new]`.
    #[must_use]
    pub fn of(by: By, scores: &[[Score; 2]], queries: usize, corpus: usize) -> Self {
        let measure = |each: fn(&Score) -> f64| {
            Compared::of(scores.iter().map(|pair| [0, 1].map(|of| each(&pair[of]))))
        };
        Self {
            by,
            products: scores.len(),
            queries,
            corpus,
            top_1: measure(|score| score.top_1),
            top_3: measure(|score| score.top_3),
            map: measure(|score| score.precision),
        }
    }
}

/// What follows from all judgements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Better,
    /// The difference may be chance.
    NoBetter,
    Worse,
    /// There is nothing to judge by.
    NotJudged,
}

impl Verdict {
    /// The new network is better if its mAP is higher beyond chance by the first judgement, and no judgement finds a lower
    /// mAP or Top-1 beyond chance.
    #[must_use]
    pub fn of(judgements: &[Judgement]) -> Self {
        let Some(first) = judgements.first() else {
            return Self::NotJudged;
        };
        let measures = |judgement: &Judgement| [judgement.map, judgement.top_1];
        if judgements
            .iter()
            .flat_map(measures)
            .any(|measure| measure.lower())
        {
            Self::Worse
        } else if first.map.higher() {
            Self::Better
        } else {
            Self::NoBetter
        }
    }

    /// The verdict as a sentence with the figure that it rests on.
    #[must_use]
    pub fn sentence(self, judgements: &[Judgement]) -> String {
        let figure = |judgement: &Judgement, name: &str, measure: Compared| {
            format!(
                "{name} {} is {:.4} with the new network and {:.4} with the one in use, a difference of {:+.4} with a \
                 standard error of {:.4}",
                match judgement.by {
                    By::Label => "by label",
                    By::Product => "by product",
                    By::Teacher => "by the teacher",
                },
                measure.new,
                measure.in_use,
                measure.difference,
                measure.standard_error
            )
        };
        let first = || {
            judgements
                .first()
                .map_or(String::new(), |first| figure(first, "mAP", first.map))
        };
        match self {
            Self::Better => format!("the new network is better: {}", first()),
            Self::NoBetter => format!("the new network is not better beyond chance: {}", first()),
            Self::Worse => {
                let lower = judgements.iter().find_map(|judgement| {
                    let measures = [("mAP", judgement.map), ("Top-1", judgement.top_1)];
                    let found = measures.into_iter().find(|(_, measure)| measure.lower());
                    found.map(|(name, measure)| figure(judgement, name, measure))
                });
                format!("the new network is worse: {}", lower.unwrap_or_default())
            }
            Self::NotJudged => {
                "the new network was not judged: nothing says which products are alike".to_owned()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapt::split::place;

    /// Scores of products whose precision by the network in use and by the new one are given.
    fn scores(pairs: impl Iterator<Item = [f64; 2]>) -> Vec<[Score; 2]> {
        let score = |precision: f64| Score {
            top_1: f64::from(u8::from(precision > 0.5)),
            top_3: 1.0,
            precision,
        };
        pairs.map(|pair| pair.map(score)).collect()
    }

    fn judged(by: By, pairs: impl Iterator<Item = [f64; 2]>) -> Judgement {
        let scores = scores(pairs);
        Judgement::of(by, &scores, scores.len(), 1_000)
    }

    /// Values spread evenly between 0 and 1 without any order, the same in every run.
    fn noise(seed: u64) -> impl Fn(u32) -> f64 {
        move |index| {
            let [a, b, c, d, ..] = place(&format!("{seed} {index}"));
            f64::from(u32::from_be_bytes([a, b, c, d])) / f64::from(u32::MAX)
        }
    }

    #[test]
    fn the_standard_error_is_that_of_the_paired_difference() {
        let compared = Compared::of([[0.1, 0.5], [0.9, 0.9], [0.4, 0.2], [0.6, 1.0]].into_iter());
        assert!((compared.in_use - 0.5).abs() < 1e-12 && (compared.new - 0.65).abs() < 1e-12);
        assert!((compared.difference - 0.15).abs() < 1e-12);
        // Differences 0.4, 0, -0.2, 0.4: their variance, with 3 for 4, is 0.27 / 3; a fourth of that is the mean's.
        assert!((compared.standard_error - (0.27f64 / 3.0 / 4.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn the_standard_error_covers_the_truth_about_as_often_as_it_says() {
        // 400 experiments with 200 products each, where both networks are equally good.
        let covered = (0..400).filter(|&experiment| {
            let (one, other) = (noise(2 * experiment + 1), noise(2 * experiment + 2));
            let pairs: Vec<[f64; 2]> = (0..200).map(|index| [one(index), other(index)]).collect();
            let compared = Compared::of(pairs.into_iter());
            compared.difference.abs() <= CERTAIN * compared.standard_error
        });
        let covered = covered.count();
        assert!((365..=396).contains(&covered), "{covered} of 400, expected 95 %");
    }

    #[test]
    fn a_network_that_is_no_better_is_refused() {
        let value = noise(7);
        let same = judged(By::Label, (0..500).map(|index| [value(index); 2]));
        assert_eq!(Verdict::of(&[same]), Verdict::NoBetter);
        // Better for 52 % of the products and worse for the others: chance.
        let hardly = judged(
            By::Label,
            (0..100).map(|index| if index < 52 { [0.4, 0.45] } else { [0.45, 0.4] }),
        );
        assert!(hardly.map.difference > 0.0);
        assert_eq!(Verdict::of(&[hardly]), Verdict::NoBetter);
        assert_eq!(
            Verdict::NoBetter.sentence(&[hardly]),
            "the new network is not better beyond chance: mAP by label is 0.4260 with the new network and 0.4240 with \
             the one in use, a difference of +0.0020 with a standard error of 0.0050"
        );
        assert_eq!(Verdict::of(&[]), Verdict::NotJudged);
    }

    #[test]
    fn a_higher_map_beyond_chance_is_better_and_a_lower_one_worse() {
        let value = noise(3);
        let better = judged(
            By::Label,
            (0..100).map(|index| [0.3 * value(index), 0.3 * value(index) + 0.02 * value(index + 9)]),
        );
        assert_eq!(Verdict::of(&[better]), Verdict::Better);
        let worse = judged(By::Label, (0..100).map(|index| [0.3 + 0.1 * value(index), 0.3]));
        assert_eq!(Verdict::of(&[worse]), Verdict::Worse);
        // Better by label, but products are no longer found by their other pictures.
        let lost = judged(By::Product, (0..100).map(|index| [0.9, 0.3 + 0.1 * value(index)]));
        assert_eq!(Verdict::of(&[better, lost]), Verdict::Worse);
        assert!(
            Verdict::Worse
                .sentence(&[better, lost])
                .contains("mAP by product is 0.3")
        );
        // By product alone nothing changes; the label decides.
        let same = judged(By::Product, (0..100).map(|_| [0.5; 2]));
        assert_eq!(Verdict::of(&[better, same]), Verdict::Better);
        assert_eq!(Verdict::of(&[same, better]), Verdict::NoBetter);
    }
}
