//! The reference emulator: dense, slow and readable. The event-driven one is tested against it.
//!
//! Step by step, layer by layer, neuron by neuron, every neuron checks for each of its inputs whether it fired in the
//! previous step. All sums have 64 bits and are checked.

use super::state::{EmulatorError, LayerState};
use crate::chip::events::{Events, LayerEvents};
use crate::chip::tiling::Tiling;
use crate::chip::width::MEMBRANE_MAX;
use crate::network::snn::{Parameters, Snn, Weights};
use crate::network::{Kind, Layer, TimeSteps};
use crate::picture::Picture;

/// Runs one picture; returns the state of every layer, the input layer first, and the counts.
///
/// # Errors
/// [`EmulatorError`] for a picture of another shape, and for a membrane that exceeds 32 bits.
pub fn run(
    snn: &Snn,
    tilings: &[Tiling],
    picture: &Picture,
    time_steps: TimeSteps,
) -> Result<(Vec<LayerState>, Events), EmulatorError> {
    let input = snn.network.input;
    if picture.shape() != input {
        return Err(EmulatorError::PictureShape {
            given: picture.shape(),
            wanted: input,
        });
    }
    let mut populations = vec![Population::new("input", input.len(), &tilings[0], |_| {
        snn.input_initial_membrane
    })];
    for ((layer, parameters), tiling) in snn.layers().zip(&tilings[1..]) {
        populations.push(Population::new(&layer.name, layer.neurons(), tiling, |neuron| {
            parameters.initial_membrane.of(neuron)
        }));
    }
    for step in 1..=time_steps.get() {
        // The spikes of the previous step; none before the first.
        let before: Vec<Vec<bool>> = populations
            .iter()
            .map(|population| population.fired.clone())
            .collect();
        let drive: Vec<i64> = picture.pixels().iter().map(|&pixel| i64::from(pixel)).collect();
        let idle = vec![0; tilings[0].cores()];
        populations[0].step(step, &drive, &idle, snn.input_threshold)?;
        for (index, (layer, parameters)) in snn.layers().enumerate() {
            let tiling = &tilings[index + 1];
            let (drive, operations) = arriving(layer, parameters, tiling, &before[index]);
            populations[index + 1].step(step, &drive, &operations, parameters.threshold)?;
        }
    }
    Ok(populations
        .into_iter()
        .map(|population| (population.state(), population.events))
        .fold((Vec::new(), Events::default()), |mut all, (state, events)| {
            all.0.push(state);
            all.1.layers.push(events);
            all
        }))
}

/// The input of each neuron of a layer, bias included, and the number of weights added on each core.
fn arriving(layer: &Layer, parameters: &Parameters, tiling: &Tiling, fired: &[bool]) -> (Vec<i64>, Vec<u64>) {
    let mut operations = vec![0; tiling.cores()];
    let (input, output) = (layer.input, layer.output);
    let plane = output.height * output.width;
    let drive = (0..layer.neurons())
        .map(|neuron| {
            let (channel, row, column) = (
                neuron / plane,
                neuron % plane / output.width,
                neuron % output.width,
            );
            let mut sum = i64::from(parameters.bias_of(channel));
            let mut receive = |source: usize, weight: i16| {
                if fired[source] {
                    sum += i64::from(weight);
                    operations[tiling.core_of(neuron % plane, channel)] += 1;
                }
            };
            // The source neuron at kernel position (ky, kx) in channel `c`; `None` for padding.
            let source = |c: usize, y: usize, x: usize, padding: [usize; 2]| {
                let y = y.checked_sub(padding[0]).filter(|&y| y < input.height)?;
                let x = x.checked_sub(padding[1]).filter(|&x| x < input.width)?;
                Some((c * input.height + y) * input.width + x)
            };
            match (&parameters.weights, layer.kind) {
                (Weights::Conv2d(weights), Kind::Conv2d { stride, padding, .. }) => {
                    let kernels = weights.index_axis(ndarray::Axis(0), channel);
                    for ((c, ky, kx), &weight) in kernels.indexed_iter() {
                        let (y, x) = (row * stride[0] + ky, column * stride[1] + kx);
                        if let Some(source) = source(c, y, x, padding) {
                            receive(source, weight);
                        }
                    }
                }
                (Weights::AvgPool2d(weight), Kind::AvgPool2d { kernel, stride }) => {
                    for ky in 0..kernel[0] {
                        for kx in 0..kernel[1] {
                            let (y, x) = (row * stride[0] + ky, column * stride[1] + kx);
                            if let Some(source) = source(channel, y, x, [0, 0]) {
                                receive(source, *weight);
                            }
                        }
                    }
                }
                (Weights::Dense(weights), Kind::Dense) => {
                    for (source, &weight) in weights.row(neuron).iter().enumerate() {
                        receive(source, weight);
                    }
                }
                _ => unreachable!("a layer's weights are of its kind: both come from one description"),
            }
            sum
        })
        .collect();
    (drive, operations)
}

/// The neurons of one layer.
struct Population {
    name: String,
    membranes: Vec<i64>,
    spike_counts: Vec<u32>,
    fired: Vec<bool>,
    events: LayerEvents,
}

impl Population {
    fn new(name: &str, neurons: usize, tiling: &Tiling, initial: impl Fn(usize) -> i32) -> Self {
        Self {
            name: name.to_owned(),
            membranes: (0..neurons).map(|neuron| i64::from(initial(neuron))).collect(),
            spike_counts: vec![0; neurons],
            fired: vec![false; neurons],
            events: LayerEvents {
                neurons: u64::try_from(neurons).expect("a length fits 64 bits"),
                cores: tiling.cores(),
                ..LayerEvents::default()
            },
        }
    }

    /// One time step of every neuron: integrate, compare, spike, subtract the threshold.
    fn step(
        &mut self,
        step: u32,
        drive: &[i64],
        operations: &[u64],
        threshold: i32,
    ) -> Result<(), EmulatorError> {
        let mut fired = 0;
        for (neuron, drive) in drive.iter().enumerate() {
            let membrane = self.membranes[neuron] + drive;
            if i32::try_from(membrane).is_err() {
                return Err(EmulatorError::MembraneOverflow {
                    layer: self.name.clone(),
                    neuron,
                    step,
                    membrane,
                });
            }
            self.events.saturated_updates += u64::from(membrane.abs() > MEMBRANE_MAX);
            let spikes = membrane >= i64::from(threshold);
            self.fired[neuron] = spikes;
            self.membranes[neuron] = membrane;
            if spikes {
                self.membranes[neuron] -= i64::from(threshold);
                self.spike_counts[neuron] += 1;
                fired += 1;
            }
        }
        self.events.spikes_per_step.push(fired);
        self.events.operations_per_step_and_core.extend(operations);
        Ok(())
    }

    fn state(&self) -> LayerState {
        LayerState {
            membranes: self
                .membranes
                .iter()
                .map(|&membrane| i32::try_from(membrane).expect("checked in every step"))
                .collect(),
            spike_counts: self.spike_counts.clone(),
        }
    }
}
