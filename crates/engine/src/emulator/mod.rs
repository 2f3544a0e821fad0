//! The emulated chip. In: a prepared [`Picture`] and a number of time steps. Out: membranes, spike counts and events.
//!
//! In each time step a neuron adds the weights of the spikes that its source fired in the previous step and its bias.
//! If its membrane reaches the threshold, it spikes once and the threshold is subtracted. There is no leak.
//! [`mod@reference`] computes this neuron by neuron; [`Emulator`] is driven by spikes and gives equal results, as the
//! properties in `tests/it/emulator.rs` check. Absent: prices (`crate::chip::cost`), threads and clocks.

mod bits;
mod block;
mod input;
pub mod kernel;
mod layer;
pub mod reference;
mod state;

use std::sync::Arc;

use crate::chip::tiling::Tiling;
use crate::network::TimeSteps;
use crate::network::snn::Snn;
use crate::picture::Picture;

use bits::SpikeBits;
use block::BlockLayer;
use input::InputRun;
use kernel::Kernel;
use layer::LayerRun;

pub use state::{EmulatorError, LayerState, Outcome};

/// The event-driven emulator of one network. It keeps its buffers from picture to picture, so a run allocates nothing.
///
/// These networks have no loops, so each layer runs all its time steps before the next one starts.
#[derive(Debug)]
pub struct Emulator {
    snn: Arc<Snn>,
    tilings: Vec<Tiling>,
    kernel: Kernel,
    input: InputRun,
    layers: Vec<Slot>,
    outcome: Outcome,
}

/// One layer in the form that its bounds allow, and its spikes.
#[derive(Debug)]
struct Slot {
    block: Option<BlockLayer>,
    /// Created on first use.
    general: Option<LayerRun>,
    ran_in_blocks: bool,
    fired: SpikeBits,
}

impl Slot {
    fn read(&self, state: &mut LayerState) {
        match (&self.block, &self.general) {
            (Some(block), _) if self.ran_in_blocks => block.read(state),
            (_, Some(general)) => general.read(state),
            _ => state.membranes.clear(),
        }
        self.fired.count_neurons(&mut state.spike_counts);
    }
}

impl Emulator {
    /// Lays the network's weights out for event-driven delivery, with the fastest kernel of this CPU. `tilings` assign
    /// neurons to the cores on which their events are counted, the input layer first.
    ///
    /// # Panics
    /// If there is not one tiling for each layer and one for the input layer.
    #[must_use]
    pub fn new(snn: Arc<Snn>, tilings: &[Tiling]) -> Self {
        Self::with_kernel(snn, tilings, Kernel::detect())
    }

    /// Like [`Emulator::new`], with a given kernel. All kernels give equal results.
    ///
    /// # Panics
    /// If there is not one tiling for each layer and one for the input layer.
    #[must_use]
    pub fn with_kernel(snn: Arc<Snn>, tilings: &[Tiling], kernel: Kernel) -> Self {
        assert_eq!(
            tilings.len(),
            snn.parameters.len() + 1,
            "a tiling for every layer"
        );
        let layers = snn
            .layers()
            .zip(&tilings[1..])
            .map(|((layer, parameters), tiling)| Slot {
                block: BlockLayer::new(layer, parameters, *tiling),
                general: None,
                ran_in_blocks: false,
                fired: SpikeBits::default(),
            })
            .collect();
        Self {
            input: InputRun::new(&snn, tilings[0]),
            snn,
            tilings: tilings.to_vec(),
            kernel,
            layers,
            outcome: Outcome::default(),
        }
    }

    /// The network that this emulator runs.
    #[must_use]
    pub fn snn(&self) -> &Arc<Snn> {
        &self.snn
    }

    /// Runs one picture for `time_steps` steps, starting from the initial membranes.
    ///
    /// # Errors
    /// [`EmulatorError`] for a picture of another shape, and for a membrane that exceeds 32 bits.
    pub fn run(&mut self, picture: &Picture, time_steps: TimeSteps) -> Result<&Outcome, EmulatorError> {
        let wanted = self.snn.network.input;
        if picture.shape() != wanted {
            return Err(EmulatorError::PictureShape {
                given: picture.shape(),
                wanted,
            });
        }
        let events = &mut self.outcome.events.layers;
        events.resize_with(self.layers.len() + 1, Default::default);
        self.input.run(picture, time_steps, &mut events[0])?;
        for index in 0..self.layers.len() {
            let (before, rest) = self.layers.split_at_mut(index);
            let source = before.last().map_or(&self.input.fired, |slot| &slot.fired);
            let Slot {
                block,
                general,
                ran_in_blocks,
                fired,
            } = &mut rest[0];
            let events = &mut events[index + 1];
            if let Some(block) = block.as_mut().filter(|block| block.fits(time_steps)) {
                *ran_in_blocks = true;
                block.run(self.kernel, time_steps, source, fired, events);
            } else {
                *ran_in_blocks = false;
                let general = general.get_or_insert_with(|| {
                    let layer = &self.snn.network.layers[index];
                    LayerRun::new(layer, &self.snn.parameters[index], self.tilings[index + 1])
                });
                general.run(time_steps, source, fired, events)?;
            }
        }
        self.layers[self.snn.network.embedding_layer].read(&mut self.outcome.embedding_layer);
        self.layers
            .last()
            .expect("a network has layers")
            .read(&mut self.outcome.output_layer);
        Ok(&self.outcome)
    }

    /// The state of layer `index` (0 is the input layer) after the last run.
    #[must_use]
    pub fn state(&self, index: usize) -> LayerState {
        let mut state = LayerState::default();
        match index.checked_sub(1) {
            Some(index) => self.layers[index].read(&mut state),
            None => self.input.read(&mut state),
        }
        state
    }
}
