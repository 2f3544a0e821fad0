//! Counts of what happened while a picture ran; `cost` multiplies them by prices.

/// Counts of one layer of neurons over one run.
///
/// A synaptic operation is one weight added to one membrane because of one delivered spike; a spike fired in the
/// last step is never delivered, and padding receives nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LayerEvents {
    /// The number of neurons.
    pub neurons: u64,
    /// `[time step]`: spikes that the layer fired.
    pub spikes_per_step: Vec<u64>,
    /// The number of cores that hold the layer.
    pub cores: usize,
    /// `[time step, core]`, flattened: synaptic operations that arrived at each of those cores.
    pub operations_per_step_and_core: Vec<u64>,
    /// Neuron updates whose membrane, when compared with the threshold, was outside the range of the chip's membrane
    /// (`chip::width`). The chip would have clamped it; the emulators do not.
    pub saturated_updates: u64,
}

impl LayerEvents {
    /// Clears the counts of the last run and keeps the buffers.
    pub fn start(&mut self, neurons: usize, cores: usize) {
        self.neurons = u64::try_from(neurons).expect("a length fits 64 bits");
        self.cores = cores;
        self.spikes_per_step.clear();
        self.operations_per_step_and_core.clear();
        self.saturated_updates = 0;
    }

    /// The layer's spikes over all time steps.
    #[must_use]
    pub fn spikes(&self) -> u64 {
        self.spikes_per_step.iter().sum()
    }

    /// Synaptic operations that arrived at the layer over all time steps.
    #[must_use]
    pub fn synaptic_operations(&self) -> u64 {
        self.operations_per_step_and_core.iter().sum()
    }

    /// Synaptic operations that arrived at each core in time step `step` (0 is the first).
    #[must_use]
    pub fn operations_of_step(&self, step: usize) -> &[u64] {
        &self.operations_per_step_and_core[step * self.cores..(step + 1) * self.cores]
    }

    /// Neuron updates: each neuron is updated once per time step.
    #[must_use]
    pub fn neuron_updates(&self) -> u64 {
        self.neurons * self.time_steps()
    }

    /// The number of time steps that were run.
    #[must_use]
    pub fn time_steps(&self) -> u64 {
        u64::try_from(self.spikes_per_step.len()).expect("a length fits 64 bits")
    }
}

/// Counts of one run: one entry per layer, the input layer first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Events {
    /// `[layer]`.
    pub layers: Vec<LayerEvents>,
}

impl Events {
    /// Spikes of all layers, the input layer included.
    pub fn spikes(&self) -> u64 {
        self.layers.iter().map(LayerEvents::spikes).sum()
    }

    /// Synaptic operations of all layers.
    pub fn synaptic_operations(&self) -> u64 {
        self.layers.iter().map(LayerEvents::synaptic_operations).sum()
    }

    /// Neuron updates of all layers, the input layer included.
    pub fn neuron_updates(&self) -> u64 {
        self.layers.iter().map(LayerEvents::neuron_updates).sum()
    }

    /// Neuron updates of all layers that the chip would have clamped.
    #[must_use]
    pub fn saturated_updates(&self) -> u64 {
        self.layers.iter().map(|layer| layer.saturated_updates).sum()
    }

    /// The number of time steps that were run.
    pub fn time_steps(&self) -> u64 {
        self.layers.first().map_or(0, LayerEvents::time_steps)
    }
}
