//! One picture on the emulated chip: a prepared [`Picture`] and a number of time steps go in; membranes, spike
//! counts and [`Events`] come out.
//!
//! `reference/README.md` of the bundle in `tests/golden` is the law: each neuron integrates what its source fired in
//! the step before, adds its bias, spikes at most once when its membrane reaches the threshold, and is lowered by
//! it. Nothing leaks. [`reference`] says this neuron by neuron; [`Emulator`] follows spikes instead and gives the same
//! answer. Absent: prices (`crate::chip::cost`), threads and time.

mod layer;
pub mod reference;
mod spikes;

use std::sync::Arc;

use thiserror::Error;

use crate::chip::events::Events;
use crate::chip::tiling::Tiling;
use crate::network::TimeSteps;
use crate::network::snn::Snn;
use crate::picture::{Picture, Shape};

use layer::LayerRun;
use spikes::Spikes;

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
    input_cores: usize,
    layers: Vec<LayerRun>,
    /// Input neurons' membranes; wide, so that any initial membrane can be checked rather than wrapped.
    input_membranes: Vec<i64>,
    input_counts: Vec<u32>,
    /// What the layer before the current one fired, and what the current one fires.
    arriving: Spikes,
    firing: Spikes,
    outcome: Outcome,
}

impl Emulator {
    /// Lays the network's weights out for event-driven delivery; `tilings` say on which core each neuron is counted, the
    /// input layer first.
    ///
    /// # Panics
    /// If there is not one tiling for each layer and one for the input layer.
    pub fn new(snn: Arc<Snn>, tilings: &[Tiling]) -> Self {
        assert_eq!(
            tilings.len(),
            snn.parameters.len() + 1,
            "a tiling for every layer"
        );
        let layers = snn
            .layers()
            .zip(&tilings[1..])
            .map(|((layer, parameters), tiling)| LayerRun::new(layer, parameters, tiling))
            .collect();
        Self {
            snn,
            input_cores: tilings[0].cores(),
            layers,
            input_membranes: Vec::new(),
            input_counts: Vec::new(),
            arriving: Spikes::default(),
            firing: Spikes::default(),
            outcome: Outcome::default(),
        }
    }

    /// The network that this emulator runs.
    pub fn snn(&self) -> &Arc<Snn> {
        &self.snn
    }

    /// Runs one picture for `time_steps` steps, every membrane starting at its initial one.
    pub fn run(&mut self, picture: &Picture, time_steps: TimeSteps) -> Result<&Outcome, EmulatorError> {
        let input = self.snn.network.input;
        if picture.shape() != input {
            return Err(EmulatorError::PictureShape {
                given: picture.shape(),
                wanted: input,
            });
        }
        let layers = self.layers.len() + 1;
        self.outcome.events.layers.resize_with(layers, Default::default);
        self.run_input(picture, time_steps)?;
        let embedding_layer = self.snn.network.embedding_layer;
        for index in 0..self.layers.len() {
            std::mem::swap(&mut self.arriving, &mut self.firing);
            let layer = &mut self.layers[index];
            layer.run(
                time_steps,
                &self.arriving,
                &mut self.firing,
                &mut self.outcome.events.layers[index + 1],
            )?;
            if index == embedding_layer {
                layer.read(&mut self.outcome.embedding_layer);
            }
        }
        let last = self.layers.last().expect("a network has layers");
        last.read(&mut self.outcome.output_layer);
        Ok(&self.outcome)
    }

    /// The state of layer `index` (0 is the input layer) after the run before.
    pub fn state(&self, index: usize) -> LayerState {
        let mut state = LayerState::default();
        match index.checked_sub(1) {
            Some(index) => self.layers[index].read(&mut state),
            None => {
                let shape = self.snn.network.input;
                for neuron in 0..shape.len() {
                    let place = interleaved(shape, neuron);
                    let membrane = self.input_membranes[place];
                    state
                        .membranes
                        .push(i32::try_from(membrane).expect("checked in every step"));
                    state.spike_counts.push(self.input_counts[place]);
                }
            }
        }
        state
    }

    /// Input neurons integrate their pixel, a constant current, and fire on chip like any other.
    fn run_input(&mut self, picture: &Picture, time_steps: TimeSteps) -> Result<(), EmulatorError> {
        let shape = self.snn.network.input;
        let threshold = i64::from(self.snn.input_threshold);
        let initial = i64::from(self.snn.input_initial_membrane);
        self.input_membranes.clear();
        self.input_membranes.resize(shape.len(), initial);
        self.input_counts.clear();
        self.input_counts.resize(shape.len(), 0);
        self.firing.clear();
        let events = &mut self.outcome.events.layers[0];
        events.start(shape.len(), self.input_cores);
        let idle = time_steps.count() * self.input_cores;
        events.operations_per_step_and_core.resize(idle, 0);
        let plane = shape.height * shape.width;
        let pixels = picture.as_slice();
        for step in 1..=time_steps.get() {
            let mut fired = 0u64;
            for position in 0..plane {
                for channel in 0..shape.channels {
                    let place = position * shape.channels + channel;
                    let neuron = channel * plane + position;
                    let membrane = &mut self.input_membranes[place];
                    *membrane += i64::from(pixels[neuron]);
                    if i32::try_from(*membrane).is_err() {
                        return Err(EmulatorError::MembraneOverflow {
                            layer: "input".to_owned(),
                            neuron,
                            step,
                            membrane: *membrane,
                        });
                    }
                    if *membrane >= threshold {
                        *membrane -= threshold;
                        self.input_counts[place] += 1;
                        self.firing.push(place);
                        fired += 1;
                    }
                }
            }
            self.firing.end_step();
            events.spikes_per_step.push(fired);
        }
        Ok(())
    }
}

/// Where neuron `index` (flattened channel, row, column) stands in the emulator's own order: row, column, channel.
/// There all channels of a position are neighbours, and a spike adds one contiguous run of weights to each position.
fn interleaved(shape: Shape, index: usize) -> usize {
    let plane = shape.height * shape.width;
    (index % plane) * shape.channels + index / plane
}
