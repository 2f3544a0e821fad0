//! Which cores each layer needs.
//!
//! This is NxTF's rule for soft reset, which gives the 157 cores that Intel's compiler printed for its CIFAR network:
//! a layer of `n` neurons takes `ceil(2n / 1024)` cores, and no core is shared between layers.

use thiserror::Error;

use super::{COMPARTMENTS_PER_CORE, COMPARTMENTS_PER_NEURON, CORES_PER_CHIP, FAN_IN, WEIGHT_MAX};
use crate::network::snn::Snn;

/// The layer, figure and limit for which the chip cannot hold a network.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PlaceError {
    #[error("layer {layer}: each neuron has a fan-in of {fan_in}; the chip allows {limit}", limit = FAN_IN)]
    FanIn { layer: String, fan_in: usize },
    #[error("layer {layer}: it has a weight of {weight}; the chip's 9-bit weights are -{limit} to {limit}", limit = WEIGHT_MAX)]
    Weight { layer: String, weight: i16 },
}

/// The cores of each layer, the input layer first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    pub cores_per_layer: Vec<usize>,
}

impl Placement {
    /// Places every layer, or names the first limit that is broken.
    pub fn of(snn: &Snn) -> Result<Self, PlaceError> {
        for (layer, parameters) in snn.layers() {
            let fan_in = layer.fan_in();
            if fan_in > FAN_IN {
                return Err(PlaceError::FanIn {
                    layer: layer.name.clone(),
                    fan_in,
                });
            }
            let beyond = |weight: &i16| weight.unsigned_abs() > WEIGHT_MAX.unsigned_abs();
            if let Some(weight) = parameters.weights.values().find(beyond) {
                return Err(PlaceError::Weight {
                    layer: layer.name.clone(),
                    weight,
                });
            }
        }
        Ok(Self {
            cores_per_layer: snn
                .network
                .populations()
                .map(|(_, neurons)| (neurons * COMPARTMENTS_PER_NEURON).div_ceil(COMPARTMENTS_PER_CORE))
                .collect(),
        })
    }

    /// Cores of all layers.
    pub fn cores(&self) -> usize {
        self.cores_per_layer.iter().sum()
    }

    /// Chips that these cores are on.
    pub fn chips(&self) -> usize {
        self.cores().div_ceil(CORES_PER_CHIP)
    }
}
