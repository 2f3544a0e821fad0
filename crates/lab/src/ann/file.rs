//! ANN files: safetensors bytes to and from [`Ann`].

use engine::network::description::Description;
use engine::network::file::{
    ModelFile, Tensors, bias_name, conv_array, conv_shape, dense_array, weight_name,
};
use engine::network::{Kind, NetworkError};
use ndarray::Array1;

use super::{Ann, Parameters, Weights};

const FORMAT: &str = "spikelens-ann";

/// Reads an ANN file.
///
/// # Errors
/// [`NetworkError`] for a file that is not a valid ANN file; it names the layer, tensor or metadata key.
pub fn read_ann(bytes: &[u8]) -> Result<Ann, NetworkError> {
    let mut file = ModelFile::open(bytes, FORMAT)?;
    let network = file.connect()?;
    let mut parameters = Vec::with_capacity(network.layers.len());
    for layer in &network.layers {
        let weights = match layer.kind {
            Kind::Conv2d { kernel, .. } => {
                let shape = conv_shape(layer, kernel);
                let values = file.floats(&weight_name(layer), &shape)?;
                Weights::Conv2d(conv_array(shape, values))
            }
            Kind::AvgPool2d { .. } => Weights::AvgPool2d,
            Kind::Dense => {
                let shape = [layer.neurons(), layer.input.len()];
                let values = file.floats(&weight_name(layer), &shape)?;
                Weights::Dense(dense_array(shape, values))
            }
        };
        let bias = file.optional(&bias_name(layer), |file, name| {
            file.floats(name, &[layer.output.channels])
        })?;
        parameters.push(Parameters {
            weights,
            bias: bias.map(Array1::from_vec),
        });
    }
    for layer in &file.description.layers {
        if layer.threshold.is_some() {
            return Err(NetworkError::layer(
                &layer.name,
                "an ANN has no thresholds; is this an SNN file?",
            ));
        }
    }
    file.all_read()?;
    Ok(Ann { network, parameters })
}

/// Writes an ANN file.
#[must_use]
pub fn write_ann(ann: &Ann) -> Vec<u8> {
    let mut tensors = Tensors::default();
    for (layer, parameters) in ann.network.layers.iter().zip(&ann.parameters) {
        match &parameters.weights {
            Weights::Conv2d(weights) => {
                tensors.floats(weight_name(layer), weights.shape(), weights.iter());
            }
            Weights::AvgPool2d => {}
            Weights::Dense(weights) => {
                tensors.floats(weight_name(layer), weights.shape(), weights.iter());
            }
        }
        if let Some(bias) = &parameters.bias {
            tensors.floats(bias_name(layer), &[bias.len()], bias.iter());
        }
    }
    tensors.serialize(FORMAT, &Description::of(&ann.network), None)
}

#[cfg(test)]
mod tests;
