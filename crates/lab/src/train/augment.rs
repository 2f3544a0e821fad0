//! Random views of photos: crops, rotations, mirroring, colours and erased rectangles.
//!
//! A view is drawn from a picture that is stored larger than the network's input, so that a crop is still sharp. What
//! lies outside of the picture is its reflection. The defaults are those of `docs/photo-network.md`.

use serde::Serialize;

use super::error::{TrainError, require};
use super::random::Random;
use engine::picture::{Picture, Shape};

/// How views of photos are drawn; zeros (and a `crop` of 1) give the whole picture as it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Augmentation {
    /// The smallest share of the picture's area that a view shows, above 0 to 1; the largest is 1.
    pub crop: f32,
    /// The largest factor by which a view is wider or higher in proportion than its picture, at least 1.
    pub aspect: f32,
    /// The largest rotation in degrees, in either direction, 0 to 180.
    pub rotate: f32,
    /// Whether pictures are mirrored left to right with probability 1/2.
    pub mirror: bool,
    /// The largest change of brightness and contrast, as a share, 0 to below 1; saturation changes by up to 1.3 times as
    /// much.
    pub colour: f32,
    /// The largest change of a single channel's brightness, as a share, 0 to below 1.
    pub tint: f32,
    /// The probability that a rectangle of the view is replaced by a random colour, 0 to 1.
    pub erase: f32,
}

impl Default for Augmentation {
    fn default() -> Self {
        Self {
            crop: 0.5,
            aspect: 1.25,
            rotate: 12.0,
            mirror: true,
            colour: 0.3,
            tint: 0.05,
            erase: 0.35,
        }
    }
}

/// A view's crop is at most so many times as wide or high as the picture.
const LARGEST_SIDE: f32 = 1.1;

/// A crop's centre can move at least by this share of half the picture, even where the crop covers all of it.
const LEAST_PLAY: f32 = 0.05;

/// The change of the saturation, relative to that of brightness and contrast.
const SATURATION: f32 = 1.3;

/// The sides of erased rectangles, as shares of the view's.
const ERASED: [f32; 2] = [0.1, 0.45];

impl Augmentation {
    /// Views that change less, for tuning.
    #[must_use]
    pub fn mild() -> Self {
        Self {
            crop: 0.7,
            colour: 0.2,
            erase: 0.0,
            ..Self::default()
        }
    }

    pub(super) fn check(&self) -> Result<(), TrainError> {
        let Self {
            crop,
            aspect,
            rotate,
            mirror: _,
            colour,
            tint,
            erase,
        } = self;
        require(
            *crop > 0.0 && *crop <= 1.0,
            "crop",
            crop,
            "above 0 and at most 1: a share of the picture's area",
        )?;
        require((1.0..=4.0).contains(aspect), "aspect", aspect, "1 to 4")?;
        require(
            (0.0..=180.0).contains(rotate),
            "rotate",
            rotate,
            "0 to 180 degrees",
        )?;
        require(
            (0.0..1.0).contains(colour),
            "colour",
            colour,
            "at least 0 and below 1",
        )?;
        require((0.0..1.0).contains(tint), "tint", tint, "at least 0 and below 1")?;
        require((0.0..=1.0).contains(erase), "erase", erase, "0 to 1")
    }

    /// A view of `picture` with the sides `height` and `width`.
    pub(super) fn view(
        &self,
        picture: &Picture,
        [height, width]: [usize; 2],
        random: &mut Random,
    ) -> Picture {
        let shape = Shape {
            channels: picture.shape().channels,
            height,
            width,
        };
        let mut values = sample(picture, shape, &self.frame(random));
        if self.colour > 0.0 || self.tint > 0.0 {
            self.recolour(&mut values, shape.channels, random);
        }
        if self.erase > 0.0 {
            self.erase(&mut values, shape, random);
        }
        // Between 0 and 255.
        let pixels = values.into_iter().map(|value| (value + 0.5) as u8).collect();
        Picture::from_vec(shape, pixels).expect("a view has as many pixels as its shape says")
    }

    fn frame(&self, random: &mut Random) -> Frame {
        let mut between = |low: f32, high: f32| low + (high - low) * random.unit();
        let area = between(self.crop, 1.0);
        let aspect = (between(-1.0, 1.0) * self.aspect.ln()).exp();
        let sides = [(area / aspect).sqrt(), (area * aspect).sqrt()].map(|side| side.min(LARGEST_SIDE));
        let play = if self.crop < 1.0 { LEAST_PLAY } else { 0.0 };
        let centre = sides.map(|side| between(-1.0, 1.0) * (1.0 - side).max(play));
        let (sine, cosine) = (between(-1.0, 1.0) * self.rotate).to_radians().sin_cos();
        let mirror = if self.mirror && between(0.0, 1.0) < 0.5 {
            -1.0
        } else {
            1.0
        };
        Frame {
            centre,
            down: [sides[0] * cosine, -sides[0] * sine],
            across: [sides[1] * sine * mirror, sides[1] * cosine * mirror],
        }
    }

