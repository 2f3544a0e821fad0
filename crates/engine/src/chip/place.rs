//! Placement: the cores of each layer, and how much of each core is used.
//!
//! A layer is split into equal parts of its positions (row by row) and of its channels, one core for each combination.
//! From the last layer to the first, the split with the fewest cores that keeps every limit is chosen; on a tie, the
//! one with the lowest value of NxTF's objective (cores plus the utilisation of input axons, output axons and synaptic
//! memory). Layers do not share cores. For networks limited by compartments alone this equals NxTF's rule, `ceil(2n /
//! 1024)` cores per layer.

use serde::Serialize;
use thiserror::Error;

use super::synapses::{WORD_BITS, list_words};
use super::tiling::Tiling;
use super::width::{self, WidthError};
use super::{
    COMPARTMENTS_PER_CORE, COMPARTMENTS_PER_NEURON, CORES_PER_CHIP, CORES_PER_TILE, FAN_IN,
    INPUT_AXONS_PER_CORE, OUTPUT_AXONS_PER_CORE, SYNAPSE_BITS_PER_CORE, TILE_ROWS, WEIGHT_MAX,
};
use crate::network::snn::{Parameters, Snn, Weights};
use crate::network::{Kind, Layer};
use crate::picture::Shape;

/// Why the chip cannot hold a network.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PlaceError {
    #[error("layer {layer}: each neuron has a fan-in of {fan_in}; the chip allows {limit}", limit = FAN_IN)]
    FanIn { layer: String, fan_in: usize },
    #[error("layer {layer}: it has a weight of {weight}; the chip's 9-bit weights are -{limit} to {limit}", limit = WEIGHT_MAX)]
    Weight { layer: String, weight: i16 },
    #[error(transparent)]
    Width(#[from] WidthError),
    #[error(
        "layer {layer}: one core would need {figure} {resource}; it has {limit}, however the layer is cut"
    )]
    Core {
        layer: String,
        resource: &'static str,
        figure: usize,
        limit: usize,
    },
}

/// One core in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Core {
    /// Index of the chip, from 0.
    pub chip: usize,
    /// 0 to 127 on its chip.
    pub core: usize,
    /// The layer that the core belongs to.
    pub layer: String,
    /// Compartments in use, at most [`COMPARTMENTS_PER_CORE`].
    pub compartments: usize,
    /// Bits of synaptic memory in use, at most [`SYNAPSE_BITS_PER_CORE`].
    pub synapse_bits: usize,
    /// Input axons in use, at most [`INPUT_AXONS_PER_CORE`].
    pub input_axons: usize,
    /// Output axons in use, at most [`OUTPUT_AXONS_PER_CORE`].
    pub output_axons: usize,
}

/// One layer's cores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerPlacement {
    /// How its neurons are split over its cores.
    pub tiling: Tiling,
    /// Index of its first core in [`Placement::cores`].
    pub first_core: usize,
    /// Hops between tiles, east-west and north-south, if each of its neurons spikes once.
    pub hops: [u64; 2],
}

/// Every layer's cores, the input layer first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// `[layer]`.
    pub layers: Vec<LayerPlacement>,
    /// All cores in use, in the order of the layers.
    pub cores: Vec<Core>,
}

