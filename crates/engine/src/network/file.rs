//! The container of model files: safetensors, with every claim of the header checked before it is used.
//!
//! Errors for files that are truncated or inconsistent, or that hold a tensor of another type or shape, name the
//! tensor and the reason. The writer sorts its keys, so that equal networks give equal files: a model's id is the hash
//! of its file.

use std::collections::{BTreeMap, BTreeSet};

use ndarray::{Array2, Array4};
use safetensors::{Dtype, SafeTensors};

use super::description::{Description, LayerDescription};
use super::snn::InitialMembrane;
use super::{Kind, Layer, Network, NetworkError, seal};

const VERSION: &str = "1";

/// The name of the tensor with a layer's weights.
#[must_use]
pub fn weight_name(layer: &Layer) -> String {
    format!("{}.weight", layer.name)
}

/// The name of the tensor with a layer's biases.
#[must_use]
pub fn bias_name(layer: &Layer) -> String {
    format!("{}.bias", layer.name)
}

/// The name of the tensor with a layer's initial membranes.
#[must_use]
pub fn initial_name(layer: &Layer) -> String {
    format!("{}.initial_membrane", layer.name)
}

/// The shape of a convolution's weights, `[out, in, kernel_y, kernel_x]`.
#[must_use]
pub fn conv_shape(layer: &Layer, kernel: [usize; 2]) -> [usize; 4] {
    [layer.output.channels, layer.input.channels, kernel[0], kernel[1]]
}

/// Values of a tensor of that shape.
///
/// # Panics
/// If `values` does not have as many entries as `shape`.
#[must_use]
pub fn conv_array<T>(shape: [usize; 4], values: Vec<T>) -> Array4<T> {
    Array4::from_shape_vec(shape, values).expect("the tensor's shape was compared")
}

/// Values of a tensor of that shape.
///
/// # Panics
/// If `values` does not have as many entries as `shape`.
#[must_use]
pub fn dense_array<T>(shape: [usize; 2], values: Vec<T>) -> Array2<T> {
    Array2::from_shape_vec(shape, values).expect("the tensor's shape was compared")
}

/// A model file with a valid container. Tensors are checked when they are read.
#[derive(Debug)]
pub struct ModelFile<'bytes> {
    tensors: SafeTensors<'bytes>,
    /// Its `network` metadata.
    pub description: Description,
    taken: BTreeSet<String>,
}

