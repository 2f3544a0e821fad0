//! One layer, event-driven: each arriving spike adds its weights to the neurons that it is connected to.
//!
//! Works for any layer: membranes have 64 bits and are checked in every step. `block.rs` is faster and needs proven
//! bounds.

use super::bits::SpikeBits;
use super::state::{EmulatorError, LayerState, interleaved};
use crate::chip::events::LayerEvents;
use crate::chip::tiling::Tiling;
use crate::chip::width::MEMBRANE_MAX;
use crate::network::snn::{self, Parameters};
use crate::network::{Kind, Layer, TimeSteps};
use crate::picture::Shape;

/// A layer laid out for delivery, and the state of its neurons, which are ordered row, column, channel.
#[derive(Debug)]
pub struct LayerRun {
    name: String,
    output: Shape,
    synapses: Synapses,
    /// `[channel]`.
    bias: Vec<i64>,
    threshold: i64,
    initial_membranes: Vec<i64>,
    membranes: Vec<i64>,
    cores: CoreCounts,
}

/// Counters of synaptic operations for the layer's cores.
#[derive(Debug)]
struct CoreCounts {
    tiling: Tiling,
    /// `[position]`: its part.
    position_part: Vec<usize>,
    /// `[channel]`: its part.
    channel_part: Vec<usize>,
    /// Counts of the current step. A window that receives a spike adds one weight for each of its channels, so one
    /// counter per part of positions is enough; pooling adds a weight to one channel only and needs one counter per
    /// core.
    step: Vec<u64>,
    all_channels: bool,
}

impl CoreCounts {
    fn new(tiling: Tiling, all_channels: bool) -> Self {
        let counted = if all_channels {
            tiling.position_parts
        } else {
            tiling.cores()
        };
        Self {
            tiling,
            position_part: (0..tiling.positions)
                .map(|position| tiling.position_part(position))
                .collect(),
            channel_part: (0..tiling.channels)
                .map(|channel| tiling.channel_part(channel))
                .collect(),
            step: vec![0; counted],
            all_channels,
        }
    }

    /// Moves the counts of the current step into `events`.
    fn end_step(&mut self, events: &mut LayerEvents) {
        let operations = &mut events.operations_per_step_and_core;
        if self.all_channels {
            for &windows in &self.step {
                for part in 0..self.tiling.channel_parts {
                    let channels = self.tiling.channels_of(part).len();
                    operations.push(windows * u64::try_from(channels).expect("a length fits 64 bits"));
                }
            }
        } else {
            operations.extend(&self.step);
        }
        self.step.fill(0);
    }
}

/// The targets of each source neuron.
#[derive(Debug)]
enum Synapses {
    Conv2d {
        source_channels: usize,
        source_width: usize,
        fan_out: FanOut,
        /// `[kernel_y, kernel_x, in, out]`: the weights of one source channel at one offset are contiguous.
        weights: Vec<i16>,
    },
    AvgPool2d {
        source_width: usize,
        fan_out: FanOut,
        weight: i16,
    },
    /// `[source, out]`, the source in the emulator's own order.
    Dense {
        source_channels: usize,
        weights: Vec<i16>,
    },
}

/// For each source row and column, the rows and columns of windows that contain it.
#[derive(Debug)]
struct FanOut {
    rows: Vec<Windows>,
    columns: Vec<Windows>,
    output_width: usize,
    kernel_width: usize,
}

/// Windows `first..end` along one axis contain a source line: the first at `offset` within its kernel, each further
/// one `stride` less.
#[derive(Debug, Clone, Copy)]
struct Windows {
    first: usize,
    end: usize,
    offset: usize,
    stride: usize,
}

impl Windows {
    fn of(position: usize, kernel: usize, stride: usize, padding: usize, windows: usize) -> Self {
        let padded = position + padding;
        let first = (padded + 1).saturating_sub(kernel).div_ceil(stride);
        let end = (padded / stride + 1).min(windows).max(first);
        Self {
            first,
            end,
            offset: padded.saturating_sub(first * stride),
            stride,
        }
    }

