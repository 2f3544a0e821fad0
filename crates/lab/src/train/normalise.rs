//! Batch normalisation as a differentiable operation (Ioffe and Szegedy 2015).
//!
//! During training, each channel is normalised to mean 0 and variance 1 over one part of a batch and all positions,
//! then scaled and shifted by trained parameters. At the end the normalisation is folded into weights and biases, with
//! the means and variances of many pictures ([`Statistics`]).

use candle_core::{CpuStorage, CustomOp3, Device, Layout, Result, Tensor};

use super::slices::{read, values};

/// Avoids a division by zero for a constant channel.
const EPSILON: f32 = 1e-5;

/// Its arguments are the input, `[pictures, positions x channels]`, and the scale and bias of each channel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Normalise;

/// Sums over the input of each channel.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Statistics {
    count: f64,
    sums: Vec<f64>,
    squares: Vec<f64>,
}

impl Statistics {
    pub(super) fn of(driven: &[f32], channels: usize) -> Self {
        let (mut sums, mut squares) = (vec![0.0f64; channels], vec![0.0f64; channels]);
        // Sums of a few rows are computed in f32, which is faster; totals in f64.
        for rows in driven.chunks(64 * channels) {
            let (mut some, mut some_squares) = (vec![0.0f32; channels], vec![0.0f32; channels]);
            for row in rows.chunks_exact(channels) {
                for ((sum, square), value) in some.iter_mut().zip(&mut some_squares).zip(row) {
                    *sum += value;
                    *square += value * value;
                }
            }
            for (total, some) in sums.iter_mut().zip(some) {
                *total += f64::from(some);
            }
            for (total, some) in squares.iter_mut().zip(some_squares) {
                *total += f64::from(some);
            }
        }
        Self {
            count: (driven.len() / channels) as f64,
            sums,
            squares,
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.count += other.count;
        for (sum, other) in self.sums.iter_mut().zip(&other.sums) {
            *sum += other;
        }
        for (square, other) in self.squares.iter_mut().zip(&other.squares) {
            *square += other;
        }
    }

    /// The mean of each channel and the reciprocal of its standard deviation.
    pub(super) fn mean_and_factor(&self) -> (Vec<f32>, Vec<f32>) {
        let channel = |(sum, square): (&f64, &f64)| {
            let mean = sum / self.count;
            let variance = (square / self.count - mean * mean).max(0.0);
            (mean as f32, 1.0 / (variance as f32 + EPSILON).sqrt())
        };
        self.sums.iter().zip(&self.squares).map(channel).unzip()
    }
}

/// The factor and the summand of each channel that turn `x` into `scale * factor * (x - mean) + bias`.
pub(super) fn affine(statistics: &Statistics, scale: &[f32], bias: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let (means, factors) = statistics.mean_and_factor();
    let factors: Vec<f32> = factors
        .iter()
        .zip(scale)
        .map(|(factor, scale)| factor * scale)
        .collect();
    let added = factors
        .iter()
        .zip(means)
        .zip(bias)
        .map(|((factor, mean), bias)| bias - factor * mean)
        .collect();
    (factors, added)
}

impl CustomOp3 for Normalise {
    fn name(&self) -> &'static str {
        "normalise"
    }

    fn cpu_fwd(
        &self,
        driven: &CpuStorage,
        layout: &Layout,
        scale: &CpuStorage,
        scale_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, candle_core::Shape)> {
        let (driven, bias) = (values(driven, layout)?, values(bias, bias_layout)?);
        let channels = bias.len();
        let statistics = Statistics::of(driven, channels);
        let (factors, added) = affine(&statistics, values(scale, scale_layout)?, bias);
        let mut normalised = Vec::with_capacity(driven.len());
        for row in driven.chunks_exact(channels) {
            let channels = row.iter().zip(&factors).zip(&added);
            normalised.extend(channels.map(|((value, factor), added)| value * factor + added));
        }
        Ok((CpuStorage::F32(normalised), layout.shape().clone()))
    }

