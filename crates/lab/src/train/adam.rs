//! Adam (Kingma and Ba 2015) with a learning rate that decays to zero along half a cosine.

/// The decay rates of the mean gradient and of the mean square: the constants of Kingma and Ba.
const KEEP_MEAN: f32 = 0.9;
const KEEP_SQUARE: f32 = 0.999;

/// Avoids a division by zero.
const EPSILON: f32 = 1e-8;

/// The optimiser's state, one entry for each value of each parameter.
#[derive(Debug)]
pub(super) struct Adam {
    means: Vec<Vec<f32>>,
    squares: Vec<Vec<f32>>,
    steps: i32,
}

impl Adam {
    pub(super) fn new(parameters: &[Vec<f32>]) -> Self {
        let zeros: Vec<Vec<f32>> = parameters.iter().map(|values| vec![0.0; values.len()]).collect();
        Self {
            means: zeros.clone(),
            squares: zeros,
            steps: 0,
        }
    }

    /// Moves `parameters` one step against `gradients`.
    pub(super) fn step(&mut self, parameters: &mut [Vec<f32>], gradients: &[Vec<f32>], learning_rate: f32) {
        // After 2^31 steps both corrections have long been 1.
        self.steps = self.steps.saturating_add(1);
        let mean_share = 1.0 - KEEP_MEAN.powi(self.steps);
        let square_share = 1.0 - KEEP_SQUARE.powi(self.steps);
        let memories = self.means.iter_mut().zip(&mut self.squares);
        for ((values, gradients), (means, squares)) in parameters.iter_mut().zip(gradients).zip(memories) {
            let memory = means.iter_mut().zip(squares);
            for ((value, gradient), (mean, square)) in values.iter_mut().zip(gradients).zip(memory) {
                *mean = KEEP_MEAN * *mean + (1.0 - KEEP_MEAN) * gradient;
                *square = KEEP_SQUARE * *square + (1.0 - KEEP_SQUARE) * gradient * gradient;
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

    #[test]
    fn the_cosine_falls_from_the_peak_to_zero() {
        assert_eq!(cosine(0.5, 0, 10), 0.5);
        assert!((cosine(0.5, 5, 10) - 0.25).abs() < 1e-6);
        assert!(cosine(0.5, 10, 10).abs() < 1e-6);
    }
}
