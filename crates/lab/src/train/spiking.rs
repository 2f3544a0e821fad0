//! A layer of spiking neurons over all its time steps as one differentiable operation.
//!
//! Rows are time steps first: `[time steps x pictures, neurons]`. These networks have no loops, so a layer runs all
//! its steps before the next one starts, and the input of a layer in all steps is a single matrix product.

use candle_core::{CpuStorage, CustomOp3, Device, Layout, Result, Tensor};

use super::slices::{read, values};

/// Integrates, compares, spikes and subtracts as the emulator does, in the SNN's integers, which f32 represents
/// exactly up to 2^24, more than the chip's membranes.
///
/// Its arguments are the input of steps 2 to T (there is none in the first), `[(T - 1) x pictures, neurons]`, each
/// channel's bias and each channel's initial membrane; its result is the spikes of steps 1 to T, 0 or 1.
///
/// The derivative of a spike is zero, so the backward pass uses a surrogate (Neftci et al. 2019): a triangle around
/// the threshold that reaches one threshold to either side. Gradients also pass through the subtraction of the
/// threshold: a step's gradient is then a mean of that of its spike and that of later steps, and does not grow with
/// the number of time steps.
#[derive(Debug, Clone)]
pub(super) struct Spiking {
    pub(super) threshold: f32,
    pub(super) time_steps: usize,
}

impl Spiking {
    /// The membranes when they are compared with the threshold, `[step, neuron]`.
    fn membranes(&self, arriving: &[f32], bias: &[f32], initial: &[f32]) -> Vec<f32> {
        let (channels, threshold) = (bias.len(), self.threshold);
        let size = arriving.len() / (self.time_steps - 1);
        let mut membranes = Vec::with_capacity(self.time_steps * size);
        let first: Vec<f32> = initial
            .iter()
            .zip(bias)
            .map(|(start, bias)| start + bias)
            .collect();
        for _ in 0..size / channels {
            membranes.extend_from_slice(&first);
        }
        membranes.resize(self.time_steps * size, 0.0);
        for (step, arriving) in (1..).zip(arriving.chunks_exact(size)) {
            let (before, now) = membranes.split_at_mut(step * size);
            let before = before[(step - 1) * size..].chunks_exact(channels);
            let now = now[..size].chunks_exact_mut(channels);
            for ((now, before), arriving) in now.zip(before).zip(arriving.chunks_exact(channels)) {
                for (((now, before), arriving), bias) in now.iter_mut().zip(before).zip(arriving).zip(bias) {
                    let taken = if *before >= threshold { threshold } else { 0.0 };
                    *now = before - taken + arriving + bias;
                }
            }
        }
        membranes
    }
}

impl CustomOp3 for Spiking {
    fn name(&self) -> &'static str {
        "spiking"
    }

    fn cpu_fwd(
        &self,
        arriving: &CpuStorage,
        arriving_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
        initial: &CpuStorage,
        initial_layout: &Layout,
    ) -> Result<(CpuStorage, candle_core::Shape)> {
        let mut spikes = self.membranes(
            values(arriving, arriving_layout)?,
            values(bias, bias_layout)?,
            values(initial, initial_layout)?,
        );
        for value in &mut spikes {
            if *value >= self.threshold {
                *value = 1.0;
            } else if *value < self.threshold {
                *value = 0.0;
            }
            // Otherwise it is NaN, which is preserved and noticed.
        }
        let (rows, neurons) = arriving_layout.shape().dims2()?;
        let rows = rows / (self.time_steps - 1) * self.time_steps;
        Ok((CpuStorage::F32(spikes), (rows, neurons).into()))
    }

    fn bwd(
        &self,
        arriving: &Tensor,
        bias: &Tensor,
        initial: &Tensor,
        _spikes: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        // Computing the membranes again is cheaper than keeping those of every layer of the forward pass.
        let membranes = read(arriving, |arriving| {
            read(bias, |bias| {
                read(initial, |initial| self.membranes(arriving, bias, initial))
            })
        })???;
        let (channels, size) = (bias.elem_count(), arriving.elem_count() / (self.time_steps - 1));
        let scale = 1.0 / self.threshold;
        // The gradient of a step's membrane before the comparison, from the last step back to the first.
        let mut worth = read(gradient, <[f32]>::to_vec)?;
        for step in (0..self.time_steps).rev() {
            let (now, later) = worth[step * size..].split_at_mut(size);
            let membranes = &membranes[step * size..(step + 1) * size];
            let slope = |membrane: f32| (1.0 - (membrane * scale - 1.0).abs()).max(0.0);
            if later.is_empty() {
                for (now, &membrane) in now.iter_mut().zip(membranes) {
                    *now *= slope(membrane) * scale;
                }
            } else {
                for ((now, &mut later), &membrane) in now.iter_mut().zip(later).zip(membranes) {
                    let slope = slope(membrane);
                    *now = *now * slope * scale + later * (1.0 - slope);
                }
            }
        }
        let mut of_bias = vec![0.0; channels];
        for row in worth.chunks_exact(channels) {
            for (sum, worth) in of_bias.iter_mut().zip(row) {
                *sum += worth;
            }
        }
        let mut of_initial = vec![0.0; channels];
        for row in worth[..size].chunks_exact(channels) {
            for (sum, worth) in of_initial.iter_mut().zip(row) {
                *sum += worth;
            }
        }
        worth.drain(..size);
        Ok((
            Some(Tensor::from_vec(worth, arriving.dims(), &Device::Cpu)?),
            Some(Tensor::from_vec(of_bias, channels, &Device::Cpu)?),
            Some(Tensor::from_vec(of_initial, channels, &Device::Cpu)?),
        ))
    }
}
