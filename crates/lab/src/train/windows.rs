//! The source neurons of each window of a layer, as runs to copy.

use engine::network::Layer;
use engine::picture::Shape;

/// A run of source neurons that are adjacent in a window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    /// Its start in the concatenated windows of the picture.
    pub(super) column: usize,
    /// Its start in the picture's neurons.
    pub(super) source: usize,
    pub(super) length: usize,
}

/// The windows of a layer: one for each position of the output.
#[derive(Debug)]
pub(super) struct Windows {
    pub(super) input: Shape,
    /// Windows a picture.
    pub(super) positions: usize,
    /// Values a window, padding included.
    pub(super) length: usize,
    pub(super) runs: Vec<Run>,
}

impl Windows {
    pub(super) fn new(layer: &Layer) -> Self {
        let (input, output) = (layer.input, layer.output);
        let [kernel, stride, padding] = layer.window();
        let length = kernel[0] * kernel[1] * input.channels;
        let mut runs = Vec::new();
        for position in 0..output.height * output.width {
            let (top, left) = (
                position / output.width * stride[0],
                position % output.width * stride[1],
            );
            // Padding is skipped on every side; `first` and `end` are columns of the padded source.
            let first = left.max(padding[1]);
            let end = (left + kernel[1]).min(padding[1] + input.width);
            if first >= end {
                continue;
            }
            for ky in 0..kernel[0] {
                let Some(y) = (top + ky).checked_sub(padding[0]).filter(|&y| y < input.height) else {
                    continue;
                };
                runs.push(Run {
                    column: position * length + (ky * kernel[1] + first - left) * input.channels,
                    source: (y * input.width + first - padding[1]) * input.channels,
                    length: (end - first) * input.channels,
                });
            }
        }
        Self {
            input,
            positions: output.height * output.width,
            length,
            runs,
        }
    }

    /// Every window of every picture as a row: `[pictures x positions, length]`, zero where padding is.
    pub(super) fn gather(&self, sources: &[f32]) -> Vec<f32> {
        let pictures = sources.len() / self.input.len();
        let size = self.positions * self.length;
        let mut columns = vec![0.0; pictures * size];
        for (columns, source) in columns
            .chunks_exact_mut(size)
            .zip(sources.chunks_exact(self.input.len()))
        {
            for run in &self.runs {
                columns[run.column..run.column + run.length]
                    .copy_from_slice(&source[run.source..run.source + run.length]);
            }
        }
        columns
    }

    /// The reverse for gradients: sums for each neuron over all windows that contain it.
    pub(super) fn scatter(&self, columns: &[f32]) -> Vec<f32> {
        let size = self.positions * self.length;
        let pictures = columns.len() / size;
        let mut sources = vec![0.0; pictures * self.input.len()];
        for (columns, source) in columns
            .chunks_exact(size)
            .zip(sources.chunks_exact_mut(self.input.len()))
        {
            for run in &self.runs {
                let seen = &columns[run.column..run.column + run.length];
                for (sum, value) in source[run.source..run.source + run.length].iter_mut().zip(seen) {
                    *sum += value;
                }
            }
        }
        sources
    }
}

impl Windows {
    pub(super) fn share(&self) -> f32 {
        self.input.channels as f32 / self.length as f32
    }

    /// Neurons of a layer that pools.
    pub(super) fn pooled(&self) -> usize {
        self.positions * self.input.channels
    }
}
