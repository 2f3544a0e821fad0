//! The pictures of an evaluation, prepared for each network's input.

use anyhow::{Result, bail};

use super::asked::{By, Groups};
use super::options::Evaluation;
use super::protocol::{Protocol, QueriesFrom};
use crate::dataset::{LeftOut, Listing, Part, Wanted, is_fashion_mnist, read};
use engine::network::Network;
use engine::picture::{Recipe, Shape};

/// Queries of Fashion-MNIST, if the options say nothing else: as in the paper.
const QUERIES: usize = 1000;
/// Searched pictures of Fashion-MNIST, if the options say nothing else.
const CORPUS: usize = 20_000;

/// Fashion-MNIST's own pictures, which every network of this input takes as they are.
const FASHION_MNIST: (Shape, Recipe) = (
    Shape {
        channels: 1,
        height: 28,
        width: 28,
    },
    Recipe::FashionMnist,
);

/// The pictures of a data set, prepared for each of the inputs that are asked for.
#[derive(Debug)]
pub struct Reading {
    /// `None`: Fashion-MNIST.
    listing: Option<Listing>,
    prepared: Vec<((Shape, Recipe), Protocol)>,
    left_out: LeftOut,
}

impl Reading {
    /// Reads the data set for every network.
    ///
    /// # Errors
    /// If the data set cannot be read, or has no queries.
    pub fn read<'a>(options: &Evaluation, networks: impl Iterator<Item = &'a Network>) -> Result<Self> {
        let fashion_mnist = is_fashion_mnist(&options.dataset);
        let mut reading = Self {
            listing: match fashion_mnist {
                true => None,
                false => Some(Listing::open(&options.dataset)?),
            },
            prepared: Vec::new(),
            left_out: LeftOut::default(),
        };
        for network in networks {
            let key = reading.key(network);
            if reading.prepared.iter().any(|(other, _)| *other == key) {
                continue;
            }
            let protocol = match &reading.listing {
                None => fashion(options, key)?,
                Some(listing) => {
                    let (protocol, left_out) = photos(options, listing, key)?;
                    if reading.prepared.is_empty() {
                        left_out.tell();
                    }
                    reading.left_out = left_out;
                    protocol
                }
            };
            reading.prepared.push((key, protocol));
        }
        Ok(reading)
    }

    fn key(&self, network: &Network) -> (Shape, Recipe) {
        match network.input == FASHION_MNIST.0 && self.listing.is_none() {
            true => FASHION_MNIST,
            false => (network.input, network.recipe),
        }
    }

    /// The pictures for a network.
    ///
    /// # Panics
    /// If the network was not among those that were read for.
    #[must_use]
    pub fn of(&self, network: &Network) -> &Protocol {
        let key = self.key(network);
        let found = self.prepared.iter().find(|(other, _)| *other == key);
        &found.expect("pictures are read for every network").1
    }

    /// Numbers of queries and searched pictures.
    #[must_use]
    pub fn size(&self) -> [usize; 2] {
        self.prepared.first().map_or([0, 0], |(_, first)| first.size())
    }

    /// The data set and its pictures, unless it is Fashion-MNIST.
    #[must_use]
    pub fn into_own(self) -> Option<super::measured::Own> {
        let (_, first) = self.prepared.into_iter().next()?;
        Some(super::measured::Own {
            listing: self.listing?,
            photos: first.into_photos()?,
            left_out: self.left_out,
        })
    }
}

fn fashion(options: &Evaluation, key: (Shape, Recipe)) -> Result<Protocol> {
    if options.by == By::Group || !options.trained_on.is_empty() {
        bail!("--by group and --trained-on need a data set with groups; Fashion-MNIST has none");
    }
    let protocol = Protocol::read(
        &options.dataset,
        options.queries_from.unwrap_or(QueriesFrom::Test),
        options.queries.unwrap_or(QUERIES),
        options.corpus.unwrap_or(CORPUS),
    )?;
    protocol.prepared(key.0, key.1)
}

fn photos(options: &Evaluation, listing: &Listing, key: (Shape, Recipe)) -> Result<(Protocol, LeftOut)> {
    let name = &listing.name;
    let [validation, test] = match options.queries_from {
        None => [Part::Validation, Part::Test].map(|part| listing.count(part)),
        Some(QueriesFrom::Validation) => [listing.count(Part::Validation), 0],
        Some(QueriesFrom::Test) => [0, listing.count(Part::Test)],
    };
    let all = validation + test;
    let by_label = options.by == By::Label;
    if by_label {
        listing.check_classes()?;
    }
    if all == 0 {
        let from = options
            .queries_from
            .map_or("validation or test", QueriesFrom::as_str);
        bail!(
            "{name} has no {from} pictures among its {}, so there is nothing to search with",
            listing.entries.len()
        );
    }
    let queries = options.queries.unwrap_or(all).min(all);
    // As many of each split as its share.
    let of_validation = queries * validation / all;
    let parts = [
        (Part::Train, options.corpus),
        (Part::Validation, Some(of_validation)),
        (Part::Test, Some(queries - of_validation)),
    ];
    let dataset = read(
        listing,
        &Wanted {
            input: key.0,
            recipe: key.1,
            parts: &parts,
            labelled: by_label,
        },
    )?;
    let left_out = dataset.left_out.clone();
    let groups = Groups::of(listing, &options.trained_on)?;
    let protocol = Protocol::of(dataset, options.by, &groups);
    if protocol.size()[0] == 0 {
        left_out.tell();
        if !by_label {
            bail!(
                "--by group: no validation or test picture of {name} has another picture in its group; a group is a \
                 product in the column group of a manifest, and a sender in a photos.csv"
            );
        }
        bail!(
            "{name}: no validation or test picture can be read that is of a class of the training pictures"
        );
    }
    Ok((protocol, left_out))
}
