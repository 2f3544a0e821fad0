//! The attributes of all products, each distinct one once.
//!
//! A term is an attribute's name with one value, such as `category = "bag"`. Products list the numbers of their terms, so
//! that a filter judges each term once and not each product, and equal attributes take memory once.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;
use serde_json::Value;

use super::chunks::Chunks;
use crate::catalogue::attributes::Attributes;

/// An attribute's name with a value that products have.
#[derive(Debug, Clone)]
pub struct Term {
    pub name: Arc<str>,
    pub value: Value,
    /// Products that have it; a term of none is free to become another one.
    uses: u32,
}

impl Term {
    /// How many products have it.
    pub fn uses(&self) -> u32 {
        self.uses
    }
}

/// The terms of all products by number.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    terms: Chunks<Term>,
    numbers: HashTable<u32>,
    hasher: RandomState,
    /// How many terms are of each name.
    names: HashMap<Arc<str>, u32>,
    free: Vec<u32>,
}

impl Terms {
    /// The terms as they are now.
    pub fn copy(&self) -> Chunks<Term> {
        self.terms.clone()
    }

    /// The numbers of a product's terms, each counted as used once more.
    pub fn enter(&mut self, attributes: &Attributes) -> Box<[u32]> {
        let terms = attributes.as_map().iter();
        terms.map(|(name, value)| self.used(name, value)).collect()
    }

    /// Counts terms as used once less.
    pub fn leave(&mut self, numbers: &[u32]) {
        for &number in numbers {
            let Some(term) = self.terms.get_mut(number as usize) else {
                continue;
            };
            term.uses = term.uses.saturating_sub(1);
            if term.uses == 0 {
                self.forget(number);
            }
        }
    }

    /// Bytes that they take, without the texts of their values.
    pub fn bytes(&self) -> usize {
        let names = self.names.keys().map(|name| name.len() + 64);
        self.terms.bytes() + self.numbers.allocation_size() + names.sum::<usize>() + self.free.capacity() * 4
    }

    fn used(&mut self, name: &str, value: &Value) -> u32 {
        let hash = self.hasher.hash_one((name, value));
        let terms = &self.terms;
        let is = |number: &u32| {
            terms
                .get(*number as usize)
                .is_some_and(|term| &*term.name == name && term.value == *value)
        };
        let known = self.numbers.find(hash, is).copied();
        if let Some(term) = known.and_then(|number| self.terms.get_mut(number as usize)) {
            term.uses += 1;
            return known.unwrap_or_default();
        }
        let term = Term {
            name: self.name(name),
            value: value.clone(),
            uses: 1,
        };
        let number = match self.free.pop() {
            Some(number) => {
                if let Some(free) = self.terms.get_mut(number as usize) {
                    *free = term;
                }
                number
            }
            None => {
                self.terms.push(term);
                u32::try_from(self.terms.len() - 1).expect("fewer than four billion attributes")
            }
        };
        let (terms, hasher) = (&self.terms, &self.hasher);
        let hash_of = |number: &u32| {
            let term = terms.get(*number as usize);
            term.map_or(0, |term| hasher.hash_one((&*term.name, &term.value)))
        };
        self.numbers.insert_unique(hash, number, hash_of);
        number
    }

    fn name(&mut self, name: &str) -> Arc<str> {
        let known = self.names.get_key_value(name).map(|(known, _)| Arc::clone(known));
        let name = known.unwrap_or_else(|| name.into());
        *self.names.entry(Arc::clone(&name)).or_default() += 1;
        name
    }

    fn forget(&mut self, number: u32) {
        let Some(term) = self.terms.get_mut(number as usize) else {
            return;
        };
        let hash = self.hasher.hash_one((&*term.name, &term.value));
        let name = std::mem::take(&mut term.name);
        term.value = Value::Null;
        if let Ok(entry) = self.numbers.find_entry(hash, |known| *known == number) {
            entry.remove();
        }
        if let Some(terms) = self.names.get_mut(&name) {
            *terms -= 1;
            if *terms == 0 {
                self.names.remove(&name);
            }
        }
        self.free.push(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn attributes(value: &Value) -> Attributes {
        Attributes::new(value.as_object().unwrap().clone()).unwrap()
    }

    #[test]
    fn equal_attributes_are_kept_once_and_freed_with_the_last_product() {
        let mut terms = Terms::default();
        let bag = terms.enter(&attributes(&json!({"category": "bag", "price": 3})));
        let other = terms.enter(&attributes(&json!({"category": "bag", "price": 3.5})));
        assert_eq!(bag[0], other[0]);
        assert_ne!(bag[1], other[1]);
        assert_eq!((terms.terms.len(), terms.names.len()), (3, 2));
        let copy = terms.copy();
        terms.leave(&bag);
        assert_eq!((terms.numbers.len(), terms.names.len()), (2, 2));
        terms.leave(&other);
        assert_eq!((terms.numbers.len(), terms.names.len()), (0, 0));
        assert_eq!(copy.get(bag[0] as usize).unwrap().value, json!("bag"));
        let again = terms.enter(&attributes(&json!({"brand": ["a", "b"], "new": true})));
        assert_eq!(terms.terms.len(), 3);
        let found = terms.terms.get(again[0] as usize).unwrap();
        assert_eq!((&*found.name, &found.value), ("brand", &json!(["a", "b"])));
    }
}
