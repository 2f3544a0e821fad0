//! How much of the paper is reproduced.

use anyhow::{Result, bail};

use crate::published::{BEST, TABLE_1};
use crate::training::Course;
use engine::network::TimeSteps;

/// The time steps of Figure 5's embeddings; the paper does not state its own.
pub(super) const EXAMPLE_STEPS: u32 = 16;

/// The extent of a reproduction.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) quick: bool,
    /// Architectures of Table 1, in its order.
    pub(super) architectures: Vec<&'static str>,
    pub(super) course: Course,
    /// Seeds of the best architecture; the others use the first only.
    pub(super) seeds: Vec<u64>,
    /// The number of training pictures for the calibration.
    pub(super) samples: usize,
    pub(super) tests: Option<usize>,
    /// Queries and corpus of the search.
    pub(super) search: [usize; 2],
    pub(super) full: [usize; 2],
    pub(super) time_steps: Vec<u32>,
}

impl Plan {
    /// The complete reproduction.
    pub(super) fn whole() -> Self {
        Self {
            quick: false,
            architectures: TABLE_1.iter().map(|line| line.name).collect(),
            course: Course {
                epochs: 10,
                validation: 6000,
                limit: None,
            },
            seeds: vec![1, 2, 3, 4, 5],
            samples: 2000,
            tests: None,
            search: [1000, 20_000],
            full: [10_000, 60_000],
            time_steps: vec![4, 8, 12, 16, 24, 32, 48, 64, 96, 128],
        }
    }

    /// Every piece, at a small size.
    pub(super) fn quick() -> Self {
        Self {
            quick: true,
            architectures: TABLE_1.iter().map(|line| line.name).collect(),
            course: Course {
                epochs: 2,
                validation: 1000,
                limit: Some(7000),
            },
            seeds: vec![1, 2],
            samples: 500,
            tests: Some(1000),
            search: [200, 2000],
            full: [400, 4000],
            time_steps: vec![4, 8, 16, 128],
        }
    }

    pub(super) fn steps(&self) -> Result<Vec<TimeSteps>> {
        let steps = self.time_steps.iter().map(|&steps| Ok(TimeSteps::new(steps)?));
        steps.collect()
    }

    /// Keeps only the architectures in `wanted` and the best one; all of them if `wanted` is empty.
    pub(super) fn only(mut self, wanted: &[String]) -> Result<Self> {
        let names = &self.architectures;
        if let Some(unknown) = wanted.iter().find(|name| !names.contains(&name.as_str())) {
            bail!(
                "--architectures: {unknown} is not in Table 1, which has {}",
                names.join(", ")
            );
        }
        let named =
            |name: &str| wanted.is_empty() || name == BEST || wanted.iter().any(|wanted| wanted == name);
        self.architectures.retain(|name| named(name));
        Ok(self)
    }

    /// The architectures of Table 1 that are left out.
    pub(super) fn left_out(&self) -> Vec<&'static str> {
        let names = TABLE_1.iter().map(|line| line.name);
        names.filter(|name| !self.architectures.contains(name)).collect()
    }

    /// The number of pieces: trainings, rows of Table 1, searches, the full protocol, other initial membranes, the
    /// examples and the host's time.
    pub(super) fn pieces(&self) -> usize {
        (self.seeds.len() + self.architectures.len() - 1) + self.architectures.len() + self.seeds.len() + 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_may_leave_architectures_out_but_never_the_one_that_is_searched_with() {
        let only = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            Plan::whole().only(&names)
        };
        assert_eq!(only(&[]).unwrap().architectures.len(), 12);
        let plan = only(&["4-8-10"]).unwrap();
        assert_eq!(plan.architectures, ["4-8-10", BEST]);
        assert_eq!((plan.left_out().len(), plan.pieces()), (10, 6 + 2 + 5 + 4));
        let refusal = only(&["4-8-11"]).unwrap_err().to_string();
        assert!(
            refusal.contains("4-8-11 is not in Table 1, which has 4-8-10, "),
            "{refusal}"
        );
    }
}
