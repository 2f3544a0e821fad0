//! Shared by several modules: the reference bundle, the data set, random networks.

pub mod postgres;
pub mod proxy;

use std::path::{Path, PathBuf};

use engine::network::snn::Snn;
use engine::network::tensors::read_snn;
use engine::picture::Picture;
use flate2::read::GzDecoder;
use ndarray::Array3;
use std::io::Read;

/// A file of the reference bundle.
pub fn golden(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/paper-32-64-10")
        .join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The shipped network.
pub fn shipped() -> Snn {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/models/fashion-mnist.snn.safetensors"
    );
    read_snn(&std::fs::read(path).expect("the shipped model")).expect("a model")
}

/// The directory of Fashion-MNIST, from `SPIKELENS_DATASET`, which `make test` sets.
pub fn dataset() -> PathBuf {
    PathBuf::from(std::env::var_os("SPIKELENS_DATASET").expect(
        "SPIKELENS_DATASET must name the folder with Fashion-MNIST; run `make test`, which fetches it",
    ))
}

/// The first `count` pictures of a split, `train` or `t10k`.
pub fn pictures(split: &str, count: usize) -> Vec<Picture> {
    let path = dataset().join(format!("{split}-images-idx3-ubyte.gz"));
    let file = std::fs::File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut bytes = vec![0; 16 + count * 28 * 28];
    GzDecoder::new(file).read_exact(&mut bytes).expect("an idx file");
    bytes[16..]
        .chunks_exact(28 * 28)
        .map(|pixels| Picture::new(Array3::from_shape_vec((1, 28, 28), pixels.to_vec()).unwrap()).unwrap())
        .collect()
}
