//! Prepares photos for a network. In: a decoded picture. Out: a [`Picture`] of the network's shape.
//!
//! All arithmetic is in integers, so that equal photos give equal pictures on every machine.

mod backdrop;
mod colour;
mod frame;
mod marks;
mod part;
mod resample;

#[cfg(test)]
mod tests;

use std::ops::Range;
use std::str::FromStr;

use super::decode::Decoded;
use super::error::PictureError;
use super::pixels::Picture;
use super::shape::Shape;
use backdrop::Backdrop;
use marks::Marks;
use part::Part;
use resample::{ONE, Resampled, SAMPLE_ONE, Window, resample};

/// The largest width and height, in pixels, of a network's input: far above what fits on the chip, and small enough
/// that products of lengths fit 64 bits.
pub const MAX_INPUT_SIDE: usize = 4_096;

/// A recipe of preparation: the value of `network.input.prepare` in a model file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Recipe {
    /// As Fashion-MNIST was made (Xiao et al. 2017, section 2): trimmed, shrunk, sharpened,
    /// centred, bright on black, gray.
    FashionMnist,
    /// Fitted whole onto a white canvas, in gray or in colour.
    Plain,
    /// Stretched whole to the input's width and height, in gray or in colour: no part of the input is margin.
    Stretched,
}

impl Recipe {
    /// The recipe of a network whose model file names none, from the channels of its input.
    #[must_use]
    pub fn default_for(channels: usize) -> Self {
        if channels == 1 {
            Self::FashionMnist
        } else {
            Self::Plain
        }
    }

    /// The name in a model file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FashionMnist => "fashion-mnist",
            Self::Plain => "plain",
            Self::Stretched => "stretched",
        }
    }
}

impl FromStr for Recipe {
    type Err = PictureError;

    fn from_str(name: &str) -> Result<Self, PictureError> {
        match name {
            "fashion-mnist" => Ok(Self::FashionMnist),
            "plain" => Ok(Self::Plain),
            "stretched" => Ok(Self::Stretched),
            _ => Err(PictureError::UnknownRecipe { name: name.into() }),
        }
    }
}

/// The option `prepare` of a request: with or without the model's recipe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// By the model's recipe.
    #[default]
    Auto,
    /// Without a recipe: only converted to gray (or RGB for three channels) and resized.
    AsIs,
}

impl Mode {
    /// The name in a request.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::AsIs => "as_is",
        }
    }
}

impl FromStr for Mode {
    type Err = PictureError;

    fn from_str(name: &str) -> Result<Self, PictureError> {
        match name {
            "auto" => Ok(Self::Auto),
            "as_is" => Ok(Self::AsIs),
            _ => Err(PictureError::UnknownMode { name: name.into() }),
        }
    }
}

/// Prepares a photo for a network's input; the picture has the shape `input`.
///
/// For a one-channel network, a gray picture of its width and height is used as it is, with any recipe and mode.
/// [`Recipe::FashionMnist`] gives a network of three channels the same gray three times.
///
/// # Errors
/// [`PictureError::InputNotPreparable`] if `input` has other than 1 or 3 channels or a side
/// that is not 1 to [`MAX_INPUT_SIDE`].
pub fn prepare(image: &Decoded, input: Shape, recipe: Recipe, mode: Mode) -> Result<Picture, PictureError> {
    let canvas = Canvas::of(input)?;
    if let Some(pixels) = image.gray()
        && input.channels == 1
        && (image.width(), image.height()) == (canvas.width, canvas.height)
    {
        return Picture::from_vec(input, pixels.to_vec());
    }
    match (mode, recipe) {
        (Mode::AsIs, _) | (Mode::Auto, Recipe::Stretched) => {
            let whole = resize(image, canvas.width, canvas.height);
            let interleaved = in_channels(&whole, image.channels(), input.channels);
            canvas.picture(&interleaved)
        }
        (Mode::Auto, Recipe::Plain) => plain(image, &canvas),
        (Mode::Auto, Recipe::FashionMnist) => {
            let gray = fashion_mnist(image, &canvas);
            canvas.picture(&in_channels(&gray, 1, input.channels))
        }
    }
}

