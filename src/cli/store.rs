//! Which catalogue a command works on: a data directory, or a database on the network.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};

use super::files;
use crate::catalogue::sqlite::{self, Sqlite};
use crate::catalogue::{Catalogue, Room, StoreAddress, StoreOptions, Survey};

/// A text that is shown nowhere: it may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes any text: clap shows what it refuses.
    ///
    /// # Errors
    /// Never.
    pub fn new(text: &str) -> Result<Self, std::convert::Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Secret")
    }
}

/// The options as clap reads them.
#[derive(Debug, Args)]
struct Given {
    /// The catalogue's directory
    #[arg(long, value_name = "DIR", env = "SPIKELENS_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// A PostgreSQL database in place of a directory: postgres://USER[:PASSWORD]@HOST[:PORT]/DATABASE[?sslmode=MODE]
    #[arg(long, value_name = "ADDRESS", env = "SPIKELENS_STORE", hide_env_values = true, value_parser = Secret::new)]
    store: Option<Secret>,
    /// A file that holds this address, such as a secret of the container's
    #[arg(long, value_name = "FILE", env = "SPIKELENS_STORE_FILE")]
    store_file: Option<PathBuf>,
}

/// What `--data-dir`, `--store` and `--store-file` say together.
///
/// An argument wins over a variable, and a variable over a default. Of two arguments none wins; of variables, those of a
/// store win over that of a data directory, which a container's image sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// Nothing is given, where the command permits that.
    None,
    DataDir(PathBuf),
    Store(Secret),
    StoreFile(PathBuf),
}

impl FromArgMatches for Chosen {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let Given {
            data_dir,
            store,
            store_file,
        } = Given::from_arg_matches(matches)?;
        let given = [
            ("data_dir", "--data-dir", data_dir.map(Self::DataDir)),
            ("store", "--store", store.map(Self::Store)),
            ("store_file", "--store-file", store_file.map(Self::StoreFile)),
        ];
        let rank = |id: &str| match matches.value_source(id) {
            Some(ValueSource::DefaultValue) => 1,
            Some(ValueSource::EnvVariable) if id == "data_dir" => 2,
            Some(ValueSource::EnvVariable) => 3,
            _ => 4,
        };
        let given = given.into_iter();
        let mut given: Vec<_> = given
            .filter_map(|(id, name, chosen)| Some((rank(id), name, chosen?)))
            .collect();
        given.sort_by_key(|(rank, ..)| *rank);
        let last = given.pop();
        if let (Some((rank, name, _)), Some((before, other, _))) = (&last, given.last())
            && rank == before
        {
            let message = format!("{other} and {name} name two catalogues; pass one of them\n");
            return Err(clap::Error::raw(ErrorKind::ArgumentConflict, message));
        }
        Ok(last.map_or(Self::None, |(_, _, chosen)| chosen))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for Chosen {
    fn augment_args(command: Command) -> Command {
        Given::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Given::augment_args_for_update(command)
    }
}

impl Chosen {
    /// The place that is chosen.
    ///
    /// # Errors
    /// If nothing is chosen, the address is not one, or its file cannot be read.
    pub fn place(&self) -> Result<Place> {
        match self {
            Self::None => bail!("no catalogue is named; pass --data-dir or --store"),
            Self::DataDir(folder) => Ok(Place::DataDir(folder.clone())),
            Self::Store(Secret(address)) => Ok(Place::Store(
                StoreAddress::parse(address).map_err(|error| anyhow::anyhow!("--store {error}"))?,
            )),
            Self::StoreFile(path) => Ok(Place::Store(address_in(path)?)),
        }
    }
}

/// The address that a file holds.
fn address_in(path: &Path) -> Result<StoreAddress> {
    let bytes = files::read(path)?;
    let text = std::str::from_utf8(&bytes).with_context(|| format!("{} is not text", path.display()))?;
    let address = StoreAddress::parse(text.trim());
    address.map_err(|error| anyhow::anyhow!("the address in {} {error}", path.display()))
}

/// Where a catalogue is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    DataDir(PathBuf),
    Store(StoreAddress),
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DataDir(folder) => folder.display().fmt(out),
            Self::Store(address) => address.fmt(out),
        }
    }
}

