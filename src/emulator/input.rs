//! The input layer: each neuron integrates its pixel, a constant current, and fires on chip like any other.
//!
//! What a neuron does depends on its pixel alone, so each of the 256 currents is run once and looked up.

use super::bits::SpikeBits;
use super::{EmulatorError, LayerState};
use crate::chip::events::LayerEvents;
use crate::chip::tiling::Tiling;
use crate::network::TimeSteps;
use crate::network::snn::Snn;
use crate::picture::{Picture, Shape};

/// The input neurons.
#[derive(Debug)]
pub struct InputRun {
    shape: Shape,
    tiling: Tiling,
    threshold: i64,
    initial: i64,
    /// For how many time steps `trains` holds.
    steps: usize,
    trains: Vec<Train>,
    pixels: Vec<u8>,
    pub fired: SpikeBits,
}

/// What a neuron with one constant current does.
#[derive(Debug)]
struct Train {
    /// The steps it fires in.
    steps: Vec<usize>,
    membrane: i64,
    /// The step, from 1, and the membrane with which it leaves 32 bits.
    overflow: Option<(u32, i64)>,
}

impl InputRun {
    pub fn new(snn: &Snn, tiling: Tiling) -> Self {
        Self {
            shape: snn.network.input,
            tiling,
            threshold: i64::from(snn.input_threshold),
            initial: i64::from(snn.input_initial_membrane),
            steps: 0,
            trains: Vec::new(),
            pixels: Vec::new(),
            fired: SpikeBits::default(),
        }
    }

    /// Runs all time steps of a picture of the network's shape.
    pub fn run(
        &mut self,
        picture: &Picture,
        time_steps: TimeSteps,
        events: &mut LayerEvents,
    ) -> Result<(), EmulatorError> {
        let steps = time_steps.count();
        if self.steps != steps {
            self.trains = (0..=u8::MAX).map(|pixel| self.train(pixel, time_steps)).collect();
            self.steps = steps;
        }
        self.pixels.clear();
        self.pixels.extend_from_slice(picture.as_slice());
        self.check()?;
        self.fired.start(self.shape, steps);
        events.start(self.shape.len(), self.tiling.cores());
        events
            .operations_per_step_and_core
            .resize(steps * self.tiling.cores(), 0);
        events.spikes_per_step.resize(steps, 0);
        let plane = self.shape.height * self.shape.width;
        let words = self.fired.words();
        for (channel, pixels) in self.pixels.chunks_exact(plane).enumerate() {
            let (word, bit) = (channel / 64, channel % 64);
            for (position, &pixel) in pixels.iter().enumerate() {
                let train = &self.trains[usize::from(pixel)].steps;
                if train.is_empty() {
                    continue;
                }
                let fired = self.fired.of_position_mut(position);
                for &step in train {
                    fired[step * words + word] |= 1 << bit;
                    events.spikes_per_step[step] += 1;
                }
            }
        }
        Ok(())
    }

    fn train(&self, pixel: u8, time_steps: TimeSteps) -> Train {
        let mut train = Train {
            steps: Vec::new(),
            membrane: self.initial,
            overflow: None,
        };
        for (index, step) in (1..=time_steps.get()).enumerate() {
            train.membrane += i64::from(pixel);
            if i32::try_from(train.membrane).is_err() {
                train.overflow = Some((step, train.membrane));
                break;
            }
            if train.membrane >= self.threshold {
                train.membrane -= self.threshold;
                train.steps.push(index);
            }
        }
        train
    }

    /// Refuses a picture one of whose neurons leaves 32 bits: the earliest step, and in it the first neuron.
    fn check(&self) -> Result<(), EmulatorError> {
        let overflows = self.pixels.iter().enumerate().filter_map(|(neuron, &pixel)| {
            let (step, membrane) = self.trains[usize::from(pixel)].overflow?;
            Some((step, neuron, membrane))
        });
        match overflows.min() {
            None => Ok(()),
            Some((step, neuron, membrane)) => Err(EmulatorError::MembraneOverflow {
                layer: "input".to_owned(),
                neuron,
                step,
                membrane,
            }),
        }
    }

    /// Membranes and spike counts of the last picture.
    pub fn read(&self, state: &mut LayerState) {
        state.membranes.clear();
        for &pixel in &self.pixels {
            let membrane = self.trains[usize::from(pixel)].membrane;
            state
                .membranes
                .push(i32::try_from(membrane).expect("checked before"));
        }
        self.fired.count_neurons(&mut state.spike_counts);
    }
}
