mod marked;

use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage};
use proptest::prelude::*;

use super::*;
use crate::picture::{DecodeLimits, decode};

const FASHION: Shape = Shape {
    channels: 1,
    height: 28,
    width: 28,
};

fn decoded(image: impl Into<DynamicImage>) -> Decoded {
    let mut png = std::io::Cursor::new(Vec::new());
    image.into().write_to(&mut png, ImageFormat::Png).unwrap();
    decode(&png.into_inner(), &DecodeLimits::default()).unwrap()
}

fn auto(image: &Decoded) -> Picture {
    prepare(image, FASHION, Recipe::FashionMnist, Mode::Auto).unwrap()
}

fn row(picture: &Picture, y: usize) -> &[u8] {
    &picture.as_slice()[y * 28..][..28]
}

/// A dark block on a sheet, in a picture of 400 x 300 pixels.
fn block(sheet: impl Fn(u32, u32) -> u8, columns: Range<u32>, rows: Range<u32>) -> Decoded {
    decoded(GrayImage::from_fn(400, 300, |x, y| {
        let inside = columns.contains(&x) && rows.contains(&y);
        Luma([if inside { 55 } else { sheet(x, y) }])
    }))
}

#[test]
fn a_gray_picture_of_the_right_size_is_taken_as_it_is() {
    let source = GrayImage::from_fn(28, 28, |x, y| Luma([u8::try_from(x * 8 + y).unwrap()]));
    let image = decoded(source.clone());
    for recipe in [Recipe::FashionMnist, Recipe::Plain] {
        for mode in [Mode::Auto, Mode::AsIs] {
            let picture = prepare(&image, FASHION, recipe, mode).unwrap();
            assert_eq!(picture.as_slice(), source.as_raw().as_slice());
        }
    }
    // Three channels of the same size go through the recipe.
    let colour = decoded(DynamicImage::ImageRgb8(
        DynamicImage::ImageLuma8(source.clone()).to_rgb8(),
    ));
    assert_ne!(auto(&colour).as_slice(), source.as_raw().as_slice());
}

#[test]
fn a_block_on_white_fills_the_longest_edge_and_is_bright_on_black() {
    // 140 columns of 280 rows at scale 10: 14 of 28 columns, in the middle.
    let picture = auto(&block(|_, _| 255, 31..171, 11..291));
    for y in 0..28 {
        let row = row(&picture, y);
        assert_eq!(&row[..6], [0; 6], "row {y}");
        assert_eq!(&row[22..], [0; 6], "row {y}");
        assert!(row[9..19].iter().all(|&v| v == 200), "row {y}: {row:?}");
    }
}

#[test]
fn an_odd_remainder_goes_to_the_left_as_in_the_data_set() {
    // 15.4 columns: a soft edge on both sides is taken off, and 13 columns are left over.
    let picture = auto(&block(|_, _| 255, 31..187, 11..291));
    let row = row(&picture, 14);
    let left = row.iter().position(|&v| v > 100).unwrap();
    let right = 27 - row.iter().rposition(|&v| v > 100).unwrap();
    assert_eq!((left, right), (7, 6), "{row:?}");
}

#[test]
fn sheets_that_are_off_white_shaded_or_dusty_are_trimmed_too() {
    let white = auto(&block(|_, _| 255, 31..171, 11..291));
    let off = auto(&block(|_, _| 235, 31..171, 11..291));
    let shade = |x, y| u8::try_from(250 - (x + y) / 20).unwrap();
    let shaded = auto(&block(shade, 31..171, 11..291));
    let dusty = auto(&block(
        |x, y| if (x, y) == (300, 100) { 0 } else { 255 },
        31..171,
        11..291,
    ));
    for (name, other) in [("off-white", off), ("shaded", shaded), ("dusty", dusty)] {
        let differences = white.as_slice().iter().zip(other.as_slice());
        let largest = differences.map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(largest <= 12, "{name}: {largest}");
    }
}

#[test]
fn a_dark_backdrop_is_not_negated() {
    let picture = auto(&decoded(GrayImage::from_fn(100, 100, |x, _| {
        Luma([if (40..60).contains(&x) { 180 } else { 0 }])
    })));
    assert_eq!(row(&picture, 14)[14], 180);
    assert_eq!(row(&picture, 14)[2], 0);
}

#[test]
fn colours_as_bright_as_the_sheet_are_not_trimmed() {
    // Yellow is nearly as light as white, and far from it in blue.
    let yellow = RgbImage::from_fn(300, 300, |x, y| {
        let inside = (100..200).contains(&x) && (50..250).contains(&y);
        if inside { Rgb([255, 255, 0]) } else { Rgb([255; 3]) }
    });
    let picture = auto(&decoded(yellow));
    assert!(row(&picture, 0)[14] > 0 && row(&picture, 27)[14] > 0);
}

#[test]
fn a_picture_of_backdrop_alone_is_black() {
    for gray in [0, 90, 128, 200, 255] {
        let picture = auto(&decoded(GrayImage::from_pixel(90, 70, Luma([gray]))));
        assert_eq!(picture.as_slice(), [0; 784]);
    }
}

