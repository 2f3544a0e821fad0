//! The spikes of one layer over all time steps, in the emulator's own neuron order.

/// One list of neurons a time step, back to back.
#[derive(Debug, Default)]
pub struct Spikes {
    neurons: Vec<u32>,
    /// Where each step's list ends.
    ends: Vec<usize>,
}

impl Spikes {
    /// Forgets everything, keeps the buffers.
    pub fn clear(&mut self) {
        self.neurons.clear();
        self.ends.clear();
    }

    /// Neuron `neuron` fires in the current step.
    pub fn push(&mut self, neuron: usize) {
        self.neurons
            .push(u32::try_from(neuron).expect("a layer has at most 2^24 neurons"));
    }

    /// Closes the current step.
    pub fn end_step(&mut self) {
        self.ends.push(self.neurons.len());
    }

    /// Who fired in step `step` (0 is the first); none before the first.
    pub fn of_step(&self, step: Option<usize>) -> &[u32] {
        let Some(step) = step else { return &[] };
        let start = step.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.neurons[start..self.ends[step]]
    }
}