    fn recolour(&self, values: &mut [f32], channels: usize, random: &mut Random) {
        let mut factor = |most: f32| 1.0 + (2.0 * random.unit() - 1.0) * most;
        let (brightness, contrast) = (factor(self.colour), factor(self.colour));
        let saturation = factor((self.colour * SATURATION).min(1.0));
        let plane = values.len() / channels;
        let mean = brightness * values.iter().sum::<f32>() / values.len() as f32;
        for value in values.iter_mut() {
            *value = (*value * brightness - mean) * contrast + mean;
        }
        if channels == 3 {
            let (red, rest) = values.split_at_mut(plane);
            let (green, blue) = rest.split_at_mut(plane);
            for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
                let gray = (*red + *green + *blue) / 3.0;
                for value in [red, green, blue] {
                    *value = (*value - gray) * saturation + gray;
                }
            }
        }
        for channel in values.chunks_exact_mut(plane) {
            let tint = factor(self.tint);
            for value in channel {
                *value = (*value * tint).clamp(0.0, 255.0);
            }
        }
    }

    fn erase(&self, values: &mut [f32], shape: Shape, random: &mut Random) {
        if random.unit() >= self.erase {
            return;
        }
        // Rectangles end on whole pixels; the sides are at most 4,096, which f32 represents exactly.
        let mut span = |side: usize| {
            let length = side as f32 * (ERASED[0] + (ERASED[1] - ERASED[0]) * random.unit());
            let first = (side as f32 - length) * random.unit();
            first.round() as usize..((first + length).round() as usize).min(side)
        };
        let (columns, rows) = (span(shape.width), span(shape.height));
        for channel in values.chunks_exact_mut(shape.height * shape.width) {
            let colour = 255.0 * random.unit();
            for row in rows.clone() {
                let row = row * shape.width;
                channel[row + columns.start..row + columns.end].fill(colour);
            }
        }
    }
}

/// The part of a picture that a view shows, `[down, across]` in a picture that spans -1 to 1: its centre, and the ways
/// from there to the middle of its lower and of its right edge.
#[derive(Debug, Clone, Copy)]
struct Frame {
    centre: [f32; 2],
    down: [f32; 2],
    across: [f32; 2],
}

/// Two neighbouring source pixels and the weight of the second one.
fn neighbours(place: f32, side: usize) -> (usize, usize, f32) {
    // The reflection repeats the outermost pixel; a side is at most 4,096, which f32 represents exactly.
    let length = side as f32;
    let within = (place + 0.5).rem_euclid(2.0 * length);
    let reflected = if within >= length {
        2.0 * length - within
    } else {
        within
    };
    let place = (reflected - 0.5).clamp(0.0, length - 1.0);
    let first = place as usize;
    (first, (first + 1).min(side - 1), place - first as f32)
}

