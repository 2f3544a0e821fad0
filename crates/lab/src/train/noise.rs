//! What varies from epoch to epoch while training: views of the pictures, and neurons dropped out.

use candle_core::{Device, Result, Tensor};

use super::random::Random;

/// The random part of a forward pass.
#[derive(Debug, Default)]
pub(super) struct Noise {
    pub(super) dropout: Option<Dropout>,
    /// Draws the views of the pictures.
    pub(super) views: Option<Views>,
}

/// Draws a view of each picture.
#[derive(Debug)]
pub(super) struct Views {
    /// Whether pictures are mirrored with probability 1/2.
    pub(super) mirror: bool,
    /// The largest shift in pixels, in each direction.
    pub(super) shift: usize,
    pub(super) random: Random,
}

impl Views {
    pub(super) fn draw(&mut self) -> View {
        let mirrored = self.mirror && self.random.unit() < 0.5;
        let moved = match self.shift {
            0 => [0, 0],
            most => [(); 2].map(|()| {
                // At most the width of a picture, which f32 and isize represent exactly.
                let span = (2 * most + 1) as f32;
                (self.random.unit() * span) as isize - most as isize
            }),
        };
        View { mirrored, moved }
    }
}

/// A view of a picture, which may differ from epoch to epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct View {
    /// Mirrored left to right.
    pub(super) mirrored: bool,
    /// The shift down and to the right, in pixels; uncovered pixels are black.
    pub(super) moved: [isize; 2],
}

/// Dropout of the inputs of a dense layer.
#[derive(Debug)]
pub(super) struct Dropout {
    pub(super) rate: f32,
    pub(super) random: Random,
}

impl Dropout {
    pub(super) fn apply(&mut self, source: &Tensor) -> Result<Tensor> {
        // The remaining inputs are scaled up, so that the mean does not change.
        let kept = 1.0 / (1.0 - self.rate);
        let mask: Vec<f32> = (0..source.elem_count())
            .map(|_| if self.random.unit() < self.rate { 0.0 } else { kept })
            .collect();
        source.mul(&Tensor::from_vec(mask, source.dims(), &Device::Cpu)?)
    }
}
