//! Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019), and how their learning rate changes: it decays to
//! zero along half a cosine, for AdamW after a linear warm-up.

use serde::Serialize;

use super::error::{TrainError, require};

/// The decay rates of the mean gradient and of the mean square: the constants of Kingma and Ba.
const KEEP_MEAN: f32 = 0.9;
const KEEP_SQUARE: f32 = 0.999;

/// The mean square's rate for AdamW: few epochs of few pictures are too short for the other one.
const KEEP_SQUARE_W: f32 = 0.99;

/// The share of the learning rate that the warm-up starts at.
const COLD: f64 = 0.1;

/// Adam with decoupled weight decay, a warm-up and averaged parameters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct AdamW {
    /// The share by which weights, but not biases, scales and ceilings, decay in a step at a learning rate of 1.
    pub decay: f32,
    /// The share of all steps, 0 to below 1, in which the learning rate grows linearly.
    pub warm_up: f32,
    /// What is judged and kept is the average of the parameters of all steps, each step's share so many times that of the
    /// next one; 0 for the last step's parameters alone, below 1.
    pub average: f32,
}

impl AdamW {
    pub(super) fn check(&self) -> Result<(), TrainError> {
        let Self {
            decay,
            warm_up,
            average,
        } = self;
        let decays = decay.is_finite() && *decay >= 0.0;
        require(decays, "decay", decay, "at least 0")?;
        let below_one = 0.0..1.0;
        require(
            below_one.contains(warm_up),
            "warm_up",
            warm_up,
            "at least 0 and below 1",
        )?;
        require(
            below_one.contains(average),
            "average",
            average,
            "at least 0 and below 1",
        )
    }

    /// The learning rate of step `step` of `steps`.
    pub(super) fn rate(&self, peak: f32, step: usize, steps: usize) -> f32 {
        let (progress, warm_up) = (step as f64 / steps as f64, f64::from(self.warm_up));
        let share = if progress < warm_up {
            COLD + (1.0 - COLD) * progress / warm_up
        } else {
            let cooled = (progress - warm_up) / (1.0 - warm_up);
            0.5 * (1.0 + (std::f64::consts::PI * cooled).cos())
        };
        (f64::from(peak) * share) as f32
    }

    /// Moves the average towards the parameters after step `step`.
    pub(super) fn follow(&self, average: &mut [Vec<f32>], parameters: &[Vec<f32>], step: usize) {
        // An average of few steps would otherwise be mostly the initial parameters.
        let most = (step as f32 + 1.0) / (step as f32 + 10.0);
        let keep = if self.average > 0.0 {
            self.average.min(most)
        } else {
            0.0
        };
        for (average, value) in average.iter_mut().flatten().zip(parameters.iter().flatten()) {
            *average = keep * *average + (1.0 - keep) * value;
        }
    }
}

/// Avoids a division by zero.
const EPSILON: f32 = 1e-8;

/// The optimiser's state, one entry for each value of each parameter.
#[derive(Debug)]
pub(super) struct Adam {
    means: Vec<Vec<f32>>,
    squares: Vec<Vec<f32>>,
    steps: i32,
    keep_square: f32,
    /// The weight decay of each parameter.
    decays: Vec<f32>,
}

impl Adam {
    pub(super) fn new(parameters: &[Vec<f32>]) -> Self {
        let zeros: Vec<Vec<f32>> = parameters.iter().map(|values| vec![0.0; values.len()]).collect();
        Self {
            means: zeros.clone(),
            squares: zeros,
            steps: 0,
            keep_square: KEEP_SQUARE,
            decays: vec![0.0; parameters.len()],
        }
    }

    /// AdamW; `matrices` says which parameters are weights, which decay.
    pub(super) fn decoupled(options: &AdamW, parameters: &[Vec<f32>], matrices: &[bool]) -> Self {
        let decay = |&matrix: &bool| if matrix { options.decay } else { 0.0 };
        Self {
            keep_square: KEEP_SQUARE_W,
            decays: matrices.iter().map(decay).collect(),
            ..Self::new(parameters)
        }
    }

