//! Filters of searches and lists: conditions on the attributes of products, all of which must hold.
//!
//! `{"category": "bag", "price": {"gte": 10, "lt": 50}, "brand": {"in": ["a", "b"]}, "sold_out": {"not": true}}`. A
//! condition on a list holds if one element satisfies it, and one on a value of another type does not hold. `not` negates
//! a condition, so it holds where the attribute is missing.

use std::cmp::Ordering;

use serde_json::{Map, Value};
use thiserror::Error;

/// Why a filter is invalid: where, and what would be valid.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{path}: {reason}")]
pub struct FilterError {
    /// `filter`, the attribute and the operators, joined by dots.
    pub path: String,
    pub reason: String,
}

/// Conditions, all of which must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// Attribute names, each with its condition.
    pub conditions: Vec<(String, Condition)>,
}

/// A condition on one attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    Equals(Scalar),
    In(Values),
    /// The value compares to the bound in one of the orderings.
    Compared(Scalar, &'static [Ordering]),
    /// Whether there is a value.
    Exists(bool),
    Not(Box<Condition>),
    All(Vec<Condition>),
}

/// The value that an attribute, or an element of its list, is compared with. Numbers are compared as 64-bit floats.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    Text(String),
    Number(f64),
    Boolean(bool),
}

/// The values that `in` lists, each once, in an order that makes looking one up cheap.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Values {
    texts: Vec<String>,
    numbers: Vec<f64>,
    booleans: Vec<bool>,
}

impl Values {
    fn of(scalars: Vec<Scalar>) -> Self {
        let mut values = Self::default();
        for scalar in scalars {
            match scalar {
                Scalar::Text(text) => values.texts.push(text),
                Scalar::Number(number) => values.numbers.push(number),
                Scalar::Boolean(boolean) => values.booleans.push(boolean),
            }
        }
        values.texts.sort_unstable();
        values.texts.dedup();
        values.numbers.sort_unstable_by(f64::total_cmp);
        values.booleans.sort_unstable();
        values.booleans.dedup();
        values
    }

    /// Each of the values.
    pub fn scalars(&self) -> impl Iterator<Item = Scalar> {
        let texts = self.texts.iter().cloned().map(Scalar::Text);
        let numbers = self.numbers.iter().copied().map(Scalar::Number);
        let booleans = self.booleans.iter().copied().map(Scalar::Boolean);
        texts.chain(numbers).chain(booleans)
    }

    fn hold(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.texts.binary_search(text).is_ok(),
            // Zero is equal to minus zero, which is ordered before it.
            Value::Number(number) => number.as_f64().is_some_and(|number| {
                let from = self.numbers.partition_point(|&other| other < number);
                self.numbers.get(from).is_some_and(|&other| other == number)
            }),
            Value::Bool(boolean) => self.booleans.contains(boolean),
            Value::Null | Value::Array(_) | Value::Object(_) => false,
        }
    }
}

impl Filter {
    /// Attributes that one filter may name.
    pub const MOST_ATTRIBUTES: usize = 64;
    /// Values that one `in` may list.
    pub const MOST_VALUES: usize = 1000;
    /// Values that all conditions of one filter may name together: what a product is compared with costs time.
    pub const MOST_VALUES_IN_ALL: usize = 2000;
    /// How deep `not` may be nested.
    const DEEPEST: usize = 8;

    /// Parses a filter.
    ///
    /// # Errors
    /// Names the part that is invalid.
    pub fn from_json(value: &Value) -> Result<Self, FilterError> {
        let refuse = |reason: &str| FilterError {
            path: "filter".to_owned(),
            reason: reason.to_owned(),
        };
        let Value::Object(attributes) = value else {
            return Err(refuse("must be an object, like {\"category\": \"bag\"}"));
        };
        if attributes.len() > Self::MOST_ATTRIBUTES {
            let most = Self::MOST_ATTRIBUTES;
            return Err(refuse(&format!(
                "names {} attributes; at most {most}",
                attributes.len()
            )));
        }
        let conditions = attributes
            .iter()
            .map(|(name, value)| Ok((name.clone(), condition(value, &format!("filter.{name}"), 0)?)))
            .collect::<Result<_, _>>()?;
        let filter = Self { conditions };
        let values: usize = filter
            .conditions
            .iter()
            .map(|(_, condition)| condition.values())
            .sum();
        if values > Self::MOST_VALUES_IN_ALL {
            let most = Self::MOST_VALUES_IN_ALL;
            return Err(refuse(&format!("names {values} values in all; at most {most}")));
        }
        Ok(filter)
    }

    /// Whether every product passes.
    pub fn is_empty(&self) -> bool {
        self.conditions.is_empty()
    }

    /// Whether a product with these attributes passes.
    pub fn holds(&self, attributes: &Map<String, Value>) -> bool {
        self.conditions
            .iter()
            .all(|(name, condition)| condition.holds(attributes.get(name)))
    }
}

