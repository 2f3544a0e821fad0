//! What frames, bars, badges and watermarks cost a search: renders pictures of Fashion-MNIST as photos of 600 x 600
//! pixels on white, marks them, and counts how many find a product of their class first.
//!
//! ```sh
//! cargo run --release -p spikelens-lab --example marked_photos -- dataset/fashion-mnist
//! ```
//!
//! Further arguments: the number of queries (1,000), the number of products (3,000), and `train` for queries from the end
//! of the training pictures, to choose by, instead of the test pictures.

use std::error::Error;
use std::path::Path;

use engine::chip::cost::CostModel;
use engine::embedding::Embedding;
use engine::emulator::Emulator;
use engine::model::Model;
use engine::picture::idx::Split;
use engine::picture::{DecodeLimits, Mode, Picture, decode, prepare};
use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage, imageops};

const NETWORK: &str = "models/fashion-mnist.snn.safetensors";

/// A photo's side, and that of the product's picture in it.
const SIDE: u32 = 600;
const PRODUCT: u32 = 420;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments
        .next()
        .ok_or("usage: marked_photos FASHION_MNIST [QUERIES] [PRODUCTS] [test | train]")?;
    let queries: usize = arguments.next().map_or(Ok(1_000), |word| word.parse())?;
    let products: usize = arguments.next().map_or(Ok(3_000), |word| word.parse())?;
    let from_training = arguments.next().is_some_and(|word| word == "train");

    let read = |split, count| lab::dataset::fashion_mnist(Path::new(&folder), split, count);
    let corpus = read(Split::Train, Some(products))?;
    let asked = if from_training {
        let mut all = read(Split::Train, None)?;
        let first = all.0.len() - queries;
        (all.0.split_off(first), all.1.split_off(first))
    } else {
        read(Split::Test, Some(queries))?
    };

    let model = Model::read(&std::fs::read(NETWORK)?, CostModel::Loihi1Paper)?;
    let mut search = Search {
        emulator: Emulator::new(model.snn.clone(), &model.placement.tilings()),
        model,
        products: Vec::new(),
    };
    for (picture, label) in corpus.0.iter().zip(&corpus.1) {
        let embedding = search.embed(picture)?;
        search.products.push((embedding, *label));
    }

    println!("{:<34} right first   share of pixels that differ", "photo");
    let mut plain = Vec::new();
    for (name, mark) in marks() {
        let (mut right, mut differing, mut pixels) = (0_usize, 0_usize, 0_usize);
        for (index, (picture, label)) in asked.0.iter().zip(&asked.1).enumerate() {
            let photo = jpeg(&mark(photo(picture)))?;
            let decoded = decode(&photo, &DecodeLimits::default())?;
            let network = &search.model.snn.network;
            let prepared = prepare(&decoded, network.input, network.recipe, Mode::Auto)?;
            if plain.len() <= index {
                plain.push(prepared.clone());
            }
            let differ = |(one, other): (&u8, &u8)| usize::from(one.abs_diff(*other) > 25);
            differing += prepared
                .as_slice()
                .iter()
                .zip(plain[index].as_slice())
                .map(differ)
                .sum::<usize>();
            pixels += prepared.as_slice().len();
            right += usize::from(search.first(&prepared)? == Some(*label));
        }
        println!(
            "{name:<34} {:>8.1} %   {:>8.1} %",
            share(right, asked.1.len()),
            share(differing, pixels)
        );
    }
    Ok(())
}

fn share(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole as f64
}

struct Search {
    model: Model,
    emulator: Emulator,
    /// Embeddings of unit length, with their class.
    products: Vec<(Vec<f32>, u8)>,
}

impl Search {
    fn embed(&mut self, picture: &Picture) -> Result<Vec<f32>, Box<dyn Error>> {
        let network = &self.model.snn.network;
        let steps = network.time_steps();
        let outcome = self.emulator.run(picture, steps)?;
        let values = Embedding::read(&self.model.snn, outcome, network.probe(), steps)?.values;
        let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
        let length = values
            .iter()
            .map(|value| value * value)
            .sum::<f32>()
            .sqrt()
            .max(f32::MIN_POSITIVE);
        Ok(values.into_iter().map(|value| value / length).collect())
    }

