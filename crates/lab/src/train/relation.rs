//! Learning from a teacher: the cosines among a batch's embeddings follow those of another model's embeddings of the
//! same pictures, so that no labels are needed (relational distillation, as in Park et al. 2019 and Tejankar et al.
//! 2021).

use ndarray::{Array2, ArrayView2, Axis};
use serde::Serialize;

use super::cosines::Cosines;
use super::error::TrainError;

/// The parameters of the relation loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Relation {
    /// Weight; the cross entropy of a labelled picture has weight 1.
    pub weight: f32,
    /// Temperature of both models' cosines: the lower it is, the more the closest neighbours count.
    pub temperature: f32,
}

/// Another model's embeddings of the training pictures: their directions from the mean embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct Teacher {
    directions: Array2<f32>,
}

impl Teacher {
    /// Takes the embeddings of `pictures` pictures, `[pictures, dimensions]`. They are centred: the mean of some models'
    /// embeddings is so long that all cosines are alike.
    ///
    /// # Errors
    /// [`TrainError::TeacherRows`] for another number of rows, [`TrainError::TeacherRow`] for a row with a value that is
    /// not finite.
    pub fn new(embeddings: ArrayView2<'_, f32>, pictures: usize) -> Result<Self, TrainError> {
        let rows = embeddings.nrows();
        if rows != pictures {
            return Err(TrainError::TeacherRows { rows, pictures });
        }
        for (index, row) in embeddings.outer_iter().enumerate() {
            if row.is_empty() {
                let problem = "has no dimensions";
                return Err(TrainError::TeacherRow { index, problem });
            }
            // Squares of larger values would not be finite in sums.
            if !row.iter().all(|value| value.abs() < 1e15) {
                let problem = "has a value that is not a finite number, or too large";
                return Err(TrainError::TeacherRow { index, problem });
            }
        }
        let wide = embeddings.mapv(f64::from);
        let mut directions = embeddings.to_owned();
        if let Some(mean) = wide.mean_axis(Axis(0)) {
            for mut row in directions.outer_iter_mut() {
                row.zip_mut_with(&mean, |value, mean| *value = (f64::from(*value) - mean) as f32);
                let norm = row.dot(&row).sqrt();
                row.mapv_inplace(|value| if norm > 0.0 { value / norm } else { 0.0 });
            }
        }
        Ok(Self { directions })
    }

    /// The number of pictures.
    #[must_use]
    pub fn pictures(&self) -> usize {
        self.directions.nrows()
    }

    /// The cosines among the pictures `batch`.
    pub(super) fn cosines(&self, batch: &[usize]) -> Array2<f32> {
        let chosen = self.directions.select(Axis(0), batch);
        chosen.dot(&chosen.t())
    }
}

/// Each row's softmax of `cosines` over `temperature` without its own picture, and the logarithms of the shares.
fn shares(mut cosines: Array2<f32>, temperature: f32) -> (Array2<f32>, Array2<f32>) {
    for (own, mut row) in cosines.outer_iter_mut().enumerate() {
        row[own] = f32::NEG_INFINITY;
        let most = row.fold(f32::NEG_INFINITY, |most, &cosine| most.max(cosine));
        row.mapv_inplace(|cosine| (cosine - most) / temperature);
        let total = row.fold(0.0f32, |total, exponent| total + exponent.exp()).ln();
        row.mapv_inplace(|exponent| exponent - total);
    }
    (cosines.mapv(f32::exp), cosines)
}

/// The sum of the pictures' losses and its gradient by `embeddings`, `[pictures, dimensions]`.
///
/// A picture's loss is the Kullback-Leibler divergence of its shares of the batch's other pictures, by the exponential
/// of cosine over temperature, from those of the teacher, whose cosines are `taught`.
pub(super) fn relate(
    embeddings: ArrayView2<'_, f32>,
    taught: Array2<f32>,
    temperature: f32,
) -> (f64, Array2<f32>) {
    if embeddings.nrows() < 2 {
        return (0.0, Array2::zeros(embeddings.dim()));
    }
    let cosines = Cosines::of(embeddings);
    let (wanted, wanted_logs) = shares(taught, temperature);
    let (mut pulls, logs) = shares(cosines.all(), temperature);
    let loss = wanted.iter().zip(&wanted_logs).zip(&logs);
    let loss = loss
        .filter(|((wanted, _), _)| **wanted > 0.0)
        .map(|((wanted, wanted_log), log)| f64::from(wanted * (wanted_log - log)))
        .sum();
    pulls -= &wanted;
    (loss, cosines.gradient(&pulls, temperature))
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    fn random(seed: u64, rows: usize, dimensions: usize) -> Array2<f32> {
        let mut random = Random::new(seed);
        Array2::from_shape_simple_fn((rows, dimensions), || random.unit() * 3.0)
    }

    #[test]
    fn the_gradient_agrees_with_differences_of_the_loss() {
        let teacher = Teacher::new(random(1, 7, 5).view(), 7).unwrap();
        let taught = || teacher.cosines(&[0, 2, 3, 4, 5, 6]);
        let embeddings = random(2, 6, 4);
        let (_, gradient) = relate(embeddings.view(), taught(), 0.3);
        for (index, &found) in gradient.indexed_iter() {
            let loss = |offset: f32| {
                let mut moved = embeddings.clone();
                moved[index] += offset;
                relate(moved.view(), taught(), 0.3).0
            };
            let difference = (loss(1e-2) - loss(-1e-2)) / 2e-2;
            assert!(
                (difference - f64::from(found)).abs() < 2e-3,
                "{index:?}: {difference} {found}"
            );
        }
    }

    #[test]
    fn who_relates_pictures_like_the_teacher_loses_nothing() {
        let embeddings = random(3, 6, 4);
        let teacher = Teacher::new(embeddings.view(), 6).unwrap();
        let batch = [4, 0, 5];
        let own = teacher.directions.select(Axis(0), &batch);
        let (loss, gradient) = relate((&own * 7.0).view(), teacher.cosines(&batch), 0.1);
        assert!(loss.abs() < 1e-5, "{loss}");
        assert!(gradient.iter().all(|pull| pull.abs() < 1e-4));
        let (loss, _) = relate(random(9, 3, 4).view(), teacher.cosines(&batch), 0.1);
        assert!(loss > 0.01, "{loss}");
    }

    #[test]
    fn a_batch_of_one_has_no_relations() {
        let teacher = Teacher::new(random(1, 2, 3).view(), 2).unwrap();
        let (loss, gradient) = relate(random(2, 1, 4).view(), teacher.cosines(&[1]), 0.1);
        assert_eq!((loss, gradient), (0.0, Array2::zeros((1, 4))));
    }

    #[test]
    fn arrays_that_do_not_fit_are_refused() {
        let mut embeddings = random(1, 4, 3);
        let refusal = |embeddings: &Array2<f32>, pictures| {
            Teacher::new(embeddings.view(), pictures).unwrap_err().to_string()
        };
        assert_eq!(
            refusal(&embeddings, 5),
            "the teacher has 4 embeddings for 5 training pictures; each picture needs one"
        );
        assert_eq!(
            refusal(&Array2::zeros((4, 0)), 4),
            "the teacher's embedding of picture 0 has no dimensions"
        );
        for bad in [f32::NAN, f32::INFINITY] {
            embeddings[[2, 1]] = bad;
            assert_eq!(
                refusal(&embeddings, 4),
                "the teacher's embedding of picture 2 has a value that is not a finite number, or too large"
            );
        }
    }
}