/// A picture at another size, stretched to it, in its own channels: what [`prepare`] gives with [`Mode::AsIs`] for a
/// picture file of these pixels.
///
/// # Errors
/// [`PictureError::InputNotPreparable`] if a side is not 1 to [`MAX_INPUT_SIDE`].
pub fn stretch(picture: &Picture, height: usize, width: usize) -> Result<Picture, PictureError> {
    let stored = picture.shape();
    let canvas = Canvas::of_any_channels(Shape {
        channels: stored.channels,
        height,
        width,
    })?;
    let (Ok(across), Ok(down)) = (u32::try_from(stored.width), u32::try_from(stored.height)) else {
        return Err(PictureError::InputNotPreparable {
            input: stored,
            limit_side: MAX_INPUT_SIDE,
        });
    };
    let (plane, pixels) = (stored.height * stored.width, picture.as_slice());
    let samples = (0..plane)
        .flat_map(|place| (0..stored.channels).map(move |channel| pixels[channel * plane + place]))
        .collect();
    let image = Decoded::from_samples(across, down, stored.channels, samples);
    canvas.picture(&resize(&image, canvas.width, canvas.height))
}

/// The network's input, with checked sides.
struct Canvas {
    input: Shape,
    width: u32,
    height: u32,
}

impl Canvas {
    fn of(input: Shape) -> Result<Self, PictureError> {
        if matches!(input.channels, 1 | 3) {
            Self::of_any_channels(input)
        } else {
            Err(PictureError::InputNotPreparable {
                input,
                limit_side: MAX_INPUT_SIDE,
            })
        }
    }

    fn of_any_channels(input: Shape) -> Result<Self, PictureError> {
        let sides = 1..=MAX_INPUT_SIDE;
        match (u32::try_from(input.width), u32::try_from(input.height)) {
            (Ok(width), Ok(height)) if sides.contains(&input.width) && sides.contains(&input.height) => {
                Ok(Self { input, width, height })
            }
            _ => Err(PictureError::InputNotPreparable {
                input,
                limit_side: MAX_INPUT_SIDE,
            }),
        }
    }

    /// Separates interleaved samples into channels.
    fn picture(&self, interleaved: &[u8]) -> Result<Picture, PictureError> {
        let channels = self.input.channels;
        let pixels = (0..channels)
            .flat_map(|channel| interleaved.iter().skip(channel).step_by(channels).copied())
            .collect();
        Picture::from_vec(self.input, pixels)
    }
}

/// The whole picture at another size, in its own channels.
fn resize(image: &Decoded, width: u32, height: u32) -> Vec<u8> {
    let (columns, rows) = (0..image.width(), 0..image.height());
    let windows = (Window::over(&columns, width), Window::over(&rows, height));
    let Resampled { samples, .. } = resample(image, (&columns, &rows), windows);
    let nearest = |sample: u64| (sample + SAMPLE_ONE / 2) / SAMPLE_ONE;
    samples.into_iter().map(|s| to_u8(nearest(s))).collect()
}

/// Turns pixels of `from` channels (1 or 3) into pixels of `to` channels (1 or 3).
fn in_channels(pixels: &[u8], from: usize, to: usize) -> Vec<u8> {
    match (from, to) {
        (1, 3) => pixels.iter().flat_map(|&gray| [gray; 3]).collect(),
        (3, 1) => pixels
            .chunks_exact(3)
            .map(|rgb| to_u8(gray([0, 1, 2].map(|c| u64::from(rgb[c])))))
            .collect(),
        _ => pixels.to_vec(),
    }
}

/// Gray of red, green and blue in the same unit (ITU-R BT.709, luma), as `ImageMagick` computes gray.
fn gray([red, green, blue]: [u64; 3]) -> u64 {
    (red * 2_126 + green * 7_152 + blue * 722 + 5_000) / 10_000
}

