//! Lines of an NDJSON manifest: one product each, its pictures in base64, as `data:` URLs or, from a file, as paths.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::attributes::Attributes;
use super::error::CatalogueError;
use super::picture_text::{is_meant, picture};
use super::product::{Product, ProductId};
use super::title::Title;
use crate::json;
use engine::picture::Mode;
use engine::text::unmarked;

/// A product as a line describes it; its pictures are not decoded yet.
#[derive(Debug, Clone, PartialEq)]
pub struct ManifestProduct<I = Vec<u8>> {
    pub id: ProductId,
    pub title: Title,
    pub attributes: Attributes,
    /// Image files, 1 to 16.
    pub pictures: Vec<I>,
    pub mode: Mode,
}

/// Why a line is not a valid product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The product's id, where the line had one.
    pub id: Option<String>,
    /// Names the field, the value and what would be valid.
    pub detail: String,
}

impl Refusal {
    /// Of the product with this id, valid or not.
    pub fn of(id: &str, detail: String) -> Self {
        Self {
            id: Some(id.chars().take(200).collect()),
            detail,
        }
    }
}

impl<I> ManifestProduct<I> {
    /// Checks id, title and attributes by the catalogue's rules.
    ///
    /// # Errors
    /// Names the field that breaks a rule.
    pub fn new(
        id: &str,
        title: String,
        attributes: Map<String, Value>,
        pictures: Vec<I>,
        mode: Mode,
    ) -> Result<Self, Refusal> {
        let refuse = |error: CatalogueError| Refusal::of(id, error.to_string());
        Ok(Self {
            id: ProductId::new(id).map_err(refuse)?,
            title: Title::new(title).map_err(refuse)?,
            attributes: Attributes::new(attributes).map_err(refuse)?,
            pictures,
            mode,
        })
    }
}

/// Fields of a line.
const FIELDS: [&str; 6] = ["id", "title", "attributes", "image", "images", "prepare"];

/// Parses a line whose pictures are base64 or `data:` URLs.
///
/// # Errors
/// Names the field that is invalid.
pub fn product(line: &[u8]) -> Result<ManifestProduct, Refusal> {
    product_with(line, picture)
}

/// Parses a line; `picture` turns the text of a picture into the picture, or says what is wrong with it.
///
/// # Errors
/// Names the field that is invalid.
pub fn product_with<I>(
    line: &[u8],
    picture: impl Fn(&str) -> Result<I, String>,
) -> Result<ManifestProduct<I>, Refusal> {
    let nameless = |detail: String| Refusal { id: None, detail };
    let line = unmarked(line).map_err(|other| nameless(format!("the line {other}")))?;
    let members = json::members(line).map_err(|error| nameless(format!("the line {error}")))?;
    // Fields by their place in `FIELDS`; `null` is the same as no field.
    let mut fields: [Option<&str>; FIELDS.len()] = [None; FIELDS.len()];
    let mut wrong = None;
    for (name, value) in members {
        match FIELDS.iter().position(|known| *known == name) {
            Some(place) if fields[place].is_none() => fields[place] = Some(value.get()),
            Some(_) => wrong = wrong.or(Some(format!("{name}: is given twice"))),
            None => wrong = wrong.or_else(|| Some(unknown(&name))),
        }
    }
    let [id, title, attributes, image, images, mode] = fields.map(|text| text.filter(|text| *text != "null"));
    let read = |name: &str, text: Option<&str>, most: usize| {
        let value = text.map(|text| json::value(text, most));
        value.transpose().map_err(|error| format!("{name}: {error}"))
    };
    let id = match read("id", id, json::LONGEST).map_err(nameless)? {
        Some(Value::String(id)) => id,
        Some(_) => return Err(nameless("id: must be a string".to_owned())),
        None => return Err(nameless("id: is missing".to_owned())),
    };
    let refuse = |detail: String| Refusal::of(&id, detail);
    if let Some(detail) = wrong {
        return Err(refuse(detail));
    }
    let title = match read("title", title, json::LONGEST).map_err(refuse)? {
        None => String::new(),
        Some(Value::String(title)) => title,
        Some(_) => return Err(refuse("title: must be a string".to_owned())),
    };
    let attributes = match read("attributes", attributes, Attributes::MOST_TEXT).map_err(refuse)? {
        None => Map::new(),
        Some(Value::Object(attributes)) => attributes,
        Some(_) => return Err(refuse("attributes: must be an object".to_owned())),
    };
    let mode = match read("prepare", mode, json::LONGEST).map_err(refuse)? {
        None => Mode::default(),
        Some(Value::String(name)) => name
            .parse()
            .map_err(|_| refuse(format!("prepare: is {name:?}; it is auto or as_is")))?,
        Some(_) => return Err(refuse("prepare: is auto or as_is".to_owned())),
    };
    let list =
        |text| json::list(text, Product::MOST_PICTURES).map_err(|error| refuse(format!("image: {error}")));
    let (images, count) = match (image, images) {
        (Some(_), Some(_)) => return Err(refuse("images: cannot be given together with image".to_owned())),
        (Some(image), None) => match list(image)? {
            Some((images, count)) => (images.into_iter().map(RawValue::get).collect(), count),
            None if image.starts_with('"') => (vec![image], 1),
            None => return Err(refuse("image: must be a string, or a list of such".to_owned())),
        },
        (None, Some(images)) => match list(images)? {
            Some((images, count)) => (images.into_iter().map(RawValue::get).collect(), count),
            None => return Err(refuse("images: must be a list".to_owned())),
        },
        (None, None) => return Err(refuse("image: is missing".to_owned())),
    };
    if !(1..=Product::MOST_PICTURES).contains(&count) {
        let most = Product::MOST_PICTURES;
        return Err(refuse(format!(
            "image: lists {count} pictures; a product has 1 to {most}"
        )));
    }
    let pictures = images
        .into_iter()
        .map(|image| match json::string(image) {
            Ok(Some(text)) => picture(&text),
            Ok(None) => Err("must be a string: base64 or a data: URL".to_owned()),
            Err(error) => Err(error.to_string()),
        })
        .collect::<Result<_, _>>()
        .map_err(|detail| refuse(format!("image: {detail}")))?;
    ManifestProduct::new(&id, title, attributes, pictures, mode)
}