impl Placement {
    /// Places every layer.
    ///
    /// # Errors
    /// [`PlaceError`] with the first limit that is exceeded.
    pub fn of(snn: &Snn) -> Result<Self, PlaceError> {
        check(snn)?;
        let mut tilings: Vec<(Tiling, Vec<Load>)> = Vec::new();
        let mut next: Option<(&Layer, Tiling)> = None;
        for (layer, parameters) in snn.layers().collect::<Vec<_>>().into_iter().rev() {
            let target = Target {
                name: &layer.name,
                shape: layer.output,
                source: Some((layer, parameters)),
                next,
            };
            let (tiling, loads) = target.cut()?;
            tilings.push((tiling, loads));
            next = Some((layer, tiling));
        }
        let target = Target {
            name: "input",
            shape: snn.network.input,
            source: None,
            next,
        };
        tilings.push(target.cut()?);
        tilings.reverse();
        let mut layers = Vec::new();
        let mut cores = Vec::new();
        for ((tiling, loads), (name, _)) in tilings.into_iter().zip(snn.network.populations()) {
            layers.push(LayerPlacement {
                tiling,
                first_core: cores.len(),
                hops: [0, 0],
            });
            for load in loads {
                cores.push(Core {
                    chip: cores.len() / CORES_PER_CHIP,
                    core: cores.len() % CORES_PER_CHIP,
                    layer: name.to_owned(),
                    compartments: load.neurons * COMPARTMENTS_PER_NEURON,
                    synapse_bits: load.words * WORD_BITS,
                    input_axons: load.input_axons,
                    output_axons: load.output_axons,
                });
            }
        }
        for (index, next) in snn.network.layers.iter().enumerate() {
            layers[index].hops = hops(&layers[index], next, &layers[index + 1]);
        }
        Ok(Self { layers, cores })
    }

    /// How each layer is split over its cores, the input layer first.
    #[must_use]
    pub fn tilings(&self) -> Vec<Tiling> {
        self.layers.iter().map(|layer| layer.tiling).collect()
    }

    /// The number of cores in use.
    #[must_use]
    pub fn cores(&self) -> usize {
        self.cores.len()
    }

    /// The number of chips in use.
    #[must_use]
    pub fn chips(&self) -> usize {
        self.cores().div_ceil(CORES_PER_CHIP)
    }

    /// Copies of the network that fit on one chip; 1 if the network needs several chips.
    #[must_use]
    pub fn replicas(&self) -> usize {
        (CORES_PER_CHIP / self.cores()).max(1)
    }
}

/// Column and row of a core's tile: tiles have 4 cores and stand in 8 columns of 4 (NxTF `snip_reset.c`).
fn tile(core: usize) -> [usize; 2] {
    let tile = core % CORES_PER_CHIP / CORES_PER_TILE;
    [tile / TILE_ROWS, tile % TILE_ROWS]
}

/// Hops between tiles if each neuron of a layer spikes once. Traffic between chips is not counted.
fn hops(from: &LayerPlacement, next: &Layer, to: &LayerPlacement) -> [u64; 2] {
    let mut hops = [0, 0];
    for part in 0..to.tiling.position_parts {
        for (position, _) in sources(next, to.tiling.positions_of(part)).windows {
            for source_part in 0..from.tiling.channel_parts {
                let channels = from.tiling.channels_of(source_part).len();
                let core = from.tiling.position_part(position) * from.tiling.channel_parts + source_part;
                let here = tile(from.first_core + core);
                for target_part in 0..to.tiling.channel_parts {
                    let there = tile(to.first_core + part * to.tiling.channel_parts + target_part);
                    for axis in 0..2 {
                        hops[axis] += u64::try_from(here[axis].abs_diff(there[axis]) * channels)
                            .expect("a count fits 64 bits");
                    }
                }
            }
        }
    }
    hops
}

/// Checks the limits that do not depend on the split.
fn check(snn: &Snn) -> Result<(), PlaceError> {
    for (layer, parameters) in snn.layers() {
        let fan_in = layer.fan_in();
        if fan_in > FAN_IN {
            return Err(PlaceError::FanIn {
                layer: layer.name.clone(),
                fan_in,
            });
        }
        let beyond = |weight: &i16| weight.unsigned_abs() > WEIGHT_MAX.unsigned_abs();
        if let Some(weight) = parameters.weights.values().find(beyond) {
            return Err(PlaceError::Weight {
                layer: layer.name.clone(),
                weight,
            });
        }
    }
    Ok(width::check(snn)?)
}

/// The resources that one core of a layer needs.
#[derive(Debug, Clone, Copy, Default)]
struct Load {
    neurons: usize,
    input_axons: usize,
    output_axons: usize,
    words: usize,
}

