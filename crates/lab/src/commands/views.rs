//! Options of `train` and `tune` for random views of photos.

use clap::Args;

/// How views of photos are drawn; what is left open depends on the command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Views of photos")]
pub struct ViewOptions {
    /// Smallest share of a picture's area that a view shows, up to 1 [default: 0.5; tune: 0.7]
    #[arg(long, value_name = "SHARE", env = "SPIKELENS_CROP")]
    crop: Option<f32>,
    /// Largest factor by which a view's proportions differ from its picture's, from 1 [default: 1.25]
    #[arg(long, value_name = "FACTOR", env = "SPIKELENS_ASPECT")]
    aspect: Option<f32>,
    /// Largest rotation, in degrees, in either direction [default: 12]
    #[arg(long, value_name = "DEGREES", env = "SPIKELENS_ROTATE")]
    rotate: Option<f32>,
    /// Mirror every second view left to right [default: true]
    #[arg(long, env = "SPIKELENS_MIRROR")]
    mirror: Option<bool>,
    /// Largest change of brightness and contrast, as a share; saturation changes by 1.3 times as much [default: 0.3;
    /// tune: 0.2]
    #[arg(long, value_name = "SHARE", env = "SPIKELENS_COLOUR")]
    colour: Option<f32>,
    /// Largest change of a single colour channel, as a share [default: 0.05]
    #[arg(long, value_name = "SHARE", env = "SPIKELENS_TINT")]
    tint: Option<f32>,
    /// Probability that a rectangle of a view is replaced by a random colour [default: 0.35; tune: 0]
    #[arg(long, value_name = "PROBABILITY", env = "SPIKELENS_ERASE")]
    erase: Option<f32>,
}

#[cfg(feature = "train")]
impl ViewOptions {
    /// The options given, and those of `defaults` that are left open.
    pub(super) fn over(&self, defaults: crate::train::Augmentation) -> crate::train::Augmentation {
        crate::train::Augmentation {
            crop: self.crop.unwrap_or(defaults.crop),
            aspect: self.aspect.unwrap_or(defaults.aspect),
            rotate: self.rotate.unwrap_or(defaults.rotate),
            mirror: self.mirror.unwrap_or(defaults.mirror),
            colour: self.colour.unwrap_or(defaults.colour),
            tint: self.tint.unwrap_or(defaults.tint),
            erase: self.erase.unwrap_or(defaults.erase),
        }
    }
}
