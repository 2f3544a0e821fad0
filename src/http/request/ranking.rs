//! Attributes that an answer counts and groups by, and boosts.

use serde_json::Value;

use super::fields::{Field, FromField, Invalid};
use super::values::{is_null_text, text, value};
use crate::catalogue::Attributes;
use crate::catalogue::counts::Counts;
use crate::catalogue::filter::Filter;
use crate::catalogue::search::{Boost, BoostBy, SearchOptions};
use crate::json;

/// The name of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeName(pub String);

impl AttributeName {
    fn new(name: &str) -> Result<Self, Invalid> {
        match Attributes::is_name(name) {
            true => Ok(Self(name.to_owned())),
            false => Err("must be an attribute's name of 1 to 200 characters".into()),
        }
    }
}

impl FromField for AttributeName {
    fn from_field(field: Field) -> Result<Self, Invalid> {
        match &field {
            Field::Json(_) => match value(&field, json::LONGEST)? {
                Value::String(name) => Self::new(&name),
                _ => Err("must be an attribute's name, a string".into()),
            },
            _ => Self::new(text(&field)?),
        }
    }
}

/// Names of attributes, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeNames(pub Vec<String>);

impl FromField for AttributeNames {
    fn from_field(field: Field) -> Result<Self, Invalid> {
        let Ok(Value::Array(listed)) = value(&field, json::LONGEST) else {
            return Err("must be a list of attributes' names as JSON, like [\"category\", \"brand\"]".into());
        };
        let mut names: Vec<String> = Vec::new();
        for (place, name) in listed.iter().enumerate() {
            let name = name.as_str().filter(|name| Attributes::is_name(name));
            let name = name.ok_or_else(|| Invalid {
                path: Some(format!("facets.{place}")),
                reason: "must be an attribute's name of 1 to 200 characters".to_owned(),
            })?;
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        let (given, most) = (names.len(), Counts::MOST_FACETS);
        match given > most {
            true => Err(format!("names {given} attributes; at most {most}").into()),
            false => Ok(Self(names)),
        }
    }

    fn is_null(field: &Field) -> bool {
        is_null_text(field)
    }
}

/// What is added to scores.
#[derive(Debug, Clone, PartialEq)]
pub struct Boosts(pub Vec<Boost>);

impl FromField for Boosts {
    fn from_field(field: Field) -> Result<Self, Invalid> {
        let Ok(Value::Array(listed)) = value(&field, json::LONGEST) else {
            return Err(
                "must be a list as JSON, like [{\"attribute\": \"margin\", \"weight\": 0.1}, \
                 {\"filter\": {\"sale\": true}, \"weight\": 0.2}]"
                    .into(),
            );
        };
        let (given, most) = (listed.len(), SearchOptions::MOST_BOOSTS);
        if given > most {
            return Err(format!("lists {given} boosts; at most {most}").into());
        }
        let boosts = listed.iter().enumerate();
        let boosts = boosts.map(|(place, listed)| boost(listed, &format!("boost.{place}")));
        boosts.collect::<Result<_, _>>().map(Self)
    }

    fn is_null(field: &Field) -> bool {
        is_null_text(field)
    }
}

fn boost(listed: &Value, path: &str) -> Result<Boost, Invalid> {
    let refuse = |path: String, reason: &str| Invalid {
        path: Some(path),
        reason: reason.to_owned(),
    };
    let one_of = "must have a weight, and either an attribute or a filter";
    let members = listed
        .as_object()
        .ok_or_else(|| refuse(path.to_owned(), one_of))?;
    for name in members.keys() {
        if !["attribute", "filter", "weight"].contains(&name.as_str()) {
            let shown: String = name.chars().take(100).collect();
            return Err(refuse(
                format!("{path}.{shown}"),
                "is unknown; a boost has attribute or filter, and weight",
            ));
        }
    }
    let given = |name: &str| members.get(name).filter(|value| !value.is_null());
    let by = match (given("attribute"), given("filter")) {
        (Some(name), None) => {
            let name = name.as_str().filter(|name| Attributes::is_name(name));
            let reason = "must be an attribute's name of 1 to 200 characters";
            let name = name.ok_or_else(|| refuse(format!("{path}.attribute"), reason))?;
            BoostBy::Attribute(name.to_owned())
        }
        (None, Some(filter)) => BoostBy::Filter(Filter::from_json(filter).map_err(|error| {
            let path = format!("{path}.{}", error.path);
            refuse(path, &error.reason)
        })?),
        _ => return Err(refuse(path.to_owned(), one_of)),
    };
    let weight = given("weight").and_then(Value::as_f64);
    let weight = weight.filter(|weight| (-1.0..=1.0).contains(weight));
    let weight = weight.ok_or_else(|| refuse(format!("{path}.weight"), "must be a number from -1 to 1"))?;
    Ok(Boost { by, weight })
}
