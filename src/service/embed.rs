//! Picture → spikes → embedding, on one thread: what each worker of the pool and each command does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ServiceError;
use super::rates::Took;
use engine::chip::report::Emulation;
use engine::embedding::stopping::Length;
use engine::embedding::{Embedding, Prediction};
use engine::emulator::Emulator;
use engine::model::Model;
use engine::model::trace::Trace;
use engine::network::Probe;
use engine::picture::{DecodeLimits, Decoded, Mode, Picture, decode, prepare};

/// What a request may choose of how its picture is run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RunOptions {
    pub time_steps: Length,
    pub probe: Probe,
    pub mode: Mode,
    /// Whether the run is to be told from inside, which takes time of its own.
    pub trace: bool,
}

impl RunOptions {
    /// The model's own choices.
    pub fn of(model: &Model) -> Self {
        Self {
            time_steps: model.snn.network.time_steps().into(),
            probe: model.snn.network.probe(),
            mode: Mode::Auto,
            trace: false,
        }
    }
}

/// What one picture gave, and how long this host took for it.
#[derive(Debug, Clone)]
pub struct Embedded {
    pub embedding: Embedding,
    pub prediction: Prediction,
    pub emulation: Emulation,
    /// Where it was asked for.
    pub trace: Option<Trace>,
    /// Decoding and preparing.
    pub decode_time: Duration,
    pub emulation_time: Duration,
}

impl Embedded {
    /// What it took of this host.
    pub fn took(&self) -> Took {
        Took {
            decoding: self.decode_time,
            emulation: self.emulation_time,
            search: Duration::ZERO,
        }
    }
}

/// One emulated chip and the way to it.
#[derive(Debug)]
pub struct Embedder {
    model: Arc<Model>,
    emulator: Emulator,
    limits: DecodeLimits,
}

impl Embedder {
    /// Lays the model out on a chip of its own.
    pub fn new(model: Arc<Model>, limits: DecodeLimits) -> Self {
        let emulator = Emulator::new(Arc::clone(&model.snn), &model.placement.tilings());
        Self {
            model,
            emulator,
            limits,
        }
    }

    /// The model that it runs.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Lays out `model` unless it is the one that it runs already.
    pub fn take_up(&mut self, model: &Arc<Model>) {
        if !Arc::ptr_eq(&self.model, model) {
            *self = Self::new(Arc::clone(model), self.limits);
        }
    }

    /// An image file's way in: decoded and prepared.
    pub fn prepare(&self, bytes: &[u8], mode: Mode) -> Result<(Decoded, Picture), ServiceError> {
        let decoded = decode(bytes, &self.limits)?;
        let network = &self.model.snn.network;
        let picture = prepare(&decoded, network.input, network.recipe, mode)?;
        Ok((decoded, picture))
    }

    /// Runs an image file.
    pub fn embed(&mut self, bytes: &[u8], options: RunOptions) -> Result<Embedded, ServiceError> {
        let start = Instant::now();
        let (_, picture) = self.prepare(bytes, options.mode)?;
        let decode_time = start.elapsed();
        let mut embedded = self.embed_picture(&picture, options)?;
        embedded.decode_time = decode_time;
        Ok(embedded)
    }

    /// Runs a prepared picture.
    pub fn embed_picture(
        &mut self,
        picture: &Picture,
        options: RunOptions,
    ) -> Result<Embedded, ServiceError> {
        let start = Instant::now();
        let time_steps = options.time_steps.of(&mut self.emulator, picture)?;
        let outcome = self.emulator.run(picture, time_steps)?;
        let emulation_time = start.elapsed();
        let snn = &self.model.snn;
        let mut embedded = Embedded {
            embedding: Embedding::read(snn, outcome, options.probe, time_steps)?,
            prediction: Prediction::read(snn, outcome),
            emulation: Emulation::of(
                &snn.network,
                &outcome.events,
                &self.model.placement,
                self.model.cost_model,
            ),
            trace: None,
            decode_time: Duration::ZERO,
            emulation_time,
        };
        if options.trace {
            let events = outcome.events.clone();
            embedded.trace = Some(Trace::read(&self.model, &self.emulator, &events, picture)?);
        }
        Ok(embedded)
    }
}
