//! The measurements of the paper's networks: accuracies, search, and the float network's time on this host.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::ann::Ann;
use crate::convert::{ConvertOptions, convert};
use crate::dataset::{Split, fashion_mnist};
use crate::evaluate::protocol::Protocol;
use crate::evaluate::row::Row;
use crate::evaluate::runs;
use crate::files;
use crate::progress;
use engine::chip::cost::CostModel;
use engine::model::Model;
use engine::network::hex;
use engine::network::snn::{InitialMembrane, Snn};
use engine::network::tensors::write_snn;
use engine::network::{Kind, Layer, Network, Probe, TimeSteps};
use engine::parallel::in_parallel;
use engine::picture::Picture;

/// Fashion-MNIST, or the part of it that a quick run uses.
#[derive(Debug)]
pub(super) struct Data {
    pub(super) train: Vec<Picture>,
    pub(super) train_labels: Vec<u8>,
    pub(super) tests: Vec<Picture>,
    pub(super) test_labels: Vec<u8>,
}

impl Data {
    pub(super) fn read(dataset: &Path, pictures: Option<usize>, tests: Option<usize>) -> Result<Self> {
        let (train, train_labels) = fashion_mnist(dataset, Split::Train, pictures)?;
        let (tests, test_labels) = fashion_mnist(dataset, Split::Test, tests)?;
        Ok(Self {
            train,
            train_labels,
            tests,
            test_labels,
        })
    }
}

/// The accuracies of a trained float network in percent, without dropout.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Accuracies {
    pub(super) train: f64,
    pub(super) validation: f64,
    pub(super) test: f64,
}

pub(super) fn accuracies(ann: &Ann, data: &Data, validation: usize) -> Accuracies {
    let (trained, held_out) = data.train.split_at(data.train.len() - validation);
    let (trained_labels, held_out_labels) = data.train_labels.split_at(trained.len());
    Accuracies {
        train: accuracy(ann, trained, trained_labels),
        validation: accuracy(ann, held_out, held_out_labels),
        test: accuracy(ann, &data.tests, &data.test_labels),
    }
}

/// A float network's accuracy in percent.
pub(super) fn accuracy(ann: &Ann, pictures: &[Picture], labels: &[u8]) -> f64 {
    let bar = progress::bar("float network", pictures.len());
    let each = |(): &mut (), index: usize| {
        bar.inc(1);
        ann.forward(&pictures[index]).class()
    };
    let classes = in_parallel(files::threads(), pictures.len(), || (), each);
    bar.finish_and_clear();
    percent(&classes, labels)
}

fn percent(classes: &[usize], labels: &[u8]) -> f64 {
    let right = classes
        .iter()
        .zip(labels)
        .filter(|(class, label)| **class == usize::from(**label));
    100.0 * right.count() as f64 / labels.len() as f64
}

/// The layers that follow from our choice of kernels and strides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Layout {
    pub(super) layers: String,
    pub(super) neurons: usize,
    pub(super) fan_in: usize,
}

impl Layout {
    pub(super) fn of(network: &Network) -> Self {
        let layers: Vec<String> = network.layers.iter().map(layer).collect();
        Self {
            layers: layers.join(", "),
            neurons: network.populations().map(|(_, neurons)| neurons).sum(),
            fan_in: network.layers.iter().map(Layer::fan_in).max().unwrap_or(0),
        }
    }
}

fn layer(layer: &Layer) -> String {
    let output = layer.output;
    match layer.kind {
        Kind::Conv2d {
            kernel,
            stride,
            padding,
        } => {
            let padded = match padding {
                [0, 0] => String::new(),
                [rows, _] => format!(" padded by {rows}"),
            };
            format!(
                "{} x {} by {}{padded} to {} x {} x {}",
                kernel[0], kernel[1], stride[0], output.channels, output.height, output.width
            )
        }
        Kind::AvgPool2d { kernel, .. } => format!("mean of {} x {}", kernel[0], kernel[1]),
        Kind::Dense => format!("dense {}", output.channels),
    }
}

/// A spiking network's classification of the test pictures, and the mean modelled cost per picture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct OnChip {
    pub(super) time_steps: u32,
    pub(super) accuracy: f64,
    pub(super) latency_ms: f64,
    pub(super) static_mj: f64,
    pub(super) dynamic_mj: f64,
    pub(super) spikes: f64,
}

pub(super) fn on_chip(model: &Model, data: &Data, time_steps: TimeSteps) -> Result<OnChip> {
    let bar = progress::bar("emulated chip", data.tests.len());
    let seen = runs::run(model, &data.tests, time_steps.into(), &[], &bar)?;
    bar.finish_and_clear();
    let classes: Vec<usize> = seen.iter().map(|seen| seen.class).collect();
    let mean = |figure: &dyn Fn(&runs::Seen) -> f64| -> f64 {
        seen.iter().map(figure).sum::<f64>() / seen.len() as f64
    };
    Ok(OnChip {
        time_steps: time_steps.get(),
        accuracy: percent(&classes, &data.test_labels),
        latency_ms: mean(&|seen| seen.emulation.latency_ms),
        static_mj: mean(&|seen| seen.emulation.energy_mj.standing),
        dynamic_mj: mean(&|seen| seen.emulation.energy_mj.dynamic),
        spikes: mean(&|seen| seen.emulation.spikes as f64),
    })
}

/// A row of Table 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Trained {
    pub(super) name: String,
    pub(super) seed: u64,
    pub(super) ann: Accuracies,
    pub(super) layout: Layout,
    /// Why the chip cannot hold it.
    pub(super) refusal: Option<String>,
    pub(super) cores: Option<usize>,
    pub(super) chip: Vec<OnChip>,
}

