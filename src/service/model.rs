//! A network that is ready to serve: read, identified and placed on the chip.

use std::sync::{Arc, OnceLock};

use sha2::{Digest, Sha256};
use thiserror::Error;

use super::sample::{Sample, SampleError, measure};
use crate::catalogue::Origin;
use crate::chip::cost::CostModel;
use crate::chip::place::{PlaceError, Placement};
use crate::network::snn::Snn;
use crate::network::tensors::read_snn;
use crate::network::{NetworkError, Probe, TimeSteps};

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
    pub snn: Arc<Snn>,
    pub placement: Placement,
    pub cost_model: CostModel,
    sample: OnceLock<Result<Sample, SampleError>>,
}

impl Model {
    /// The model that the repository ships, inside the program.
    pub const SHIPPED: &'static [u8] = include_bytes!("../../models/fashion-mnist.snn.safetensors");

    /// Reads an SNN file and places it.
    pub fn read(bytes: &[u8], cost_model: CostModel) -> Result<Self, ModelError> {
        let snn = read_snn(bytes)?;
        let placement = Placement::of(&snn)?;
        Ok(Self {
            id: hex(&Sha256::digest(bytes)),
            snn: Arc::new(snn),
            placement,
            cost_model,
            sample: OnceLock::new(),
        })
    }

    /// What a typical picture does on this network; run when it is first asked for.
    pub fn sample(&self) -> &Result<Sample, SampleError> {
        self.sample.get_or_init(|| measure(self))
    }

    /// What a catalogue's embeddings are to be made with: what is asked for, else what this model made them with
    /// before, else the model's own defaults.
    pub fn origin(
        &self,
        before: Option<&Origin>,
        probe: Option<Probe>,
        time_steps: Option<TimeSteps>,
    ) -> Origin {
        let network = &self.snn.network;
        let before = before.filter(|before| before.model_id == self.id);
        Origin {
            model_id: self.id.clone(),
            probe: probe
                .or(before.map(|before| before.probe))
                .unwrap_or(network.probe()),
            time_steps: time_steps
                .or(before.map(|before| before.time_steps))
                .unwrap_or(network.time_steps()),
        }
    }
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
