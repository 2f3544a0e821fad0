//! What the attributes of a listing's products say in numbers: counts of values, groups and boosts.

use super::judge::{Judge, Keyed};
use super::keys::ProductKey;
use super::listing::{Listed, Listing};
use super::reader::Reader;
use crate::admission::Work;
use crate::catalogue::counts::{Counts, Tally};
use crate::catalogue::error::CatalogueError;
use crate::catalogue::ranking::Facts;
use crate::catalogue::search::{BoostBy, SearchOptions};
use serde_json::Value;

impl Listing {
    /// How many products pass, and how many of them have each value of these attributes.
    pub fn counts(
        &self,
        filter: Option<&Keyed<'_>>,
        names: &[String],
        work: &Work,
    ) -> Result<Counts, CatalogueError> {
        let mut total = 0;
        let uses = match filter {
            // Each term knows how many products have it.
            None => {
                total = self
                    .pieces(0)
                    .flatten()
                    .filter(|listed| listed.terms().is_some())
                    .count() as u64;
                None
            }
            Some(filter) => {
                let mut uses = vec![0_u32; self.terms().len()];
                self.each(0, Some(filter), work, |listed| {
                    total += 1;
                    for term in listed.terms().unwrap_or_default() {
                        if let Some(uses) = uses.get_mut(*term as usize) {
                            *uses += 1;
                        }
                    }
                    true
                })?;
                Some(uses)
            }
        };
        work.check()?;
        let mut tallies: Vec<Tally<'_>> = names.iter().map(|_| Tally::default()).collect();
        for (number, term) in self.terms().iter().enumerate() {
            let uses = match &uses {
                Some(uses) => uses[number],
                None => term.uses(),
            };
            if uses == 0 {
                continue;
            }
            if let Some(place) = names.iter().position(|name| **name == *term.name) {
                tallies[place].add(&term.value, uses.into());
            }
        }
        let tallies = tallies.into_iter().map(Tally::most_frequent);
        Ok(Counts {
            total,
            facets: names.iter().cloned().zip(tallies).collect(),
        })
    }

    /// What grouping and boosts need to know of products; `None` for those that are gone.
    pub fn facts(
        &self,
        reader: &Reader,
        products: impl Iterator<Item = ProductKey>,
        options: &SearchOptions,
    ) -> Result<Vec<Option<Facts>>, CatalogueError> {
        let filters = options.boosts.iter().filter_map(|boost| match &boost.by {
            BoostBy::Filter(filter) => Some(reader.keyed(filter)),
            BoostBy::Attribute(_) => None,
        });
        let filters: Vec<Keyed<'_>> = filters.collect::<Result<_, _>>()?;
        let mut judges: Vec<Judge<'_>> = filters.iter().map(|filter| Judge::new(self, filter)).collect();
        let mut facts = |product: ProductKey| {
            let listed = self.at(self.place_of(product));
            let listed = listed.filter(|listed| listed.key == product && listed.terms().is_some())?;
            let group = options.group.as_ref();
            let group = group
                .and_then(|group| self.value(listed, &group.attribute))
                .cloned();
            let mut judges = judges.iter_mut();
            let boosts = options.boosts.iter().map(|boost| match &boost.by {
                BoostBy::Attribute(name) => self.value(listed, name).and_then(Value::as_f64),
                BoostBy::Filter(_) => judges
                    .next()
                    .map(|judge| f64::from(u8::from(judge.passes(listed)))),
            });
            Some(Facts {
                boosts: boosts.collect(),
                group: group.unwrap_or_default(),
            })
        };
        Ok(products.map(&mut facts).collect())
    }

    fn value(&self, listed: &Listed, name: &str) -> Option<&Value> {
        let terms = listed.terms()?.iter();
        let mut terms = terms.filter_map(|term| self.terms().get(*term as usize));
        terms.find(|term| &*term.name == name).map(|term| &term.value)
    }
}