impl Place {
    /// The place that a data directory, an address or a file with an address names.
    ///
    /// # Errors
    /// If there is none, the address is not one, or its file cannot be read.
    pub fn named(option: &str, text: Option<&Secret>, file: Option<&Path>) -> Result<Self> {
        match (text, file) {
            (Some(Secret(text)), _) if StoreAddress::is_meant(text) => {
                let address = StoreAddress::parse(text);
                let address = address.map_err(|error| anyhow::anyhow!("{option} {error}"))?;
                Ok(Self::Store(address))
            }
            (Some(Secret(text)), _) => Ok(Self::DataDir(text.into())),
            (None, Some(path)) => Ok(Self::Store(address_in(path)?)),
            (None, None) => bail!("{option} is missing"),
        }
    }

    /// A name that says which catalogue it is, wherever the command runs on this machine.
    #[must_use]
    pub fn identity(&self) -> String {
        match self {
            // One that does not exist yet is no other one.
            Self::DataDir(folder) => std::fs::canonicalize(folder)
                .unwrap_or_else(|_| folder.clone())
                .display()
                .to_string(),
            Self::Store(address) => address.to_string(),
        }
    }

    /// Opens the catalogue; a data directory is created if it is missing.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub async fn open(&self, room: Room, options: StoreOptions) -> Result<Catalogue> {
        Ok(match self {
            Self::DataDir(folder) => Catalogue::open(folder, room)?,
            Self::Store(address) => Catalogue::connect(address, options).await?,
        })
    }

    /// Opens the catalogue for reading, even while servers run on it.
    ///
    /// # Errors
    /// If there is none, it is damaged or it cannot be read.
    pub fn survey(&self) -> Result<Survey> {
        match self {
            Self::DataDir(folder) => survey(folder).map(|survey| Survey::Sqlite(Box::new(survey))),
            Self::Store(address) => Ok(Survey::connect(address)?),
        }
    }
}

/// Opens a data directory for reading, even while a server runs on it.
///
/// # Errors
/// If it holds no catalogue, is damaged or cannot be read.
pub fn survey(data_dir: &Path) -> Result<sqlite::Survey> {
    let shown = data_dir.display();
    if !Sqlite::exists(data_dir) {
        bail!("{shown} contains no catalogue; create one with `spikelens import`");
    }
    sqlite::Survey::open(data_dir).map_err(|error| match error.is_damage() {
        true => anyhow::Error::new(error).context(format!("{shown} is damaged")),
        false => error.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(given: &[&str]) -> Result<Chosen, String> {
        let command = Chosen::augment_args(Command::new("test").no_binary_name(true));
        let command = command.mut_arg("data_dir", |option| option.default_value("data"));
        let matches = command
            .try_get_matches_from(given)
            .map_err(|error| error.to_string())?;
        Chosen::from_arg_matches(&matches).map_err(|error| error.to_string())
    }

    #[test]
    fn an_argument_wins_over_a_default_and_two_are_refused() {
        assert_eq!(chosen(&[]), Ok(Chosen::DataDir("data".into())));
        let store = "postgres://shop:s3cret@db/lens";
        let chose = chosen(&["--store", store]).unwrap();
        assert_eq!(chose.place().unwrap().to_string(), "postgres://shop@db/lens");
        assert!(!format!("{chose:?}").contains("s3cret"));
        assert_eq!(
            chosen(&["--data-dir", "shop"]),
            Ok(Chosen::DataDir("shop".into()))
        );
        let refusal = chosen(&["--data-dir", "data", "--store", store]).unwrap_err();
        assert!(
            refusal.contains("--data-dir and --store name two catalogues"),
            "{refusal}"
        );
        let refusal = chosen(&["--store-file", "address", "--store", store]).unwrap_err();
        assert!(refusal.contains("--store and --store-file name two"), "{refusal}");
    }

    #[test]
    fn an_address_is_read_from_a_file_and_a_wrong_one_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("address");
        std::fs::write(&file, "postgres://shop:s3cret@db/lens\n").unwrap();
        let place = Chosen::StoreFile(file.clone()).place().unwrap();
        assert_eq!(place.to_string(), "postgres://shop@db/lens");
        std::fs::write(&file, "s3cret").unwrap();
        let refusal = Chosen::StoreFile(file.clone()).place().unwrap_err().to_string();
        let expected = format!(
            "the address in {} does not begin with postgres://",
            file.display()
        );
        assert!(
            refusal.starts_with(&expected) && !refusal.contains("s3cret"),
            "{refusal}"
        );
    }
}
