//! The input layer: each neuron integrates its pixel, a constant current, and fires like any other neuron.
//!
//! A neuron's spikes depend on its pixel alone, so each of the 256 values is run once and looked up.

use super::bits::{BATCH, SpikeBits, WORD};
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
    /// The same as words, `[pixel, time step]` in whole batches: 1 if it fires.
    words: Vec<[u64; BATCH]>,
    /// The same with a byte for each time step, the first one lowest.
    bytes: Vec<u64>,
    /// Whether any membrane exceeds the chip's range.
    saturates: bool,
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
            bytes: Vec::new(),
            saturates: false,
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
            self.saturates = self.trains.iter().any(|train| train.saturated > 0);
            self.overflows = self.trains.iter().any(|train| train.overflow.is_some());
            self.steps = steps;
            let batches = steps.div_ceil(BATCH);
            self.words.clear();
            self.words.resize(self.trains.len() * batches, [0; BATCH]);
            for (train, words) in self.trains.iter().zip(self.words.chunks_exact_mut(batches)) {
                for &step in &train.steps {
                    words[step / BATCH][step % BATCH] = 1;
                }
            }
            let bytes = |words: &[u64; BATCH]| u64::from_le_bytes(words.map(|word| u8::from(word == 1)));
            self.bytes = self.words.iter().map(bytes).collect();
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
        self.count(&mut events.spikes_per_step);
        if self.saturates {
            let saturated = |&pixel: &u8| self.trains[usize::from(pixel)].saturated;
            events.saturated_updates = self.pixels.iter().map(saturated).sum();
        }
        if self.shape.channels == 1 {
            self.fired.assign(&self.pixels);
        } else {
            self.fire(steps);
        }
        Ok(())
    }

    /// Counts the spikes of each step, 8 steps at once: so many pixels that no byte of a sum overflows.
    fn count(&self, spikes: &mut [u64]) {
        let batches = self.bytes.len() / self.trains.len();
        for pixels in self.pixels.chunks(usize::from(u8::MAX)) {
            for (batch, spikes) in spikes.chunks_mut(BATCH).enumerate() {
                let bytes = |&pixel: &u8| self.bytes[usize::from(pixel) * batches + batch];
                let sums = pixels.iter().map(bytes).sum::<u64>().to_le_bytes();
                for (spikes, sum) in spikes.iter_mut().zip(sums) {
                    *spikes += u64::from(sum);
                }
            }
        }
    }

    /// Interleaves the channels of each position.
    fn fire(&mut self, steps: usize) {
        self.fired.start_silent(self.shape, steps);
        let plane = self.shape.height * self.shape.width;
        let stride = self.fired.stride();
        for (channel, pixels) in self.pixels.chunks_exact(plane).enumerate() {
            let (word, bit) = (channel / WORD, channel % WORD);
            for (position, &pixel) in pixels.iter().enumerate() {
                let fired = &mut self.fired.of_position_mut(position)[word * stride..][..stride];
                let words = &self.words[usize::from(pixel) * stride / BATCH..];
                for (fired, words) in fired.as_chunks_mut::<BATCH>().0.iter_mut().zip(words) {
                    for (fired, word) in fired.iter_mut().zip(words) {
                        *fired |= word << bit;
                    }
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