/// The first resource that exceeds its limit: name, amount needed and limit.
type Excess = (&'static str, usize, usize);

impl Load {
    fn excess(&self) -> Option<Excess> {
        [
            (
                "compartments",
                self.neurons * COMPARTMENTS_PER_NEURON,
                COMPARTMENTS_PER_CORE,
            ),
            ("input axons", self.input_axons, INPUT_AXONS_PER_CORE),
            ("output axons", self.output_axons, OUTPUT_AXONS_PER_CORE),
            (
                "bits of synaptic memory",
                self.words * WORD_BITS,
                SYNAPSE_BITS_PER_CORE,
            ),
        ]
        .into_iter()
        .find(|(_, figure, limit)| figure > limit)
    }

    /// In units of 1/16,384, so that the objective is a whole number.
    fn objective(&self) -> usize {
        let words = SYNAPSE_BITS_PER_CORE / WORD_BITS;
        words
            + self.input_axons * words / INPUT_AXONS_PER_CORE
            + self.output_axons * words / OUTPUT_AXONS_PER_CORE
            + self.words
    }
}

/// A layer to be split, with its source and its targets.
struct Target<'a> {
    name: &'a str,
    shape: Shape,
    /// `None` for the input layer, whose pixels are biases.
    source: Option<(&'a Layer, &'a Parameters)>,
    next: Option<(&'a Layer, Tiling)>,
}

impl Target<'_> {
    fn cut(&self) -> Result<(Tiling, Vec<Load>), PlaceError> {
        let (positions, channels) = (self.shape.height * self.shape.width, self.shape.channels);
        let neurons = positions * channels;
        let fewest = (neurons * COMPARTMENTS_PER_NEURON).div_ceil(COMPARTMENTS_PER_CORE);
        let mut last: Option<Excess> = None;
        for cores in fewest..=neurons {
            let mut best: Option<(usize, Tiling, Vec<Load>)> = None;
            for channel_parts in (1..=cores.min(channels)).filter(|parts| cores % parts == 0) {
                let position_parts = cores / channel_parts;
                if position_parts > positions {
                    continue;
                }
                let tiling = Tiling::new(self.shape, position_parts, channel_parts);
                let most = positions.div_ceil(position_parts) * channels.div_ceil(channel_parts);
                if most * COMPARTMENTS_PER_NEURON > COMPARTMENTS_PER_CORE {
                    continue;
                }
                match self.loads(tiling) {
                    Err(excess) => last = Some(excess),
                    Ok(loads) => {
                        let objective = loads.iter().map(Load::objective).sum();
                        if best.as_ref().is_none_or(|(least, ..)| objective < *least) {
                            best = Some((objective, tiling, loads));
                        }
                    }
                }
            }
            if let Some((_, tiling, loads)) = best {
                return Ok((tiling, loads));
            }
        }
        let (resource, figure, limit) = last.expect("one neuron a core has few compartments");
        Err(PlaceError::Core {
            layer: self.name.to_owned(),
            resource,
            figure,
            limit,
        })
    }

    /// The resources that each core needs, or the first limit exceeded.
    fn loads(&self, tiling: Tiling) -> Result<Vec<Load>, Excess> {
        let out_axons = self.out_axons();
        (0..tiling.cores())
            .map(|core| {
                let (part, channels) = (
                    core / tiling.channel_parts,
                    tiling.channels_of(core % tiling.channel_parts),
                );
                let neurons = tiling.neurons(core);
                // Soft reset: each neuron subtracts its threshold from itself through an axon, a compartment and a
                // memory word of its own.
                let mut load = Load {
                    neurons,
                    input_axons: neurons,
                    output_axons: neurons,
                    words: neurons,
                };
                load.output_axons += tiling
                    .positions_of(part)
                    .map(|position| channels.len() * out_axons[position])
                    .sum::<usize>();
                if let Some((layer, parameters)) = self.source {
                    let sources = sources(layer, tiling.positions_of(part));
                    load.input_axons += sources.axons(layer, &channels);
                    // The most expensive count comes last, and only if no other limit is exceeded.
                    if load.excess().is_none() {
                        load.words += sources.words(layer, parameters, &channels);
                    }
                }
                match load.excess() {
                    None => Ok(load),
                    Some(excess) => Err(excess),
                }
            })
            .collect()
    }

    /// Output axons that a neuron at each position needs: one for each core that receives its spikes.
    fn out_axons(&self) -> Vec<usize> {
        let positions = self.shape.height * self.shape.width;
        let Some((next, tiling)) = self.next else {
            return vec![0; positions];
        };
        // A pooling neuron receives one channel, which belongs to one part of the channels.
        let channel_parts = match next.kind {
            Kind::AvgPool2d { .. } => 1,
            Kind::Conv2d { .. } | Kind::Dense => tiling.channel_parts,
        };
        let mut heard = vec![0; positions];
        for part in 0..tiling.position_parts {
            for (position, _) in sources(next, tiling.positions_of(part)).windows {
                heard[position] += channel_parts;
            }
        }
        heard
    }
}

