//! A part of a picture.

use std::ops::Range;

use crate::picture::Decoded;

/// Columns and rows of a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub columns: Range<u32>,
    pub rows: Range<u32>,
}

impl Part {
    pub(super) fn whole(image: &Decoded) -> Self {
        Self {
            columns: 0..image.width(),
            rows: 0..image.height(),
        }
    }

    pub(super) fn width(&self) -> u32 {
        self.columns.end - self.columns.start
    }

    pub(super) fn height(&self) -> u32 {
        self.rows.end - self.rows.start
    }

    pub(super) fn shorter_side(&self) -> u32 {
        self.width().min(self.height())
    }

    /// Without so many lines at the left, right, upper and lower edge.
    pub(super) fn without(&self, [left, right, upper, lower]: [u32; 4]) -> Self {
        Self {
            columns: self.columns.start + left..self.columns.end - right,
            rows: self.rows.start + upper..self.rows.end - lower,
        }
    }
}
