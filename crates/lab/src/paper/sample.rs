//! Made-up measurements for tests.

use super::measure::{Accuracies, Host, Layout, OnChip, Searched, Trained};

pub(super) fn trained(name: &str, refusal: Option<&str>) -> Trained {
    let run = |time_steps, accuracy| OnChip {
        time_steps,
        accuracy,
        latency_ms: 3.0,
        static_mj: 2.8,
        dynamic_mj: 0.1,
        spikes: 5000.0,
    };
    Trained {
        name: name.to_owned(),
        seed: 1,
        ann: Accuracies {
            train: 94.0,
            validation: 91.0,
            test: 90.5,
        },
        layout: Layout {
            layers: "dense 10".to_owned(),
            neurons: 794,
            fan_in: 784,
        },
        refusal: refusal.map(str::to_owned),
        cores: refusal.is_none().then_some(19),
        chip: match refusal {
            None => vec![run(16, 88.0), run(128, 90.25)],
            Some(_) => Vec::new(),
        },
    }
}

pub(super) fn search() -> Vec<Searched> {
    let row = |time_steps, probe: Option<&str>, map| Searched {
        time_steps,
        probe: probe.map(str::to_owned),
        classification: 90.0,
        top_1: 86.0,
        top_3: 94.0,
        map,
    };
    vec![
        row(None, None, 0.54),
        row(Some(16), Some("membrane"), 0.48),
        row(Some(16), Some("spike_count"), 0.52),
        row(Some(128), Some("membrane"), 0.49),
        row(Some(128), Some("spike_count"), 0.53),
    ]
}

pub(super) fn host() -> Host {
    Host {
        cpu: "a CPU".to_owned(),
        median_ms: 0.1,
        fastest_ms: 0.09,
        pictures: 900,
    }
}
