//! Why a network or a model file is invalid.

use thiserror::Error;

/// Why a network or a model file is invalid.
#[derive(Debug, Error)]
pub enum NetworkError {
    #[error("not a safetensors file: {reason}")]
    NotSafetensors { reason: String },
    #[error("tensor {tensor}: {reason}")]
    Tensor { tensor: String, reason: String },
    #[error("the model file's metadata `{key}` {reason}")]
    Metadata { key: &'static str, reason: String },
    #[error("layer {layer}: {reason}")]
    Layer { layer: String, reason: String },
}

impl NetworkError {
    /// The error for the layer `layer`.
    #[must_use]
    pub fn layer(layer: &str, reason: impl Into<String>) -> Self {
        Self::Layer {
            layer: layer.to_owned(),
            reason: reason.into(),
        }
    }

    /// The error for the tensor `tensor`.
    #[must_use]
    pub fn tensor(tensor: &str, reason: impl Into<String>) -> Self {
        Self::Tensor {
            tensor: tensor.to_owned(),
            reason: reason.into(),
        }
    }
}