/// The values of a view, channel by channel, each interpolated between four pixels.
fn sample(picture: &Picture, shape: Shape, frame: &Frame) -> Vec<f32> {
    let stored = picture.shape();
    let pixels = picture.as_slice();
    let (plane, out_plane) = (stored.height * stored.width, shape.height * shape.width);
    let mut values = vec![0.0; shape.channels * out_plane];
    let unit = |index: usize, side: usize| (2.0 * index as f32 + 1.0) / side as f32 - 1.0;
    let pixel = |place: f32, side: usize| ((place + 1.0) * side as f32 - 1.0) / 2.0;
    for row in 0..shape.height {
        let down = unit(row, shape.height);
        for column in 0..shape.width {
            let across = unit(column, shape.width);
            let place =
                |axis: usize| frame.centre[axis] + down * frame.down[axis] + across * frame.across[axis];
            let (top, bottom, lower) = neighbours(pixel(place(0), stored.height), stored.height);
            let (left, right, later) = neighbours(pixel(place(1), stored.width), stored.width);
            let at = row * shape.width + column;
            for channel in 0..shape.channels {
                let source = &pixels[channel * plane..(channel + 1) * plane];
                let between = |row: usize| {
                    let row = &source[row * stored.width..(row + 1) * stored.width];
                    let (left, right) = (f32::from(row[left]), f32::from(row[right]));
                    left + (right - left) * later
                };
                let (upper, under) = (between(top), between(bottom));
                values[channel * out_plane + at] = upper + (under - upper) * lower;
            }
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Augmentation = Augmentation {
        crop: 1.0,
        aspect: 1.0,
        rotate: 0.0,
        mirror: false,
        colour: 0.0,
        tint: 0.0,
        erase: 0.0,
    };

    fn photo(channels: usize, height: usize, width: usize) -> Picture {
        let shape = Shape {
            channels,
            height,
            width,
        };
        let mut random = Random::new(7);
        let pixels = (0..shape.len()).map(|_| (random.unit() * 256.0) as u8).collect();
        Picture::from_vec(shape, pixels).unwrap()
    }

    fn pixels(options: Augmentation, picture: &Picture, sides: [usize; 2], seed: u64) -> Vec<u8> {
        let view = options.view(picture, sides, &mut Random::new(seed));
        view.as_slice().to_vec()
    }

    #[test]
    fn without_any_change_a_view_is_the_picture() {
        let picture = photo(3, 9, 12);
        assert_eq!(pixels(NONE, &picture, [9, 12], 1), picture.as_slice());
    }

    #[test]
    fn a_view_of_half_the_size_averages_neighbours() {
        let shape = Shape {
            channels: 1,
            height: 2,
            width: 4,
        };
        let picture = Picture::from_vec(shape, vec![0, 20, 40, 60, 20, 40, 60, 100]).unwrap();
        assert_eq!(pixels(NONE, &picture, [1, 2], 1), [20, 65]);
    }

    #[test]
    fn mirroring_reverses_rows_about_half_of_the_time() {
        let picture = photo(3, 4, 5);
        let mirrored: Vec<u8> = picture
            .as_slice()
            .chunks_exact(5)
            .flat_map(|row| row.iter().rev().copied())
            .collect();
        let options = Augmentation { mirror: true, ..NONE };
        let mut count = 0;
        for seed in 0..200 {
            let view = pixels(options, &picture, [4, 5], seed);
            count += usize::from(view == mirrored);
            assert!(view == mirrored || view == picture.as_slice());
        }
        assert!((70..130).contains(&count), "{count}");
    }

    #[test]
    fn a_crop_shows_a_part_without_inventing_colours() {
        let (height, width) = (40, 40);
        let ramp = (0..height * width)
            .map(|place| (50 + place % width) as u8)
            .collect();
        let shape = Shape {
            channels: 1,
            height,
            width,
        };
        let picture = Picture::from_vec(shape, ramp).unwrap();
        let options = Augmentation { crop: 0.25, ..NONE };
        let mut narrowest = 255;
        for seed in 0..50 {
            let view = pixels(options, &picture, [20, 20], seed);
            let (least, most) = (view.iter().min().unwrap(), view.iter().max().unwrap());
            assert!(*least >= 50 && *most < 90);
            narrowest = narrowest.min(most - least);
        }
        // A quarter of the area is half of the width.
        assert!((17..24).contains(&narrowest), "{narrowest}");
    }

    #[test]
    fn colours_change_within_their_range_and_erasing_by_its_share() {
        let shape = Shape {
            channels: 3,
            height: 8,
            width: 8,
        };
        let gray = Picture::from_vec(shape, vec![100; shape.len()]).unwrap();
        let bright = Augmentation { colour: 0.3, ..NONE };
        for seed in 0..50 {
            let view = pixels(bright, &gray, [8, 8], seed);
            assert!(view.iter().all(|value| *value == view[0]));
            assert!((70..=130).contains(&view[0]));
        }
        let erased = Augmentation { erase: 0.35, ..NONE };
        let changed = (0..400).filter(|&seed| pixels(erased, &gray, [8, 8], seed) != gray.as_slice());
        let changed = changed.count();
        assert!((100..180).contains(&changed), "{changed}");
    }

    #[test]
    fn a_seed_gives_one_view_whatever_the_channels_and_the_picture_s_size() {
        for picture in [photo(1, 1, 60), photo(2, 33, 2), photo(3, 96, 96)] {
            let views = [3, 3, 4].map(|seed| pixels(Augmentation::default(), &picture, [16, 24], seed));
            assert_eq!(views[0], views[1]);
            assert_ne!(views[0], views[2]);
        }
    }

    #[test]
    fn options_out_of_range_are_refused() {
        let refusal = Augmentation { crop: 0.0, ..NONE }
            .check()
            .unwrap_err()
            .to_string();
        assert_eq!(
            refusal,
            "crop is 0; it must be above 0 and at most 1: a share of the picture's area"
        );
        for options in [
            Augmentation { aspect: 0.5, ..NONE },
            Augmentation {
                rotate: f32::NAN,
                ..NONE
            },
            Augmentation { colour: 1.0, ..NONE },
            Augmentation { tint: -0.1, ..NONE },
            Augmentation { erase: 1.5, ..NONE },
        ] {
            assert!(options.check().is_err(), "{options:?}");
        }
        assert!(Augmentation::default().check().is_ok() && Augmentation::mild().check().is_ok());
    }
}
