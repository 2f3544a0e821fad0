//! Which fields of each product an answer has.

use std::collections::{BTreeMap, BTreeSet};

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

use super::fields::{Field, FromField, Invalid};
use super::values::{is_null_text, value};
use crate::catalogue::Product;
use crate::json;

/// The fields that were asked for; the id is always there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProductFields {
    title: bool,
    attributes: Names,
    pictures: bool,
    created_at: bool,
    updated_at: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Names {
    #[default]
    None,
    Some(BTreeSet<String>),
    All,
}

impl ProductFields {
    /// Fields that one request may name: each attribute of a product, and the others.
    const MOST: usize = 128;

    fn add(&mut self, name: &str) -> Result<(), Invalid> {
        match name {
            "id" => {}
            "title" => self.title = true,
            "attributes" => self.attributes = Names::All,
            "pictures" => self.pictures = true,
            "created_at" => self.created_at = true,
            "updated_at" => self.updated_at = true,
            _ => match (name.strip_prefix("attributes."), &mut self.attributes) {
                (Some(_), Names::All) => {}
                (Some(attribute), Names::Some(names)) => drop(names.insert(attribute.to_owned())),
                (Some(attribute), none) => *none = Names::Some([attribute.to_owned()].into()),
                (None, _) => {
                    let shown: String = name.chars().take(100).collect();
                    return Err(format!(
                        "names {shown:?}; the fields are title, attributes, attributes.NAME, pictures, created_at and updated_at"
                    )
                    .into());
                }
            },
        }
        Ok(())
    }

    /// A product with these fields alone.
    #[must_use]
    pub fn of<'a>(&'a self, product: &'a Product) -> impl Serialize + 'a {
        Part {
            fields: self,
            product,
        }
    }
}

impl FromField for ProductFields {
    fn from_field(field: Field) -> Result<Self, Invalid> {
        let Ok(Value::Array(names)) = value(&field, json::LONGEST) else {
            return Err("must be a list as JSON, like [\"title\", \"attributes.price\"]".into());
        };
        if names.len() > Self::MOST {
            return Err(format!("names {} fields; at most {}", names.len(), Self::MOST).into());
        }
        let mut fields = Self::default();
        for name in &names {
            match name.as_str() {
                Some(name) => fields.add(name)?,
                None => return Err(format!("has {name} among its names, which must be strings").into()),
            }
        }
        Ok(fields)
    }

    fn is_null(field: &Field) -> bool {
        is_null_text(field)
    }
}

struct Part<'a> {
    fields: &'a ProductFields,
    product: &'a Product,
}

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { fields, product } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &product.id)?;
        if fields.title {
            map.serialize_entry("title", &product.title)?;
        }
        match &fields.attributes {
            Names::None => {}
            Names::All => map.serialize_entry("attributes", &product.attributes)?,
            Names::Some(names) => {
                let all = product.attributes.as_map().iter();
                let some: BTreeMap<&str, &Value> = all
                    .filter(|(name, _)| names.contains(*name))
                    .map(|(name, value)| (name.as_str(), value))
                    .collect();
                map.serialize_entry("attributes", &some)?;
            }
        }
        if fields.pictures {
            map.serialize_entry("pictures", &product.pictures)?;
        }
        if fields.created_at {
            map.serialize_entry("created_at", &product.created_at)?;
        }
        if fields.updated_at {
            map.serialize_entry("updated_at", &product.updated_at)?;
        }
        map.end()
    }
}
