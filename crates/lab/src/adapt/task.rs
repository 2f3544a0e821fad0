//! What is learned from a catalogue and judged by, decided before a picture is decoded.

use anyhow::{Result, bail};

use super::labels::Labels;
use super::split::{LEAST, held_out, place};
use super::verdict::By;

/// A product of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    pub id: String,
    /// The value of the attribute that labels it.
    pub label: Option<String>,
    pub pictures: usize,
}

/// What a catalogue offers.
#[derive(Debug, Clone)]
pub struct Offer<'a> {
    /// In stored order.
    pub products: Vec<Product>,
    /// The attribute of the labels.
    pub attribute: Option<&'a str>,
    /// Attributes that products have, for refusals.
    pub present: &'a [String],
    /// Whether there is a teacher.
    pub taught: bool,
    /// Whether a network is wanted that nothing can be judged by.
    pub force: bool,
}

/// Which products are learned from, and how the network is judged.
#[derive(Debug)]
pub struct Task {
    pub products: Vec<Product>,
    pub labels: Labels,
    /// Of each product.
    pub held_out: Vec<bool>,
    /// Products whose pictures are read; the others do not fit into the memory that is used.
    pub read: Vec<bool>,
    /// How it is judged, the first judgement being the one that decides.
    pub by: Vec<By>,
    /// Whether a teacher is followed.
    pub taught: bool,
}

/// The most pictures that are kept in memory, of about 50 kilobytes.
pub const MOST_PICTURES: usize = 16_384;

impl Task {
    /// Divides a catalogue's products.
    ///
    /// # Errors
    /// If the attribute makes no classes, there are too few products to hold some out, or nothing says which products are
    /// alike.
    pub fn of(offer: Offer<'_>) -> Result<Self> {
        let Offer {
            products,
            attribute,
            present,
            taught,
            force,
        } = offer;
        let values: Vec<Option<String>> = products.iter().map(|product| product.label.clone()).collect();
        let labels = match attribute {
            Some(attribute) => Labels::of(attribute, &values, present)?,
            None => Labels::none(products.len()),
        };
        let several: Vec<bool> = products.iter().map(|product| product.pictures > 1).collect();
        let enough = |of: &[bool], least: usize| of.iter().filter(|has| **has).count() >= least;
        let (judges, what, mut by) = if attribute.is_some() {
            let labelled = labels.of.iter().map(Option::is_some).collect();
            (labelled, "have a label that others have, too", vec![By::Label])
        } else if enough(&several, 3 * LEAST) {
            (several.clone(), "have several pictures", vec![By::Product])
        } else if taught {
            (
                vec![true; products.len()],
                "can be judged by a teacher",
                vec![By::Teacher],
            )
        } else if force {
            (Vec::new(), "", Vec::new())
        } else {
            bail!(
                "nothing in this catalogue says which of its {} products are alike: {} have several pictures (at least {} \
                 are needed), and there are neither labels nor a teacher, so no verdict on a new network could be \
                 trusted; name an attribute with --label{}, or a teacher with --teacher; --force trains on views of \
                 single pictures all the same and writes the network unjudged",
                products.len(),
                several.iter().filter(|several| **several).count(),
                3 * LEAST,
                match present {
                    [] => String::new(),
                    present => format!(" ({})", present.join(", ")),
                },
            );
        };
        let ids: Vec<&str> = products.iter().map(|product| product.id.as_str()).collect();
        let held_out = match by.is_empty() {
            true => vec![false; products.len()],
            false => held_out(&ids, &judges, what)?,
        };
        let both: Vec<bool> = held_out
            .iter()
            .zip(&several)
            .map(|(out, several)| *out && *several)
            .collect();
        if by == [By::Label] && enough(&both, LEAST) {
            by.push(By::Product);
        }
        let mut task = Self {
            read: vec![false; products.len()],
            products,
            labels,
            held_out,
            by,
            taught,
        };
        task.choose();
        Ok(task)
    }

    /// Chooses the products that are read: those held out first, then the others by their ids.
    fn choose(&mut self) {
        let mut order: Vec<usize> = (0..self.products.len()).collect();
        order.sort_by_cached_key(|&product| (!self.held_out[product], place(&self.products[product].id)));
        let mut pictures = 0;
        for product in order {
            pictures += self.products[product].pictures;
            self.read[product] = pictures <= MOST_PICTURES;
        }
    }

    /// The pictures that are read.
    #[must_use]
    pub fn pictures(&self) -> usize {
        let read = self.products.iter().zip(&self.read).filter(|(_, read)| **read);
        read.map(|(product, _)| product.pictures).sum()
    }

    /// Whether any products that are learned from have several pictures.
    #[must_use]
    pub fn grouped(&self) -> bool {
        let learned = self.products.iter().zip(&self.held_out);
        learned
            .filter(|(_, out)| !**out)
            .any(|(product, _)| product.pictures > 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn products(
        count: usize,
        pictures: usize,
        label: impl Fn(usize) -> Option<&'static str>,
    ) -> Vec<Product> {
        let product = |number: usize| Product {
            id: format!("product-{number}"),
            label: label(number).map(str::to_owned),
            pictures,
        };
        (0..count).map(product).collect()
    }

    fn offer(products: Vec<Product>, attribute: Option<&'static str>) -> Offer<'static> {
        Offer {
            products,
            attribute,
            present: &[],
            taught: false,
            force: false,
        }
    }

    fn kind(number: usize) -> Option<&'static str> {
        Some(if number.is_multiple_of(2) { "shoe" } else { "bag" })
    }

    #[test]
    fn what_is_judged_by_follows_from_what_there_is() {
        let by = |offer| Task::of(offer).unwrap().by;
        assert_eq!(by(offer(products(100, 1, kind), Some("kind"))), [By::Label]);
        assert_eq!(
            by(offer(products(100, 2, kind), Some("kind"))),
            [By::Label, By::Product]
        );
        assert_eq!(by(offer(products(100, 2, |_| None), None)), [By::Product]);
        let single = || offer(products(100, 1, |_| None), None);
        assert_eq!(
            by(Offer {
                taught: true,
                ..single()
            }),
            [By::Teacher]
        );
        assert!(
            by(Offer {
                force: true,
                ..single()
            })
            .is_empty()
        );
    }

    #[test]
    fn a_catalogue_that_says_nothing_is_refused_with_what_would_do() {
        let present = ["brand".to_owned(), "kind".to_owned()];
        let single = Offer {
            present: &present,
            ..offer(products(100, 1, |_| None), None)
        };
        let refusal = Task::of(single).unwrap_err().to_string();
        assert!(
            refusal.contains("which of its 100 products are alike: 0 have several pictures"),
            "{refusal}"
        );
        assert!(
            refusal.contains("--label (brand, kind), or a teacher with --teacher"),
            "{refusal}"
        );
    }

    #[test]
    fn of_a_large_catalogue_all_that_is_held_out_is_read() {
        let task = Task::of(offer(products(40_000, 1, kind), Some("kind"))).unwrap();
        assert_eq!(task.pictures(), MOST_PICTURES);
        let unread = task
            .held_out
            .iter()
            .zip(&task.read)
            .filter(|(out, read)| **out && !**read);
        assert_eq!(unread.count(), 0);
    }
}
