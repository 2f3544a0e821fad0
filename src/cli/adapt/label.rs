//! What an attribute says about a product, as a label.

use serde_json::Value;

/// The label in an attribute: text as it is, a list's first element, a number or a truth value as text.
#[must_use]
pub fn label(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(texts) => texts.first().and_then(label),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Object(_) => None,
    }
    .filter(|text| !text.is_empty())
}
