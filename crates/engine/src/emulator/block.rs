//! One layer in blocks of channels: the membranes of a position stay in registers while all its time steps run.
//!
//! Used if it is proven that no membrane can exceed 32 bits in the requested time steps. Pooling and all other layers
//! use `layer.rs`.

use super::bits::{SpikeBits, WORD};
use super::kernel::{
    Block, Drive, Kernel, LANES, MOST_ROWS, Position, Scratch, TABLE_ROWS, Target, VECTORS, View, index,
};
use super::state::LayerState;
use crate::chip::events::LayerEvents;
use crate::chip::tiling::Tiling;
use crate::chip::width::{self, Range};
use crate::network::snn::{Parameters, Weights};
use crate::network::{Kind, Layer, TimeSteps};
use crate::picture::Shape;

/// A layer in the layout of the kernels, and its membranes.
#[derive(Debug)]
pub struct BlockLayer {
    output: Shape,
    tiling: Tiling,
    threshold: i32,
    blocks: Vec<Block>,
    /// `[block]`: the run of a position that receives no spikes; empty if positions have different initial membranes.
    unmoved: Vec<Unmoved>,
    /// `[position]`: the end of its range in `views`.
    ends: Vec<usize>,
    views: Vec<View>,
    /// Words needed for one bit per row of weights.
    row_words: usize,
    scratch: Scratch,
    /// `[block, position, lane]`.
    initial: Vec<i32>,
    membranes: Vec<i32>,
    /// The range by which one step can change a membrane, and the range of initial membranes.
    drive: Range,
    start: Range,
    /// `[part of positions, step]`: spikes, counted once for each window that contains them.
    arrived: Vec<u64>,
}

/// The run of a position that receives no spikes.
#[derive(Debug, Default)]
struct Unmoved {
    membranes: Vec<i32>,
    /// `[step]`.
    fired: Vec<u64>,
    /// `[step]`.
    spikes: Vec<u64>,
    saturated: u64,
}

