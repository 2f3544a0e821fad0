//! The networks inside the program, and how one is asked for: by name, or by the path of a file.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::network::hex;

/// A network inside the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuiltIn {
    /// Colour photos of anything: what a new catalogue takes.
    Photos,
    /// Colour photos of clothes.
    Clothing,
    /// Gray pictures of 28 x 28 pixels, as in Fashion-MNIST.
    FashionMnist,
    /// The best network of the paper, on the same pictures.
    Paper,
}

impl BuiltIn {
    /// Every one of them.
    pub const ALL: [Self; 4] = [Self::Photos, Self::Clothing, Self::FashionMnist, Self::Paper];

    /// The name it is asked for by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Photos => "photos",
            Self::Clothing => "clothing",
            Self::FashionMnist => "fashion-mnist",
            Self::Paper => "paper-32-64-10",
        }
    }

    /// The bytes of its SNN file.
    #[must_use]
    pub const fn file(self) -> &'static [u8] {
        match self {
            Self::Photos => include_bytes!("../../../../models/photos.snn.safetensors"),
            Self::Clothing => include_bytes!("../../../../models/clothing.snn.safetensors"),
            Self::FashionMnist => include_bytes!("../../../../models/fashion-mnist.snn.safetensors"),
            Self::Paper => include_bytes!("../../../../models/paper-32-64-10.snn.safetensors"),
        }
    }

    /// The SHA-256 of its file, in hexadecimal.
    #[must_use]
    pub fn id(self) -> String {
        hex(&Sha256::digest(self.file()))
    }

    /// Whether it was made for colour photos, whatever a shop sells: a network of the shop's own finds more.
    #[must_use]
    pub const fn is_for_photos(self) -> bool {
        matches!(self, Self::Photos | Self::Clothing)
    }

    /// The network with that name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|network| network.name() == name)
    }

    /// The network with that id.
    #[must_use]
    pub fn of_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|network| network.id() == id)
    }

    /// All names, separated by commas.
    #[must_use]
    pub fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

impl fmt::Display for BuiltIn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A network as it is asked for.
///
/// The name of a built-in one always means that one, in any directory; a file of the same name is `./photos`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    BuiltIn(BuiltIn),
    File(PathBuf),
}

impl Asked {
    /// Whether this is one word, without a directory or an ending, and so may be meant as a name.
    #[must_use]
    pub fn is_word(&self) -> bool {
        match self {
            Self::BuiltIn(_) => true,
            Self::File(path) => {
                path.extension().is_none() && path.parent().is_none_or(|folder| folder == Path::new(""))
            }
        }
    }

    /// Why a word that is not a file's path cannot be found, and what could be asked for.
    #[must_use]
    pub fn refusal(&self) -> String {
        let names = BuiltIn::names();
        format!("\"{self}\" is neither a file nor the name of a built-in network: {names}")
    }
}

impl From<OsString> for Asked {
    fn from(text: OsString) -> Self {
        match text.to_str().and_then(BuiltIn::of_name) {
            Some(network) => Self::BuiltIn(network),
            None => Self::File(text.into()),
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn(network) => network.fmt(formatter),
            Self::File(path) => path.display().fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chip::cost::CostModel;
    use crate::model::Model;

    #[test]
    fn every_built_in_network_is_read_and_found_by_its_name_and_id() {
        for network in BuiltIn::ALL {
            let model = Model::read(network.file(), CostModel::Loihi1Paper).unwrap();
            assert_eq!(model.id, network.id());
            assert_eq!(BuiltIn::of_name(network.name()), Some(network));
            let found = Model::of_id(&model.id, None, CostModel::Loihi1Paper).unwrap();
            assert_eq!(found.id, model.id);
            let colour = model.snn.network.input.channels == 3;
            assert_eq!(colour, network.is_for_photos(), "{network}");
        }
        assert!(Model::of_id("00", None, CostModel::Loihi1Paper).is_none());
    }

    #[test]
    fn a_name_is_a_network_and_anything_with_a_directory_or_an_ending_is_a_file() {
        let asked = |text: &str| Asked::from(OsString::from(text));
        assert_eq!(asked("photos"), Asked::BuiltIn(BuiltIn::Photos));
        assert_eq!(asked("paper-32-64-10"), Asked::BuiltIn(BuiltIn::Paper));
        for path in ["./photos", "photos.safetensors", "models/photos", "/photos"] {
            assert_eq!(asked(path), Asked::File(path.into()));
            assert!(!asked(path).is_word(), "{path}");
        }
        for word in ["Photos", "foto", ""] {
            assert_eq!(asked(word), Asked::File(word.into()));
            assert!(asked(word).is_word(), "{word}");
        }
    }
}
