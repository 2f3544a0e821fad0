//! The input layer: each neuron integrates its pixel, a constant current, and fires like any other neuron.
//!
//! A neuron's spikes depend on its pixel alone, so each of the 256 values is run once and looked up.

use super::bits::{SpikeBits, WORD};
use super::state::{EmulatorError, LayerState};
use crate::chip::events::LayerEvents;
use crate::chip::tiling::Tiling;
use crate::chip::width::MEMBRANE_MAX;
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
    /// The number of time steps of `trains`.
    steps: usize,
    trains: Vec<Train>,
    /// The same as words, `[pixel, time step]`: 1 if it fires.
    words: Vec<u64>,
    /// Whether any of them exceeds 32 bits.
    overflows: bool,
    pixels: Vec<u8>,
    pub fired: SpikeBits,
}

/// The run of a neuron with one constant current.
#[derive(Debug)]
struct Train {
    /// The steps it fires in.
    steps: Vec<usize>,
    /// The number of steps in which its membrane exceeds the chip's range.
    saturated: u64,
    membrane: i64,
    /// The step, from 1, in which it exceeds 32 bits, and its membrane.
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
            words: Vec::new(),
            overflows: false,
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
            self.overflows = self.trains.iter().any(|train| train.overflow.is_some());
            self.steps = steps;
            self.words.clear();
            for train in &self.trains {
                let first = self.words.len();
                self.words.resize(first + steps, 0);
                for &step in &train.steps {
                    self.words[first + step] = 1;
                }
            }
            if self.shape.channels == 1 {
                self.fired.share(self.shape, steps, &self.words);
            }
        }
        self.pixels.clear();
        self.pixels.extend_from_slice(picture.as_slice());
        self.check()?;
        events.start(self.shape.len(), self.tiling.cores());
        events
            .operations_per_step_and_core
            .resize(steps * self.tiling.cores(), 0);
        events.spikes_per_step.resize(steps, 0);
        let mut histogram = [0u64; 256];
        for &pixel in &self.pixels {
            histogram[usize::from(pixel)] += 1;
        }
        let trains = self.trains.iter().zip(self.words.chunks_exact(steps));
        for (&neurons, (train, words)) in histogram.iter().zip(trains) {
            if neurons > 0 {
                events.saturated_updates += neurons * train.saturated;
                for (spikes, fires) in events.spikes_per_step.iter_mut().zip(words) {
                    *spikes += neurons * fires;
                }
            }
        }
        if self.shape.channels == 1 {
            self.fired.assign(&self.pixels);
        } else {
            self.fire(steps);
        }
        Ok(())
    }

    /// Interleaves the channels of each position.
    fn fire(&mut self, steps: usize) {
        self.fired.start_silent(self.shape, steps);
        let plane = self.shape.height * self.shape.width;
        let words = self.fired.words();
        for (channel, pixels) in self.pixels.chunks_exact(plane).enumerate() {
            let (word, bit) = (channel / WORD, channel % WORD);
            for (position, &pixel) in pixels.iter().enumerate() {
                let fired = self.fired.of_position_mut(position);
                for &step in &self.trains[usize::from(pixel)].steps {
                    fired[step * words + word] |= 1 << bit;
                }
            }
        }
    }

    fn train(&self, pixel: u8, time_steps: TimeSteps) -> Train {
        let mut train = Train {
            steps: Vec::new(),
            saturated: 0,
            membrane: self.initial,
            overflow: None,
        };
        for (index, step) in (1..=time_steps.get()).enumerate() {
            train.membrane += i64::from(pixel);
            if i32::try_from(train.membrane).is_err() {
                train.overflow = Some((step, train.membrane));
                break;
            }
            train.saturated += u64::from(train.membrane.abs() > MEMBRANE_MAX);
            if train.membrane >= self.threshold {
                train.membrane -= self.threshold;
                train.steps.push(index);
            }
        }
        train
    }

    /// Fails if a neuron exceeds 32 bits; reports the earliest step, and in it the first neuron.
    fn check(&self) -> Result<(), EmulatorError> {
        if !self.overflows {
            return Ok(());
        }
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
