//! Lines of an NDJSON manifest: each a product, its pictures in base64, as `data:` URLs or, from a file, as paths; or changes
//! of a product that is there; or its deletion.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::attributes::{AttributeChanges, Attributes};
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
    /// How each of them is prepared.
    pub modes: Vec<Mode>,
}

/// What a line says.
#[derive(Debug, Clone, PartialEq)]
pub enum Line<I = Vec<u8>> {
    /// A product, which is created or replaced.
    Product(ManifestProduct<I>),
    /// Changes of a product that is there: a line without pictures.
    Changes {
        id: ProductId,
        title: Option<Title>,
        attributes: AttributeChanges,
    },
    /// The product is deleted.
    Deletion(ProductId),
}

impl<I> Line<I> {
    /// The product's id.
    pub fn id(&self) -> &ProductId {
        match self {
            Self::Product(product) => &product.id,
            Self::Changes { id, .. } | Self::Deletion(id) => id,
        }
    }
}

/// Why a line is invalid.
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
            modes: vec![mode; pictures.len()],
            pictures,
        })
    }
}

/// Fields of a line. Embeddings are those of an export: pictures are embedded by the catalogue's own network.
const FIELDS: [&str; 8] = [
    "id",
    "title",
    "attributes",
    "image",
    "images",
    "prepare",
    "delete",
    "embeddings",
];

/// Parses a line whose pictures are base64 or `data:` URLs.
///
/// # Errors
/// Names the field that is invalid.
pub fn line(text: &[u8]) -> Result<Line, Refusal> {
    line_with(text, picture)
}

/// Parses a line; `picture` turns the text of a picture into the picture, or says what is wrong with it.
///
/// # Errors
/// Names the field that is invalid.
pub fn line_with<I>(text: &[u8], picture: impl Fn(&str) -> Result<I, String>) -> Result<Line<I>, Refusal> {
    let nameless = |detail: String| Refusal { id: None, detail };
    let text = unmarked(text).map_err(|other| nameless(format!("the line {other}")))?;
    let members = json::members(text).map_err(|error| nameless(format!("the line {error}")))?;
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
    let fields = fields.map(|text| text.filter(|text| *text != "null"));
    let [id, title, attributes, image, images, prepare, delete, embeddings] = fields;
    let id = match read("id", id, json::LONGEST).map_err(nameless)? {
        Some(Value::String(id)) => id,
        Some(_) => return Err(nameless("id: must be a string".to_owned())),
        None => return Err(nameless("id: is missing".to_owned())),
    };
    let refuse = |detail: String| Refusal::of(&id, detail);
    let by_rules = |error: CatalogueError| refuse(error.to_string());
    if let Some(detail) = wrong {
        return Err(refuse(detail));
    }
    match read("delete", delete, json::LONGEST).map_err(refuse)? {
        None | Some(Value::Bool(false)) => {}
        Some(Value::Bool(true)) => {
            let others = FIELDS.iter().zip(fields).filter(|(_, value)| value.is_some());
            let other = others
                .map(|(name, _)| *name)
                .find(|name| !["id", "delete"].contains(name));
            return match other {
                None => ProductId::new(&id).map(Line::Deletion).map_err(by_rules),
                Some(name) => Err(refuse(format!(
                    "delete: is true, and {name} is given; a line that deletes has nothing but id and delete"
                ))),
            };
        }
        Some(_) => return Err(refuse("delete: must be true or false".to_owned())),
    }
    let title = match read("title", title, json::LONGEST).map_err(refuse)? {
        None => None,
        Some(Value::String(title)) => Some(title),
        Some(_) => return Err(refuse("title: must be a string".to_owned())),
    };
    let attributes = match read("attributes", attributes, Attributes::MOST_TEXT).map_err(refuse)? {
        None => Map::new(),
        Some(Value::Object(attributes)) => attributes,
        Some(_) => return Err(refuse("attributes: must be an object".to_owned())),
    };
    if embeddings.is_some_and(|text| !text.starts_with('[')) {
        return Err(refuse("embeddings: must be a list".to_owned()));
    }
    let Some(images) = given_images(image, images).map_err(refuse)? else {
        if prepare.is_some() {
            return Err(refuse("prepare: is about pictures, and there is none".to_owned()));
        }
        return Ok(Line::Changes {
            id: ProductId::new(&id).map_err(by_rules)?,
            title: title.map(Title::new).transpose().map_err(by_rules)?,
            attributes: AttributeChanges::new(attributes).map_err(by_rules)?,
        });
    };
    let modes = modes(prepare, images.len()).map_err(refuse)?;
    let pictures = images
        .into_iter()
        .map(|image| match json::string(image) {
            Ok(Some(text)) => picture(&text),
            Ok(None) => Err("must be a string: base64 or a data: URL".to_owned()),
            Err(error) => Err(error.to_string()),
        })
        .collect::<Result<_, _>>()
        .map_err(|detail| refuse(format!("image: {detail}")))?;
    let title = title.unwrap_or_default();
    let product = ManifestProduct::new(&id, title, attributes, pictures, Mode::default())?;
    Ok(Line::Product(ManifestProduct { modes, ..product }))
}

/// The value of a field, if it is given.
fn read(name: &str, text: Option<&str>, most: usize) -> Result<Option<Value>, String> {
    let value = text.map(|text| json::value(text, most));
    value.transpose().map_err(|error| format!("{name}: {error}"))
}

