//! One layer in blocks of channels: a position runs all its time steps before the next one.
//!
//! Used if it is proven that no membrane can exceed 32 bits in the requested time steps. Pooling and all other layers
//! use `layer.rs`.

use super::bits::{BATCH, SpikeBits, WORD};
use super::kernel::{
    Block, Drive, GROUP, Kernel, LANES, LINES, Layer as Seen, Line, MOST_ROWS, Scratch, Start, Target, View,
};
use super::state::LayerState;
use crate::chip::events::LayerEvents;
use crate::chip::tiling::Tiling;
use crate::chip::width::{self, MEMBRANE_MAX, Range};
use crate::network::snn::{Parameters, Weights};
use crate::network::{Kind, Layer, TimeSteps};
use crate::picture::Shape;

/// A table of sums is made for a layer if it takes at most so many bytes, so that it stays in the CPU's nearest caches.
const TABLE_BYTES: usize = 96 << 10;

/// The rows of a group in a table: of the first number that gives a table small enough. A table of all rows of a small
/// layer is one look-up in a step.
const GROUPS: [usize; 3] = [9, 5, 4];

/// A layer in the layout of the kernels, and its membranes.
#[derive(Debug)]
pub struct BlockLayer {
    output: Shape,
    tiling: Tiling,
    threshold: i32,
    blocks: Vec<Block>,
    /// `[position]`: the end of its range in `views`.
    ends: Vec<usize>,
    views: Vec<View>,
    /// `[position]`: its part of the positions.
    parts: Vec<usize>,
    /// Rows of weights.
    rows: usize,
    scratch: Scratch,
    start: Start,
    /// `[position, line]`.
    membranes: Vec<[i32; LANES]>,
    /// The range by which one step can change a membrane, and the range of initial membranes.
    drive: Range,
    initial: Range,
    /// `[part of positions, step]`, in whole batches: spikes, counted once for each window that contains them.
    arrived: Vec<[u64; BATCH]>,
}