fn to_u8(sample: u64) -> u8 {
    u8::try_from(sample).unwrap_or(u8::MAX)
}

/// Fits the whole picture onto a white canvas.
fn plain(image: &Decoded, canvas: &Canvas) -> Result<Picture, PictureError> {
    let (width, height) = (u64::from(image.width()), u64::from(image.height()));
    let (across, down) = (u64::from(canvas.width), u64::from(canvas.height));
    // The nearest whole number of pixels, one at least, and never more than the canvas has.
    let fit = |side: u64, other: u64, canvas: u64| {
        let nearest = (2 * side * canvas + other) / (2 * other);
        u32::try_from(nearest.max(1)).unwrap_or(u32::MAX)
    };
    let (fitted_width, fitted_height) = if width * down >= height * across {
        (canvas.width, fit(height, width, across).min(canvas.height))
    } else {
        (fit(width, height, down).min(canvas.width), canvas.height)
    };

    let channels = canvas.input.channels;
    let fitted = resize(image, fitted_width, fitted_height);
    let fitted = in_channels(&fitted, image.channels(), channels);
    let at = |pixels: u32| usize::try_from(pixels).unwrap_or(usize::MAX);
    let left = at((canvas.width - fitted_width) / 2) * channels;
    let top = at((canvas.height - fitted_height) / 2);
    let row_length = canvas.input.width * channels;
    let fitted_length = at(fitted_width) * channels;
    let mut pixels = vec![255; row_length * canvas.input.height];
    let rows = pixels.chunks_exact_mut(row_length).skip(top);
    for (row, source) in rows.zip(fitted.chunks_exact(fitted_length)) {
        row[left..left + fitted_length].copy_from_slice(source);
    }
    canvas.picture(&pixels)
}

/// The recipe of Fashion-MNIST, as one gray channel; all zeros if nothing is left by trimming. Frames, bars and marks are
/// left out.
fn fashion_mnist(image: &Decoded, canvas: &Canvas) -> Vec<u8> {
    let part = frame::inside(image);
    let backdrop = Backdrop::of(image, &part);
    let (product, marks) = Marks::beside_product(image, &part, &backdrop);
    let Some(product) = product else {
        return vec![0; canvas.input.width * canvas.input.height];
    };
    // The longest edge fills the canvas: this is the length of one output pixel in the source.
    let per_pixel =
        |length: u32, pixels: u32| (i64::from(length) * ONE + i64::from(pixels) - 1) / i64::from(pixels);
    let pixel = per_pixel(product.width(), canvas.width).max(per_pixel(product.height(), canvas.height));
    let across = centred(&product.columns, canvas.width, pixel);
    let down = centred(&product.rows, canvas.height, pixel);

    let mut resampled = resample(image, (&product.columns, &product.rows), (across, down));
    if !marks.are_none() {
        let visible = marks.visible(&part, (across, down));
        for (coverage, visible) in resampled.coverage.iter_mut().zip(visible) {
            *coverage = *coverage * visible / SAMPLE_ONE;
        }
    }
    let bright = bright_on_black(image, &backdrop, &part, &resampled, (across, down));
    sharpen(&bright, canvas.input.width)
}

/// Centres the source under `pixels` output pixels of length `pixel`.
///
/// Fashion-MNIST's products are a whole number of pixels wide; where an odd number is left over, the left margin is
/// the wider one (of 2,000 of its test pictures, 971 differ by one that way and 3 the other). A photo is not a whole
/// number of pixels wide, so the shift by half a pixel is gradual, and trimming one more column does not move the
/// product suddenly.
fn centred(source: &Range<u32>, pixels: u32, pixel: i64) -> Window {
    // A soft edge reaches the 5 % of trimming about a third of a pixel outside of the original edge. Measured for both
    // edges together: 0.6.
    let soft_edges = pixel * 6 / 10;

    let length = pixel * i64::from(pixels);
    let (start, end) = (i64::from(source.start) * ONE, i64::from(source.end) * ONE);
    let free = (length - (end - start)).max(0);
    let left_over = (free + soft_edges).rem_euclid(2 * pixel);
    let shift = ((pixel - (left_over - pixel).abs()) / 2).min(free / 2);
    Window {
        start: (start + end - length) / 2 - shift,
        length,
        pixels,
    }
}

