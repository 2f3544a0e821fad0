//! A layer of spiking neurons over all its time steps as one differentiable operation.
//!
//! Rows are time steps first: `[time steps x pictures, neurons]`. These networks have no loops, so a layer runs all its
//! steps before the next one starts, and what one layer sends the next in all of them is a single product.

use candle_core::{CpuStorage, CustomOp3, Device, Layout, Result, Tensor};

use super::lend::{read, values};

/// Integrate, compare, spike, lower, as the emulator does, in the SNN's own whole numbers, which f32 holds exactly up to
/// 2^24: far beyond the chip's membranes.
///
/// Its arguments are what arrives in steps 2 to T (nothing can in the first), `[(T - 1) x pictures, neurons]`, each
/// channel's bias and each channel's initial membrane; it gives the spikes of steps 1 to T, 0 or 1.
///
/// A spike has no slope, so backward it gets a surrogate one (Neftci et al. 2019): a triangle around the threshold that
/// reaches one threshold to either side. Gradients follow the subtraction of the threshold too: then a step's gradient is
/// a mean of its own spike's and of what later steps say of its membrane, and does not grow with the time steps.
#[derive(Debug, Clone)]
pub(super) struct Spiking {
    pub(super) threshold: f32,
    pub(super) time_steps: usize,
}

impl Spiking {
    /// Membranes when they are compared with the threshold, step by step.
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
            // Else it is not a number, and stays so to be noticed.
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
        // Running the membranes anew is cheaper than keeping those of every layer from the forward pass.
        let membranes = read(arriving, |arriving| {
            read(bias, |bias| {
                read(initial, |initial| self.membranes(arriving, bias, initial))
            })
        })???;
        let (channels, size) = (bias.elem_count(), arriving.elem_count() / (self.time_steps - 1));
        let scale = 1.0 / self.threshold;
        // What a step's membrane before the comparison is worth, from the last step back to the first.
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