/// The refusal of a field that is none of [`FIELDS`].
fn unknown(name: &str) -> String {
    let shown: String = name.chars().take(100).collect();
    let hint = if is_meant(name) {
        "did you mean image? The"
    } else {
        "the"
    };
    format!("{shown}: is unknown; {hint} fields are {}", FIELDS.join(", "))
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
        let several = product(br#"{"id": "a", "images": ["AAE=", "AAI="]}"#).unwrap();
        assert_eq!(several.pictures.len(), 2);
        let marked = product(b"\xef\xbb\xbf{\"id\": \"a\", \"image\": \"A\\nAE\"}").unwrap();
        assert_eq!(marked.pictures, [vec![0, 1]]);
        let nulls = br#"{"id": "a", "title": null, "attributes": null, "image": null, "images": ["AAE="], "prepare": null}"#;
        let attributes =
            br#"{"id": "a", "attributes": {"price": null, "size": 4}, "image": "AAE=", "images": null}"#;
        let read = product(nulls).unwrap();
        assert_eq!((read.title.as_str(), read.mode), ("", Mode::Auto));
        assert!(read.attributes.as_map().is_empty());
        let read = product(attributes).unwrap();
        assert_eq!(
            Value::from(read.attributes.as_map().clone()),
            serde_json::json!({"size": 4})
        );
        let utf16: Vec<u8> = "\u{feff}{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let refusal = product(&utf16).unwrap_err();
        assert_eq!(refusal.detail, "the line is UTF-16; it must be UTF-8");
        for (line, id, detail) in [
            (r#"{"id": null, "image": "AA=="}"#, None, "id: is missing"),
            (r#"{"id": "a", "image": null}"#, Some("a"), "image: is missing"),
            (
                r#"{"id": "a", "image": [null]}"#,
                Some("a"),
                "image: must be a string",
            ),
            (
                r#"{"id": "a", "photo": "AA=="}"#,
                Some("a"),
                "photo: is unknown; did you mean image? The fields are id,",
            ),
            (
                r#"{"id": "a", "images": "AAE="}"#,
                Some("a"),
                "images: must be a list",
            ),
            (
                r#"{"id": "a", "images": ["AAE="], "image": "AAE="}"#,
                Some("a"),
                "images: cannot be given",
            ),
            ("nonsense", None, "the line is not JSON"),
            (
                r#"{"title": "A", "id": "a", "image": "AA==", "title": "A"}"#,
                Some("a"),
                "title: is given twice",
            ),
            (
                r#"{"id": "a", "image": "AA==", "attributes": {"x": 1, "y": 2, "x": 1}}"#,
                Some("a"),
                "attributes: gives \"x\" twice",
            ),
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
                "titel: is unknown",
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
