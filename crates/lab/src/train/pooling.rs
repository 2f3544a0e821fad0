//! Average pooling as a differentiable operation.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Tensor};

use super::slices::values;
use super::windows::Windows;

/// The mean of each window, channel by channel.
#[derive(Debug, Clone)]
pub(super) struct Pooling {
    pub(super) windows: Arc<Windows>,
    /// The weight of each input.
    pub(super) share: f32,
}

/// The gradient of [`Pooling`]: each neuron gets its share of the gradient of its windows' means.
#[derive(Debug, Clone)]
struct PoolingGradient {
    windows: Arc<Windows>,
    share: f32,
}

impl CustomOp1 for Pooling {
    fn name(&self) -> &'static str {
        "pooling"
    }

    fn cpu_fwd(&self, source: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, candle_core::Shape)> {
        let windows = &*self.windows;
        let (neurons, channels, share) = (windows.input.len(), windows.input.channels, self.share);
        let sources = values(source, layout)?;
        let pictures = sources.len() / neurons;
        let mut means = vec![0.0; pictures * windows.pooled()];
        for (means, source) in means
            .chunks_exact_mut(windows.pooled())
            .zip(sources.chunks_exact(neurons))
        {
            for run in &windows.runs {
                let position = run.column / windows.length * channels;
                for pixel in source[run.source..run.source + run.length].chunks_exact(channels) {
                    for (mean, value) in means[position..position + channels].iter_mut().zip(pixel) {
                        *mean += share * value;
                    }
                }
            }
        }
        Ok((CpuStorage::F32(means), (pictures, windows.pooled()).into()))
    }

    fn bwd(&self, _source: &Tensor, _result: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let reverse = PoolingGradient {
            windows: Arc::clone(&self.windows),
            share: self.share,
        };
        gradient.contiguous()?.apply_op1_no_bwd(&reverse).map(Some)
    }
}

impl CustomOp1 for PoolingGradient {
    fn name(&self) -> &'static str {
        "pooling-gradient"
    }

    fn cpu_fwd(&self, gradient: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, candle_core::Shape)> {
        let windows = &*self.windows;
        let (neurons, channels, share) = (windows.input.len(), windows.input.channels, self.share);
        let gradients = values(gradient, layout)?;
        let pictures = gradients.len() / windows.pooled();
        let mut sources = vec![0.0; pictures * neurons];
        for (source, means) in sources
            .chunks_exact_mut(neurons)
            .zip(gradients.chunks_exact(windows.pooled()))
        {
            for run in &windows.runs {
                let position = run.column / windows.length * channels;
                for pixel in source[run.source..run.source + run.length].chunks_exact_mut(channels) {
                    for (sum, value) in pixel.iter_mut().zip(&means[position..position + channels]) {
                        *sum += share * value;
                    }
                }
            }
        }
        Ok((CpuStorage::F32(sources), (pictures, neurons).into()))
    }
}
