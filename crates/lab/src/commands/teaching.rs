//! Options of `train` and `tune` for what photos are learned from: labels, views, and another model's embeddings.

use std::path::PathBuf;

use clap::Args;

/// What networks for photos learn from besides their classes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Teaching for photos")]
pub struct Teaching {
    /// Share of each label that is spread over all classes
    #[arg(long, default_value_t = 0.1, env = "SPIKELENS_SMOOTHING")]
    pub(super) smoothing: f32,
    /// Views of each picture in a batch; with two or more, pictures without a label learn too: the contrastive loss takes
    /// their views as alike
    #[arg(long, value_name = "N", default_value_t = 1, env = "SPIKELENS_VIEWS",
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=16))]
    pub(super) views: usize,
    /// Pictures of one group are of one product: the further views of a picture are of any of them
    #[arg(long, env = "SPIKELENS_SIBLINGS")]
    pub(super) siblings: bool,
    /// Follow the cosines among another model's embeddings of the pictures, a .npy file of float32 or float64
    /// [pictures, dimensions] with a row for each training picture, in the data set's order
    #[arg(long, value_name = "NPY", env = "SPIKELENS_TEACHER")]
    pub(super) teacher: Option<PathBuf>,
    /// Weight of the loss from the teacher; the cross entropy has weight 1
    #[arg(long, default_value_t = 1.0, env = "SPIKELENS_RELATION")]
    relation: f32,
    /// Temperature of the loss from the teacher
    #[arg(long, default_value_t = 0.1, env = "SPIKELENS_RELATION_TEMPERATURE")]
    relation_temperature: f32,
    /// Follow the classes that a larger float network gives the same views: an ANN file with the same input and classes
    #[arg(long, value_name = "ANN", env = "SPIKELENS_TUTOR")]
    pub(super) tutor: Option<PathBuf>,
    /// Weight of the loss from the tutor; the cross entropy has weight 1
    #[arg(long, default_value_t = 2.0, env = "SPIKELENS_DISTILLATION")]
    distillation: f32,
    /// Temperature of both networks' classes
    #[arg(long, default_value_t = 2.0, env = "SPIKELENS_DISTILLATION_TEMPERATURE")]
    distillation_temperature: f32,
}

#[cfg(feature = "train")]
impl Teaching {
    /// The loss from the teacher, if there is one.
    pub(super) fn relation(&self) -> Option<crate::train::Relation> {
        self.teacher.as_ref().map(|_| crate::train::Relation {
            weight: self.relation,
            temperature: self.relation_temperature,
        })
    }

    /// The loss from the tutor, if there is one.
    pub(super) fn distillation(&self) -> Option<crate::train::Distillation> {
        self.tutor.as_ref().map(|_| crate::train::Distillation {
            weight: self.distillation,
            temperature: self.distillation_temperature,
        })
    }
}
