//! The laboratory's commands: what they take, and the calls that do it.

pub(crate) mod convert;
pub mod inspect;
pub(crate) mod train;
pub(crate) mod tune;
mod validate;

use anyhow::Result;
use clap::Subcommand;

use crate::evaluate;

/// The laboratory's part of the program's commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    Train(train::Train),
    Tune(tune::Tune),
    Convert(convert::Convert),
    Evaluate(evaluate::Evaluate),
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// In one sentence that says what was wrong and what would be right.
    pub fn run(self) -> Result<()> {
        match self {
            Self::Train(train) => train.run(),
            Self::Tune(tune) => tune.run(),
            Self::Convert(convert) => convert.run(),
            Self::Evaluate(evaluate) => evaluate.run(),
        }
    }
}
