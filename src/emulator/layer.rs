//! One layer, event-driven: every spike that arrives adds its weights where it is connected, and nothing else moves.

use super::spikes::Spikes;
use super::{EmulatorError, LayerState, interleaved};
use crate::chip::events::LayerEvents;
use crate::chip::tiling::Tiling;
use crate::network::snn::{self, Parameters};
use crate::network::{Kind, Layer, TimeSteps};
use crate::picture::Shape;

/// A layer laid out for delivery, and its neurons' state. Neurons stand row, column, channel.
#[derive(Debug)]
pub struct LayerRun {
    name: String,
    output: Shape,
    synapses: Synapses,
    /// One a channel.
    bias: Vec<i32>,
    threshold: i32,
    initial_membranes: Vec<i32>,
    /// The most that one time step can move a membrane away from zero.
    largest_drive: i64,
    largest_initial: i64,
    narrow: Vec<i32>,
    wide: Vec<i64>,
    is_wide: bool,
    spike_counts: Vec<u32>,
    fired: Vec<u8>,
    cores: CoreCounts,
}

/// Where synaptic operations are counted: the layer's cores.
#[derive(Debug)]
struct CoreCounts {
    tiling: Tiling,
    /// Position by position, its part.
    position_part: Vec<usize>,
    /// Channel by channel, its part.
    channel_part: Vec<usize>,
    /// Of the current step. A window that hears a spike adds one weight for each of its channels, so that parts of
    /// positions are enough; pooling adds one for a single channel, and each core is counted by itself.
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

/// Where a source neuron's spike goes.
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
    Dense { weights: Vec<i16> },
}

/// For each source row and column, the rows and columns of windows that see it; an axis at a time.
#[derive(Debug)]
struct FanOut {
    rows: Vec<Windows>,
    columns: Vec<Windows>,
    output_width: usize,
    kernel_width: usize,
}

/// Windows `first..end` along one axis see a source line; the first of them at `offset` within its kernel, each
/// further one `stride` less.
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

    /// Pairs of window and offset within its kernel.
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

    /// Every window that sees source position (`y`, `x`): its place, and the kernel row and column that falls there.
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

/// A membrane in the width that a run needs.
///
/// `i32` where the largest possible membrane was proven to fit; `i64`, checked in every step, where it was not.
trait Membrane: Copy + From<i32> + Into<i64> + PartialOrd {
    fn add_weight(&mut self, weight: i16);
    fn add(&mut self, drive: i32);
    /// Lowers by `threshold` where `fired` is 1.
    fn lower(&mut self, threshold: i32, fired: u8);
    const CHECKED: bool;
}

impl Membrane for i32 {
    #[inline(always)]
    fn add_weight(&mut self, weight: i16) {
        *self += Self::from(weight);
    }
    #[inline(always)]
    fn add(&mut self, drive: i32) {
        *self += drive;
    }
    #[inline(always)]
    fn lower(&mut self, threshold: i32, fired: u8) {
        *self -= threshold * Self::from(fired);
    }
    const CHECKED: bool = false;
}

impl Membrane for i64 {
    #[inline(always)]
    fn add_weight(&mut self, weight: i16) {
        *self += Self::from(weight);
    }
    #[inline(always)]
    fn add(&mut self, drive: i32) {
        *self += Self::from(drive);
    }
    #[inline(always)]
    fn lower(&mut self, threshold: i32, fired: u8) {
        *self -= Self::from(threshold) * Self::from(fired);
    }
    const CHECKED: bool = true;
}

