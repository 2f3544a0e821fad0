//! The shape of pictures and of layers.

use std::fmt;

/// The shape of a picture, and of every layer of neurons: channels of rows of columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// 1 for gray, 3 for red, green and blue.
    pub channels: usize,
    /// Rows, in pixels.
    pub height: usize,
    /// Columns, in pixels.
    pub width: usize,
}

impl Shape {
    /// Channels times height times width.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "an empty shape is refused where it arises"
    )]
    pub fn len(self) -> usize {
        self.channels * self.height * self.width
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "[{}, {}, {}]", self.channels, self.height, self.width)
    }
}
