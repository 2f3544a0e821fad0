//! Options of a run.

use engine::embedding::stopping::Length;
use engine::model::Model;
use engine::network::Probe;
use engine::picture::{Mode, Region};

/// How a picture is run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RunOptions {
    pub time_steps: Length,
    pub probe: Probe,
    pub mode: Mode,
    /// The part of the picture that is prepared; all of it without.
    pub region: Option<Region>,
    /// Whether to record spikes by layer and core, which takes extra time.
    pub trace: bool,
}

impl RunOptions {
    /// The model's defaults.
    #[must_use]
    pub fn of(model: &Model) -> Self {
        Self {
            time_steps: model.snn.network.time_steps().into(),
            probe: model.snn.network.probe(),
            mode: Mode::Auto,
            region: None,
            trace: false,
        }
    }
}

/// The options that a request sets; the others come from the network or the catalogue.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RunChoice {
    pub time_steps: Option<Length>,
    pub probe: Option<Probe>,
    pub mode: Option<Mode>,
    pub region: Option<Region>,
    pub trace: Option<bool>,
}

impl RunChoice {
    /// The options, with `default` for those that are not set.
    #[must_use]
    pub fn or(self, default: RunOptions) -> RunOptions {
        RunOptions {
            time_steps: self.time_steps.unwrap_or(default.time_steps),
            probe: self.probe.unwrap_or(default.probe),
            mode: self.mode.unwrap_or(default.mode),
            region: self.region.or(default.region),
            trace: self.trace.unwrap_or(default.trace),
        }
    }
}
