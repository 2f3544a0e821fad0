//! A trace of a run: spikes per step, counts per core, and the prepared picture.
//!
//! In: an emulator right after its run. Out: a [`Trace`]. It costs about as much as a short run and is only made on
//! request.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::Model;
use crate::chip::events::Events;
use crate::chip::tiling::Tiling;
use crate::emulator::Emulator;
use crate::picture::{Picture, PictureError};

/// A trace of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trace {
    /// The input layer first.
    pub layers: Vec<LayerTrace>,
    /// In the order of the placement.
    pub cores: Vec<CoreTrace>,
    /// The prepared picture: a PNG as a `data:` URL.
    pub prepared: String,
}

/// The spikes of one layer over time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerTrace {
    /// The layer's name.
    pub name: String,
    /// `[time step]`.
    pub spikes_per_step: Vec<u64>,
}

/// The counts of one core over the whole run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CoreTrace {
    /// Index of the chip, from 0.
    pub chip: usize,
    /// Index of the core on its chip, 0 to 127.
    pub core: usize,
    /// The layer that the core belongs to.
    pub layer: String,
    /// Spikes fired by the neurons on this core.
    pub spikes: u64,
    /// Synaptic operations that arrived at this core.
    pub synaptic_operations: u64,
}

impl Trace {
    /// Reads the last run of `emulator`; `events` are those of that run.
    ///
    /// # Errors
    /// [`PictureError::NotDrawable`] if the prepared picture is too large for a PNG file.
    pub fn read(
        model: &Model,
        emulator: &Emulator,
        events: &Events,
        picture: &Picture,
    ) -> Result<Self, PictureError> {
        let layers = model.snn.network.populations().zip(&events.layers);
        let layers = layers.map(|((name, _), events)| LayerTrace {
            name: name.to_owned(),
            spikes_per_step: events.spikes_per_step.clone(),
        });
        let mut cores = Vec::with_capacity(model.placement.cores.len());
        for (index, (placed, events)) in model.placement.layers.iter().zip(&events.layers).enumerate() {
            let spikes = spikes_by_core(&placed.tiling, &emulator.state(index).spike_counts);
            let mut operations = vec![0; spikes.len()];
            for step in 0..events.spikes_per_step.len() {
                for (sum, &arrived) in operations.iter_mut().zip(events.operations_of_step(step)) {
                    *sum += arrived;
                }
            }
            let own = &model.placement.cores[placed.first_core..];
            cores.extend(own.iter().zip(spikes).zip(operations).map(
                |((core, spikes), synaptic_operations)| CoreTrace {
                    chip: core.chip,
                    core: core.core,
                    layer: core.layer.clone(),
                    spikes,
                    synaptic_operations,
                },
            ));
        }
        Ok(Self {
            layers: layers.collect(),
            cores,
            prepared: format!("data:image/png;base64,{}", STANDARD.encode(picture.to_png()?)),
        })
    }
}

/// Sums the counts of a layer's neurons (flattened channel, row, column) for each of its cores.
fn spikes_by_core(tiling: &Tiling, counts: &[u32]) -> Vec<u64> {
    let mut spikes = vec![0; tiling.cores()];
    for (channel, counts) in counts.chunks_exact(tiling.positions).enumerate() {
        for (position, &count) in counts.iter().enumerate() {
            spikes[tiling.core_of(position, channel)] += u64::from(count);
        }
    }
    spikes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::Shape;

    #[test]
    fn a_neuron_s_spikes_are_counted_on_its_core() {
        let shape = Shape {
            channels: 2,
            height: 1,
            width: 3,
        };
        // Cores: (first position, channel 0), (first, 1), (the other positions, 0), (the others, 1).
        let tiling = Tiling::new(shape, 2, 2);
        assert_eq!(spikes_by_core(&tiling, &[1, 2, 4, 8, 16, 32]), [1, 8, 6, 48]);
    }
}