    /// Moves `parameters` one step against `gradients`.
    pub(super) fn step(&mut self, parameters: &mut [Vec<f32>], gradients: &[Vec<f32>], learning_rate: f32) {
        // After 2^31 steps both corrections have long been 1.
        self.steps = self.steps.saturating_add(1);
        let mean_share = 1.0 - KEEP_MEAN.powi(self.steps);
        let square_share = 1.0 - self.keep_square.powi(self.steps);
        let memories = self.means.iter_mut().zip(&mut self.squares);
        let keep_square = self.keep_square;
        let pairs = parameters.iter_mut().zip(gradients).zip(&self.decays);
        for (((values, gradients), decay), (means, squares)) in pairs.zip(memories) {
            if *decay > 0.0 {
                let kept = 1.0 - learning_rate * decay;
                values.iter_mut().for_each(|value| *value *= kept);
            }
            let memory = means.iter_mut().zip(squares);
            for ((value, gradient), (mean, square)) in values.iter_mut().zip(gradients).zip(memory) {
                *mean = KEEP_MEAN * *mean + (1.0 - KEEP_MEAN) * gradient;
                *square = keep_square * *square + (1.0 - keep_square) * gradient * gradient;
                let scale = (*square / square_share).sqrt() + EPSILON;
                *value -= learning_rate * (*mean / mean_share) / scale;
            }
        }
    }
}

/// The learning rate of step `step` of `steps`: `peak` at the first step, zero after the last.
pub(super) fn cosine(peak: f32, step: usize, steps: usize) -> f32 {
    let progress = step as f64 / steps as f64;
    (f64::from(peak) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adam_finds_the_bottom_of_a_bowl() {
        let mut parameters = vec![vec![3.0, -2.0], vec![1.0]];
        let mut adam = Adam::new(&parameters);
        for step in 0..2_000 {
            let gradients: Vec<Vec<f32>> = parameters
                .iter()
                .map(|values| values.iter().map(|value| 2.0 * (value - 0.5)).collect())
                .collect();
            adam.step(&mut parameters, &gradients, cosine(0.01, step, 2_000));
        }
        for value in parameters.concat() {
            assert!((value - 0.5f32).abs() < 1e-3, "{value}");
        }
    }

    #[test]
    fn the_first_step_is_as_long_as_the_learning_rate() {
        let mut parameters = vec![vec![1.0]];
        Adam::new(&parameters).step(&mut parameters, &[vec![1e-3]], 0.1);
        assert!((parameters[0][0] - 0.9).abs() < 1e-4);
    }

    const ADAM_W: AdamW = AdamW {
        decay: 0.5,
        warm_up: 0.2,
        average: 0.9,
    };

    #[test]
    fn weights_alone_decay_and_not_by_their_gradient() {
        let mut parameters = vec![vec![2.0], vec![2.0]];
        let mut adam = Adam::decoupled(&ADAM_W, &parameters, &[true, false]);
        adam.step(&mut parameters, &[vec![0.0], vec![0.0]], 0.1);
        assert_eq!(parameters, [[2.0 * 0.95], [2.0]]);
    }

    #[test]
    fn the_rate_warms_up_and_falls_to_zero() {
        let rate = |step| ADAM_W.rate(0.5, step, 10);
        assert!((rate(0) - 0.05).abs() < 1e-6);
        assert!((rate(1) - 0.275).abs() < 1e-6);
        assert!((rate(2) - 0.5).abs() < 1e-6);
        assert!((rate(6) - 0.25).abs() < 1e-6);
        assert!(rate(10).abs() < 1e-6);
        assert!(
            (AdamW {
                warm_up: 0.0,
                ..ADAM_W
            }
            .rate(0.5, 0, 10)
                - 0.5)
                .abs()
                < 1e-6
        );
    }

    #[test]
    fn the_average_follows_fast_at_first_and_slowly_later() {
        let mut average = vec![vec![0.0]];
        ADAM_W.follow(&mut average, &[vec![1.0]], 0);
        assert!((average[0][0] - 0.9f32).abs() < 1e-6);
        ADAM_W.follow(&mut average, &[vec![0.0]], 1_000);
        assert!((average[0][0] - 0.81f32).abs() < 1e-6);
        let alone = AdamW {
            average: 0.0,
            ..ADAM_W
        };
        alone.follow(&mut average, &[vec![7.0]], 1_000);
        assert_eq!(average, [[7.0]]);
    }

    #[test]
    fn the_cosine_falls_from_the_peak_to_zero() {
        assert_eq!(cosine(0.5, 0, 10), 0.5);
        assert!((cosine(0.5, 5, 10) - 0.25).abs() < 1e-6);
        assert!(cosine(0.5, 10, 10).abs() < 1e-6);
    }
}