    /// The class of the product that looks most alike; none for an empty embedding.
    fn first(&mut self, picture: &Picture) -> Result<Option<u8>, Box<dyn Error>> {
        let query = self.embed(picture)?;
        let cosine = |other: &[f32]| query.iter().zip(other).map(|(a, b)| a * b).sum::<f32>();
        let best = self
            .products
            .iter()
            .map(|(embedding, label)| (cosine(embedding), *label))
            .max_by(|one, other| one.0.total_cmp(&other.0));
        Ok(best.filter(|(score, _)| *score > 0.0).map(|(_, label)| label))
    }
}

type Mark = Box<dyn Fn(RgbImage) -> RgbImage>;

fn marks() -> Vec<(String, Mark)> {
    let mut marks: Vec<(String, Mark)> = Vec::new();
    let mut add = |name: String, mark: Mark| marks.push((name, mark));
    add("plain".into(), Box::new(|photo| photo));
    for thickness in [1, 4, 20] {
        for gray in [0, 96, 192, 230] {
            add(
                format!("frame of {thickness} px, gray {gray}"),
                Box::new(move |photo| framed(&photo, [thickness; 4], gray)),
            );
        }
    }
    for gray in [0, 96, 192, 230] {
        add(
            format!("bars above and below, gray {gray}"),
            Box::new(move |photo| barred(&photo, [0, 0, 100, 100], gray)),
        );
        add(
            format!("bars at both sides, gray {gray}"),
            Box::new(move |photo| barred(&photo, [150, 150, 0, 0], gray)),
        );
    }
    for (edge, name) in ["left", "right", "upper", "lower"].into_iter().enumerate() {
        add(
            format!("dark {name} edge of 15 px"),
            Box::new(move |photo| {
                let mut thickness = [0; 4];
                thickness[edge] = 15;
                framed(&photo, thickness, 40)
            }),
        );
    }
    add("dark left edge, soft, 50 px".into(), Box::new(soft_edge));
    add("line of 3 px, 12 px inside".into(), Box::new(inner_line));
    add(
        "watermark across".into(),
        Box::new(|photo| written(photo, &[(300.0, 300.0)], 14.0, 0.35)),
    );
    add(
        "watermark, tiled".into(),
        Box::new(|photo| {
            let places = [0.0, 200.0, 400.0, 600.0];
            let tiles: Vec<(f32, f32)> = places.iter().flat_map(|&x| places.map(|y| (x, y))).collect();
            written(photo, &tiles, 5.0, 0.3)
        }),
    );
    add(
        "badge, a red disc".into(),
        Box::new(|photo| badge(photo, 70.0, 70.0, 55.0)),
    );
    add(
        "badge, lower right".into(),
        Box::new(|photo| badge(photo, 520.0, 520.0, 60.0)),
    );
    add("badge, a ribbon".into(), Box::new(ribbon));
    marks
}

/// A photo of the product: dark on white, in three channels.
fn photo(picture: &Picture) -> RgbImage {
    let shape = picture.shape();
    let (width, height) = (shape.width as u32, shape.height as u32);
    let negative = RgbImage::from_fn(width, height, |x, y| {
        Rgb([255 - picture.as_slice()[(y * width + x) as usize]; 3])
    });
    let large = imageops::resize(&negative, PRODUCT, PRODUCT, imageops::FilterType::Triangle);
    let mut photo = RgbImage::from_pixel(SIDE, SIDE, Rgb([255; 3]));
    let margin = i64::from((SIDE - PRODUCT) / 2);
    imageops::replace(&mut photo, &large, margin, margin);
    photo
}

fn jpeg(photo: &RgbImage) -> Result<Vec<u8>, image::ImageError> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, 85).encode_image(photo)?;
    Ok(bytes)
}

/// Paints over the outermost pixels: left, right, upper and lower edge.
fn framed(photo: &RgbImage, [left, right, upper, lower]: [u32; 4], gray: u8) -> RgbImage {
    let (width, height) = photo.dimensions();
    RgbImage::from_fn(width, height, |x, y| {
        let inside = x >= left && x < width - right && y >= upper && y < height - lower;
        if inside {
            *photo.get_pixel(x, y)
        } else {
            Rgb([gray; 3])
        }
    })
}

