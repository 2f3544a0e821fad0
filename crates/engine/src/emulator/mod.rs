//! One picture on the emulated chip: a prepared [`Picture`] and a number of time steps go in; membranes, spike
//! counts and [`Events`] come out.
//!
//! `reference/README.md` of the bundle in `tests/golden` is the law: each neuron integrates what its source fired in
//! the step before, adds its bias, spikes at most once when its membrane reaches the threshold, and is lowered by
//! it. Nothing leaks. [`reference`] says this neuron by neuron; [`Emulator`] follows spikes instead and gives the same
//! answer. Absent: prices (`crate::chip::cost`), threads and time.

mod bits;
mod block;
mod input;
pub mod kernel;
mod layer;
pub mod reference;

use std::sync::Arc;

use thiserror::Error;

use crate::chip::events::Events;
use crate::chip::tiling::Tiling;
use crate::network::TimeSteps;
use crate::network::snn::Snn;
use crate::picture::{Picture, Shape};

use bits::SpikeBits;
use block::BlockLayer;
use input::InputRun;
use kernel::Kernel;
use layer::LayerRun;

/// Why a picture could not be run.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum EmulatorError {
    #[error("the picture is {given:?}, the network takes {wanted:?}: prepare it first")]
    PictureShape { given: Shape, wanted: Shape },
    #[error(
        "layer {layer}: in time step {step} the membrane of neuron {neuron} is {membrane}, beyond 32 bits; \
         the network's weights or biases are too large for that many time steps"
    )]
    MembraneOverflow {
        layer: String,
        neuron: usize,
        step: u32,
        membrane: i64,
    },
}

/// What a layer's neurons hold after the last time step, flattened channel, row, column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LayerState {
    pub membranes: Vec<i32>,
    /// Spikes that each neuron fired.
    pub spike_counts: Vec<u32>,
}

/// What one picture left behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    pub embedding_layer: LayerState,
    pub output_layer: LayerState,
    pub events: Events,
}

/// The event-driven emulator of one network; its buffers are kept from picture to picture.
///
/// These networks have no loops, so each layer runs all its time steps before the next one starts.
#[derive(Debug)]
pub struct Emulator {
    snn: Arc<Snn>,
    tilings: Vec<Tiling>,
    kernel: Kernel,
    input: InputRun,
    layers: Vec<Slot>,
    outcome: Outcome,
}

/// One layer, in the form that its bounds allow, and what it fired.
#[derive(Debug)]
struct Slot {
    block: Option<BlockLayer>,
    /// Made when it is first needed.
    general: Option<LayerRun>,
    ran_in_blocks: bool,
    fired: SpikeBits,
}

impl Slot {
    fn read(&self, state: &mut LayerState) {
        match (&self.block, &self.general) {
            (Some(block), _) if self.ran_in_blocks => block.read(state),
            (_, Some(general)) => general.read(state),
            _ => state.membranes.clear(),
        }
        self.fired.count_neurons(&mut state.spike_counts);
    }
}

impl Emulator {
    /// Lays the network's weights out for event-driven delivery; `tilings` say on which core each neuron is counted, the
    /// input layer first.
    ///
    /// # Panics
    /// If there is not one tiling for each layer and one for the input layer.
    pub fn new(snn: Arc<Snn>, tilings: &[Tiling]) -> Self {
        Self::with_kernel(snn, tilings, Kernel::detect())
    }

    /// The same with a kernel of the caller's choice; no kernel changes a result.
    pub fn with_kernel(snn: Arc<Snn>, tilings: &[Tiling], kernel: Kernel) -> Self {
        assert_eq!(
            tilings.len(),
            snn.parameters.len() + 1,
            "a tiling for every layer"
        );
        let layers = snn
            .layers()
            .zip(&tilings[1..])
            .map(|((layer, parameters), tiling)| Slot {
                block: BlockLayer::new(layer, parameters, *tiling),
                general: None,
                ran_in_blocks: false,
                fired: SpikeBits::default(),
            })
            .collect();
        Self {
            input: InputRun::new(&snn, tilings[0]),
            snn,
            tilings: tilings.to_vec(),
            kernel,
            layers,
            outcome: Outcome::default(),
        }
    }

    /// The network that this emulator runs.
    pub fn snn(&self) -> &Arc<Snn> {
        &self.snn
    }

    /// Runs one picture for `time_steps` steps, every membrane starting at its initial one.
    pub fn run(&mut self, picture: &Picture, time_steps: TimeSteps) -> Result<&Outcome, EmulatorError> {
        let wanted = self.snn.network.input;
        if picture.shape() != wanted {
            return Err(EmulatorError::PictureShape {
                given: picture.shape(),
                wanted,
            });
        }
        let events = &mut self.outcome.events.layers;
        events.resize_with(self.layers.len() + 1, Default::default);
        self.input.run(picture, time_steps, &mut events[0])?;
        for index in 0..self.layers.len() {
            let (before, rest) = self.layers.split_at_mut(index);
            let source = before.last().map_or(&self.input.fired, |slot| &slot.fired);
            let Slot {
                block,
                general,
                ran_in_blocks,
                fired,
            } = &mut rest[0];
            let events = &mut events[index + 1];
            if let Some(block) = block.as_mut().filter(|block| block.fits(time_steps)) {
                *ran_in_blocks = true;
                block.run(self.kernel, time_steps, source, fired, events);
            } else {
                *ran_in_blocks = false;
                let general = general.get_or_insert_with(|| {
                    let layer = &self.snn.network.layers[index];
                    LayerRun::new(layer, &self.snn.parameters[index], self.tilings[index + 1])
                });
                general.run(time_steps, source, fired, events)?;
            }
        }
        self.layers[self.snn.network.embedding_layer].read(&mut self.outcome.embedding_layer);
        self.layers
            .last()
            .expect("a network has layers")
            .read(&mut self.outcome.output_layer);
        Ok(&self.outcome)
    }

    /// The state of layer `index` (0 is the input layer) after the run before.
    pub fn state(&self, index: usize) -> LayerState {
        let mut state = LayerState::default();
        match index.checked_sub(1) {
            Some(index) => self.layers[index].read(&mut state),
            None => self.input.read(&mut state),
        }
        state
    }
}

/// Where neuron `index` (flattened channel, row, column) stands in the emulator's own order: row, column, channel.
/// There all channels of a position are neighbours, and a spike adds one contiguous run of weights to each position.
fn interleaved(shape: Shape, index: usize) -> usize {
    let plane = shape.height * shape.width;
    (index % plane) * shape.channels + index / plane
}