impl Condition {
    /// How many values it names.
    fn values(&self) -> usize {
        match self {
            Self::Equals(_) | Self::Compared(..) | Self::Exists(_) => 1,
            Self::In(values) => values.texts.len() + values.numbers.len() + values.booleans.len(),
            Self::Not(condition) => condition.values(),
            Self::All(conditions) => conditions.iter().map(Self::values).sum(),
        }
    }

    /// Whether it holds for an attribute's value, or where the attribute is missing.
    pub fn holds(&self, value: Option<&Value>) -> bool {
        match self {
            Self::Exists(wanted) => value.is_some() == *wanted,
            Self::Not(condition) => !condition.holds(value),
            Self::All(conditions) => conditions.iter().all(|condition| condition.holds(value)),
            Self::Equals(_) | Self::In(_) | Self::Compared(..) => match value {
                None => false,
                Some(Value::Array(elements)) => elements.iter().any(|element| self.holds_for(element)),
                Some(value) => self.holds_for(value),
            },
        }
    }

    fn holds_for(&self, value: &Value) -> bool {
        let is = |scalar: &Scalar, orderings: &[Ordering]| {
            scalar
                .ordering(value)
                .is_some_and(|found| orderings.contains(&found))
        };
        match self {
            Self::Equals(scalar) => is(scalar, &[Ordering::Equal]),
            Self::In(values) => values.hold(value),
            Self::Compared(scalar, orderings) => is(scalar, orderings),
            Self::Exists(_) | Self::Not(_) | Self::All(_) => false,
        }
    }
}

impl Scalar {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self::Text(text.clone())),
            Value::Number(number) => number.as_f64().map(Self::Number),
            Value::Bool(boolean) => Some(Self::Boolean(*boolean)),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// The ordering of a value of the same type against this one.
    fn ordering(&self, value: &Value) -> Option<Ordering> {
        match (value, self) {
            (Value::String(value), Self::Text(text)) => Some(value.as_str().cmp(text)),
            (Value::Number(value), Self::Number(number)) => value.as_f64()?.partial_cmp(number),
            (Value::Bool(value), Self::Boolean(boolean)) => Some(value.cmp(boolean)),
            _ => None,
        }
    }
}

