//! The products of an index with their attributes and pictures.
//!
//! [`Products`] follows every write. A [`Listing`] is what it was at one moment: taking one is cheap, and a long look at it
//! holds no lock.

use super::chunks::Chunks;
use super::keys::ProductKey;
use super::terms::{Term, Terms};
use crate::catalogue::attributes::Attributes;

/// A product: where it is in stored order, what it has.
#[derive(Debug, Clone)]
pub struct Listed {
    pub key: ProductKey,
    /// The places of its pictures.
    pub pictures: Box<[u32]>,
    /// `None` once it is deleted.
    terms: Option<Box<[u32]>>,
}

impl Listed {
    /// The numbers of its attributes; `None` once it is deleted.
    pub fn terms(&self) -> Option<&[u32]> {
        self.terms.as_deref()
    }
}

/// All products in stored order; deleted ones keep their place until the index is rebuilt.
#[derive(Debug, Default)]
pub struct Products {
    listed: Chunks<Listed>,
    terms: Terms,
    live: usize,
}

/// The products as of one moment.
#[derive(Debug, Clone)]
pub struct Listing {
    listed: Chunks<Listed>,
    terms: Chunks<Term>,
}

impl Products {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.live
    }

    /// What takes memory, and how many bytes.
    pub fn memory(&self) -> [(&'static str, usize); 2] {
        let owned = |listed: &Listed| {
            let terms = listed.terms.as_deref().unwrap_or_default();
            size_of_val(&*listed.pictures) + size_of_val(terms)
        };
        let owned: usize = self.listed.iter().map(owned).sum();
        [
            (
                "products, with lists of pictures and terms",
                self.listed.bytes() + owned,
            ),
            ("terms of attributes", self.terms.bytes()),
        ]
    }

    /// The products as they are now.
    pub fn listing(&self) -> Listing {
        Listing {
            listed: self.listed.clone(),
            terms: self.terms.copy(),
        }
    }

    /// The product at a place.
    pub fn at(&self, place: usize) -> Option<&Listed> {
        self.listed.get(place).filter(|listed| listed.terms.is_some())
    }

    /// The place of a product.
    pub fn place(&self, key: ProductKey) -> Option<usize> {
        let place = self.listed.partition_point(|listed| listed.key < key);
        self.at(place).filter(|listed| listed.key == key).map(|_| place)
    }

    /// Adds a product or changes the attributes of one; returns its place. Keys of new products are above all others.
    pub fn put(&mut self, key: ProductKey, attributes: &Attributes) -> usize {
        let terms = self.terms.enter(attributes);
        match self.place(key) {
            Some(place) => {
                if let Some(listed) = self.listed.get_mut(place)
                    && let Some(before) = listed.terms.replace(terms)
                {
                    self.terms.leave(&before);
                }
                place
            }
            None => {
                let last = self
                    .listed
                    .len()
                    .checked_sub(1)
                    .and_then(|last| self.listed.get(last));
                debug_assert!(last.is_none_or(|last| last.key < key), "keys rise");
                self.live += 1;
                self.listed.push(Listed {
                    key,
                    pictures: Box::default(),
                    terms: Some(terms),
                });
                self.listed.len() - 1
            }
        }
    }

    /// Sets the pictures of the product at a place; returns those that it had.
    pub fn set_pictures(&mut self, place: usize, pictures: Vec<u32>) -> Box<[u32]> {
        let listed = self.listed.get_mut(place);
        listed.map_or_else(Box::default, |listed| {
            std::mem::replace(&mut listed.pictures, pictures.into())
        })
    }

    /// Deletes a product; returns its pictures.
    pub fn remove(&mut self, key: ProductKey) -> Box<[u32]> {
        let place = self.place(key);
        let Some(listed) = place.and_then(|place| self.listed.get_mut(place)) else {
            return Box::default();
        };
        if let Some(terms) = listed.terms.take() {
            self.live -= 1;
            self.terms.leave(&terms);
        }
        std::mem::take(&mut listed.pictures)
    }

    /// The same products with the pictures that `pictures_of` says for each place, without places of deleted ones.
    pub fn renumbered(&self, mut pictures_of: impl FnMut(usize, &Listed) -> Vec<u32>) -> Self {
        let mut listed = Chunks::default();
        for before in self.listed.iter().filter(|listed| listed.terms.is_some()) {
            let pictures = pictures_of(listed.len(), before).into();
            listed.push(Listed {
                pictures,
                ..before.clone()
            });
        }
        Self {
            listed,
            terms: self.terms.clone(),
            live: self.live,
        }
    }
}

impl Listing {
    /// The product at a place.
    pub fn at(&self, place: usize) -> Option<&Listed> {
        self.listed.get(place)
    }

    /// The number of places.
    pub fn places(&self) -> usize {
        self.listed.len()
    }

    /// The first place whose product's key is not below this one.
    pub fn place_of(&self, key: ProductKey) -> usize {
        self.listed.partition_point(|listed| listed.key < key)
    }

    /// The products from a place on, in pieces.
    pub fn pieces(&self, first: usize) -> impl Iterator<Item = &[Listed]> {
        self.listed.pieces(first)
    }

    /// The attributes of the products, by number.
    pub fn terms(&self) -> &Chunks<Term> {
        &self.terms
    }
}