/// Converts by Algorithm 1 as in the paper; returns the file.
pub(super) fn converted(ann: &Ann, ann_id: &str, pictures: &[Picture]) -> Result<Vec<u8>> {
    let options = ConvertOptions::default();
    let bar = progress::bar("converting", pictures.len() * ann.network.layers.len());
    let snn = convert(ann, pictures, &options, files::threads(), &|count| {
        bar.inc(progress::steps(count));
    })?;
    bar.finish_and_clear();
    let conversion = json!({
        "algorithm": "Algorithm 1 (Liu et al.)",
        "ann": ann_id,
        "samples": pictures.len(),
        "weight_bits": options.weight_bits,
        "bias_bits": options.bias_bits,
        "percentile": options.percentile,
        "input_initial_membrane": options.input_initial_membrane,
    });
    Ok(write_snn(&snn, Some(&conversion.to_string())))
}

/// The same network with every membrane of its layers starting at half a threshold.
pub(super) fn from_half(model: &Model, cost_model: CostModel) -> Result<Model> {
    let mut snn = Snn::clone(&model.snn);
    for parameters in &mut snn.parameters {
        parameters.initial_membrane = InitialMembrane::Shared(parameters.threshold / 2);
    }
    Model::read(&write_snn(&snn, None), cost_model).context("a network converted here")
}

/// The id of a file.
pub(super) fn id(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// A row of Table 2; the float network's has neither time steps nor probe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Searched {
    pub(super) time_steps: Option<u32>,
    pub(super) probe: Option<String>,
    pub(super) classification: f64,
    pub(super) top_1: f64,
    pub(super) top_3: f64,
    pub(super) map: f64,
}

impl Searched {
    fn of(row: &Row, time_steps: Option<TimeSteps>) -> Self {
        Self {
            time_steps: time_steps.map(TimeSteps::get),
            probe: row.probe.map(|probe| probe.as_str().to_owned()),
            classification: row
                .classification
                .expect("every network classifies Fashion-MNIST"),
            top_1: row.top_1,
            top_3: row.top_3,
            map: row.map,
        }
    }
}

/// The probes that are compared: the paper's first.
pub(super) const PROBES: [Probe; 2] = [Probe::Membrane, Probe::SpikeCount];

/// Searches with a float network, and with its spiking one for each number of time steps and each probe.
pub(super) fn search(
    protocol: &Protocol,
    ann: &Ann,
    model: &Model,
    time_steps: &[TimeSteps],
) -> Result<Vec<Searched>> {
    let steps = protocol.steps(1) + time_steps.len() * protocol.steps(PROBES.len());
    let bar = progress::bar("searching", steps);
    let float = protocol.float(ann, &bar);
    let mut rows: Vec<Searched> = float.iter().map(|row| Searched::of(row, None)).collect();
    for &steps in time_steps {
        let found = protocol.spiking(model, steps.into(), steps, &PROBES, &mut None, &bar)?;
        rows.extend(found.iter().map(|row| Searched::of(row, Some(steps))));
    }
    bar.finish_and_clear();
    Ok(rows)
}

/// The float network's time on this host: milliseconds per picture, one thread, one picture at a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Host {
    pub(super) cpu: String,
    pub(super) median_ms: f64,
    pub(super) fastest_ms: f64,
    pub(super) pictures: usize,
}

pub(super) fn host(ann: &Ann, pictures: &[Picture]) -> Host {
    // The first passes warm the caches.
    const WARM: usize = 100;
    let mut times: Vec<f64> = pictures
        .iter()
        .map(|picture| {
            let start = Instant::now();
            std::hint::black_box(ann.forward(std::hint::black_box(picture)));
            1000.0 * start.elapsed().as_secs_f64()
        })
        .skip(WARM.min(pictures.len() / 2))
        .collect();
    times.sort_by(f64::total_cmp);
    Host {
        cpu: cpu(),
        median_ms: times[times.len() / 2],
        fastest_ms: times[0],
        pictures: times.len(),
    }
}

/// The CPU's name, if the system provides it.
fn cpu() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name"));
    name.and_then(|rest| rest.split_once(':')).map_or_else(
        || "a CPU without a name".to_owned(),
        |(_, name)| name.trim().to_owned(),
    )
}

/// Reads an SNN file made here; `Err` with the reason if the chip cannot hold the network.
pub(super) fn placed(bytes: &[u8], cost_model: CostModel) -> Result<Result<Arc<Model>, String>> {
    use engine::model::ModelError;
    match Model::read(bytes, cost_model) {
        Ok(model) => Ok(Ok(Arc::new(model))),
        Err(ModelError::Place(refusal)) => Ok(Err(refusal.to_string())),
        Err(error) => Err(error).context("a network converted here"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ann::architecture;
    use engine::picture::Shape;

    #[test]
    fn a_layout_says_what_was_chosen() {
        let shape = Shape {
            channels: 1,
            height: 28,
            width: 28,
        };
        let network = architecture::parse("32-64-10", shape).unwrap();
        let layout = Layout::of(&network);
        assert_eq!(
            layout.layers,
            "3 x 3 by 2 to 32 x 13 x 13, 3 x 3 by 2 to 64 x 6 x 6, dense 10"
        );
        assert_eq!((layout.neurons, layout.fan_in), (784 + 5408 + 2304 + 10, 2304));
    }

    #[test]
    fn accuracy_is_the_share_of_labels_that_were_found() {
        assert_eq!(percent(&[1, 2, 3, 3], &[1, 2, 0, 3]), 75.0);
    }
}
