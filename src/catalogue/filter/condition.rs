//! A condition on one attribute.

use std::cmp::Ordering;

use serde_json::Value;
use thiserror::Error;

use super::number::Number;

/// Why a filter is invalid: where, and what would be valid.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{path}: {reason}")]
pub struct FilterError {
    /// `filter`, the attribute and the operators, joined by dots.
    pub path: String,
    pub reason: String,
}

/// Values that one `in` may list.
pub const MOST_VALUES: usize = 1000;
/// How deep `not` may be nested.
const DEEPEST: usize = 8;

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

/// The value that an attribute, or an element of its list, is compared with. Numbers are compared without loss.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    Text(String),
    Number(Number),
    Boolean(bool),
}

/// The values that `in` lists, each once, in an order that makes looking one up cheap.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Values {
    texts: Vec<String>,
    numbers: Vec<Number>,
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
        values.numbers.sort_unstable_by(Number::order);
        values.numbers.dedup();
        values.booleans.sort_unstable();
        values.booleans.dedup();
        values
    }

    fn len(&self) -> usize {
        self.texts.len() + self.numbers.len() + self.booleans.len()
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
            Value::Number(number) => {
                let number = Number::of(number);
                self.numbers
                    .binary_search_by(|other| other.order(&number))
                    .is_ok()
            }
            Value::Bool(boolean) => self.booleans.contains(boolean),
            Value::Null | Value::Array(_) | Value::Object(_) => false,
        }
    }
}

impl Condition {
    /// How many values it names.
    pub(super) fn values(&self) -> usize {
        match self {
            Self::Equals(_) | Self::Compared(..) | Self::Exists(_) => 1,
            Self::In(values) => values.len(),
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
            Value::Number(number) => Some(Self::Number(Number::of(number))),
            Value::Bool(boolean) => Some(Self::Boolean(*boolean)),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// The ordering of a value of the same type against this one.
    fn ordering(&self, value: &Value) -> Option<Ordering> {
        match (value, self) {
            (Value::String(value), Self::Text(text)) => Some(value.as_str().cmp(text)),
            (Value::Number(value), Self::Number(number)) => Some(Number::of(value).order(number)),
            (Value::Bool(value), Self::Boolean(boolean)) => Some(value.cmp(boolean)),
            _ => None,
        }
    }
}

/// Parses a condition; `depth` is how deep it is nested in others.
pub(super) fn condition(value: &Value, path: &str, depth: usize) -> Result<Condition, FilterError> {
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
                    Some(scalars) if scalars.len() <= MOST_VALUES => Ok(Condition::In(Values::of(scalars))),
                    Some(scalars) => {
                        let (given, most) = (scalars.len(), MOST_VALUES);
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
            "not" if depth == DEEPEST => Err(refuse(&path, "is nested too deeply".to_owned())),
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
