//! Access to a tensor's values as slices.

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor, bail};

pub(super) fn values<'storage>(storage: &'storage CpuStorage, layout: &Layout) -> Result<&'storage [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("the values of a layer are not contiguous"),
    }
}

/// Calls a function with a tensor's values, without copying them.
pub(super) fn read<T>(tensor: &Tensor, use_values: impl FnOnce(&[f32]) -> T) -> Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => Ok(use_values(values(storage, layout)?)),
        _ => bail!("training runs on the CPU, but this tensor is on another device"),
    }
}
