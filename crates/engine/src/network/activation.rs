//! The activation function of a float network: ReLU, or a clipped and quantised one that a spiking neuron can
//! reproduce in few time steps (quantisation clip floor shift; Bu et al. 2022).
//!
//! In: a model file's `activation`. Out: an [`Activation`]. The last layer, the classifier, has none.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Layer, NetworkError};

/// The largest number of levels of a clipped activation: one spike in each of the largest number of time steps.
pub const MAX_LEVELS: u32 = super::TimeSteps::MAX;

/// The activation of every layer but the last.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Activation {
    /// `max(0, x)`.
    #[default]
    Relu,
    /// Clipped and quantised.
    Clipped(Clipped),
}

/// Equal steps from 0 to a ceiling, rounded to the nearest: the spike count of a neuron with soft reset that starts at
/// half a threshold and receives constant input for `levels` time steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clipped {
    kind: Kind,
    /// Steps from 0 to the ceiling; 1 to [`MAX_LEVELS`].
    pub levels: u32,
    /// One for each layer but the last, in order; above 0 and finite.
    pub ceilings: Vec<f32>,
}

/// The only value of `kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Clipped,
}

impl Clipped {
    /// An activation of `levels` steps; [`Activation::check`] tests whether it fits a network.
    #[must_use]
    pub fn new(levels: u32, ceilings: Vec<f32>) -> Self {
        Self {
            kind: Kind::Clipped,
            levels,
            ceilings,
        }
    }
}

/// `value` clipped to 0 and `ceiling` and rounded to the nearest of `levels` steps; half a step is rounded up.
#[inline]
#[must_use]
pub fn clip(value: f32, ceiling: f32, levels: f32) -> f32 {
    let steps = (value / ceiling * levels + 0.5).clamp(0.0, levels);
    // `floor` is a function call on CPUs without SSE 4.1; NaN is preserved.
    let whole = if steps.is_nan() {
        steps
    } else {
        (steps as i32) as f32
    };
    ceiling * (whole / levels)
}

impl Activation {
    /// Applies the activation of layer `index` to `values`.
    pub fn apply(&self, index: usize, values: &mut [f32]) {
        match self {
            Self::Relu => values.iter_mut().for_each(|value| *value = value.max(0.0)),
            Self::Clipped(clipped) => {
                let ceiling = clipped.ceilings[index];
                // At most 1,024, which f32 represents exactly.
                let levels = clipped.levels as f32;
                values
                    .iter_mut()
                    .for_each(|value| *value = clip(*value, ceiling, levels));
            }
        }
    }

    /// Reads the `activation` of a model file.
    pub(super) fn parse(described: Option<&Value>) -> Result<Self, NetworkError> {
        match described {
            None => Ok(Self::Relu),
            Some(Value::String(word)) if word == "relu" => Ok(Self::Relu),
            Some(object @ Value::Object(_)) => Clipped::deserialize(object)
                .map(Self::Clipped)
                .map_err(|error| refuse(format!("has an invalid activation: {error}"))),
            Some(other) => Err(refuse(format!(
                "has the activation {other}; this version supports \"relu\" and \
                 {{\"kind\": \"clipped\", \"levels\": N, \"ceilings\": [one for each layer but the last]}}"
            ))),
        }
    }

    /// The `activation` of a model file; `None` for ReLU, the default.
    pub(super) fn describe(&self) -> Option<Value> {
        match self {
            Self::Relu => None,
            Self::Clipped(clipped) => {
                Some(serde_json::to_value(clipped).expect("an activation is plain data"))
            }
        }
    }

    /// Checks that levels and ceilings fit `layers`.
    ///
    /// # Errors
    /// [`NetworkError::Metadata`] for the number of levels or ceilings, [`NetworkError::Layer`] for an invalid
    /// ceiling.
    pub fn check(&self, layers: &[Layer]) -> Result<(), NetworkError> {
        let Self::Clipped(Clipped { levels, ceilings, .. }) = self else {
            return Ok(());
        };
        if !(1..=MAX_LEVELS).contains(levels) {
            return Err(refuse(format!(
                "has an activation of {levels} levels; they are 1 to {MAX_LEVELS}"
            )));
        }
        if ceilings.len() + 1 != layers.len() {
            return Err(refuse(format!(
                "has an activation with {} ceilings; its {} layers need one each, the last one none",
                ceilings.len(),
                layers.len()
            )));
        }
        for (layer, ceiling) in layers.iter().zip(ceilings) {
            if !(ceiling.is_finite() && *ceiling > 0.0) {
                return Err(NetworkError::layer(
                    &layer.name,
                    format!("its activation's ceiling is {ceiling}; it must be above 0 and finite"),
                ));
            }
        }
        Ok(())
    }
}

fn refuse(reason: String) -> NetworkError {
    NetworkError::Metadata {
        key: "network",
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_rounded_to_the_nearest_level_and_clipped() {
        let activation = Activation::Clipped(Clipped::new(4, vec![9.0, 2.0]));
        let mut values = [-3.0, 0.0, 0.24, 0.25, 0.74, 0.75, 1.9, 50.0];
        activation.apply(1, &mut values);
        assert_eq!(values, [0.0, 0.0, 0.0, 0.5, 0.5, 1.0, 2.0, 2.0]);
    }

    #[test]
    fn a_level_is_a_spike_of_a_neuron_half_a_threshold_ahead() {
        for step in -10..=60 {
            let input = step as f32 / 32.0;
            let (mut membrane, mut spikes) = (0.5, 0);
            for _ in 0..8 {
                membrane += input;
                if membrane >= 1.0 {
                    membrane -= 1.0;
                    spikes += 1;
                }
            }
            assert_eq!(clip(input, 1.0, 8.0) * 8.0, spikes as f32, "{input}");
        }
    }

    #[test]
    fn what_is_described_reads_back_and_the_rest_is_refused() {
        let clipped = Activation::Clipped(Clipped::new(8, vec![0.1, 1.7]));
        for activation in [Activation::Relu, clipped] {
            let described = activation.describe();
            assert_eq!(Activation::parse(described.as_ref()).unwrap(), activation);
        }
        for (json, expected) in [
            (r#""gelu""#, r#"has the activation "gelu"; this version supports"#),
            ("7", "has the activation 7; this version supports"),
            (r#"{"kind": "clipped", "levels": 8}"#, "missing field `ceilings`"),
            (
                r#"{"kind": "tanh", "levels": 8, "ceilings": []}"#,
                "unknown variant `tanh`",
            ),
        ] {
            let refusal = Activation::parse(Some(&serde_json::from_str(json).unwrap())).unwrap_err();
            assert!(refusal.to_string().contains(expected), "{json}: {refusal}");
        }
    }
}
