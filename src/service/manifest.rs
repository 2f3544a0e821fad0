//! Lines of an NDJSON manifest: one product each, its pictures in base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::catalogue::{Attributes, Product, ProductId, check_attributes, check_title};
use crate::picture::Mode;

/// A product as a line gives it, its pictures not looked at yet.
#[derive(Debug, Clone, PartialEq)]
pub struct ManifestProduct {
    pub id: ProductId,
    pub title: String,
    pub attributes: Attributes,
    /// Image files, 1 to 16.
    pub pictures: Vec<Vec<u8>>,
    pub mode: Mode,
}

/// Why a line is no product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The product's id, where the line had one.
    pub id: Option<String>,
    /// Names the field, what was given and what would be right.
    pub detail: String,
}

/// Fields of a line.
const FIELDS: [&str; 5] = ["id", "title", "attributes", "image", "prepare"];

/// Reads one line.
pub fn product(line: &[u8]) -> Result<ManifestProduct, Refusal> {
    let nameless = |detail: String| Refusal { id: None, detail };
    let value: Value =
        serde_json::from_slice(line).map_err(|error| nameless(format!("the line is not JSON: {error}")))?;
    let Value::Object(mut fields) = value else {
        return Err(nameless("the line must be a JSON object".to_owned()));
    };
    let id = match fields.remove("id") {
        Some(Value::String(id)) => id,
        Some(_) => return Err(nameless("id: must be a string".to_owned())),
        None => return Err(nameless("id: is missing".to_owned())),
    };
    let refuse = |detail: String| Refusal {
        id: Some(id.chars().take(200).collect()),
        detail,
    };
    if let Some(unknown) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        let shown: String = unknown.chars().take(100).collect();
        return Err(refuse(format!(
            "{shown}: is not known here; known are {}",
            FIELDS.join(", ")
        )));
    }
    let title = match fields.remove("title") {
        None => String::new(),
        Some(Value::String(title)) => title,
        Some(_) => return Err(refuse("title: must be a string".to_owned())),
    };
    let attributes = match fields.remove("attributes") {
        None => Attributes::new(),
        Some(Value::Object(attributes)) => attributes,
        Some(_) => return Err(refuse("attributes: must be an object".to_owned())),
    };
    let mode = match fields.remove("prepare") {
        None => Mode::default(),
        Some(Value::String(name)) => name
            .parse()
            .map_err(|_| refuse(format!("prepare: is {name:?}; it is auto or as_is")))?,
        Some(_) => return Err(refuse("prepare: is auto or as_is".to_owned())),
    };
    let images = match fields.remove("image") {
        Some(image @ Value::String(_)) => vec![image],
        Some(Value::Array(images)) if (1..=Product::MOST_PICTURES).contains(&images.len()) => images,
        Some(Value::Array(images)) => {
            let (given, most) = (images.len(), Product::MOST_PICTURES);
            return Err(refuse(format!(
                "image: lists {given} pictures; a product has 1 to {most}"
            )));
        }
        Some(_) => return Err(refuse("image: must be base64, or a list of such".to_owned())),
        None => return Err(refuse("image: is missing".to_owned())),
    };
    let pictures = images
        .iter()
        .map(|image| {
            let text = image.as_str().ok_or("must be a string: base64 or a data: URL");
            text.map_err(str::to_owned).and_then(picture)
        })
        .collect::<Result<_, _>>()
        .map_err(|detail| refuse(format!("image: {detail}")))?;
    check_title(&title).map_err(|error| refuse(error.to_string()))?;
    check_attributes(&attributes).map_err(|error| refuse(error.to_string()))?;
    Ok(ManifestProduct {
        id: ProductId::new(&id).map_err(|error| refuse(error.to_string()))?,
        title,
        attributes,
        pictures,
        mode,
    })
}

/// An image file out of base64 or a `data:` URL.
pub fn picture(text: &str) -> Result<Vec<u8>, String> {
    let base64 = match text.strip_prefix("data:") {
        None => text,
        Some(url) => {
            let (kind, data) = url.split_once(',').ok_or("is a data: URL without a comma")?;
            if !kind.ends_with(";base64") {
                return Err("is a data: URL that is not base64".to_owned());
            }
            data
        }
    };
    let bytes = STANDARD.decode(base64.trim());
    bytes.map_err(|error| format!("is not base64: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_product_or_says_what_is_wrong_with_which() {
        let whole = br#"{"id": "a", "title": "A", "attributes": {"price": 3}, "image": ["AAE=", "data:x;base64,Ag=="]}"#;
        let read = product(whole).unwrap();
        assert_eq!((read.id.as_str(), read.title.as_str()), ("a", "A"));
        assert_eq!(read.pictures, [vec![0, 1], vec![2]]);
        for (line, id, detail) in [
            ("nonsense", None, "the line is not JSON"),
            ("[]", None, "the line must be a JSON object"),
            (r#"{"image": "AA=="}"#, None, "id: is missing"),
            (r#"{"id": "a"}"#, Some("a"), "image: is missing"),
            (
                r#"{"id": " a", "image": "AA=="}"#,
                Some(" a"),
                "id must have no control",
            ),
            (r#"{"id": "a", "image": "?"}"#, Some("a"), "image: is not base64"),
            (
                r#"{"id": "a", "image": []}"#,
                Some("a"),
                "image: lists 0 pictures",
            ),
            (
                r#"{"id": "a", "image": "AA==", "titel": "A"}"#,
                Some("a"),
                "titel: is not known",
            ),
            (
                r#"{"id": "a", "image": "AA==", "attributes": {"x": {}}}"#,
                Some("a"),
                "attributes.x must be",
            ),
        ] {
            let refusal = product(line.as_bytes()).unwrap_err();
            assert_eq!(refusal.id.as_deref(), id, "{line}");
            assert!(refusal.detail.starts_with(detail), "{line}: {}", refusal.detail);
        }
    }
}
