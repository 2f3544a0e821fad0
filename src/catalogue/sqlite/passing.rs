//! The products of a listing that pass a filter, and their pictures.

use super::judge::{Judge, Keyed};
use super::keys::ProductKey;
use super::listing::{Listed, Listing};
use crate::admission::Work;
use crate::catalogue::error::CatalogueError;

/// Products that are sampled to estimate how many pictures pass a filter.
const SAMPLE: usize = 512;
/// Pictures that pass a filter are listed if they are no more than these: to compare them takes less than a walk among many
/// that do not pass.
const FEW: usize = 16_384;

/// The pictures whose products pass a filter.
#[derive(Debug)]
pub struct Passing {
    /// A bit for each place.
    places: Vec<u64>,
    /// Their number.
    pub count: usize,
    /// All of them, while they are few.
    few: Option<Vec<u32>>,
}

impl Passing {
    /// Whether the picture at a place passes; none does that was added later.
    pub fn has(&self, place: u32) -> bool {
        let word = self.places.get(place as usize / 64).copied();
        word.unwrap_or_default() >> (place % 64) & 1 == 1
    }

    /// The places of all that pass, if they are few.
    pub fn few(&self) -> Option<&[u32]> {
        self.few.as_deref()
    }

    fn add(&mut self, places: &[u32]) {
        self.count += places.len();
        for &place in places {
            let word = place as usize / 64;
            if self.places.len() <= word {
                self.places.resize(word + 1, 0);
            }
            self.places[word] |= 1 << (place % 64);
        }
        match &mut self.few {
            Some(few) if few.len() + places.len() <= FEW => few.extend(places),
            _ => self.few = None,
        }
    }
}

impl Listing {
    /// The keys of the products behind `after` that pass, in stored order; at most `most`.
    pub fn after(
        &self,
        after: Option<ProductKey>,
        filter: Option<&Keyed<'_>>,
        most: usize,
        work: &Work,
    ) -> Result<Vec<ProductKey>, CatalogueError> {
        let first = after.map_or(0, |ProductKey(after)| {
            self.place_of(ProductKey(after.saturating_add(1)))
        });
        let mut keys = Vec::new();
        self.each(first, filter, work, |listed| {
            keys.push(listed.key);
            keys.len() < most
        })?;
        keys.truncate(most);
        Ok(keys)
    }

    /// The pictures whose products pass.
    pub fn passing(&self, filter: &Keyed<'_>, work: &Work) -> Result<Passing, CatalogueError> {
        let mut passing = Passing {
            places: Vec::new(),
            count: 0,
            few: Some(Vec::new()),
        };
        self.each(0, Some(filter), work, |listed| {
            passing.add(&listed.pictures);
            true
        })?;
        Ok(passing)
    }