fn condition(value: &Value, path: &str, depth: usize) -> Result<Condition, FilterError> {
    let refuse = |path: &str, reason: String| FilterError {
        path: path.to_owned(),
        reason,
    };
    if let Some(scalar) = Scalar::of(value) {
        return Ok(Condition::Equals(scalar));
    }
    let operators = match value {
        Value::Object(operators) if !operators.is_empty() => operators,
        Value::Array(_) => {
            return Err(refuse(
                path,
                "must not be a list; for one of several use {\"in\": [...]}".to_owned(),
            ));
        }
        _ => {
            let reason = "must be a string, a number, true, false, or an object with gt, gte, lt, lte, in, not, exists";
            return Err(refuse(path, reason.to_owned()));
        }
    };
    let read = |(operator, operand): (&String, &Value)| {
        let path = format!("{path}.{operator}");
        let compared = |orderings: &'static [Ordering]| match Scalar::of(operand) {
            Some(bound @ (Scalar::Number(_) | Scalar::Text(_))) => Ok(Condition::Compared(bound, orderings)),
            _ => Err(refuse(&path, "must be a number or a string".to_owned())),
        };
        match operator.as_str() {
            "gt" => compared(&[Ordering::Greater]),
            "gte" => compared(&[Ordering::Greater, Ordering::Equal]),
            "lt" => compared(&[Ordering::Less]),
            "lte" => compared(&[Ordering::Less, Ordering::Equal]),
            "in" => {
                let scalars: Option<Vec<Scalar>> = operand
                    .as_array()
                    .and_then(|values| values.iter().map(Scalar::of).collect());
                match scalars {
                    Some(scalars) if scalars.len() <= Filter::MOST_VALUES => {
                        Ok(Condition::In(Values::of(scalars)))
                    }
                    Some(scalars) => {
                        let (given, most) = (scalars.len(), Filter::MOST_VALUES);
                        Err(refuse(&path, format!("lists {given} values; at most {most}")))
                    }
                    None => Err(refuse(
                        &path,
                        "must be a list of strings, numbers and booleans".to_owned(),
                    )),
                }
            }
            "exists" => match operand {
                Value::Bool(wanted) => Ok(Condition::Exists(*wanted)),
                _ => Err(refuse(&path, "must be true or false".to_owned())),
            },
            "not" if depth == Filter::DEEPEST => Err(refuse(&path, "is nested too deeply".to_owned())),
            "not" => Ok(Condition::Not(Box::new(condition(operand, &path, depth + 1)?))),
            _ => Err(refuse(
                &path,
                "is not an operator; the operators are gt, gte, lt, lte, in, not, exists".to_owned(),
            )),
        }
    };
    let mut conditions = operators.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(match conditions.len() {
        1 => conditions.remove(0),
        _ => Condition::All(conditions),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn passes(filter: &Value, attributes: &Value) -> bool {
        let Value::Object(attributes) = attributes else {
            panic!("attributes are an object")
        };
        Filter::from_json(filter).unwrap().holds(attributes)
    }

    #[test]
    fn conditions_hold_as_described() {
        let bag = json!({"category": "bag", "price": 20, "sizes": ["s", "m"], "sold_out": false, "since": "2026-05-01", "zero": 0});
        for (filter, expected) in [
            (json!({}), true),
            (json!({"category": "bag"}), true),
            (json!({"category": "shoe"}), false),
            (json!({"category": "bag", "price": 21}), false),
            (json!({"price": 20.0}), true),
            (json!({"price": {"gte": 20, "lt": 50}}), true),
            (json!({"price": {"gt": 20}}), false),
            (json!({"price": {"lte": 19.99}}), false),
            (json!({"since": {"gte": "2026-01-01", "lt": "2027-01-01"}}), true),
            (json!({"category": {"in": ["shoe", "bag"]}}), true),
            (json!({"category": {"in": []}}), false),
            (json!({"category": {"in": [true, 3, "bag", "bag", -1]}}), true),
            (json!({"price": {"in": [20.0, "20", 3]}}), true),
            (json!({"price": {"in": ["20", 19, 21]}}), false),
            (json!({"sold_out": {"in": [true, false]}}), true),
            (json!({"zero": {"in": [-1, -0.0]}}), true),
            (json!({"sizes": "m"}), true),
            (json!({"sizes": {"in": ["l", "xl"]}}), false),
            (json!({"sizes": {"not": "s"}}), false),
            (json!({"sold_out": {"not": true}}), true),
            (json!({"missing": {"not": true}}), true),
            (json!({"missing": {"exists": false}}), true),
            (json!({"price": {"exists": true, "not": {"in": [1, 2]}}}), true),
            // Another type: the condition does not hold, in either direction.
            (json!({"price": "20"}), false),
            (json!({"price": {"gte": "1"}}), false),
            (json!({"category": {"lt": 5}}), false),
            (json!({"missing": {"lt": 5}}), false),
        ] {
            assert_eq!(passes(&filter, &bag), expected, "{filter}");
        }
    }

    #[test]
    fn an_invalid_filter_is_refused_by_its_path() {
        for (filter, expected) in [
            (json!(3), "filter: must be an object"),
            (json!({"price": null}), "filter.price: must be a string"),
            (json!({"price": {}}), "filter.price: must be a string"),
            (json!({"price": ["a"]}), "filter.price: must not be a list"),
            (
                json!({"price": {"gte": true}}),
                "filter.price.gte: must be a number",
            ),
            (
                json!({"price": {"near": 3}}),
                "filter.price.near: is not an operator",
            ),
            (json!({"price": {"in": "a"}}), "filter.price.in: must be a list"),
            (
                json!({"price": {"in": [["a"]]}}),
                "filter.price.in: must be a list",
            ),
            (
                json!({"price": {"not": {"exists": 1}}}),
                "filter.price.not.exists: must be true",
            ),
            (
                json!({"price": {"in": vec![0; 1001]}}),
                "filter.price.in: lists 1001 values; at most 1000",
            ),
        ] {
            let refusal = Filter::from_json(&filter).unwrap_err().to_string();
            assert!(refusal.starts_with(expected), "{filter}: {refusal}");
        }
        let many: Vec<usize> = (0..1000).collect();
        let filter = json!({"a": {"in": many}, "b": {"not": {"in": many}}, "c": 3});
        let refusal = Filter::from_json(&filter).unwrap_err().to_string();
        assert_eq!(refusal, "filter: names 2001 values in all; at most 2000");
        let deep = (0..9).fold(json!(1), |inner, _| json!({ "not": inner }));
        assert!(Filter::from_json(&json!({ "price": deep })).is_err());
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            let name = prop_oneof!["[a-c]", "gte|lt|in|not|exists"];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map(name, inner, 0..4)
                    .prop_map(|map| Value::from(map.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    proptest! {
        #[test]
        fn in_holds_where_one_of_its_values_is_equal(
            values in prop::collection::vec(prop_oneof![
                any::<bool>().prop_map(Value::from), (-3..3_i32).prop_map(Value::from), any::<f64>().prop_map(Value::from),
                "[a-c]{0,2}".prop_map(Value::from),
            ].prop_filter("a value", |value| !value.is_null()), 0..12),
            value in any_json(),
        ) {
            let each = values.iter().any(|one| passes(&json!({"a": one}), &json!({"a": value})));
            prop_assert_eq!(passes(&json!({"a": {"in": values}}), &json!({"a": value})), each);
        }

        #[test]
        fn any_json_is_a_filter_or_a_refusal_and_not_turns_round(filter in any_json(), attributes in any_json()) {
            if let (Ok(read), Value::Object(attributes)) = (Filter::from_json(&filter), &attributes) {
                let _ = read.holds(attributes);
            }
            let negated = json!({"a": {"not": filter}});
            if let (Ok(plain), Ok(negated), Value::Object(attributes)) =
                (Filter::from_json(&json!({"a": filter})), Filter::from_json(&negated), &attributes)
            {
                prop_assert_ne!(plain.holds(attributes), negated.holds(attributes));
            }
        }
    }
}