impl BlockLayer {
    /// Lays a layer out; `None` for pooling and for layers with more inputs than [`MOST_ROWS`].
    pub fn new(layer: &Layer, parameters: &Parameters, tiling: Tiling) -> Option<Self> {
        if layer.fan_in() > MOST_ROWS {
            return None;
        }
        let (rows, weight): (usize, Box<dyn Fn(usize, usize) -> i16 + '_>) =
            match (&parameters.weights, layer.kind) {
                (Weights::Conv2d(weights), Kind::Conv2d { kernel, .. }) => {
                    let sources = layer.input.channels;
                    let weight = move |row: usize, channel: usize| {
                        let place = row / sources;
                        weights[[channel, row % sources, place / kernel[1], place % kernel[1]]]
                    };
                    (kernel[0] * kernel[1] * sources, Box::new(weight))
                }
                (Weights::Dense(weights), Kind::Dense) => {
                    let (sources, plane) = (layer.input.channels, layer.input.height * layer.input.width);
                    let weight = move |row: usize, channel: usize| {
                        weights[[channel, row % sources * plane + row / sources]]
                    };
                    (layer.input.len(), Box::new(weight))
                }
                _ => return None,
            };
        let output = layer.output;
        let plane = output.height * output.width;
        let mut blocks = Vec::new();
        let mut initial = Vec::new();
        let mut alike = true;
        for first in (0..output.channels).step_by(WORD) {
            let channels = (output.channels - first).min(WORD);
            let vectors = channels.div_ceil(LANES).next_power_of_two().min(VECTORS);
            let lanes = vectors * LANES;
            let mut weights = vec![0; rows * lanes];
            for (row, weights) in weights.chunks_exact_mut(lanes).enumerate() {
                for (lane, stored) in weights.iter_mut().take(channels).enumerate() {
                    *stored = weight(row, first + lane);
                }
            }
            let of_lanes = |value: &dyn Fn(usize) -> i32| -> Vec<i32> {
                (0..lanes)
                    .map(|lane| if lane < channels { value(first + lane) } else { 0 })
                    .collect()
            };
            let start = initial.len();
            for position in 0..plane {
                let membrane = |channel: usize| parameters.initial_membrane.of(channel * plane + position);
                initial.extend(of_lanes(&membrane));
            }
            let (first, others) = initial[start..].split_at(lanes);
            alike &= others.chunks_exact(lanes).all(|other| other == first);
            let bias = of_lanes(&|channel| parameters.bias_of(channel));
            blocks.push(Block {
                vectors,
                drive: drive(&weights, bias),
                weights,
            });
        }
        let (ends, views) = views(layer);
        Some(Self {
            output,
            tiling,
            threshold: parameters.threshold,
            unmoved: blocks
                .iter()
                .filter(|_| alike)
                .map(|_| Unmoved::default())
                .collect(),
            blocks,
            ends,
            views,
            row_words: rows.div_ceil(WORD),
            scratch: Scratch::default(),
            membranes: Vec::with_capacity(initial.len()),
            initial,
            drive: width::drive(layer, parameters),
            start: width::initial_range(&parameters.initial_membrane),
            arrived: Vec::new(),
        })
    }

    /// Whether it is proven that no membrane exceeds 32 bits in that many time steps.
    pub fn fits(&self, time_steps: TimeSteps) -> bool {
        let reach = self.reach(time_steps);
        i32::try_from(reach.low).is_ok() && i32::try_from(reach.high).is_ok()
    }

    /// A bound on the membranes in that many time steps. A reset lowers a membrane that has reached its threshold, and
    /// never below zero, so only input moves a membrane away from zero.
    fn reach(&self, time_steps: TimeSteps) -> Range {
        let steps = i64::from(time_steps.get());
        Range {
            low: self.start.low.min(0) + steps * self.drive.low.min(0),
            high: self.start.high.max(0) + steps * self.drive.high.max(0),
        }
    }

    /// Runs all time steps; [`BlockLayer::fits`] must be true for them.
    pub fn run(
        &mut self,
        kernel: Kernel,
        time_steps: TimeSteps,
        source: &SpikeBits,
        fired: &mut SpikeBits,
        events: &mut LayerEvents,
    ) {
        let steps = time_steps.count();
        fired.start(self.output, steps);
        events.start(self.output.len(), self.tiling.cores());
        events.spikes_per_step.resize(steps, 0);
        self.membranes.resize(self.initial.len(), 0);
        self.arrived.clear();
        self.arrived.resize(self.tiling.position_parts * steps, 0);
        let stride = fired.words();
        let watched = !self.reach(time_steps).fits();
        self.find_unmoved(kernel, source, steps);
        let mut start = 0;
        for (word, block) in self.blocks.iter().enumerate() {
            let lanes = block.vectors * LANES;
            let mut first = 0;
            for (position, &end) in self.ends.iter().enumerate() {
                let views = &self.views[first..end];
                first = end;
                let place = start + position * lanes..start + (position + 1) * lanes;
                let membranes = &mut self.membranes[place.clone()];
                let words = fired.of_position_mut(position);
                let spikes = &mut events.spikes_per_step;
                let unmoved = self
                    .unmoved
                    .get(word)
                    .filter(|_| views.iter().all(|view| source.is_silent(index(view.source))));
                if let Some(unmoved) = unmoved {
                    unmoved.copy(membranes, words, stride, word, spikes);
                    events.saturated_updates += unmoved.saturated;
                    continue;
                }
                let seen = Position {
                    views,
                    source,
                    block,
                    threshold: self.threshold,
                    words: self.row_words,
                    initial: &self.initial[place],
                    watched,
                };
                let part = self.tiling.position_part(position);
                let mut target = Target {
                    membranes,
                    fired: words,
                    stride,
                    word,
                    spikes,
                    arrived: &mut self.arrived[part * steps..][..steps],
                    saturated: &mut events.saturated_updates,
                    scratch: &mut self.scratch,
                };
                kernel.run(&seen, &mut target);
            }
            start += self.ends.len() * lanes;
        }
        for position in 0..self.ends.len() {
            fired.find_silence(position);
        }
        self.count(steps, events);
    }

    /// Runs a position without inputs, once for each number of steps.
    fn find_unmoved(&mut self, kernel: Kernel, source: &SpikeBits, steps: usize) {
        let mut start = 0;
        for (block, unmoved) in self.blocks.iter().zip(&mut self.unmoved) {
            let lanes = block.vectors * LANES;
            if unmoved.fired.len() != steps {
                unmoved.membranes.resize(lanes, 0);
                unmoved.fired.resize(steps, 0);
                unmoved.saturated = 0;
                unmoved.spikes.clear();
                unmoved.spikes.resize(steps, 0);
                let seen = Position {
                    views: &[],
                    source,
                    block,
                    threshold: self.threshold,
                    words: self.row_words,
                    initial: &self.initial[start..][..lanes],
                    watched: true,
                };
                let mut target = Target {
                    membranes: &mut unmoved.membranes,
                    fired: &mut unmoved.fired,
                    stride: 1,
                    word: 0,
                    spikes: &mut unmoved.spikes,
                    // Nothing arrives.
                    arrived: &mut self.arrived[..steps],
                    saturated: &mut unmoved.saturated,
                    scratch: &mut self.scratch,
                };
                kernel.run(&seen, &mut target);
            }
            start += self.ends.len() * lanes;
        }
    }

    /// Every window that contains a spike adds one weight for each of a core's channels.
    fn count(&self, steps: usize, events: &mut LayerEvents) {
        // Each block has counted every arriving spike.
        let blocks = u64::try_from(self.blocks.len()).expect("a length fits 64 bits");
        for step in 0..steps {
            for part in 0..self.tiling.position_parts {
                let windows = self.arrived[part * steps + step] / blocks;
                for channel_part in 0..self.tiling.channel_parts {
                    let channels = self.tiling.channels_of(channel_part).len();
                    let channels = u64::try_from(channels).expect("a length fits 64 bits");
                    events.operations_per_step_and_core.push(windows * channels);
                }
            }
        }
    }

    /// Copies membranes out, flattened channel, row, column.
    pub fn read(&self, state: &mut LayerState) {
        let plane = self.ends.len();
        state.membranes.clear();
        let mut start = 0;
        for (block, first) in self.blocks.iter().zip((0..self.output.channels).step_by(WORD)) {
            let lanes = block.vectors * LANES;
            for lane in 0..(self.output.channels - first).min(WORD) {
                let membranes = (0..plane).map(|position| self.membranes[start + position * lanes + lane]);
                state.membranes.extend(membranes);
            }
            start += plane * lanes;
        }
    }
}

impl Unmoved {
    /// Copies the run to another position.
    fn copy(&self, membranes: &mut [i32], words: &mut [u64], stride: usize, word: usize, spikes: &mut [u64]) {
        membranes.copy_from_slice(&self.membranes);
        for (target, fired) in words[word..].iter_mut().step_by(stride).zip(&self.fired) {
            *target = *fired;
        }
        for (sum, spikes) in spikes.iter_mut().zip(&self.spikes) {
            *sum += spikes;
        }
    }
}

/// Chooses how a block's drive is summed, from its weights, `[row, lane]`, and biases, `[lane]`.
fn drive(weights: &[i16], bias: Vec<i32>) -> Drive {
    let lanes = bias.len();
    let Some(narrow) = narrow(weights, &bias) else {
        return Drive::Wide(bias);
    };
    let rows = weights.len() / lanes;
    if rows > TABLE_ROWS {
        return Drive::Narrow(narrow);
    }
    let mut sums = narrow;
    for weights in weights.chunks_exact(lanes) {
        // The subsets with this row follow those without it.
        let without = sums.len();
        sums.extend_from_within(..);
        for sums in sums[without..].chunks_exact_mut(lanes) {
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum += weight;
            }
        }
    }
    Drive::Table(sums)
}

/// The biases in 16 bits, if the sum with any subset of a lane's weights fits 16 bits.
fn narrow(weights: &[i16], bias: &[i32]) -> Option<Vec<i16>> {
    let lanes = bias.len();
    for (lane, &bias) in bias.iter().enumerate() {
        let (mut most, mut least) = (i64::from(bias), i64::from(bias));
        for &weight in weights[lane..].iter().step_by(lanes) {
            most += i64::from(weight.max(0));
            least += i64::from(weight.min(0));
        }
        i16::try_from(most).ok()?;
        i16::try_from(least).ok()?;
    }
    bias.iter().map(|&bias| i16::try_from(bias).ok()).collect()
}

/// For each position, the source positions in its window.
fn views(layer: &Layer) -> (Vec<usize>, Vec<View>) {
    let number = |number: usize| u32::try_from(number).expect("a layer has at most 2^24 neurons");
    let mut ends = Vec::new();
    let mut views = Vec::new();
    for position in 0..layer.output.height * layer.output.width {
        views.extend(layer.seen_from(position).map(|(source, place)| View {
            source: number(source),
            row: number(place * layer.input.channels),
        }));
        ends.push(views.len());
    }
    (ends, views)
}
