//! A product's attributes, and changes to them.

use serde::Serialize;
use serde_json::{Map, Value};

use super::error::CatalogueError;

/// A product's attributes by name. Flat: strings, numbers, booleans and lists of strings; at most
/// [`Attributes::MOST`] of them, of at most [`Attributes::MOST_BYTES`] bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Attributes(Map<String, Value>);

impl Attributes {
    /// The most attributes of a product.
    pub const MOST: usize = 100;
    /// The most bytes of a product's attributes, names and values together.
    pub const MOST_BYTES: usize = 64 << 10;
    /// The most bytes of their text as JSON, where each byte may be written as six.
    pub const MOST_TEXT: usize = 8 * Self::MOST_BYTES;

    /// Checks attributes as a client sends them. Those that are `null` are left out.
    ///
    /// # Errors
    /// [`CatalogueError::Invalid`] that names the attribute (`attributes.NAME`), or `attributes` where there are too
    /// many or they are too large.
    pub fn new(mut attributes: Map<String, Value>) -> Result<Self, CatalogueError> {
        attributes.retain(|_, value| !value.is_null());
        check(attributes.iter())?;
        Ok(Self(attributes))
    }

    /// These attributes after some changes.
    ///
    /// # Errors
    /// As [`Attributes::new`].
    pub fn changed(mut self, changes: AttributeChanges) -> Result<Self, CatalogueError> {
        for (name, value) in changes.0 {
            if value.is_null() {
                self.0.remove(&name);
            } else {
                self.0.insert(name, value);
            }
        }
        check(self.0.iter())?;
        Ok(self)
    }

    /// Attributes that were checked when they were stored.
    pub(super) fn stored(attributes: Map<String, Value>) -> Self {
        Self(attributes)
    }

    /// Whether an attribute may have this name.
    #[must_use]
    pub fn is_name(name: &str) -> bool {
        (1..=200).contains(&name.chars().count())
    }

    /// The attributes by name.
    #[must_use]
    pub fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }
}

/// Changes to a product's attributes by name, as in RFC 7396: a value sets an attribute, `null` removes it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AttributeChanges(Map<String, Value>);

impl AttributeChanges {
    /// Checks the values that are set by the rules of [`Attributes::new`].
    ///
    /// # Errors
    /// As [`Attributes::new`].
    pub fn new(changes: Map<String, Value>) -> Result<Self, CatalogueError> {
        check(changes.iter().filter(|(_, value)| !value.is_null()))?;
        Ok(Self(changes))
    }
}

fn check<'a>(
    attributes: impl Iterator<Item = (&'a String, &'a Value)> + Clone,
) -> Result<(), CatalogueError> {
    let refuse = |field: String, reason: String| Err(CatalogueError::Invalid { field, reason });
    let (given, most) = (attributes.clone().count(), Attributes::MOST);
    if given > most {
        return refuse(
            "attributes".to_owned(),
            format!("are {given}; at most {most} are kept"),
        );
    }
    let mut bytes = 0;
    for (name, value) in attributes {
        let shown: String = name.chars().take(100).collect();
        let field = format!("attributes.{shown}");
        if !Attributes::is_name(name) {
            return refuse(field, "must have a name of 1 to 200 characters".to_owned());
        }
        bytes += name.len()
            + match value {
                Value::String(text) => text.len(),
                Value::Number(_) | Value::Bool(_) => 8,
                Value::Array(texts) if texts.iter().all(Value::is_string) => texts
                    .iter()
                    .map(|text| 3 + text.as_str().map_or(0, str::len))
                    .sum(),
                _ => {
                    let reason = "must be a string, a number, true, false or a list of strings";
                    return refuse(field, reason.to_owned());
                }
            };
    }
    if bytes > Attributes::MOST_BYTES {
        let most = Attributes::MOST_BYTES;
        return refuse(
            "attributes".to_owned(),
            format!("have {bytes} bytes; at most {most} are kept"),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(map) => map,
            _ => panic!("not an object"),
        }
    }

    #[test]
    fn null_is_not_stored_but_removes() {
        let sent = map(json!({"price": 3, "brand": null}));
        let stored = Attributes::new(sent.clone()).unwrap();
        assert_eq!(*stored.as_map(), map(json!({"price": 3})));
        let changes = AttributeChanges::new(sent.clone()).unwrap();
        let before = Attributes::new(map(json!({"brand": "b", "size": "s"}))).unwrap();
        let changed = before.changed(changes).unwrap();
        assert_eq!(*changed.as_map(), map(json!({"price": 3, "size": "s"})));
    }

    #[test]
    fn what_is_not_flat_or_too_much_is_refused_by_name() {
        let many: Map<String, Value> = (0..=100).map(|n| (n.to_string(), json!(n))).collect();
        let long = "x".repeat(Attributes::MOST_BYTES);
        for (attributes, field) in [
            (map(json!({"price": {"amount": 3}})), "attributes.price"),
            (map(json!({"sizes": [1, 2]})), "attributes.sizes"),
            (map(json!({"": 1})), "attributes."),
            (many, "attributes"),
            (map(json!({"x": long})), "attributes"),
        ] {
            for refused in [
                Attributes::new(attributes.clone()).map(drop),
                AttributeChanges::new(attributes).map(drop),
            ] {
                match refused {
                    Err(CatalogueError::Invalid { field: found, .. }) => assert_eq!(found, field),
                    other => panic!("{field}: {other:?}"),
                }
            }
        }
    }
}
