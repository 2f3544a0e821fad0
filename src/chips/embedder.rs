//! From a picture to its embedding, on one thread.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::ChipError;
use super::maker::Maker;
use super::options::RunOptions;
use crate::admission::Work;
use crate::catalogue::{NewPicture, StoredPicture};
use engine::chip::report::Emulation;
use engine::embedding::{Embedding, Prediction, is_zero};
use engine::emulator::Emulator;
use engine::model::Model;
use engine::model::trace::Trace;
use engine::picture::{DecodeLimits, Decoded, Mode, Picture, decode_until, prepare};

/// The result of running one picture, and the time it took on this host.
#[derive(Debug, Clone)]
pub struct Embedded {
    pub embedding: Embedding,
    pub prediction: Prediction,
    pub emulation: Emulation,
    /// Present if it was requested.
    pub trace: Option<Trace>,
    /// Time to decode and prepare the picture.
    pub decode_time: Duration,
    pub emulation_time: Duration,
}

/// No limit on the size of a picture: stored ones were checked when they were uploaded.
pub const STORED: DecodeLimits = DecodeLimits::NONE;

/// One emulated chip, and the preparation of pictures for it.
#[derive(Debug)]
pub struct Embedder {
    model: Arc<Model>,
    emulator: Emulator,
    limits: DecodeLimits,
}

impl Embedder {
    /// Creates an emulated chip that runs `model`.
    #[must_use]
    pub fn new(model: Arc<Model>, limits: DecodeLimits) -> Self {
        let emulator = Emulator::new(Arc::clone(&model.snn), &model.placement.tilings());
        Self {
            model,
            emulator,
            limits,
        }
    }

    /// The model that the chip runs.
    #[must_use]
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Switches the chip to `model`, if it runs another one.
    pub fn use_model(&mut self, model: &Arc<Model>) {
        if !Arc::ptr_eq(&self.model, model) {
            *self = Self::new(Arc::clone(model), self.limits);
        }
    }

    /// Decodes an image file, unless its work stops first, and prepares it for the network.
    ///
    /// # Errors
    /// If the file cannot be decoded.
    pub fn prepare(&self, bytes: &[u8], mode: Mode, work: &Work) -> Result<(Decoded, Picture), ChipError> {
        let decoded = self.decode(bytes, work)?;
        let picture = self.prepared(&decoded, mode)?;
        Ok((decoded, picture))
    }

    fn decode(&self, bytes: &[u8], work: &Work) -> Result<Decoded, ChipError> {
        Ok(decode_until(bytes, &self.limits, &|| work.check().is_err())?)
    }

    fn prepared(&self, decoded: &Decoded, mode: Mode) -> Result<Picture, ChipError> {
        let network = &self.model.snn.network;
        Ok(prepare(decoded, network.input, network.recipe, mode)?)
    }

    /// Runs an image file.
    ///
    /// # Errors
    /// If the picture cannot be decoded or run.
    pub fn embed(&mut self, bytes: &[u8], options: RunOptions, work: &Work) -> Result<Embedded, ChipError> {
        let start = Instant::now();
        let mut decoded = self.decode(bytes, work)?;
        if let Some(region) = &options.region {
            decoded = decoded.cropped(region, &self.limits)?;
        }
        let picture = self.prepared(&decoded, options.mode)?;
        let decode_time = start.elapsed();
        work.check()?;
        let mut embedded = self.embed_picture(&picture, options)?;
        embedded.decode_time = decode_time;
        Ok(embedded)
    }

    /// Runs a prepared picture.
    ///
    /// # Errors
    /// If the picture does not have the network's input shape, or a value overflows.
    pub fn embed_picture(&mut self, picture: &Picture, options: RunOptions) -> Result<Embedded, ChipError> {
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

    /// Runs an image file that will be stored, and also returns the run. An embedding of all zeros is an error.
    ///
    /// # Errors
    /// If the picture cannot be decoded or run.
    pub fn new_picture(
        &mut self,
        bytes: &[u8],
        maker: &Maker,
        mode: Mode,
        work: &Work,
    ) -> Result<(NewPicture, Embedded), ChipError> {
        let options = RunOptions {
            mode,
            ..maker.options()
        };
        self.use_model(&maker.model);
        let start = Instant::now();
        let (decoded, picture) = self.prepare(bytes, mode, work)?;
        let decode_time = start.elapsed();
        let mut embedded = self.embed_picture(&picture, options)?;
        embedded.decode_time = decode_time;
        if is_zero(&embedded.embedding.values) {
            return Err(ChipError::EmptyEmbedding);
        }
        let new = NewPicture {
            content_type: decoded.format().content_type().to_owned(),
            width: decoded.width(),
            height: decoded.height(),
            bytes: bytes.to_vec(),
            prepare: mode,
            embedding: embedded.embedding.values.clone(),
            origin: Arc::clone(&maker.origin),
        };
        Ok((new, embedded))
    }

    /// The embedding of a stored picture. A panic is caught and returned as an error.
    ///
    /// # Errors
    /// If the picture cannot be decoded or run.
    pub fn embed_stored(&mut self, picture: &StoredPicture, maker: &Maker) -> Result<Vec<i32>, ChipError> {
        self.use_model(&maker.model);
        let options = RunOptions {
            mode: picture.prepare,
            ..maker.options()
        };
        let run = AssertUnwindSafe(|| self.embed(&picture.bytes, options, &Work::OWN));
        match std::panic::catch_unwind(run) {
            Ok(embedded) => Ok(embedded?.embedding.values),
            Err(_) => {
                *self = Self::new(Arc::clone(&maker.model), self.limits);
                Err(ChipError::WorkerPanicked)
            }
        }
    }
}
