//! A network that is ready to run: read, identified by its hash and placed on the chip. Submodules describe it and
//! what a run of it did.

pub mod built_in;
pub mod describe;
pub mod sample;
pub mod trace;

use std::sync::{Arc, OnceLock};

use sha2::{Digest, Sha256};
use thiserror::Error;

use self::built_in::BuiltIn;
use self::sample::{Sample, SampleError, measure};
use crate::chip::cost::CostModel;
use crate::chip::place::{PlaceError, Placement};
use crate::network::snn::Snn;
use crate::network::tensors::read_snn;
use crate::network::{NetworkError, hex};

/// Why a model cannot be used.
#[derive(Debug, Error)]
pub enum ModelError {
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error("the chip cannot hold this network")]
    Place(#[from] PlaceError),
}

/// An SNN with its id, its placement and the cost model that answers use.
#[derive(Debug)]
pub struct Model {
    /// SHA-256 of the file, in hexadecimal.
    pub id: String,
    /// The file's bytes, which catalogues store.
    pub file: Vec<u8>,
    /// The network.
    pub snn: Arc<Snn>,
    /// Its cores.
    pub placement: Placement,
    /// The prices of the answers.
    pub cost_model: CostModel,
    sample: OnceLock<Result<Sample, SampleError>>,
}

impl Model {
    /// Reads an SNN file and places the network on the chip.
    ///
    /// # Errors
    /// [`ModelError`] if the file is invalid or the chip cannot hold the network.
    pub fn read(bytes: &[u8], cost_model: CostModel) -> Result<Self, ModelError> {
        let snn = read_snn(bytes)?;
        let placement = Placement::of(&snn)?;
        Ok(Self {
            id: hex(&Sha256::digest(bytes)),
            file: bytes.to_vec(),
            snn: Arc::new(snn),
            placement,
            cost_model,
            sample: OnceLock::new(),
        })
    }

    /// The model with that id, if it is either the catalogue's `kept` file or a built-in one.
    pub fn of_id(id: &str, kept: Option<&[u8]>, cost_model: CostModel) -> Option<Arc<Self>> {
        let read = |file| Self::read(file, cost_model).ok().filter(|model| model.id == id);
        let found = kept.and_then(read);
        let found = found.or_else(|| BuiltIn::of_id(id).and_then(|network| read(network.file())));
        found.map(Arc::new)
    }

    /// The mean events of the sample pictures on this network; computed on first use.
    pub fn sample(&self) -> &Result<Sample, SampleError> {
        self.sample.get_or_init(|| measure(&self.snn, &self.placement))
    }
}