/// The texts of a line's pictures; `None` where it gives none.
fn given_images<'a>(image: Option<&'a str>, images: Option<&'a str>) -> Result<Option<Vec<&'a str>>, String> {
    const MOST: usize = Product::MOST_PICTURES;
    let list = |text| json::list(text, MOST).map_err(|error| format!("image: {error}"));
    let (text, is_list) = match (image, images) {
        (Some(_), Some(_)) => return Err("images: cannot be given together with image".to_owned()),
        (Some(image), None) => (image, false),
        (None, Some(images)) => (images, true),
        (None, None) => return Ok(None),
    };
    let (images, count) = match list(text)? {
        Some((images, count)) => (images.into_iter().map(RawValue::get).collect(), count),
        None if is_list => return Err("images: must be a list".to_owned()),
        None if text.starts_with('"') => (vec![text], 1),
        None => return Err("image: must be a string, or a list of such".to_owned()),
    };
    match (1..=MOST).contains(&count) {
        true => Ok(Some(images)),
        false => Err(format!(
            "image: lists {count} pictures; a product has 1 to {MOST}"
        )),
    }
}

/// How each of so many pictures is prepared: all in one way, or each in its own.
fn modes(prepare: Option<&str>, pictures: usize) -> Result<Vec<Mode>, String> {
    let mode = |value: &Value| match value {
        Value::String(name) => name
            .parse()
            .map_err(|_| format!("prepare: is {name:?}; it is auto or as_is")),
        _ => Err("prepare: is auto or as_is, or a list of one for each picture".to_owned()),
    };
    match read("prepare", prepare, json::LONGEST)? {
        None => Ok(vec![Mode::default(); pictures]),
        Some(Value::Array(modes)) if modes.len() == pictures => modes.iter().map(mode).collect(),
        Some(Value::Array(modes)) => Err(format!(
            "prepare: lists {}, and there are {pictures} pictures",
            modes.len()
        )),
        Some(value) => Ok(vec![mode(&value)?; pictures]),
    }
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
    use serde_json::json;

    fn product(text: &[u8]) -> Result<ManifestProduct, Refusal> {
        match line(text)? {
            Line::Product(product) => Ok(product),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_line_without_pictures_changes_a_product_and_one_that_deletes_says_nothing_else() {
        let changes = |text: &str| match line(text.as_bytes()).unwrap() {
            Line::Changes {
                id,
                title,
                attributes,
            } => (id.as_str().to_owned(), title, attributes),
            other => panic!("{text}: {other:?}"),
        };
        let of = |value: Value| AttributeChanges::new(value.as_object().unwrap().clone()).unwrap();
        let both = r#"{"id": "a", "title": "A", "attributes": {"price": null, "n": 18446744073709551615}}"#;
        assert_eq!(
            changes(both),
            (
                "a".to_owned(),
                Some(Title::new("A").unwrap()),
                of(json!({"price": null, "n": u64::MAX}))
            )
        );
        for nothing in [
            r#"{"id": "a"}"#,
            r#"{"id": "a", "image": null, "title": null, "delete": false, "embeddings": [[1]]}"#,
        ] {
            assert_eq!(
                changes(nothing),
                ("a".to_owned(), None, of(json!({}))),
                "{nothing}"
            );
        }
        for deletion in [
            r#"{"id": "a", "delete": true}"#,
            r#"{"delete": true, "title": null, "id": "a", "images": null}"#,
        ] {
            let id = ProductId::new("a").unwrap();
            assert_eq!(line(deletion.as_bytes()), Ok(Line::Deletion(id)), "{deletion}");
        }
    }

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
        assert_eq!((read.title.as_str(), &*read.modes), ("", [Mode::Auto].as_slice()));
        let modes = |prepare: &str| {
            let text = format!(
                r#"{{"id": "a", "images": ["AAE=", "AAI="], "prepare": {prepare}, "embeddings": [[1]]}}"#
            );
            product(text.as_bytes()).unwrap().modes
        };
        assert_eq!(modes(r#""as_is""#), [Mode::AsIs, Mode::AsIs]);
        assert_eq!(modes(r#"["as_is", "auto"]"#), [Mode::AsIs, Mode::Auto]);
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
            (
                r#"{"id": "a", "prepare": "as_is"}"#,
                Some("a"),
                "prepare: is about pictures",
            ),
            (
                r#"{"id": "a", "image": "AA==", "prepare": ["auto", "auto"]}"#,
                Some("a"),
                "prepare: lists 2, and there are 1",
            ),
            (r#"{"id": "a", "delete": 1}"#, Some("a"), "delete: must be true"),
            (
                r#"{"id": "a", "delete": true, "title": "A"}"#,
                Some("a"),
                "delete: is true, and title is given",
            ),
            (
                r#"{"id": "a", "delete": true, "embeddings": []}"#,
                Some("a"),
                "delete: is true, and embeddings is given",
            ),
            (r#"{"id": " a", "delete": true}"#, Some(" a"), "id must have no"),
            (
                r#"{"id": "a", "image": "AA==", "embeddings": {}}"#,
                Some("a"),
                "embeddings: must be a list",
            ),
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
            let refusal = super::line(line.as_bytes()).unwrap_err();
            assert_eq!(refusal.id.as_deref(), id, "{line}");
            assert!(refusal.detail.starts_with(detail), "{line}: {}", refusal.detail);
        }
    }
}