impl<'bytes> ModelFile<'bytes> {
    /// Opens a file whose metadata key `format` must be `format`.
    ///
    /// # Errors
    /// [`NetworkError`] for a file that is not safetensors, is truncated or damaged, has another format or version, or
    /// has no valid description.
    pub fn open(bytes: &'bytes [u8], format: &str) -> Result<Self, NetworkError> {
        check_claims(bytes)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| unsound(bytes, &error))?;
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| unsound(bytes, &error))?;
        let empty = std::collections::HashMap::new();
        let metadata = header.metadata().as_ref().unwrap_or(&empty);
        let expect = |key: &'static str, right: &str| match metadata.get(key) {
            Some(found) if found == right => Ok(()),
            Some(found) => Err(NetworkError::Metadata {
                key,
                reason: format!("is {found:?}; it must be {right:?}"),
            }),
            None => Err(NetworkError::Metadata {
                key,
                reason: format!("is missing; it must be {right:?}"),
            }),
        };
        expect("format", format)?;
        expect("version", VERSION)?;
        if let Some(sum) = metadata.get(seal::KEY) {
            seal::check(bytes, sum)?;
        }
        let json = metadata.get("network").ok_or(NetworkError::Metadata {
            key: "network",
            reason: "is missing; it must describe the layers in JSON".to_owned(),
        })?;
        Ok(Self {
            tensors,
            description: Description::parse(json)?,
            taken: BTreeSet::new(),
        })
    }

    /// Connects the layers of the description, with the output channels of their weight tensors.
    ///
    /// # Errors
    /// [`NetworkError`] for a missing weight tensor and for layers that do not fit one another.
    pub fn connect(&self) -> Result<Network, NetworkError> {
        self.description.connect(|layer: &LayerDescription, kind| {
            if let Kind::AvgPool2d { .. } = kind {
                return Ok(0);
            }
            let name = format!("{}.weight", layer.name);
            let shape = self.view(&name)?.shape().to_vec();
            let axes = if kind == Kind::Dense { 2 } else { 4 };
            if shape.len() != axes {
                return Err(NetworkError::tensor(
                    &name,
                    format!(
                        "its shape is {shape:?}; a {} layer needs {axes} axes",
                        kind.as_str()
                    ),
                ));
            }
            Ok(shape[0])
        })
    }

    fn view(&self, name: &str) -> Result<safetensors::tensor::TensorView<'bytes>, NetworkError> {
        self.tensors
            .tensor(name)
            .map_err(|_| NetworkError::tensor(name, "it is missing"))
    }

    /// The tensor's bytes, after a check of its type and shape.
    fn take(&mut self, name: &str, dtype: Dtype, shape: &[usize]) -> Result<&'bytes [u8], NetworkError> {
        let view = self.view(name)?;
        if view.dtype() != dtype {
            return Err(NetworkError::tensor(
                name,
                format!("its type is {:?}; it must be {dtype:?}", view.dtype()),
            ));
        }
        if view.shape() != shape {
            return Err(NetworkError::tensor(
                name,
                format!("its shape is {:?}; it must be {shape:?}", view.shape()),
            ));
        }
        self.taken.insert(name.to_owned());
        Ok(view.data())
    }

    /// Reads a tensor of finite f32 values.
    ///
    /// # Errors
    /// [`NetworkError::Tensor`] if the tensor is missing or has another type or shape or a value that is not finite.
    pub fn floats(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, NetworkError> {
        let values: Vec<f32> = self
            .take(name, Dtype::F32, shape)?
            .chunks_exact(4)
            .map(|bytes| f32::from_le_bytes(bytes.try_into().expect("four bytes")))
            .collect();
        match values.iter().position(|value| !value.is_finite()) {
            Some(index) => Err(NetworkError::tensor(
                name,
                format!("value {index} is {}; every value must be finite", values[index]),
            )),
            None => Ok(values),
        }
    }

    /// Reads a tensor of i16 weights.
    ///
    /// # Errors
    /// [`NetworkError::Tensor`] if the tensor is missing or has another type or shape.
    pub fn weights(&mut self, name: &str, shape: &[usize]) -> Result<Vec<i16>, NetworkError> {
        Ok(self
            .take(name, Dtype::I16, shape)?
            .chunks_exact(2)
            .map(|bytes| i16::from_le_bytes(bytes.try_into().expect("two bytes")))
            .collect())
    }

    /// Reads a tensor of i32 values.
    ///
    /// # Errors
    /// [`NetworkError::Tensor`] if the tensor is missing or has another type or shape.
    pub fn integers(&mut self, name: &str, shape: &[usize]) -> Result<Vec<i32>, NetworkError> {
        Ok(self
            .take(name, Dtype::I32, shape)?
            .chunks_exact(4)
            .map(|bytes| i32::from_le_bytes(bytes.try_into().expect("four bytes")))
            .collect())
    }

    /// Reads initial membranes: one for all neurons of the layer, or one for each.
    ///
    /// # Errors
    /// [`NetworkError::Tensor`] if the tensor is missing, is not I32, or has another number of values.
    pub fn initial_membrane(&mut self, name: &str, layer: &Layer) -> Result<InitialMembrane, NetworkError> {
        let shape = self.view(name)?.shape().to_vec();
        let one_alone = shape.iter().product::<usize>() == 1;
        if one_alone && shape.len() <= 1 {
            return Ok(InitialMembrane::Shared(self.integers(name, &shape)?[0]));
        }
        // One value per neuron, as a vector or in the layer's shape: the bytes are the same.
        let output = layer.output;
        let grid = [output.channels, output.height, output.width];
        let wanted: &[usize] = if shape == grid { &grid } else { &[layer.neurons()] };
        Ok(InitialMembrane::PerNeuron(self.integers(name, wanted)?))
    }

    /// Calls `read` if the file has the tensor.
    ///
    /// # Errors
    /// The errors of `read`.
    pub fn optional<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Self, &str) -> Result<T, NetworkError>,
    ) -> Result<Option<T>, NetworkError> {
        if self.tensors.tensor(name).is_ok() {
            read(self, name).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Checks that every tensor was read, so that a misspelt bias is not silently ignored.
    ///
    /// # Errors
    /// [`NetworkError::Tensor`] with the first tensor that was not read.
    pub fn all_read(&self) -> Result<(), NetworkError> {
        let mut names = self.tensors.names();
        names.sort_unstable();
        match names.into_iter().find(|name| !self.taken.contains(*name)) {
            Some(name) => Err(NetworkError::tensor(
                name,
                "it belongs to none of the layers of `network`",
            )),
            None => Ok(()),
        }
    }
}

/// An error of the library that does not belong to one tensor.
fn unsound(bytes: &[u8], error: &safetensors::SafeTensorError) -> NetworkError {
    NetworkError::NotSafetensors {
        reason: format!("{error} (the file has {} bytes)", bytes.len()),
    }
}

/// Compares the header's claims with the file's length, so that the error names the tensor. The library rejects such
/// files too, but does not always name it.
fn check_claims(bytes: &[u8]) -> Result<(), NetworkError> {
    let refuse = |reason: String| Err(NetworkError::NotSafetensors { reason });
    let Some(first) = bytes.first_chunk::<8>() else {
        return refuse(format!(
            "the file has {} bytes, fewer than its first field",
            bytes.len()
        ));
    };
    let length = u64::from_le_bytes(*first);
    let Some(header) = usize::try_from(length)
        .ok()
        .and_then(|length| bytes.get(8..8usize.checked_add(length)?))
    else {
        return refuse(format!(
            "the header claims {length} bytes, the file has {}; it is truncated or not a model",
            bytes.len()
        ));
    };
    let entries: serde_json::Map<String, serde_json::Value> = match serde_json::from_slice(header) {
        Ok(entries) => entries,
        Err(error) => return refuse(format!("the header is not JSON: {error}")),
    };
    let held = u64::try_from(bytes.len() - 8 - header.len()).unwrap_or(u64::MAX);
    for (name, entry) in entries.iter().filter(|(name, _)| *name != "__metadata__") {
        let reason = |reason: String| Err(NetworkError::tensor(name, reason));
        let offset = |index: usize| entry["data_offsets"][index].as_u64();
        let (Some(start), Some(end)) = (offset(0), offset(1)) else {
            return reason("its data_offsets are not two whole numbers".to_owned());
        };
        if start > end || end > held {
            return reason(format!(
                "it claims bytes {start} to {end} of the data, the file holds {held}; it is truncated or damaged"
            ));
        }
        let width = match entry["dtype"].as_str() {
            Some("F32" | "I32") => 4u64,
            Some("I16") => 2,
            _ => continue,
        };
        let axes = entry["shape"].as_array().map_or(&[][..], Vec::as_slice);
        let needed = axes.iter().try_fold(width, |product, axis| {
            axis.as_u64().and_then(|axis| product.checked_mul(axis))
        });
        if needed != Some(end - start) {
            return reason(format!(
                "its shape {} does not fit the {} bytes that it claims",
                entry["shape"],
                end - start
            ));
        }
    }
    Ok(())
}

/// A tensor to be written: type, shape, little-endian bytes.
#[derive(Debug)]
struct Stored {
    dtype: &'static str,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// The tensors of a file to be written.
#[derive(Debug, Default)]
pub struct Tensors(BTreeMap<String, Stored>);

impl Tensors {
    /// Adds a tensor of f32 values.
    pub fn floats<'a>(&mut self, name: String, shape: &[usize], values: impl IntoIterator<Item = &'a f32>) {
        let bytes = values.into_iter().flat_map(|value| value.to_le_bytes());
        self.put(name, "F32", shape, bytes.collect());
    }

    /// Adds a tensor of i16 weights.
    pub fn weights<'a>(&mut self, name: String, shape: &[usize], values: impl IntoIterator<Item = &'a i16>) {
        let bytes = values.into_iter().flat_map(|value| value.to_le_bytes());
        self.put(name, "I16", shape, bytes.collect());
    }

    /// Adds a vector of i32 values.
    pub fn integers(&mut self, name: String, values: &[i32]) {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        self.put(name, "I32", &[values.len()], bytes.collect());
    }

    fn put(&mut self, name: String, dtype: &'static str, shape: &[usize], bytes: Vec<u8>) {
        let shape = shape.to_vec();
        self.0.insert(name, Stored { dtype, shape, bytes });
    }

    /// The bytes of the file, with its SHA-256 in the metadata; `conversion` is stored as it is.
    #[must_use]
    pub fn serialize(&self, format: &str, described: &Description, conversion: Option<&str>) -> Vec<u8> {
        let network = serde_json::to_string(described).expect("a description is plain data");
        let mut metadata = serde_json::Map::new();
        metadata.insert("format".to_owned(), format.into());
        metadata.insert("version".to_owned(), VERSION.into());
        metadata.insert("network".to_owned(), network.into());
        metadata.insert(seal::KEY.to_owned(), seal::BLANK.into());
        if let Some(conversion) = conversion {
            metadata.insert("conversion".to_owned(), conversion.into());
        }
        let mut header = serde_json::Map::new();
        header.insert("__metadata__".to_owned(), metadata.into());
        // The format requires tensors to be aligned to their type, so the widest types come first.
        let mut ordered: Vec<_> = self.0.iter().collect();
        ordered.sort_by_key(|(_, stored)| stored.dtype == "I16");
        let mut offset = 0;
        for (name, stored) in &ordered {
            let end = offset + stored.bytes.len();
            header.insert(
                (*name).clone(),
                serde_json::json!({
                    "dtype": stored.dtype, "shape": stored.shape, "data_offsets": [offset, end]
                }),
            );
            offset = end;
        }
        let mut json = serde_json::to_vec(&header).expect("a header is plain data");
        json.resize(json.len().next_multiple_of(8), b' ');
        let length = u64::try_from(json.len()).expect("a length fits 64 bits");
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend(json);
        for (_, stored) in ordered {
            bytes.extend(&stored.bytes);
        }
        seal::seal(&mut bytes);
        bytes
    }
}
