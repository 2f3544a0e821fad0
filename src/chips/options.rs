//! Options of a run.

use engine::embedding::stopping::Length;
use engine::model::Model;
use engine::network::Probe;
use engine::picture::Mode;

/// How a picture is run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RunOptions {
    pub time_steps: Length,
    pub probe: Probe,
    pub mode: Mode,
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
            trace: self.trace.unwrap_or(default.trace),
        }
    }
}