    /// Visits the products from a place on that pass, in stored order, until one says that it was the last.
    pub(super) fn each(
        &self,
        first: usize,
        filter: Option<&Keyed<'_>>,
        work: &Work,
        mut visit: impl FnMut(&Listed) -> bool,
    ) -> Result<(), CatalogueError> {
        let mut judge = filter.map(|filter| Judge::new(self, filter));
        let mut passes = |listed: &Listed| match &mut judge {
            Some(judge) => judge.passes(listed),
            None => listed.terms().is_some(),
        };
        if let Some(only) = filter.and_then(|filter| filter.only()) {
            work.check()?;
            for key in only {
                let place = self.place_of(key);
                let listed = self.at(place).filter(|listed| listed.key == key);
                if let Some(listed) = listed
                    && place >= first
                    && passes(listed)
                    && !visit(listed)
                {
                    break;
                }
            }
            return Ok(());
        }
        for piece in self.pieces(first) {
            work.check()?;
            for listed in piece {
                if passes(listed) && !visit(listed) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// About what share of the pictures passes, by a sample of the products.
    pub fn share(&self, filter: &Keyed<'_>) -> f64 {
        let places = self.places();
        let mut judge = Judge::new(self, filter);
        let sampled = SAMPLE.min(places);
        let (mut pictures, mut passing) = (0.0, 0.0);
        for place in (0..sampled).map(|number| number * places / sampled) {
            let Some(listed) = self.at(place) else {
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
}

#[cfg(test)]
mod tests {
    use super::super::listing::Products;
    use super::*;
    use crate::catalogue::attributes::Attributes;
    use crate::catalogue::filter::Filter;
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    fn attributes(value: &Value) -> Attributes {
        Attributes::new(value.as_object().unwrap().clone()).unwrap()
    }

    /// A filter over products whose ids are their keys.
    fn keyed(filter: &Filter) -> Keyed<'_> {
        Keyed::new(filter, |id| Ok(id.parse().ok().map(ProductKey))).unwrap()
    }

    fn keys(products: &Products, filter: Option<&Value>) -> Vec<i64> {
        let filter = filter.map(|filter| Filter::from_json(filter).unwrap());
        let filter = filter.as_ref().map(keyed);
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
        let filter = keyed(&filter);
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
        assert_eq!(passing.few().map(<[u32]>::len), Some(200));
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

    /// Filters over attributes and ids, and those that one of must hold.
    fn filters() -> impl Strategy<Value = Value> {
        let id = || (1..20_i64).prop_map(|key| Value::from(key.to_string()));
        let ids = prop_oneof![
            id(),
            prop::collection::vec(id(), 0..9).prop_map(|ids| json!({"in": ids})),
            prop::collection::vec(id(), 0..9).prop_map(|ids| json!({"not": {"in": ids}})),
        ];
        let conditions = || prop::collection::hash_map("[a-e]", condition(), 0..4);
        let plain = (conditions(), prop::option::weighted(0.3, ids)).prop_map(|(conditions, ids)| {
            let ids = ids.map(|ids| ("$id".to_owned(), ids));
            Value::from(conditions.into_iter().chain(ids).collect::<Map<_, _>>())
        });
        plain.prop_recursive(3, 12, 3, move |inner| {
            (conditions(), prop::collection::vec(inner, 0..4)).prop_map(|(conditions, any)| {
                let any = [("$any".to_owned(), Value::from(any))];
                Value::from(conditions.into_iter().chain(any).collect::<Map<_, _>>())
            })
        })
    }

    proptest! {
        #[test]
        fn a_product_passes_where_the_filter_holds_for_it(
            given in prop::collection::vec(prop::collection::hash_map("[a-e]", value(), 0..5), 1..20),
            filter in filters(),
        ) {
            let filter = Filter::from_json(&filter);
            prop_assume!(filter.is_ok());
            let filter = filter.unwrap();
            let keyed = keyed(&filter);
            let mut products = Products::default();
            for (key, given) in (1..).zip(&given) {
                let given: Map<String, Value> = given.clone().into_iter().collect();
                let place = products.put(ProductKey(key), &Attributes::new(given).unwrap());
                products.set_pictures(place, vec![u32::try_from(key).unwrap()]);
            }
            let listing = products.listing();
            let mut judge = Judge::new(&listing, &keyed);
            let passing = listing.passing(&keyed, &Work::OWN).unwrap();
            let mut expected = Vec::new();
            for (key, (place, given)) in (1..).zip(given.into_iter().enumerate()) {
                let given: Map<String, Value> = given.into_iter().collect();
                let holds = filter.holds(&key.to_string(), &given);
                prop_assert_eq!(judge.passes_at(place), holds, "{:?}", given);
                prop_assert_eq!(passing.has(u32::try_from(key).unwrap()), holds);
                if holds {
                    expected.push(ProductKey(key));
                }
            }
            let behind = Some(ProductKey(3));
            for (after, most) in [(None, usize::MAX), (None, 2), (behind, usize::MAX), (behind, 2)] {
                let found = listing.after(after, Some(&keyed), most, &Work::OWN).unwrap();
                let expected = expected.iter().filter(|key| Some(**key) > after).take(most);
                prop_assert!(found.iter().eq(expected), "{found:?}");
            }
        }
    }

    #[test]
    fn more_changes_than_are_numbered_are_found_again() {
        let mut products = Products::default();
        // Each value changes bits of its own.
        let bits = |value: u32| (0..9).filter(move |bit| value & 1 << bit != 0);
        for value in 0..512_u32 {
            let names: Vec<String> = bits(value).map(|bit| bit.to_string()).collect();
            products.put(
                ProductKey(i64::from(value) + 1),
                &attributes(&json!({"bits": names})),
            );
        }
        let one_of: Vec<Value> = (0..9).map(|bit| json!({"bits": bit.to_string()})).collect();
        assert_eq!(keys(&products, Some(&json!({"$any": one_of}))).len(), 511);
        let low = json!({"bits": "0", "$any": [{"bits": "8"}, {"bits": "7", "$id": {"in": ["130", "400"]}}]});
        let found = keys(&products, Some(&low));
        let expected = (1..=512_i64).filter(|key| {
            let value = key - 1;
            value & 1 != 0 && (value & 256 != 0 || (value & 128 != 0 && [130, 400].contains(key)))
        });
        assert!(found.into_iter().eq(expected));
    }
}
