//! Stored pictures for which a network yields no embedding.

use engine::embedding::is_zero;

use crate::catalogue::StoredPicture;
use crate::chips::{ChipError, Maker};

/// Their number; the first ones are named in the log.
#[derive(Debug, Default)]
pub struct Unembedded(usize);

impl Unembedded {
    /// How many are named in the log; the others are only counted.
    const NAMED: usize = 20;

    /// The embedding, or all zeros if there is none. Zeros match no search; the picture and its product stay, and another
    /// network may yield an embedding.
    #[must_use]
    pub fn or_zeros(
        &mut self,
        picture: &StoredPicture,
        made: Result<Vec<i32>, ChipError>,
        maker: &Maker,
    ) -> Vec<i32> {
        let reason = match &made {
            Ok(values) if !is_zero(values) => None,
            Ok(_) => Some(ChipError::EmptyEmbedding.to_string()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(reason) = reason {
            if self.0 < Self::NAMED {
                let (product, picture) = (&picture.product, picture.key);
                tracing::warn!(product, %picture, reason, "no embedding: the picture will match no search");
            }
            self.0 += 1;
        }
        made.unwrap_or_else(|_| vec![0; maker.dimensions()])
    }

    /// Logs how many there are.
    pub fn log_count(&self) {
        if self.0 > 0 {
            tracing::warn!(
                pictures = self.0,
                "some pictures have no embedding by this model: they match no search until they are replaced"
            );
        }
    }
}
