//! What a client says about the next network: to search by it, to take it over, to drop it.

use super::fields::{Field, FromField, Invalid};
use super::values::word;

/// What becomes of the next network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    TakeOver,
    Drop,
}

impl FromField for Action {
    fn from_field(field: Field) -> Result<Self, Invalid> {
        match word(field)?.as_str() {
            "take_over" => Ok(Self::TakeOver),
            "drop" => Ok(Self::Drop),
            other => Err(format!("is {other:?}; it is take_over or drop").into()),
        }
    }
}

/// Whose embeddings are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    Present,
    Next,
}

impl FromField for Which {
    fn from_field(field: Field) -> Result<Self, Invalid> {
        match word(field)?.as_str() {
            "present" => Ok(Self::Present),
            "next" => Ok(Self::Next),
            other => Err(format!("is {other:?}; it is present or next").into()),
        }
    }
}