/// Adds bars around the photo: left, right, above and below.
fn barred(photo: &RgbImage, [left, right, upper, lower]: [u32; 4], gray: u8) -> RgbImage {
    let (width, height) = photo.dimensions();
    let mut whole = RgbImage::from_pixel(width + left + right, height + upper + lower, Rgb([gray; 3]));
    imageops::replace(&mut whole, photo, i64::from(left), i64::from(upper));
    whole
}

fn soft_edge(photo: RgbImage) -> RgbImage {
    RgbImage::from_fn(SIDE, SIDE, |x, y| {
        let light = (x as f32 / 50.0).min(1.0);
        photo
            .get_pixel(x, y)
            .0
            .map(|value| (f32::from(value) * light) as u8)
            .into()
    })
}

fn inner_line(photo: RgbImage) -> RgbImage {
    RgbImage::from_fn(SIDE, SIDE, |x, y| {
        let near = [x, y, SIDE - 1 - x, SIDE - 1 - y].into_iter().min().unwrap_or(0);
        if (12..15).contains(&near) {
            Rgb([40; 3])
        } else {
            *photo.get_pixel(x, y)
        }
    })
}

/// Mixes one colour into the pixels that `inside` chooses.
fn mixed(photo: RgbImage, colour: [u8; 3], strength: f32, inside: impl Fn(f32, f32) -> bool) -> RgbImage {
    let (width, height) = photo.dimensions();
    RgbImage::from_fn(width, height, |x, y| {
        let pixel = *photo.get_pixel(x, y);
        if !inside(x as f32, y as f32) {
            return pixel;
        }
        let mix = |channel: usize| {
            let value = f32::from(pixel.0[channel]);
            (value + (f32::from(colour[channel]) - value) * strength) as u8
        };
        Rgb([mix(0), mix(1), mix(2)])
    })
}

/// The word SAMPLE in gray, rising at 30 degrees, centred at each of `places`; a dot of its letters is `dot` pixels.
fn written(photo: RgbImage, places: &[(f32, f32)], dot: f32, strength: f32) -> RgbImage {
    const LETTERS: [[u8; 7]; 6] = [
        [0b01110, 0b10001, 0b10000, 0b01110, 0b00001, 0b10001, 0b01110],
        [0b01110, 0b10001, 0b10001, 0b11111, 0b10001, 0b10001, 0b10001],
        [0b10001, 0b11011, 0b10101, 0b10101, 0b10001, 0b10001, 0b10001],
        [0b11110, 0b10001, 0b10001, 0b11110, 0b10000, 0b10000, 0b10000],
        [0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b11111],
        [0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b11111],
    ];
    let (sine, cosine) = 30.0_f32.to_radians().sin_cos();
    mixed(photo, [128; 3], strength, |x, y| {
        places.iter().any(|&(middle_x, middle_y)| {
            let (x, y) = (x - middle_x, y - middle_y);
            let column = ((x * cosine - y * sine) / dot + 18.0).floor();
            let row = ((x * sine + y * cosine) / dot + 3.5).floor();
            if !(0.0..36.0).contains(&column) || !(0.0..7.0).contains(&row) {
                return false;
            }
            let (letter, column) = (column as usize / 6, column as usize % 6);
            column < 5 && LETTERS[letter][row as usize] >> (4 - column) & 1 == 1
        })
    })
}

fn badge(photo: RgbImage, middle_x: f32, middle_y: f32, radius: f32) -> RgbImage {
    let disc = mixed(photo, [210, 25, 40], 1.0, |x, y| {
        (x - middle_x).hypot(y - middle_y) < radius
    });
    mixed(disc, [255; 3], 1.0, |x, y| {
        (x - middle_x).abs() < radius * 0.6 && (y - middle_y).abs() < radius * 0.15
    })
}

/// A ribbon across the upper right corner.
fn ribbon(photo: RgbImage) -> RgbImage {
    mixed(photo, [20, 90, 40], 1.0, |x, y| {
        let from_corner = (600.0 - x) + y;
        (100.0..150.0).contains(&from_corner)
    })
}
