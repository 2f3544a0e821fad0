//! The products of an index with their attributes and pictures, and which of them pass a filter.
//!
//! [`Products`] follows every write. A [`Listing`] is what it was at one moment: taking one is cheap, and a long look at it
//! holds no lock.

use std::collections::HashMap;

use super::chunks::Chunks;
use super::keys::ProductKey;
use super::terms::{Term, Terms};
use crate::admission::Work;
use crate::catalogue::attributes::Attributes;
use crate::catalogue::error::CatalogueError;
use crate::catalogue::filter::{Condition, Filter};

/// Products that are sampled to estimate how many pictures pass a filter.
const SAMPLE: usize = 512;

/// A product: where it is in stored order, what it has.
#[derive(Debug, Clone)]
pub struct Listed {
    pub key: ProductKey,
    /// The places of its pictures.
    pub pictures: Box<[u32]>,
    /// `None` once it is deleted.
    terms: Option<Box<[u32]>>,
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

/// The pictures whose products pass a filter.
#[derive(Debug)]
pub struct Passing {
    /// A bit for each place.
    places: Vec<u64>,
    /// Their number.
    pub count: usize,
}

impl Passing {
    /// Whether the picture at a place passes; none does that was added later.
    pub fn has(&self, place: u32) -> bool {
        let word = self.places.get(place as usize / 64).copied();
        word.unwrap_or_default() >> (place % 64) & 1 == 1
    }
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
    /// The keys of the products behind `after` that pass, in stored order; at most `most`.
    pub fn after(
        &self,
        after: Option<ProductKey>,
        filter: Option<&Filter>,
        most: usize,
        work: &Work,
    ) -> Result<Vec<ProductKey>, CatalogueError> {
        let first = after.map_or(0, |after| {
            self.listed.partition_point(|listed| listed.key <= after)
        });
        let mut judge = filter.map(|filter| Judge::new(self, filter));
        let mut keys = Vec::new();
        for piece in self.listed.pieces(first) {
            work.check()?;
            for listed in piece {
                if keys.len() == most {
                    return Ok(keys);
                }
                let passes = match &mut judge {
                    Some(judge) => judge.passes(listed),
                    None => listed.terms.is_some(),
                };
                if passes {
                    keys.push(listed.key);
                }
            }
        }
        Ok(keys)
    }

    /// The pictures whose products pass.
    pub fn passing(&self, filter: &Filter, work: &Work) -> Result<Passing, CatalogueError> {
        let mut judge = Judge::new(self, filter);
        let mut passing = Passing {
            places: Vec::new(),
            count: 0,
        };
        for piece in self.listed.pieces(0) {
            work.check()?;
            for listed in piece.iter().filter(|listed| judge.passes(listed)) {
                passing.count += listed.pictures.len();
                for &place in &listed.pictures {
                    let word = place as usize / 64;
                    if passing.places.len() <= word {
                        passing.places.resize(word + 1, 0);
                    }
                    passing.places[word] |= 1 << (place % 64);
                }
            }
        }
        Ok(passing)
    }

    /// About what share of the pictures passes, by a sample of the products.
    pub fn share(&self, filter: &Filter) -> f64 {
        let mut judge = Judge::new(self, filter);
        let places = self.listed.len();
        let sampled = SAMPLE.min(places);
        let (mut pictures, mut passing) = (0.0, 0.0);
        for place in (0..sampled).map(|number| number * places / sampled) {
            let Some(listed) = self.listed.get(place) else {
                continue;
            };
            let count = listed.pictures.len() as f64;
            pictures += count;
            if judge.passes(listed) {
                passing += count;
            }
        }
        passing / f64::max(pictures, 1.0)
    }

    /// Judges single products.
    pub fn judge<'a>(&'a self, filter: &'a Filter) -> Judge<'a> {
        Judge::new(self, filter)
    }
}

/// A filter over a listing's products, which remembers what it found about each term.
#[derive(Debug)]
pub struct Judge<'a> {
    listing: &'a Listing,
    /// The number and the condition for each attribute that the filter names.
    conditions: HashMap<&'a str, (u8, &'a Condition)>,
    /// A bit for each condition that holds where the attribute is missing.
    missing: u64,
    /// A bit for each condition.
    all: u64,
    /// What is known of each term.
    verdicts: Vec<u8>,
}

/// A term that was not judged yet.
const UNKNOWN: u8 = 0;
/// A term of an attribute that the filter does not name.
const NEUTRAL: u8 = 1;
/// The first of the terms that satisfy their condition, or fail it: its number times two, plus one where it holds.
const JUDGED: u8 = 2;

impl<'a> Judge<'a> {
    fn new(listing: &'a Listing, filter: &'a Filter) -> Self {
        let mut judge = Self {
            listing,
            conditions: HashMap::new(),
            missing: 0,
            all: 0,
            verdicts: vec![UNKNOWN; listing.terms.len()],
        };
        for (number, (name, condition)) in (0..64).zip(&filter.conditions) {
            let bit = 1 << number;
            judge.all |= bit;
            if condition.holds(None) {
                judge.missing |= bit;
            }
            judge.conditions.insert(name, (number, condition));
        }
        judge
    }