    /// Pairs `(window, offset within its kernel)`.
    fn pairs(self) -> impl Iterator<Item = (usize, usize)> {
        (self.first..self.end)
            .enumerate()
            .map(move |(nth, window)| (window, self.offset - nth * self.stride))
    }
}

impl FanOut {
    fn new(layer: &Layer, kernel: [usize; 2], stride: [usize; 2], padding: [usize; 2]) -> Self {
        let axis = |length: usize, axis: usize, windows: usize| {
            (0..length)
                .map(|position| Windows::of(position, kernel[axis], stride[axis], padding[axis], windows))
                .collect()
        };
        Self {
            rows: axis(layer.input.height, 0, layer.output.height),
            columns: axis(layer.input.width, 1, layer.output.width),
            output_width: layer.output.width,
            kernel_width: kernel[1],
        }
    }

    /// Every window that contains the source position (`y`, `x`): its index, and the kernel row and column at that
    /// position.
    fn windows(&self, y: usize, x: usize) -> impl Iterator<Item = (usize, usize, usize)> {
        let columns = self.columns[x];
        let width = self.output_width;
        self.rows[y].pairs().flat_map(move |(row, ky)| {
            columns
                .pairs()
                .map(move |(column, kx)| (row * width + column, ky, kx))
        })
    }
}

impl LayerRun {
    pub fn new(layer: &Layer, parameters: &Parameters, tiling: Tiling) -> Self {
        let output = layer.output;
        let mut initial_membranes = vec![0; layer.neurons()];
        for neuron in 0..layer.neurons() {
            initial_membranes[interleaved(output, neuron)] =
                i64::from(parameters.initial_membrane.of(neuron));
        }
        Self {
            name: layer.name.clone(),
            output,
            synapses: Synapses::new(layer, &parameters.weights),
            bias: (0..output.channels)
                .map(|channel| i64::from(parameters.bias_of(channel)))
                .collect(),
            threshold: i64::from(parameters.threshold),
            initial_membranes,
            membranes: Vec::new(),
            cores: CoreCounts::new(tiling, !matches!(layer.kind, Kind::AvgPool2d { .. })),
        }
    }

    /// Runs all time steps on the spikes of the source; writes this layer's spikes to `fired`.
    pub fn run(
        &mut self,
        time_steps: TimeSteps,
        source: &SpikeBits,
        fired: &mut SpikeBits,
        events: &mut LayerEvents,
    ) -> Result<(), EmulatorError> {
        fired.start_silent(self.output, time_steps.count());
        events.start(self.output.len(), self.cores.tiling.cores());
        self.membranes.clear();
        self.membranes.extend_from_slice(&self.initial_membranes);
        let channels = self.output.channels;
        for step in 0..time_steps.count() {
            if let Some(before) = step.checked_sub(1) {
                let spikes = source.of_step(before);
                self.synapses
                    .deliver(spikes, channels, &mut self.membranes, &mut self.cores);
            }
            self.cores.end_step(events);
            for (position, membranes) in self.membranes.chunks_exact_mut(channels).enumerate() {
                for (channel, (membrane, bias)) in membranes.iter_mut().zip(&self.bias).enumerate() {
                    *membrane += bias;
                    events.saturated_updates += u64::from(membrane.abs() > MEMBRANE_MAX);
                    if *membrane >= self.threshold && i32::try_from(*membrane).is_ok() {
                        *membrane -= self.threshold;
                        fired.fire(position, step, channel);
                    }
                }
            }
            self.check(step)?;
        }
        fired.count_steps(&mut events.spikes_per_step);
        Ok(())
    }