impl LayerRun {
    pub fn new(layer: &Layer, parameters: &Parameters, tiling: &Tiling) -> Self {
        let output = layer.output;
        let bias: Vec<i32> = (0..output.channels)
            .map(|channel| parameters.bias_of(channel))
            .collect();
        let mut initial_membranes = vec![0; layer.neurons()];
        for neuron in 0..layer.neurons() {
            initial_membranes[interleaved(output, neuron)] = parameters.initial_membrane.of(neuron);
        }
        let largest_initial = initial_membranes
            .iter()
            .map(|&membrane| i64::from(membrane).abs())
            .max()
            .unwrap_or(0);
        Self {
            name: layer.name.clone(),
            output,
            synapses: Synapses::new(layer, &parameters.weights),
            threshold: parameters.threshold,
            largest_drive: largest_drive(layer, parameters, &bias),
            bias,
            initial_membranes,
            largest_initial,
            narrow: Vec::new(),
            wide: Vec::new(),
            is_wide: false,
            spike_counts: Vec::new(),
            fired: vec![0; layer.neurons()],
            cores: CoreCounts::new(*tiling, !matches!(layer.kind, Kind::AvgPool2d { .. })),
        }
    }

    /// Runs all time steps over what the source fired; this layer's own spikes go to `firing`.
    pub fn run(
        &mut self,
        time_steps: TimeSteps,
        arriving: &Spikes,
        firing: &mut Spikes,
        events: &mut LayerEvents,
    ) -> Result<(), EmulatorError> {
        firing.clear();
        events.start(self.fired.len(), self.cores.tiling.cores());
        self.spike_counts.clear();
        self.spike_counts.resize(self.fired.len(), 0);
        // A reset only lowers a membrane that has reached its threshold, never below zero: input alone moves a
        // membrane away from zero.
        let reach = self.largest_initial + i64::from(time_steps.get()) * self.largest_drive;
        self.is_wide = reach > i64::from(i32::MAX);
        if self.is_wide {
            let mut membranes = std::mem::take(&mut self.wide);
            let result = self.steps(&mut membranes, time_steps, arriving, firing, events);
            self.wide = membranes;
            result
        } else {
            let mut membranes = std::mem::take(&mut self.narrow);
            let result = self.steps(&mut membranes, time_steps, arriving, firing, events);
            self.narrow = membranes;
            result
        }
    }

    fn steps<M: Membrane>(
        &mut self,
        membranes: &mut Vec<M>,
        time_steps: TimeSteps,
        arriving: &Spikes,
        firing: &mut Spikes,
        events: &mut LayerEvents,
    ) -> Result<(), EmulatorError> {
        membranes.clear();
        membranes.extend(self.initial_membranes.iter().map(|&initial| M::from(initial)));
        for step in 0..time_steps.count() {
            let spikes = arriving.of_step(step.checked_sub(1));
            self.synapses
                .deliver(spikes, self.output.channels, membranes, &mut self.cores);
            self.cores.end_step(events);
            self.integrate(membranes);
            if M::CHECKED {
                self.check(membranes, step)?;
            }
            let fired = self.fire(membranes, firing);
            events.spikes_per_step.push(fired);
        }
        Ok(())
    }

    fn integrate<M: Membrane>(&self, membranes: &mut [M]) {
        for position in membranes.chunks_exact_mut(self.bias.len()) {
            for (membrane, &bias) in position.iter_mut().zip(&self.bias) {
                membrane.add(bias);
            }
        }
    }

    /// Spikes and soft reset; first all neurons alike, then the few that fired are listed.
    fn fire<M: Membrane>(&mut self, membranes: &mut [M], firing: &mut Spikes) -> u64 {
        let threshold = self.threshold;
        let reached = M::from(threshold);
        for ((membrane, fired), count) in membranes
            .iter_mut()
            .zip(&mut self.fired)
            .zip(&mut self.spike_counts)
        {
            *fired = u8::from(*membrane >= reached);
            membrane.lower(threshold, *fired);
            *count += u32::from(*fired);
        }
        let mut total = 0;
        let (blocks, rest) = self.fired.as_chunks::<8>();
        for (block, fired) in blocks.iter().enumerate() {
            let mut bits = u64::from_le_bytes(*fired);
            while bits != 0 {
                let lane = usize::try_from(bits.trailing_zeros() / 8).expect("at most 7");
                firing.push(block * 8 + lane);
                total += 1;
                bits &= bits - 1;
            }
        }
        let start = self.fired.len() - rest.len();
        for (lane, &fired) in rest.iter().enumerate() {
            if fired == 1 {
                firing.push(start + lane);
                total += 1;
            }
        }
        firing.end_step();
        total
    }