/// The source positions that a core's neurons receive, each with the windows that contain it: index within the core's
/// positions and index within the kernel.
struct Sources {
    windows: Vec<(usize, Vec<(usize, usize)>)>,
}

fn sources(layer: &Layer, positions: std::ops::Range<usize>) -> Sources {
    let mut windows: std::collections::BTreeMap<usize, Vec<(usize, usize)>> =
        std::collections::BTreeMap::new();
    for (place, position) in positions.enumerate() {
        for (source, offset) in layer.seen_from(position) {
            windows.entry(source).or_default().push((place, offset));
        }
    }
    Sources {
        windows: windows.into_iter().collect(),
    }
}

impl Sources {
    /// One input axon for each source neuron: with soft reset, population axons cannot be used.
    fn axons(&self, layer: &Layer, channels: &std::ops::Range<usize>) -> usize {
        let heard = match layer.kind {
            Kind::AvgPool2d { .. } => channels.len(),
            Kind::Conv2d { .. } | Kind::Dense => layer.input.channels,
        };
        self.windows.len() * heard
    }

    /// Words of the synapse lists of those axons. Lists that differ by a shift only are stored once.
    fn words(&self, layer: &Layer, parameters: &Parameters, channels: &std::ops::Range<usize>) -> usize {
        let mut patterns: std::collections::BTreeSet<Vec<(usize, usize)>> = std::collections::BTreeSet::new();
        for (_, windows) in &self.windows {
            let base = windows.first().map_or(0, |(place, _)| *place);
            patterns.insert(
                windows
                    .iter()
                    .map(|(place, offset)| (place - base, *offset))
                    .collect(),
            );
        }
        let mut words = 0;
        let mut list: Vec<(usize, i16)> = Vec::new();
        for pattern in &patterns {
            // All channels of a pooling layer share one list, shifted.
            let sources = match &parameters.weights {
                Weights::AvgPool2d(_) => 1,
                Weights::Conv2d(_) | Weights::Dense(_) => layer.input.channels,
            };
            for source in 0..sources {
                list.clear();
                for &(place, offset) in pattern {
                    match &parameters.weights {
                        Weights::AvgPool2d(weight) => list.push((place * channels.len(), *weight)),
                        Weights::Conv2d(weights) => {
                            let kernel_width = weights.dim().3;
                            let (ky, kx) = (offset / kernel_width, offset % kernel_width);
                            for (nth, channel) in channels.clone().enumerate() {
                                list.push((place * channels.len() + nth, weights[[channel, source, ky, kx]]));
                            }
                        }
                        Weights::Dense(weights) => {
                            let plane = layer.input.height * layer.input.width;
                            for (nth, channel) in channels.clone().enumerate() {
                                list.push((nth, weights[[channel, source * plane + offset]]));
                            }
                        }
                    }
                }
                words += list_words(&list);
            }
        }
        words
    }
}
