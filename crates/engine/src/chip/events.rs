//! What happened while a picture ran: whole numbers, priced later and once.

/// Counts of one layer of neurons over a whole run.
///
/// A synaptic operation is one weight added to one membrane because of one delivered spike; a spike fired in the
/// last step is never delivered, and padding receives nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LayerEvents {
    pub neurons: u64,
    /// Spikes that the layer fired in each time step.
    pub spikes_per_step: Vec<u64>,
    /// How many cores the layer is on.
    pub cores: usize,
    /// Synaptic operations that arrived at each of those cores in each time step, step by step.
    pub operations_per_step_and_core: Vec<u64>,
    /// Neuron updates whose membrane, when it was compared with the threshold, was beyond what the chip's membrane
    /// holds (`chip::width`): the chip would have clamped it, the emulators do not.
    pub saturated_updates: u64,
}

impl LayerEvents {
    /// Forgets the last run, keeps the buffers.
    pub fn start(&mut self, neurons: usize, cores: usize) {
        self.neurons = u64::try_from(neurons).expect("a length fits 64 bits");
        self.cores = cores;
        self.spikes_per_step.clear();
        self.operations_per_step_and_core.clear();
        self.saturated_updates = 0;
    }

    /// Spikes that the layer fired in all.
    pub fn spikes(&self) -> u64 {
        self.spikes_per_step.iter().sum()
    }

    /// Synaptic operations that arrived at the layer in all.
    pub fn synaptic_operations(&self) -> u64 {
        self.operations_per_step_and_core.iter().sum()
    }

    /// Synaptic operations that arrived at each core in time step `step` (0 is the first).
    pub fn operations_of_step(&self, step: usize) -> &[u64] {
        &self.operations_per_step_and_core[step * self.cores..(step + 1) * self.cores]
    }

    /// Every neuron is updated once in every time step.
    pub fn neuron_updates(&self) -> u64 {
        self.neurons * self.time_steps()
    }

    /// The number of time steps that were run.
    pub fn time_steps(&self) -> u64 {
        u64::try_from(self.spikes_per_step.len()).expect("a length fits 64 bits")
    }
}

/// Counts of a whole run: one entry a layer, the input layer first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Events {
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
    pub fn saturated_updates(&self) -> u64 {
        self.layers.iter().map(|layer| layer.saturated_updates).sum()
    }

    /// The number of time steps that were run.
    pub fn time_steps(&self) -> u64 {
        self.layers.first().map_or(0, LayerEvents::time_steps)
    }
}