impl BlockLayer {
    /// Lays a layer out; `None` for pooling, for layers with more inputs than [`MOST_ROWS`] and for weights of which not
    /// even [`GROUP`] can be summed in 16 bits.
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
        let blocks = (0..output.channels)
            .step_by(LINES * LANES)
            .map(|first| {
                let channels = (output.channels - first).min(LINES * LANES);
                let lines = channels.div_ceil(LANES);
                let mut weights = vec![Line([0; LANES]); rows * lines];
                for (place, line) in weights.iter_mut().enumerate() {
                    let (row, lane) = (place / lines, place % lines * LANES);
                    for (lane, stored) in (lane..channels).zip(&mut line.0) {
                        *stored = weight(row, first + lane);
                    }
                }
                let mut bias = vec![[0; LANES]; lines];
                for (lane, stored) in bias.as_flattened_mut().iter_mut().take(channels).enumerate() {
                    *stored = parameters.bias_of(first + lane);
                }
                Some(Block {
                    lines,
                    drive: drive(weights, bias)?,
                })
            })
            .collect::<Option<_>>()?;
        let (ends, views) = views(layer);
        let start = start(output, parameters);
        Some(Self {
            output,
            tiling,
            threshold: parameters.threshold,
            blocks,
            parts: (0..ends.len())
                .map(|position| tiling.position_part(position))
                .collect(),
            ends,
            views,
            rows,
            scratch: Scratch::default(),
            start,
            membranes: Vec::new(),
            drive: width::drive(layer, parameters),
            initial: width::initial_range(&parameters.initial_membrane),
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
            low: self.initial.low.min(0) + steps * self.drive.low.min(0),
            high: self.initial.high.max(0) + steps * self.drive.high.max(0),
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
        let lines = self.output.channels.div_ceil(LANES);
        self.membranes.resize(self.ends.len() * lines, [0; LANES]);
        let batches = (steps - 1).div_ceil(BATCH);
        self.arrived.clear();
        self.arrived
            .resize(self.tiling.position_parts * batches, [0; BATCH]);
        let seen = Seen {
            ends: &self.ends,
            views: &self.views,
            source,
            row_words: self.rows.div_ceil(WORD),
            zeros: u16::try_from(self.rows).expect("at most MOST_ROWS"),
            blocks: &self.blocks,
            start: &self.start,
            threshold: self.threshold,
            steps,
            watched: !self.reach(time_steps).fits(),
            parts: &self.parts,
        };
        let mut target = Target {
            membranes: &mut self.membranes,
            fired,
            spikes: &mut events.spikes_per_step,
            arrived: &mut self.arrived,
            saturated: &mut events.saturated_updates,
            scratch: &mut self.scratch,
        };
        kernel.run(&seen, &mut target);
        self.count(steps, batches, events);
    }

    /// Every window that contains a spike adds one weight for each of a core's channels.
    fn count(&self, steps: usize, batches: usize, events: &mut LayerEvents) {
        for step in 0..steps {
            for part in 0..self.tiling.position_parts {
                // Nothing arrives in the first step.
                let windows = step.checked_sub(1).map_or(0, |before| {
                    self.arrived[part * batches + before / BATCH][before % BATCH]
                });
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
        let lines = self.output.channels.div_ceil(LANES);
        let membranes = self.membranes.as_flattened();
        state.membranes.clear();
        for channel in 0..self.output.channels {
            let of_channel = membranes[channel..].iter().step_by(lines * LANES);
            state.membranes.extend(of_channel);
        }
    }
}

/// The first time step, in which a neuron receives its bias alone.
fn start(output: Shape, parameters: &Parameters) -> Start {
    let plane = output.height * output.width;
    let (lines, words) = (output.channels.div_ceil(LANES), output.channels.div_ceil(WORD));
    let mut start = Start {
        alike: false,
        membranes: vec![[0; LANES]; plane * lines],
        fired: vec![0; plane * words],
        saturated: 0,
    };
    for position in 0..plane {
        let membranes = start.membranes[position * lines..][..lines].as_flattened_mut();
        for (channel, stored) in membranes.iter_mut().take(output.channels).enumerate() {
            // A layer whose membranes may leave 32 bits does not run in blocks.
            let initial = parameters.initial_membrane.of(channel * plane + position);
            let mut membrane = initial.wrapping_add(parameters.bias_of(channel));
            start.saturated += u64::from(i64::from(membrane).abs() > MEMBRANE_MAX);
            if membrane >= parameters.threshold {
                membrane -= parameters.threshold;
                start.fired[position * words + channel / WORD] |= 1 << (channel % WORD);
            }
            *stored = membrane;
        }
    }
    let (first, others) = start.membranes.split_at(lines);
    let (first_fired, others_fired) = start.fired.split_at(words);
    start.alike = others.chunks_exact(lines).all(|other| other == first)
        && others_fired.chunks_exact(words).all(|other| other == first_fired);
    if start.alike {
        start.membranes.truncate(lines);
        start.fired.truncate(words);
    }
    start
}

/// Chooses how a block's drive is summed, from its weights, `[row, line]`, and biases, `[line]`.
fn drive(weights: Vec<Line>, bias: Vec<[i32; LANES]>) -> Option<Drive> {
    let lines = bias.len();
    let Some(narrow) = narrow(&weights, &bias) else {
        let largest = weights
            .iter()
            .flat_map(|line| line.0)
            .map(i16::unsigned_abs)
            .max();
        let most = usize::from(i16::MAX.unsigned_abs() / largest.unwrap_or(0).max(1));
        return (most >= GROUP).then(|| Drive::Wide {
            bias,
            weights: with_zeros(weights, lines),
            most: most / GROUP,
        });
    };
    let rows = weights.len() / lines;
    let small = |group: &usize| (rows.div_ceil(*group) << group) * lines * size_of::<Line>() <= TABLE_BYTES;
    Some(match GROUPS.into_iter().find(small) {
        Some(group) => Drive::Table {
            rows: group,
            sums: table(group, &weights, &narrow),
        },
        None => Drive::Narrow {
            bias: narrow,
            weights: with_zeros(weights, lines),
        },
    })
}

fn with_zeros(mut weights: Vec<Line>, lines: usize) -> Vec<Line> {
    weights.resize(weights.len() + lines, Line([0; LANES]));
    weights
}

/// The sums of all subsets of each `group` adjacent rows, `[group, subset, line]`.
fn table(group: usize, weights: &[Line], bias: &[Line]) -> Vec<Line> {
    let lines = bias.len();
    let mut sums = Vec::new();
    for (word, weights) in weights.chunks(WORD * lines).enumerate() {
        for (place, weights) in weights.chunks(group * lines).enumerate() {
            let first = sums.len();
            if (word, place) == (0, 0) {
                sums.extend_from_slice(bias);
            } else {
                sums.resize(first + lines, Line([0; LANES]));
            }
            for weights in weights.chunks_exact(lines) {
                // The subsets with this row follow those without it.
                let without = sums.len();
                sums.extend_from_within(first..);
                for (place, sum) in sums[without..].iter_mut().enumerate() {
                    for (sum, weight) in sum.0.iter_mut().zip(&weights[place % lines].0) {
                        *sum += weight;
                    }
                }
            }
            sums.resize(first + (lines << group), Line([0; LANES]));
        }
    }
    sums
}

/// The biases in 16 bits, if the sum with any subset of a lane's weights fits 16 bits.
fn narrow(weights: &[Line], bias: &[[i32; LANES]]) -> Option<Vec<Line>> {
    let lines = bias.len();
    let mut narrow = vec![Line([0; LANES]); lines];
    for (line, (bias, narrow)) in bias.iter().zip(&mut narrow).enumerate() {
        for (lane, (&bias, narrow)) in bias.iter().zip(&mut narrow.0).enumerate() {
            let (mut most, mut least) = (i64::from(bias), i64::from(bias));
            for weights in weights[line..].iter().step_by(lines) {
                most += i64::from(weights.0[lane].max(0));
                least += i64::from(weights.0[lane].min(0));
            }
            i16::try_from(most).ok()?;
            i16::try_from(least).ok()?;
            *narrow = i16::try_from(bias).ok()?;
        }
    }
    Some(narrow)
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
