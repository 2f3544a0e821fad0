//! A catalogue's products and pictures, as `lab::adapt` takes them; read in batches, decoded once and kept small.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use lab::adapt::learn::{InUse, Kept};
use lab::adapt::task::{Product, Task};
use lab::training::stored;

use super::label::label;
use crate::catalogue::sqlite::Survey;
use crate::catalogue::{Attributes, CatalogueError, StoredPicture};
use crate::chips::STORED;
use crate::cli::{files, progress};
use engine::chip::cost::CostModel;
use engine::model::Model;
use engine::parallel::in_parallel;
use engine::picture::{PictureError, Recipe, Shape, decode, prepare};

/// Pictures that cannot be read are named up to this number.
const NAMED: usize = 20;
/// Different values of an attribute that are counted.
const VALUES: usize = 10_000;

/// The products of a catalogue, in stored order.
#[derive(Debug)]
pub struct Shelf {
    pub products: Vec<Product>,
    /// Attributes of which at least two values label two products each.
    pub attributes: Vec<String>,
}

/// The network in use.
///
/// # Errors
/// If the catalogue is empty, or its network is not available.
pub fn in_use(survey: &Survey) -> Result<InUse> {
    let origin = survey.origin()?;
    let origin = origin.context("the catalogue is empty; fill it with `spikelens import`")?;
    let kept = survey.model(&origin.model_id)?;
    let model = Model::of_id(&origin.model_id, kept.as_deref(), CostModel::Loihi1Paper);
    let model = model.context(
        "the catalogue does not contain the network in use, with which a new one is compared; `spikelens serve --model` \
         with its file stores it",
    )?;
    Ok(InUse {
        ann: lab::ann::built_in::of_id(&model.id),
        model,
        probe: origin.probe,
        time_steps: origin.time_steps,
    })
}

/// Reads the products, labelled by an attribute.
///
/// # Errors
/// If the catalogue cannot be read.
pub fn shelf(survey: &Survey, attribute: Option<&str>) -> Result<Shelf> {
    let mut products = Vec::new();
    let mut values: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    survey.each_product(|id, attributes: Attributes, pictures| {
        for (name, value) in attributes.as_map() {
            let counts = values.entry(name.clone()).or_default();
            if let Some(text) = label(value)
                && (counts.len() < VALUES || counts.contains_key(&text))
            {
                *counts.entry(text).or_default() += 1;
            }
        }
        products.push(Product {
            id,
            label: attribute
                .and_then(|name| attributes.as_map().get(name))
                .and_then(label),
            pictures,
        });
    })?;
    let labels = |counts: &BTreeMap<String, usize>| counts.values().filter(|count| **count > 1).count() > 1;
    let attributes = values.into_iter().filter(|(_, counts)| labels(counts));
    Ok(Shelf {
        products,
        attributes: attributes.map(|(name, _)| name).collect(),
    })
}

/// Reads the pictures of the products that the task reads. Those that cannot be decoded are named and left out.
///
/// # Errors
/// If the catalogue cannot be read, or none of its pictures can be decoded.
pub fn pictures(survey: &Survey, task: &Task, in_use: &InUse, side: usize) -> Result<Vec<Kept>> {
    let places: BTreeMap<&str, usize> = task
        .products
        .iter()
        .map(|product| product.id.as_str())
        .zip(0..)
        .collect();
    let input = Shape {
        channels: 3,
        height: side,
        width: side,
    };
    let (larger, recipe) = stored(input, Recipe::Stretched);
    let own = &in_use.model.snn.network;
    let own = Some((own.input, own.recipe)).filter(|own| *own != (input, recipe));
    let keep = |picture: &StoredPicture, product: usize, number: usize| -> Result<Kept, PictureError> {
        let decoded = decode(&picture.bytes, &STORED)?;
        let prepared = |shape, recipe| prepare(&decoded, shape, recipe, picture.prepare);
        Ok(Kept {
            product,
            number,
            larger: match task.held_out[product] {
                true => None,
                false => Some(prepared(larger, recipe)?),
            },
            new: prepared(input, recipe)?,
            in_use: own.map(|(shape, recipe)| prepared(shape, recipe)).transpose()?,
        })
    };
    let all: usize = task.products.iter().map(|product| product.pictures).sum();
    let bar = progress::bar("reading pictures", all);
    let (mut kept, mut unread) = (Vec::new(), 0);
    let mut number = 0;
    survey.each_batch(|batch| {
        let found = in_parallel(
            files::threads(),
            batch.len(),
            || (),
            |(), index| {
                let picture = &batch[index];
                let product = places.get(picture.product.as_str()).copied();
                let product = product.filter(|&product| task.read[product])?;
                Some(keep(picture, product, number + index))
            },
        );
        number += batch.len();
        bar.inc(progress::steps(batch.len()));
        for (picture, found) in batch.iter().zip(found) {
            match found {
                None => {}
                Some(Ok(picture)) => kept.push(picture),
                Some(Err(error)) => {
                    unread += 1;
                    if unread <= NAMED {
                        bar.suspend(|| eprintln!("a picture of product {:?}: {error}", picture.product));
                    }
                }
            }
        }
        Ok::<_, CatalogueError>(())
    })?;
    bar.finish_and_clear();
    if unread > 0 {
        eprintln!("{unread} pictures that cannot be read are left out");
    }
    if kept.is_empty() {
        bail!("none of the catalogue's {all} pictures can be read");
    }
    Ok(kept)
}
