//! Filters of searches and lists: conditions on products, all of which must hold.
//!
//! `{"category": "bag", "price": {"gte": 10, "lt": 50}, "brand": {"in": ["a", "b"]}, "sold_out": {"not": true}}`. A
//! condition on a list holds if one element satisfies it, and one on a value of another type does not hold. `not` negates
//! a condition, so it holds where the attribute is missing. `"$any": [filter, ...]` holds if one of the filters does, and
//! `"$id"` is about the product's id. An attribute whose name begins with `$` is named with one `$` more.

mod condition;
mod ids;
mod number;

#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

pub use condition::{Condition, FilterError, Scalar, Values};
pub use ids::Ids;
pub use number::Number;

use condition::condition;

/// Parts, all of which must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    pub parts: Vec<Part>,
}

/// A part of a filter.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// An attribute's name and what it must be.
    Attribute(String, Condition),
    Id(Ids),
    /// One of the filters must hold.
    Any(Vec<Filter>),
}

/// What a filter names in all.
#[derive(Debug, Default)]
struct Sizes {
    conditions: usize,
    values: usize,
}

impl Filter {
    /// Conditions that one filter may have, each `$any` and those within it included.
    pub const MOST_CONDITIONS: usize = 64;
    /// Filters that one `$any` may list.
    pub const MOST_ALTERNATIVES: usize = 64;
    /// Values that one `in` may list.
    pub const MOST_VALUES: usize = condition::MOST_VALUES;
    /// Values that all conditions of one filter may name together: what a product is compared with costs time.
    pub const MOST_VALUES_IN_ALL: usize = 2000;
    /// How deep `$any` may be nested.
    pub const DEEPEST_ANY: usize = 4;

    /// Parses a filter.
    ///
    /// # Errors
    /// Names the part that is invalid.
    pub fn from_json(value: &Value) -> Result<Self, FilterError> {
        Self::read(value, "filter", 0)?.of_fair_size()
    }

    /// A filter that passes what passes both.
    ///
    /// # Errors
    /// If both have too many conditions together.
    pub fn and(mut self, other: Self) -> Result<Self, FilterError> {
        self.parts.extend(other.parts);
        self.of_fair_size()
    }

    fn of_fair_size(self) -> Result<Self, FilterError> {
        let sizes = self.sizes();
        for (named, most, what) in [
            (sizes.conditions, Self::MOST_CONDITIONS, "conditions"),
            (sizes.values, Self::MOST_VALUES_IN_ALL, "values"),
        ] {
            if named > most {
                let reason = format!("names {named} {what} in all; at most {most}");
                return Err(refuse("filter", reason));
            }
        }
        Ok(self)
    }

    fn read(value: &Value, path: &str, depth: usize) -> Result<Self, FilterError> {
        let Value::Object(members) = value else {
            return Err(refuse(path, "must be an object, like {\"category\": \"bag\"}"));
        };
        let part = |(name, value): (&String, &Value)| {
            let path = format!("{path}.{name}");
            match name.strip_prefix('$') {
                None => Ok(Part::Attribute(name.clone(), condition(value, &path, 0)?)),
                Some(attribute) if attribute.starts_with('$') => {
                    let condition = condition(value, &path, 0)?;
                    Ok(Part::Attribute(attribute.to_owned(), condition))
                }
                Some("id") => Ok(Part::Id(Ids::parse(value, &path)?)),
                Some("any") => Self::read_any(value, &path, depth).map(Part::Any),
                Some(_) => {
                    let reason = format!(
                        "is unknown; there are $any and $id, and the attribute {name} is written ${name}"
                    );
                    Err(refuse(&path, reason))
                }
            }
        };
        let parts = members.iter().map(part).collect::<Result<_, _>>()?;
        Ok(Self { parts })
    }

    fn read_any(value: &Value, path: &str, depth: usize) -> Result<Vec<Self>, FilterError> {
        let Value::Array(filters) = value else {
            return Err(refuse(path, "must be a list of filters"));
        };
        let (given, most) = (filters.len(), Self::MOST_ALTERNATIVES);
        if given > most {
            return Err(refuse(path, format!("lists {given} filters; at most {most}")));
        }
        if depth == Self::DEEPEST_ANY {
            return Err(refuse(path, "is nested too deeply"));
        }
        let filters = filters.iter().enumerate();
        filters
            .map(|(place, filter)| Self::read(filter, &format!("{path}.{place}"), depth + 1))
            .collect()
    }

    fn sizes(&self) -> Sizes {
        let mut sizes = Sizes::default();
        for part in &self.parts {
            match part {
                Part::Attribute(_, condition) => {
                    sizes.conditions += 1;
                    sizes.values += condition.values();
                }
                Part::Id(ids) => {
                    sizes.conditions += 1;
                    sizes.values += ids.named().len();
                }
                Part::Any(filters) => {
                    sizes.conditions += 1;
                    for inner in filters.iter().map(Self::sizes) {
                        sizes.conditions += inner.conditions;
                        sizes.values += inner.values;
                    }
                }
            }
        }
        sizes
    }

    /// Whether a product with this id and these attributes passes.
    #[must_use]
    pub fn holds(&self, id: &str, attributes: &Map<String, Value>) -> bool {
        self.parts.iter().all(|part| match part {
            Part::Attribute(name, condition) => condition.holds(attributes.get(name)),
            Part::Id(ids) => ids.hold(id),
            Part::Any(filters) => filters.iter().any(|filter| filter.holds(id, attributes)),
        })
    }

    /// Every id that it names, those of all `$any` included.
    #[must_use]
    pub fn ids(&self) -> Vec<&str> {
        let ids = self.parts.iter().map(|part| match part {
            Part::Attribute(..) => Vec::new(),
            Part::Id(ids) => ids.named().iter().map(String::as_str).collect(),
            Part::Any(filters) => filters.iter().flat_map(Self::ids).collect(),
        });
        ids.flatten().collect()
    }

    /// The ids of all products that can pass, where it names them.
    #[must_use]
    pub fn only(&self) -> Option<&[String]> {
        // Where several parts name ids, each must hold: those of one are enough.
        self.parts.iter().find_map(|part| match part {
            Part::Id(Ids::Among(ids)) => Some(ids.as_slice()),
            _ => None,
        })
    }
}

fn refuse(path: &str, reason: impl Into<String>) -> FilterError {
    FilterError {
        path: path.to_owned(),
        reason: reason.into(),
    }
}
