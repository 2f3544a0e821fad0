//! A number of time steps within its range.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A number of time steps, 1 to [`TimeSteps::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimeSteps(u32);

/// The error for a number of time steps outside of the range.
#[derive(Debug, Error)]
#[error("{given} is not a whole number from 1 to {max}", max = TimeSteps::MAX)]
pub struct TimeStepsError {
    given: String,
}

impl TimeSteps {
    /// The largest number of time steps.
    pub const MAX: u32 = 1024;
    /// The default of model files without one: the paper's shorter run.
    pub const DEFAULT: Self = Self(16);

    /// A number of time steps, if it is within the range.
    ///
    /// # Errors
    /// [`TimeStepsError`] outside of 1 to [`TimeSteps::MAX`].
    pub fn new(steps: u32) -> Result<Self, TimeStepsError> {
        if (1..=Self::MAX).contains(&steps) {
            Ok(Self(steps))
        } else {
            Err(TimeStepsError {
                given: steps.to_string(),
            })
        }
    }

    /// The number, 1 to [`TimeSteps::MAX`].
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }

    /// The number, for lengths and indices.
    #[must_use]
    pub fn count(self) -> usize {
        usize::try_from(self.0).expect("at most 1,024")
    }
}

impl fmt::Display for TimeSteps {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl FromStr for TimeSteps {
    type Err = TimeStepsError;

    fn from_str(word: &str) -> Result<Self, TimeStepsError> {
        let refused = || TimeStepsError {
            given: format!("{:?}", word.chars().take(64).collect::<String>()),
        };
        let steps: u32 = word.trim().parse().map_err(|_| refused())?;
        Self::new(steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_steps_are_1_to_1024() {
        assert_eq!("16".parse::<TimeSteps>().unwrap().get(), 16);
        for word in ["0", "1025", "100000", "abc", "-1", "1.5", ""] {
            let refusal = word.parse::<TimeSteps>().unwrap_err().to_string();
            assert!(
                refusal.ends_with("is not a whole number from 1 to 1024"),
                "{word}: {refusal}"
            );
        }
    }
}