    /// Fails if a membrane exceeds 32 bits; the reset leaves such a membrane unchanged.
    fn check(&self, step: usize) -> Result<(), EmulatorError> {
        let plane = self.output.height * self.output.width;
        // The first in the network's order, which is not the emulator's.
        let neuron = self
            .membranes
            .iter()
            .enumerate()
            .filter(|(_, membrane)| i32::try_from(**membrane).is_err())
            .map(|(place, _)| (place % self.output.channels) * plane + place / self.output.channels)
            .min();
        match neuron {
            None => Ok(()),
            Some(neuron) => Err(EmulatorError::MembraneOverflow {
                layer: self.name.clone(),
                neuron,
                step: u32::try_from(step + 1).expect("at most 1,024"),
                membrane: self.membranes[interleaved(self.output, neuron)],
            }),
        }
    }

    /// Copies membranes out, flattened channel, row, column.
    pub fn read(&self, state: &mut LayerState) {
        state.membranes.clear();
        for neuron in 0..self.membranes.len() {
            let membrane = self.membranes[interleaved(self.output, neuron)];
            state
                .membranes
                .push(i32::try_from(membrane).expect("checked in every step"));
        }
    }
}

impl Synapses {
    fn new(layer: &Layer, weights: &snn::Weights) -> Self {
        match (weights, layer.kind) {
            (
                snn::Weights::Conv2d(weights),
                Kind::Conv2d {
                    kernel,
                    stride,
                    padding,
                },
            ) => Self::Conv2d {
                source_channels: layer.input.channels,
                source_width: layer.input.width,
                fan_out: FanOut::new(layer, kernel, stride, padding),
                weights: weights
                    .view()
                    .permuted_axes([2, 3, 1, 0])
                    .iter()
                    .copied()
                    .collect(),
            },
            (snn::Weights::AvgPool2d(weight), Kind::AvgPool2d { kernel, stride }) => Self::AvgPool2d {
                source_width: layer.input.width,
                fan_out: FanOut::new(layer, kernel, stride, [0, 0]),
                weight: *weight,
            },
            (snn::Weights::Dense(weights), Kind::Dense) => {
                let outputs = layer.neurons();
                let mut laid_out = vec![0; weights.len()];
                for ((output, source), &weight) in weights.indexed_iter() {
                    laid_out[interleaved(layer.input, source) * outputs + output] = weight;
                }
                Self::Dense {
                    source_channels: layer.input.channels,
                    weights: laid_out,
                }
            }
            _ => unreachable!("a layer's weights are of its kind: both come from one description"),
        }
    }

    /// Adds the weights of every spike and counts them on the core where they arrive.
    fn deliver(
        &self,
        spikes: impl Iterator<Item = (usize, usize)>,
        channels: usize,
        membranes: &mut [i64],
        cores: &mut CoreCounts,
    ) {
        for (position, channel) in spikes {
            match self {
                Self::Conv2d {
                    source_channels,
                    source_width,
                    fan_out,
                    weights,
                } => {
                    let (y, x) = (position / source_width, position % source_width);
                    for (window, ky, kx) in fan_out.windows(y, x) {
                        let row = ((ky * fan_out.kernel_width + kx) * source_channels + channel) * channels;
                        add(
                            &mut membranes[window * channels..][..channels],
                            &weights[row..][..channels],
                        );
                        cores.step[cores.position_part[window]] += 1;
                    }
                }
                Self::AvgPool2d {
                    source_width,
                    fan_out,
                    weight,
                } => {
                    let (y, x) = (position / source_width, position % source_width);
                    for (window, _, _) in fan_out.windows(y, x) {
                        membranes[window * channels + channel] += i64::from(*weight);
                        let part = cores.position_part[window] * cores.tiling.channel_parts;
                        cores.step[part + cores.channel_part[channel]] += 1;
                    }
                }
                Self::Dense {
                    source_channels,
                    weights,
                } => {
                    let source = position * source_channels + channel;
                    add(membranes, &weights[source * channels..][..channels]);
                    cores.step[0] += 1;
                }
            }
        }
    }
}

fn add(membranes: &mut [i64], weights: &[i16]) {
    for (membrane, &weight) in membranes.iter_mut().zip(weights) {
        *membrane += i64::from(weight);
    }
}