/// Gray with the backdrop at 0 and the product above: negated where the backdrop is light.
///
/// The backdrop's gray becomes exactly 0, as in the data set, even if the sheet is not quite white, and full contrast
/// stays 255. On white this is negation.
fn bright_on_black(
    image: &Decoded,
    backdrop: &Backdrop,
    part: &Part,
    resampled: &Resampled,
    (across, down): (Window, Window),
) -> Vec<u64> {
    const WHITE: u64 = 255 * SAMPLE_ONE;
    let to_gray = |pixel: &[u64]| match *pixel {
        [red, green, blue] => gray([red, green, blue]),
        [one, ..] => one,
        [] => 0,
    };
    // The centre of an output pixel, as a fraction of the part's side.
    let place = |window: Window, index: u32, side: &Range<u32>| {
        let pixels = 2 * i64::from(window.pixels);
        let middle = window.start + window.length * (2 * i64::from(index) + 1) / pixels;
        let length = u64::from(side.end - side.start);
        let inside = middle / ONE - i64::from(side.start);
        (u64::try_from(inside).unwrap_or(0).min(length), length)
    };
    let places = (0..down.pixels).flat_map(|y| (0..across.pixels).map(move |x| (x, y)));
    resampled
        .samples
        .chunks_exact(image.channels())
        .zip(&resampled.coverage)
        .zip(places)
        .map(|((pixel, coverage), (x, y))| {
            let behind = backdrop.at(place(across, x, &part.columns), place(down, y, &part.rows));
            let behind = to_gray(&behind[..image.channels()]) * SAMPLE_ONE;
            let value = to_gray(pixel);
            let (above, range) = if 2 * behind >= WHITE {
                (behind.saturating_sub(value), behind)
            } else {
                (value.saturating_sub(behind), WHITE - behind)
            };
            above * WHITE / range * coverage / SAMPLE_ONE
        })
        .collect()
}

/// Sharpens "using a Gaussian operator of the radius and standard deviation of 1.0" (Xiao et al. 2017, section 2):
/// `ImageMagick`'s `-sharpen 1x1`, whose 3 x 3 weights are minus the Gaussian, except for twice the Gaussian's sum at
/// the centre, all divided by their sum.
fn sharpen(samples: &[u64], width: usize) -> Vec<u8> {
    // exp(-1/2), exp(-1) and exp(0) in 100,000ths.
    const BESIDE: i64 = 60_653;
    const DIAGONAL: i64 = 36_788;
    const GAUSSIAN: i64 = 4 * (BESIDE + DIAGONAL) + 100_000;
    const MIDDLE: i64 = 2 * GAUSSIAN;
    const SUM: i64 = MIDDLE - 4 * (BESIDE + DIAGONAL);

    let height = samples.len() / width;
    let at = |x: usize, y: usize| i64::try_from(samples[y * width + x]).unwrap_or(i64::MAX);
    let scale = i64::try_from(SAMPLE_ONE).unwrap_or(i64::MAX) * SUM;
    let mut sharpened = Vec::with_capacity(samples.len());
    for y in 0..height {
        for x in 0..width {
            // Outside of the canvas, its outermost pixels are repeated.
            let (left, right) = (x.saturating_sub(1), (x + 1).min(width - 1));
            let (above, below) = (y.saturating_sub(1), (y + 1).min(height - 1));
            let beside = at(left, y) + at(right, y) + at(x, above) + at(x, below);
            let diagonal = at(left, above) + at(right, above) + at(left, below) + at(right, below);
            let sum = MIDDLE * at(x, y) - BESIDE * beside - DIAGONAL * diagonal;
            let nearest = (sum.max(0) + scale / 2) / scale;
            sharpened.push(u8::try_from(nearest).unwrap_or(u8::MAX));
        }
    }
    sharpened
}
