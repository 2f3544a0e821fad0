//! Which products of a listing pass a filter.
//!
//! Each condition has a bit. A product's attributes and key set and clear bits, and the filter's shape says which of them must
//! be set. What an attribute does to the bits is found once, however many products have it.

use std::collections::HashMap;

use super::keys::ProductKey;
use super::listing::{Listed, Listing};
use crate::catalogue::error::CatalogueError;
use crate::catalogue::filter::{Condition, Filter, Ids, Part};

/// A filter with the keys of the products that it names. They are looked up once the listing is taken: then no product of
/// the listing is missing that is still there.
#[derive(Debug)]
pub struct Keyed<'a> {
    filter: &'a Filter,
    keys: HashMap<&'a str, ProductKey>,
}

impl<'a> Keyed<'a> {
    /// Looks the products up that a filter names.
    pub fn new(
        filter: &'a Filter,
        key: impl Fn(&str) -> Result<Option<ProductKey>, CatalogueError>,
    ) -> Result<Self, CatalogueError> {
        let mut keys = HashMap::new();
        for id in filter.ids() {
            if let Some(key) = key(id)? {
                keys.insert(id, key);
            }
        }
        Ok(Self { filter, keys })
    }

    /// The keys of all products that can pass, in stored order, where the filter names them.
    pub fn only(&self) -> Option<Vec<ProductKey>> {
        let ids = self.filter.only()?;
        Some(self.keys_of(ids))
    }

    /// The keys of the products among `ids` that are there, in order.
    fn keys_of(&self, ids: &[String]) -> Vec<ProductKey> {
        let keys = ids.iter().filter_map(|id| self.keys.get(id.as_str()).copied());
        let mut keys: Vec<ProductKey> = keys.collect();
        keys.sort_unstable();
        keys
    }
}

/// What must be set for a filter to hold.
#[derive(Debug, Default)]
struct Shape {
    /// All of these bits.
    bits: u64,
    /// Of each list one.
    any: Vec<Vec<Shape>>,
}

impl Shape {
    fn holds(&self, held: u64) -> bool {
        let one_of = |shapes: &Vec<Self>| shapes.iter().any(|shape| shape.holds(held));
        held & self.bits == self.bits && self.any.iter().all(one_of)
    }
}

/// A filter over a listing's products, which remembers what it found about each term.
#[derive(Debug)]
pub struct Judge<'a> {
    listing: &'a Listing,
    shape: Shape,
    /// The bits of the conditions on each attribute.
    attributes: HashMap<&'a str, Vec<(u64, &'a Condition)>>,
    /// The bits of the conditions on ids: whether a product among the keys sets or clears it.
    ids: Vec<(u64, Vec<ProductKey>)>,
    /// The bits of a product without attributes that no key is named of.
    without: u64,
    /// What is known of each term: [`UNKNOWN`], or the place of its change among `changes` and one.
    known: Vec<u8>,
    /// Bits that terms change.
    changes: Vec<u64>,
}

/// A term that was not judged yet.
const UNKNOWN: u8 = 0;

impl<'a> Judge<'a> {
    pub fn new(listing: &'a Listing, filter: &'a Keyed<'_>) -> Self {
        let mut judge = Self {
            listing,
            shape: Shape::default(),
            attributes: HashMap::new(),
            ids: Vec::new(),
            without: 0,
            known: vec![UNKNOWN; listing.terms().len()],
            changes: vec![0],
        };
        let mut bits = (0..u64::BITS).map(|number| 1_u64 << number);
        judge.shape = judge.shape_of(filter, filter.filter, &mut bits);
        judge
    }

    fn shape_of(
        &mut self,
        keyed: &'a Keyed<'_>,
        filter: &'a Filter,
        bits: &mut impl Iterator<Item = u64>,
    ) -> Shape {
        let mut shape = Shape::default();
        for part in &filter.parts {
            match part {
                Part::Attribute(name, condition) => {
                    let bit = bits.next().expect("a filter has at most 64 conditions");
                    shape.bits |= bit;
                    if condition.holds(None) {
                        self.without |= bit;
                    }
                    self.attributes.entry(name).or_default().push((bit, condition));
                }
                Part::Id(ids) => {
                    let bit = bits.next().expect("a filter has at most 64 conditions");
                    shape.bits |= bit;
                    if matches!(ids, Ids::NotAmong(_)) {
                        self.without |= bit;
                    }
                    self.ids.push((bit, keyed.keys_of(ids.named())));
                }
                Part::Any(filters) => {
                    let filters = filters.iter().map(|filter| self.shape_of(keyed, filter, bits));
                    shape.any.push(filters.collect());
                }
            }
        }
        shape
    }

    /// Whether a product is there and passes.
    pub fn passes(&mut self, listed: &Listed) -> bool {
        let Some(terms) = listed.terms() else { return false };
        let mut held = self.without;
        for &term in terms {
            // An attribute is there once, so that no other term changes its bits.
            held ^= match self.known.get(term as usize) {
                Some(&UNKNOWN) | None => self.change(term),
                Some(&known) => self.changes[usize::from(known) - 1],
            };
        }
        for (bit, keys) in &self.ids {
            if keys.binary_search(&listed.key).is_ok() {
                held ^= bit;
            }
        }
        self.shape.holds(held)
    }

    /// Whether the product at a place passes.
    pub fn passes_at(&mut self, place: usize) -> bool {
        let listed = self.listing.at(place);
        listed.is_some_and(|listed| self.passes(listed))
    }

    /// The bits that a term changes.
    fn change(&mut self, number: u32) -> u64 {
        let term = self.listing.terms().get(number as usize);
        let conditions = term.and_then(|term| self.attributes.get(&*term.name).zip(Some(term)));
        let mut change = 0;
        if let Some((conditions, term)) = conditions {
            for (bit, condition) in conditions {
                if condition.holds(Some(&term.value)) != (self.without & bit != 0) {
                    change |= bit;
                }
            }
        }
        let place = self.changes.iter().position(|known| *known == change);
        let place = place.unwrap_or_else(|| {
            self.changes.push(change);
            self.changes.len() - 1
        });
        // Where there are too many changes to number, this one is found again.
        match (u8::try_from(place + 1), self.known.get_mut(number as usize)) {
            (Ok(place), Some(known)) => *known = place,
            (Err(_), _) => drop(self.changes.pop()),
            _ => {}
        }
        change
    }
}