    fn bwd(
        &self,
        driven: &Tensor,
        scale: &Tensor,
        bias: &Tensor,
        _result: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let channels = bias.elem_count();
        let mut errors = read(gradient, <[f32]>::to_vec)?;
        let rows = (errors.len() / channels) as f32;
        let (of_scale, of_bias) = read(driven, |driven| {
            let (means, factors) = Statistics::of(driven, channels).mean_and_factor();
            // Gradient of the bias: the sum of the errors. Gradient of the scale: the sum of errors times normalised
            // values.
            let (mut of_bias, mut of_scale) = (vec![0.0f32; channels], vec![0.0f32; channels]);
            for (errors, driven) in errors.chunks_exact(channels).zip(driven.chunks_exact(channels)) {
                let sums = of_bias.iter_mut().zip(&mut of_scale);
                for (((of_bias, of_scale), error), (value, mean)) in
                    sums.zip(errors).zip(driven.iter().zip(&means))
                {
                    *of_bias += error;
                    *of_scale += error * (value - mean);
                }
            }
            for (of_scale, factor) in of_scale.iter_mut().zip(&factors) {
                *of_scale *= factor;
            }
            read(scale, |scale| {
                // Subtract the contributions through the channel's mean and deviation.
                let channel = |channel: usize| {
                    let factor = factors[channel];
                    let slope = -of_scale[channel] * factor / rows;
                    let level = -of_bias[channel] / rows - slope * means[channel];
                    (scale[channel] * factor, slope, level)
                };
                let lines: Vec<(f32, f32, f32)> = (0..channels).map(channel).collect();
                for (errors, driven) in errors
                    .chunks_exact_mut(channels)
                    .zip(driven.chunks_exact(channels))
                {
                    for ((error, value), (factor, slope, level)) in errors.iter_mut().zip(driven).zip(&lines)
                    {
                        *error = factor * (*error + slope * value + level);
                    }
                }
            })?;
            Ok::<_, candle_core::Error>((of_scale, of_bias))
        })??;
        Ok((
            Some(Tensor::from_vec(errors, driven.dims(), &Device::Cpu)?),
            Some(Tensor::from_vec(of_scale, channels, &Device::Cpu)?),
            Some(Tensor::from_vec(of_bias, channels, &Device::Cpu)?),
        ))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::super::random::Random;
    use super::*;

    fn random(seed: u64, count: usize) -> Vec<f32> {
        let mut random = Random::new(seed);
        (0..count).map(|_| 4.0 * random.unit() - 1.0).collect()
    }

    #[test]
    fn channels_get_their_bias_for_mean_and_their_scale_for_deviation() {
        let driven = Tensor::from_vec(random(1, 5 * 6), (5, 6), &Device::Cpu).unwrap();
        let parameter = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap();
        let (scale, bias) = (parameter(&[2.0, 0.5, 1.0]), parameter(&[-1.0, 0.0, 7.0]));
        let found = driven.apply_op3(&scale, &bias, Normalise).unwrap();
        let found = found
            .reshape((10, 3))
            .unwrap()
            .t()
            .unwrap()
            .to_vec2::<f32>()
            .unwrap();
        for (channel, (scale, bias)) in found.iter().zip([(2.0f32, -1.0f32), (0.5, 0.0), (1.0, 7.0)]) {
            let mean = channel.iter().sum::<f32>() / 10.0;
            let variance = channel.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / 10.0;
            assert!((mean - bias).abs() < 1e-4, "{mean}");
            assert!((variance.sqrt() - scale).abs() < 1e-3, "{variance}");
        }
    }

    #[test]
    fn gradients_agree_with_differences() {
        let (rows, channels) = (4, 3);
        let inputs = [
            random(2, rows * channels),
            vec![1.5, 0.7, -0.3],
            vec![0.1, -0.2, 0.3],
        ];
        let weights = Tensor::from_vec(random(3, rows * channels), (rows, channels), &Device::Cpu).unwrap();
        let run = |inputs: &[Vec<f32>; 3]| {
            let shapes = [vec![rows, channels], vec![channels], vec![channels]];
            let variables: Vec<Var> = inputs
                .iter()
                .zip(shapes)
                .map(|(values, shape)| Var::from_slice(values, shape, &Device::Cpu).unwrap())
                .collect();
            let normalised = variables[0]
                .apply_op3(&variables[1], &variables[2], Normalise)
                .unwrap();
            let loss = (normalised.sqr().unwrap() * &weights).unwrap().sum_all().unwrap();
            (variables, loss)
        };
        let (variables, loss) = run(&inputs);
        let gradients = loss.backward().unwrap();
        for (argument, variable) in variables.iter().enumerate() {
            let found = gradients.get(variable).unwrap().flatten_all().unwrap();
            for (index, found) in found.to_vec1::<f32>().unwrap().into_iter().enumerate() {
                let moved = |offset: f32| {
                    let mut inputs = inputs.clone();
                    inputs[argument][index] += offset;
                    run(&inputs).1.to_scalar::<f32>().unwrap()
                };
                let difference = (moved(1e-2) - moved(-1e-2)) / 2e-2;
                assert!(
                    (difference - found).abs() < 2e-2 * (1.0 + found.abs()),
                    "{argument} {index}: {difference} {found}"
                );
            }
        }
    }

    #[test]
    fn statistics_of_parts_add_up() {
        let driven = random(4, 3 * 200);
        let mut added = Statistics::of(&driven[..3 * 64], 3);
        added.add(&Statistics::of(&driven[3 * 64..], 3));
        let ((means, factors), (others, of_others)) = (
            added.mean_and_factor(),
            Statistics::of(&driven, 3).mean_and_factor(),
        );
        for (a, b) in means.iter().chain(&factors).zip(others.iter().chain(&of_others)) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }
}