    /// Whether a product is there and passes.
    pub fn passes(&mut self, listed: &Listed) -> bool {
        let Some(terms) = &listed.terms else { return false };
        let mut held = self.missing;
        for &term in terms {
            let verdict = match self.verdicts.get(term as usize) {
                Some(&UNKNOWN) | None => self.judge(term),
                Some(&known) => known,
            };
            if verdict >= JUDGED {
                let bit = 1u64 << ((verdict - JUDGED) / 2);
                match verdict & 1 {
                    1 => held |= bit,
                    _ => held &= !bit,
                }
            }
        }
        held == self.all
    }

    /// Whether the product at a place passes.
    pub fn passes_at(&mut self, place: usize) -> bool {
        let listed = self.listing.listed.get(place);
        listed.is_some_and(|listed| self.passes(listed))
    }

    fn judge(&mut self, term: u32) -> u8 {
        let verdict = match self.listing.terms.get(term as usize) {
            None => NEUTRAL,
            Some(term) => match self.conditions.get(&*term.name) {
                None => NEUTRAL,
                Some((number, condition)) => {
                    JUDGED + number * 2 + u8::from(condition.holds(Some(&term.value)))
                }
            },
        };
        if let Some(known) = self.verdicts.get_mut(term as usize) {
            *known = verdict;
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    fn attributes(value: &Value) -> Attributes {
        Attributes::new(value.as_object().unwrap().clone()).unwrap()
    }

    fn keys(products: &Products, filter: Option<&Value>) -> Vec<i64> {
        let filter = filter.map(|filter| Filter::from_json(filter).unwrap());
        let listing = products.listing();
        let found = listing
            .after(None, filter.as_ref(), usize::MAX, &Work::OWN)
            .unwrap();
        found.into_iter().map(|key| key.0).collect()
    }

    #[test]
    fn a_listing_is_as_of_its_moment_and_products_follow_every_write() {
        let mut products = Products::default();
        for key in 1..=600 {
            let category = if key % 3 == 0 { "bag" } else { "shoe" };
            let place = products.put(ProductKey(key), &attributes(&json!({"category": category})));
            products.set_pictures(place, vec![u32::try_from(key).unwrap() * 2]);
        }
        let bags = json!({"category": "bag"});
        let before = products.listing();
        assert_eq!(keys(&products, Some(&bags)).len(), 200);
        assert_eq!(&*products.remove(ProductKey(3)), [6]);
        assert!(products.remove(ProductKey(3)).is_empty());
        let place = products.put(
            ProductKey(1),
            &attributes(&json!({"category": "bag", "price": 3})),
        );
        assert_eq!(place, products.place(ProductKey(1)).unwrap());
        let now = keys(&products, Some(&bags));
        assert_eq!((now.len(), now[0], now[1], products.len()), (200, 1, 6, 599));
        assert_eq!(keys(&products, Some(&json!({"price": {"exists": true}}))), [1]);

        let filter = Filter::from_json(&bags).unwrap();
        let passing = before.passing(&filter, &Work::OWN).unwrap();
        assert_eq!(
            (
                passing.count,
                passing.has(6),
                passing.has(2),
                passing.has(1 << 20)
            ),
            (200, true, false, false)
        );
        assert!((before.share(&filter) - 1.0 / 3.0).abs() < 0.01);
        let page = before
            .after(Some(ProductKey(3)), Some(&filter), 2, &Work::OWN)
            .unwrap();
        assert_eq!(page, [ProductKey(6), ProductKey(9)]);

        let renumbered =
            products.renumbered(|place, listed| vec![u32::try_from(place).unwrap(), listed.pictures[0]]);
        assert_eq!(
            (renumbered.len(), keys(&renumbered, Some(&bags)).len()),
            (599, 200)
        );
        let place = renumbered.place(ProductKey(4)).unwrap();
        assert_eq!(
            (place, &*renumbered.at(place).unwrap().pictures),
            (2, [2, 8].as_slice())
        );
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            "[a-c]".prop_map(Value::from),
            (0..4).prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
            prop::collection::vec("[a-c]".prop_map(Value::from), 0..3).prop_map(Value::from),
        ]
    }

    fn condition() -> impl Strategy<Value = Value> {
        let scalar = || prop_oneof!["[a-c]".prop_map(Value::from), (0..4).prop_map(Value::from)];
        let plain = prop_oneof![
            scalar(),
            scalar().prop_map(|bound| json!({"gte": bound})),
            prop::collection::vec(scalar(), 0..3).prop_map(|values| json!({"in": values})),
            any::<bool>().prop_map(|exists| json!({"exists": exists})),
        ];
        (plain, any::<bool>()).prop_map(|(plain, not)| if not { json!({"not": plain}) } else { plain })
    }

    proptest! {
        #[test]
        fn a_judge_says_what_the_filter_says_of_each_product(
            given in prop::collection::vec(prop::collection::hash_map("[a-e]", value(), 0..5), 1..20),
            conditions in prop::collection::hash_map("[a-e]", condition(), 0..4),
        ) {
            let filter = Filter::from_json(&Value::from(conditions.into_iter().collect::<Map<_, _>>())).unwrap();
            let mut products = Products::default();
            for (key, given) in (1..).zip(&given) {
                let given: Map<String, Value> = given.clone().into_iter().collect();
                products.put(ProductKey(key), &Attributes::new(given).unwrap());
            }
            let listing = products.listing();
            let mut judge = listing.judge(&filter);
            for (place, given) in given.into_iter().enumerate() {
                let given: Map<String, Value> = given.into_iter().collect();
                prop_assert_eq!(judge.passes_at(place), filter.holds(&given), "{:?}", given);
            }
        }
    }
}
