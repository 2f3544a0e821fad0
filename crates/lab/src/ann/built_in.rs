//! The float networks inside the program, from which the built-in spiking ones were converted.

use super::Ann;
use super::file::read_ann;
use engine::model::built_in::BuiltIn;

/// The bytes of an ANN file.
#[must_use]
pub const fn file(network: BuiltIn) -> &'static [u8] {
    match network {
        BuiltIn::Photos => include_bytes!("../../../../models/photos.ann.safetensors"),
        BuiltIn::Clothing => include_bytes!("../../../../models/clothing.ann.safetensors"),
        BuiltIn::FashionMnist => include_bytes!("../../../../models/fashion-mnist.ann.safetensors"),
        BuiltIn::Paper => include_bytes!("../../../../models/paper-32-64-10.ann.safetensors"),
    }
}

/// The float network that the built-in spiking network of this id was converted from; none for another one.
#[must_use]
pub fn of_id(id: &str) -> Option<Ann> {
    read_ann(file(BuiltIn::of_id(id)?)).ok()
}
