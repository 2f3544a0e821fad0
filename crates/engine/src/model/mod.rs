//! A network that is ready to run: read, identified and placed on the chip; what it is and does, for people.

pub mod describe;
pub mod sample;
pub mod trace;

use std::sync::{Arc, OnceLock};

use sha2::{Digest, Sha256};
use thiserror::Error;

use self::sample::{Sample, SampleError, measure};
use crate::chip::cost::CostModel;
use crate::chip::place::{PlaceError, Placement};
use crate::network::snn::Snn;
use crate::network::tensors::read_snn;
use crate::network::{NetworkError, hex};

/// Why a model cannot be served.
#[derive(Debug, Error)]
pub enum ModelError {
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error("the chip cannot hold this network")]
    Place(#[from] PlaceError),
}

/// An SNN with its id, its cores and the prices that answers use.
#[derive(Debug)]
pub struct Model {
    /// SHA-256 of the file, in hexadecimal.
    pub id: String,
    /// The file itself, for catalogues to keep.
    pub file: Vec<u8>,
    pub snn: Arc<Snn>,
    pub placement: Placement,
    pub cost_model: CostModel,
    sample: OnceLock<Result<Sample, SampleError>>,
}

impl Model {
    /// The model that the repository ships, inside the program.
    pub const SHIPPED: &'static [u8] = include_bytes!("../../../../models/fashion-mnist.snn.safetensors");

    /// Reads an SNN file and places it.
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

    /// The model of that id, if it is in the file that a catalogue keeps, or is the shipped one.
    pub fn of_id(id: &str, kept: Option<&[u8]>, cost_model: CostModel) -> Option<Arc<Self>> {
        let files = kept.into_iter().chain([Self::SHIPPED]);
        let mut models = files.filter_map(|file| Self::read(file, cost_model).ok());
        models.find(|model| model.id == id).map(Arc::new)
    }

    /// What a typical picture does on this network; run when it is first asked for.
    pub fn sample(&self) -> &Result<Sample, SampleError> {
        self.sample.get_or_init(|| measure(self))
    }
}