    fn check<M: Membrane>(&self, membranes: &[M], step: usize) -> Result<(), EmulatorError> {
        let beyond = |membrane: &M| i32::try_from((*membrane).into()).is_err();
        let plane = self.output.height * self.output.width;
        // The first in the network's own order, whatever order the emulator keeps.
        let neuron = membranes
            .iter()
            .enumerate()
            .filter(|(_, membrane)| beyond(membrane))
            .map(|(place, _)| (place % self.output.channels) * plane + place / self.output.channels)
            .min();
        match neuron {
            None => Ok(()),
            Some(neuron) => Err(EmulatorError::MembraneOverflow {
                layer: self.name.clone(),
                neuron,
                step: u32::try_from(step + 1).expect("at most 1,024"),
                membrane: membranes[interleaved(self.output, neuron)].into(),
            }),
        }
    }

    /// Copies membranes and spike counts out, flattened channel, row, column.
    pub fn read(&self, state: &mut LayerState) {
        state.membranes.clear();
        state.spike_counts.clear();
        for neuron in 0..self.spike_counts.len() {
            let place = interleaved(self.output, neuron);
            state.membranes.push(if self.is_wide {
                i32::try_from(self.wide[place]).expect("checked in every step")
            } else {
                self.narrow[place]
            });
            state.spike_counts.push(self.spike_counts[place]);
        }
    }
}

/// The most that bias and arriving spikes together can move one membrane in one time step.
fn largest_drive(layer: &Layer, parameters: &Parameters, bias: &[i32]) -> i64 {
    let sum = |weights: &mut dyn Iterator<Item = &i16>| -> i64 {
        weights.map(|&weight| i64::from(weight).abs()).sum()
    };
    let most = |channel: usize| match &parameters.weights {
        snn::Weights::Conv2d(weights) => sum(&mut weights.index_axis(ndarray::Axis(0), channel).iter()),
        snn::Weights::Dense(weights) => sum(&mut weights.index_axis(ndarray::Axis(0), channel).iter()),
        snn::Weights::AvgPool2d(weight) => {
            let window = i64::try_from(layer.fan_in()).expect("at most 2^24");
            i64::from(*weight).abs() * window
        }
    };
    bias.iter()
        .enumerate()
        .map(|(channel, &bias)| most(channel) + i64::from(bias).abs())
        .max()
        .unwrap_or(0)
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
                Self::Dense { weights: laid_out }
            }
            _ => unreachable!("a layer's weights are of its kind: both come from one description"),
        }
    }

    /// Adds the weights of every spike, counted where they arrive.
    fn deliver<M: Membrane>(
        &self,
        spikes: &[u32],
        channels: usize,
        membranes: &mut [M],
        cores: &mut CoreCounts,
    ) {
        for &spike in spikes {
            let spike = usize::try_from(spike).expect("an index fits");
            match self {
                Self::Conv2d {
                    source_channels,
                    source_width,
                    fan_out,
                    weights,
                } => {
                    let (position, channel) = (spike / source_channels, spike % source_channels);
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
                    let (position, channel) = (spike / channels, spike % channels);
                    let (y, x) = (position / source_width, position % source_width);
                    for (window, _, _) in fan_out.windows(y, x) {
                        membranes[window * channels + channel].add_weight(*weight);
                        let part = cores.position_part[window] * cores.tiling.channel_parts;
                        cores.step[part + cores.channel_part[channel]] += 1;
                    }
                }
                Self::Dense { weights } => {
                    add(membranes, &weights[spike * channels..][..channels]);
                    cores.step[0] += 1;
                }
            }
        }
    }
}

#[inline(always)]
fn add<M: Membrane>(membranes: &mut [M], weights: &[i16]) {
    for (membrane, &weight) in membranes.iter_mut().zip(weights) {
        membrane.add_weight(weight);
    }
}
