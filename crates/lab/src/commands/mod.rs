//! The laboratory's commands: their arguments, and the calls that carry them out.

pub(crate) mod convert;
pub(crate) mod evaluate;
pub mod inspect;
pub(crate) mod train;
pub(crate) mod tune;
mod teaching;
mod validate;
mod views;

use anyhow::Result;
use clap::Subcommand;

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
    /// If the command fails; the message says what was wrong and what would be right.
    pub fn run(self) -> Result<()> {
        match self {
            Self::Train(train) => train.run(),
            Self::Tune(tune) => tune.run(),
            Self::Convert(convert) => convert.run(),
            Self::Evaluate(evaluate) => evaluate.run(),
        }
    }
}