#[test]
fn plain_fits_the_whole_picture_onto_white() {
    let input = Shape {
        channels: 3,
        height: 64,
        width: 64,
    };
    let wide = decoded(RgbImage::from_pixel(200, 100, Rgb([10, 20, 30])));
    let picture = prepare(&wide, input, Recipe::Plain, Mode::Auto).unwrap();
    assert_eq!(picture.shape(), input);
    for (channel, value) in [10, 20, 30].into_iter().enumerate() {
        let pixels = picture.pixels();
        assert_eq!(pixels[[channel, 15, 5]], 255);
        assert_eq!(pixels[[channel, 16, 0]], value);
        assert_eq!(pixels[[channel, 47, 63]], value);
        assert_eq!(pixels[[channel, 48, 5]], 255);
    }
    let gray = prepare(&wide, FASHION, Recipe::Plain, Mode::Auto).unwrap();
    // 0.2126 x 10 + 0.7152 x 20 + 0.0722 x 30 = 18.6
    assert_eq!((gray.as_slice()[0], gray.as_slice()[14 * 28]), (255, 19));
}

#[test]
fn as_is_resizes_alone() {
    let halves = decoded(GrayImage::from_fn(560, 56, |x, _| {
        Luma([if x < 280 { 40 } else { 240 }])
    }));
    let picture = prepare(&halves, FASHION, Recipe::FashionMnist, Mode::AsIs).unwrap();
    for y in 0..28 {
        assert_eq!(row(&picture, y)[..14], [40; 14]);
        assert_eq!(row(&picture, y)[14..], [240; 14]);
    }
    let two = decoded(GrayImage::from_fn(2, 1, |x, _| {
        Luma([if x == 0 { 0 } else { 200 }])
    }));
    let input = Shape {
        channels: 3,
        height: 1,
        width: 4,
    };
    let larger = prepare(&two, input, Recipe::Plain, Mode::AsIs).unwrap();
    assert_eq!(larger.as_slice(), [[0, 50, 150, 200]; 3].concat());
}

#[test]
fn stretching_a_picture_is_as_is_of_its_file() {
    let photo = decoded(RgbImage::from_fn(50, 20, |x, y| {
        Rgb([x * 5, y * 12, (x * y) % 256].map(|value| u8::try_from(value).unwrap()))
    }));
    let shape = |height, width| Shape {
        channels: 3,
        height,
        width,
    };
    let as_is = |input| prepare(&photo, input, Recipe::Plain, Mode::AsIs).unwrap();
    let whole = as_is(shape(20, 50));
    assert_eq!(stretch(&whole, 20, 50).unwrap(), whole);
    for (height, width) in [(16, 16), (64, 64)] {
        assert_eq!(
            stretch(&whole, height, width).unwrap(),
            as_is(shape(height, width))
        );
    }
    assert!(stretch(&whole, 0, 16).is_err());
}

#[test]
fn inputs_that_no_photo_fits_are_refused() {
    let image = decoded(GrayImage::new(3, 3));
    for (channels, height, width) in [(2, 28, 28), (1, 0, 28), (3, 28, 4_097)] {
        let input = Shape {
            channels,
            height,
            width,
        };
        let error = prepare(&image, input, Recipe::Plain, Mode::Auto).unwrap_err();
        assert!(matches!(error, PictureError::InputNotPreparable { input: i, .. } if i == input));
    }
}

#[test]
fn names_are_read_and_written() {
    for recipe in [Recipe::FashionMnist, Recipe::Plain] {
        assert_eq!(recipe.as_str().parse::<Recipe>().unwrap(), recipe);
    }
    for mode in [Mode::Auto, Mode::AsIs] {
        assert_eq!(mode.as_str().parse::<Mode>().unwrap(), mode);
    }
    assert_eq!(
        "asis".parse::<Mode>().unwrap_err().to_string(),
        "unknown value \"asis\"; `prepare` must be `auto` or `as_is`"
    );
    assert!("Plain".parse::<Recipe>().is_err());
    assert_eq!(Recipe::default_for(FASHION.channels), Recipe::FashionMnist);
    let colour = Shape {
        channels: 3,
        ..FASHION
    };
    assert_eq!(Recipe::default_for(colour.channels), Recipe::Plain);
}

#[test]
fn sharpening_leaves_flat_areas_and_steepens_steps() {
    let samples: Vec<u64> = [100, 100, 100, 200, 200, 200].repeat(3);
    let samples: Vec<u64> = samples.iter().map(|v| v * SAMPLE_ONE).collect();
    // The weights beside the middle add up to (60,653 + 2 x 36,788) / 589,764 = 0.2276.
    assert_eq!(sharpen(&samples, 6)[6..12], [100, 100, 77, 223, 200, 200]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_picture_fits_any_input(
        width in 1..70_u32, height in 1..70_u32, colour: bool, seed: u32,
        channels in prop::sample::select(vec![1_usize, 3]), tall in 1..40_usize, wide in 1..40_usize,
    ) {
        let noise = |x: u32, y: u32| {
            let mixed = (x ^ seed).wrapping_mul(2_654_435_761).wrapping_add(y.wrapping_mul(seed | 1));
            u8::try_from(mixed >> 24).unwrap()
        };
        let image = if colour {
            decoded(RgbImage::from_fn(width, height, |x, y| Rgb([noise(x, y), noise(y, x), 3])))
        } else {
            decoded(GrayImage::from_fn(width, height, |x, y| Luma([noise(x, y)])))
        };
        let input = Shape { channels, height: tall, width: wide };
        for recipe in [Recipe::FashionMnist, Recipe::Plain] {
            for mode in [Mode::Auto, Mode::AsIs] {
                let picture = prepare(&image, input, recipe, mode).unwrap();
                prop_assert_eq!(picture.shape(), input);
            }
        }
    }
}
