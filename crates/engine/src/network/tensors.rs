//! SNN files: safetensors bytes to and from [`Snn`].

use super::description::Description;
use super::file::{
    ModelFile, Tensors, bias_name, conv_array, conv_shape, dense_array, initial_name, weight_name,
};
use super::snn::{self, InitialMembrane, Snn};
use super::{Kind, NetworkError};

const FORMAT: &str = "spikelens-snn";

/// Reads an SNN file.
///
/// # Errors
/// [`NetworkError`] for a file that is not a valid SNN file; it names the layer, tensor or metadata key.
pub fn read_snn(bytes: &[u8]) -> Result<Snn, NetworkError> {
    let mut file = ModelFile::open(bytes, FORMAT)?;
    let network = file.connect()?;
    let mut parameters = Vec::with_capacity(network.layers.len());
    let thresholds: Vec<Option<i32>> = file
        .description
        .layers
        .iter()
        .map(|layer| layer.threshold)
        .collect();
    for (layer, threshold) in network.layers.iter().zip(thresholds) {
        let weights = match layer.kind {
            Kind::Conv2d { kernel, .. } => {
                let shape = conv_shape(layer, kernel);
                let values = file.weights(&weight_name(layer), &shape)?;
                snn::Weights::Conv2d(conv_array(shape, values))
            }
            Kind::AvgPool2d { .. } => snn::Weights::AvgPool2d(file.weights(&weight_name(layer), &[1])?[0]),
            Kind::Dense => {
                let shape = [layer.neurons(), layer.input.len()];
                let values = file.weights(&weight_name(layer), &shape)?;
                snn::Weights::Dense(dense_array(shape, values))
            }
        };
        let bias = file.optional(&bias_name(layer), |file, name| {
            file.integers(name, &[layer.output.channels])
        })?;
        let initial = file.optional(&initial_name(layer), |file, name| {
            file.initial_membrane(name, layer)
        })?;
        parameters.push(snn::Parameters {
            weights,
            bias,
            threshold: positive_threshold(&layer.name, threshold)?,
            initial_membrane: initial.unwrap_or(InitialMembrane::Shared(0)),
        });
    }
    file.all_read()?;
    Ok(Snn {
        network,
        input_threshold: positive_threshold("input", file.description.input.threshold)?,
        input_initial_membrane: file.description.input.initial_membrane.unwrap_or(0),
        parameters,
    })
}

/// Writes an SNN file. `conversion` (JSON) is stored in the metadata as the record of how it was made.
#[must_use]
pub fn write_snn(snn: &Snn, conversion: Option<&str>) -> Vec<u8> {
    let mut description = Description::of(&snn.network);
    description.input.threshold = Some(snn.input_threshold);
    description.input.initial_membrane =
        (snn.input_initial_membrane != 0).then_some(snn.input_initial_membrane);
    let mut tensors = Tensors::default();
    for ((layer, parameters), described) in snn.layers().zip(&mut description.layers) {
        described.threshold = Some(parameters.threshold);
        match &parameters.weights {
            snn::Weights::Conv2d(weights) => {
                tensors.weights(weight_name(layer), weights.shape(), weights.iter());
            }
            snn::Weights::AvgPool2d(weight) => {
                tensors.weights(weight_name(layer), &[1], [weight]);
            }
            snn::Weights::Dense(weights) => {
                tensors.weights(weight_name(layer), weights.shape(), weights.iter());
            }
        }
        if let Some(bias) = &parameters.bias {
            tensors.integers(bias_name(layer), bias);
        }
        match &parameters.initial_membrane {
            InitialMembrane::Shared(0) => {}
            InitialMembrane::Shared(membrane) => {
                tensors.integers(initial_name(layer), &[*membrane]);
            }
            InitialMembrane::PerNeuron(membranes) => {
                tensors.integers(initial_name(layer), membranes);
            }
        }
    }
    tensors.serialize(FORMAT, &description, conversion)
}

fn positive_threshold(layer: &str, threshold: Option<i32>) -> Result<i32, NetworkError> {
    match threshold {
        None => Err(NetworkError::layer(
            layer,
            "it has no threshold; every layer of an SNN, the input layer included, needs one",
        )),
        Some(threshold) if threshold < 1 => Err(NetworkError::layer(
            layer,
            format!("its threshold is {threshold}; it must be at least 1"),
        )),
        Some(threshold) => Ok(threshold),
    }
}

#[cfg(test)]
mod tests;
