//! The values of fields: types that can only be made valid, each with the reason why another value is not.

use axum::body::Bytes;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::fields::{Field, FromField, Invalid};
use crate::catalogue::Title;
use crate::catalogue::filter::Filter;
use crate::catalogue::picture_text::picture;
use crate::catalogue::search::{Grouping, SearchOptions};
use crate::catalogue::{self, CatalogueError};
use crate::catalogue::{AttributeChanges, Attributes};
use crate::http::limits::Counted;
use crate::http::problem::Problem;
use crate::json;
use engine::embedding::stopping::{Length, LengthError};
use engine::network::{Probe, UnknownProbe};
use engine::picture::{Mode, Region};
use engine::text::unmarked;

/// A whole number from `LEAST` to `MOST`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole<const LEAST: usize, const MOST: usize>(usize);

/// How many matches are wanted.
pub type K = Whole<1, { SearchOptions::MOST }>;

/// How many matches, or groups, are passed over.
pub type Offset = Whole<0, { SearchOptions::HORIZON - SearchOptions::MOST }>;

/// The most products of a group.
pub type GroupSize = Whole<1, { Grouping::MOST }>;

/// How many products a page has.
pub type Limit = Whole<1, { SearchOptions::MOST }>;

impl<const LEAST: usize, const MOST: usize> Whole<LEAST, MOST> {
    /// The number.
    #[must_use]
    pub fn get(self) -> usize {
        self.0
    }
}

impl<const LEAST: usize, const MOST: usize> FromField for Whole<LEAST, MOST> {
    fn from_field(field: Field) -> Result<Self, Invalid> {
        let text = word(field)?;
        let number = text.parse().ok();
        let number = number.filter(|number| (LEAST..=MOST).contains(number));
        number
            .map(Self)
            .ok_or_else(|| format!("is {text}; it must be a whole number from {LEAST} to {MOST}").into())
    }
}

/// The score below which products are left out, -1 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MinScore(f64);

impl MinScore {
    /// The score.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl FromField for MinScore {
    fn from_field(field: Field) -> Result<Self, Invalid> {
        number(field, -1.0, 1.0).map(Self)
    }
}

/// How unlike one another recommended products are to be, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Diversity(f64);

impl Diversity {
    /// The weight.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl FromField for Diversity {
    fn from_field(field: Field) -> Result<Self, Invalid> {
        number(field, 0.0, 1.0).map(Self)
    }
}

/// Where a page ended: opaque to clients, who send it back for the next page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub catalogue::Cursor);

impl FromField for Cursor {
    fn from_field(field: Field) -> Result<Self, Invalid> {
        let bytes = URL_SAFE_NO_PAD.decode(word(field)?);
        bytes
            .map(|bytes| Self(catalogue::Cursor(bytes)))
            .map_err(|_| catalogue::Cursor::INVALID.into())
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(&self.0.0))
    }
}

/// A picture's file, not decoded yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image(pub(super) Bytes);

impl Image {
    /// The file, without copying it.
    #[must_use]
    pub fn into_inner(self) -> Bytes {
        self.0
    }
}

impl Image {
    /// The picture of a request that cannot do without.
    ///
    /// # Errors
    /// Names the field `image` if there is none.
    pub fn required(image: Option<Self>) -> Result<Self, Problem> {
        image
            .map_or_else(Self::missing, Ok)
            .map_err(|invalid| Problem::field("image", invalid.reason))
    }

    /// A picture that was decoded from a text of the body, in whose place it counts.
    fn decoded(picture: Vec<u8>, text: &Counted) -> Self {
        Self(text.made(picture.into()).into())
    }
}

impl FromField for Image {
    /// A form's field that is not a file is base64 or a `data:` URL if it is text: no picture's file is ASCII alone.
    fn from_field(field: Field) -> Result<Self, Invalid> {
        match &field {
            Field::File(bytes) => Ok(Self(bytes.clone())),
            Field::Plain(sent) => match str::from_utf8(unmarked(sent.as_ref()).unwrap_or(sent.as_ref())) {
                Ok(text) if text.is_ascii() => Ok(Self::decoded(picture(text)?, sent)),
                _ => Ok(Self(sent.clone().into())),
            },
            Field::Json(sent) => {
                match json::string(utf8(sent.as_ref())?).map_err(|error| error.to_string())? {
                    Some(text) => Ok(Self::decoded(picture(&text)?, sent)),
                    None => Err("must be a string: base64 or a data: URL".into()),
                }
            }
            Field::Text(text) => Ok(Self(picture(text)?.into())),
        }
    }

    /// A form without a picture has an empty field.
    fn is_null(field: &Field) -> bool {
        field.is_json_null() || matches!(field, Field::Plain(sent) if sent.as_ref().is_empty())
    }

    fn missing() -> Result<Self, Invalid> {
        Err("is missing; send a picture as the body, as the form field `image`, or as JSON in base64".into())
    }
}

/// The values of an embedding; how many there must be depends on the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Values(pub(super) Vec<i32>);

impl Values {
    /// The values, without copying them.
    #[must_use]
    pub fn into_inner(self) -> Vec<i32> {
        self.0
    }
}

/// The field `embedding` of a search: an embedding to search for, or whether to add the query's to the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Embedding {
    Given(Values),
    Add(bool),
}

impl FromField for Embedding {
    fn from_field(field: Field) -> Result<Self, Invalid> {
        match &field {
            Field::Json(sent) if sent.as_ref().starts_with(b"[") => {
                Values::from_field(field).map(Self::Given)
            }
            _ => match bool::from_field(field) {
                Ok(add) => Ok(Self::Add(add)),
                Err(_) => Err("must be true, false or, in a JSON body, a list of whole numbers".into()),
            },
        }
    }
}

impl FromField for Values {
    fn from_field(field: Field) -> Result<Self, Invalid> {
        let Some(Value::Array(values)) = in_body(&field)? else {
            return Err("must be a list of whole numbers, in a JSON body".into());
        };
        let whole = |(index, value): (usize, &Value)| {
            // 25.0 is the whole number 25 to JSON's schemas.
            let fraction = || {
                value
                    .as_f64()
                    .filter(|value| value.fract() == 0.0 && value.abs() < 1e15)
            };
            let whole = value.as_i64().or_else(|| fraction().map(|value| value as i64));
            let whole = whole.and_then(|value| i32::try_from(value).ok());
            whole.ok_or_else(|| format!("value {index} is not a whole number of 32 bits").into())
        };
        values
            .iter()
            .enumerate()
            .map(whole)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl FromField for Region {
    fn from_field(field: Field) -> Result<Self, Invalid> {
        let refuse =
            "must be [x0, y0, x1, y1], fractions of the picture with 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1";
        let Ok(Value::Array(edges)) = value(&field, json::LONGEST) else {
            return Err(refuse.into());
        };
        let edges: Option<Vec<f64>> = edges.iter().map(Value::as_f64).collect();
        let edges = edges
            .and_then(|edges| <[f64; 4]>::try_from(edges).ok())
            .ok_or(refuse)?;
        Self::new(edges).map_err(|error| error.to_string().into())
    }

    fn is_null(field: &Field) -> bool {
        is_null_text(field)
    }
}

impl FromField for Length {
    fn from_field(field: Field) -> Result<Self, Invalid> {
        let steps = word(field)?;
        steps
            .parse()
            .map_err(|error: LengthError| error.to_string().into())
    }
}

impl FromField for Probe {
    fn from_field(field: Field) -> Result<Self, Invalid> {
        let probe = word(field)?;
        probe
            .parse()
            .map_err(|error: UnknownProbe| error.to_string().into())
    }
}

impl FromField for Mode {
    fn from_field(field: Field) -> Result<Self, Invalid> {
        let mode = word(field)?;
        mode.parse()
            .map_err(|_| format!("is {mode:?}; it is auto or as_is").into())
    }
}

/// `true` or `false`, also in the capitals that Python writes.
impl FromField for bool {
    fn from_field(field: Field) -> Result<Self, Invalid> {
        let text = word(field)?;
        match text.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(format!("is {text:?}; it is true or false").into()),
        }
    }
}

/// The path of a refusal leads to the place within the filter.
impl FromField for Filter {
    fn from_field(field: Field) -> Result<Self, Invalid> {
        Self::from_json(&value(&field, json::LONGEST)?).map_err(|error| Invalid {
            path: Some(error.path),
            reason: error.reason,
        })
    }

    fn is_null(field: &Field) -> bool {
        is_null_text(field)
    }
}

impl FromField for Title {
    fn from_field(field: Field) -> Result<Self, Invalid> {
        let title = match in_body(&field)? {
            Some(value) => string(value).ok_or("must be a string")?,
            None => text(&field)?.to_owned(),
        };
        Self::new(title).map_err(|error| in_catalogue(&error))
    }
}

impl FromField for Attributes {
    fn from_field(field: Field) -> Result<Self, Invalid> {
        Self::new(object(&field)?).map_err(|error| in_catalogue(&error))
    }

    fn is_null(field: &Field) -> bool {
        is_null_text(field)
    }
}

impl FromField for AttributeChanges {
    fn from_field(field: Field) -> Result<Self, Invalid> {
        Self::new(object(&field)?).map_err(|error| in_catalogue(&error))
    }

    fn is_null(field: &Field) -> bool {
        is_null_text(field)
    }
}

fn in_catalogue(error: &CatalogueError) -> Invalid {
    match error {
        CatalogueError::Invalid { field, reason } => Invalid {
            path: Some(field.clone()),
            reason: reason.clone(),
        },
        other => other.to_string().into(),
    }
}

/// The value of a field of a JSON body; `None` for any other field.
fn in_body(field: &Field) -> Result<Option<Value>, Invalid> {
    match field {
        Field::Json(_) => value(field, json::LONGEST).map(Some),
        _ => Ok(None),
    }
}

/// The text of a parameter or a form's field, or of a value of a JSON body.
fn written(field: &Field) -> Result<&str, Invalid> {
    match field {
        Field::Text(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Field::File(bytes) => utf8(bytes),
        Field::Plain(sent) | Field::Json(sent) => utf8(sent.as_ref()),
    }
}

pub(super) fn utf8(bytes: &[u8]) -> Result<&str, Invalid> {
    let text = unmarked(bytes).map_err(|other| other.to_string())?;
    str::from_utf8(text).map_err(|_| "is not UTF-8 text".into())
}

/// The text of a parameter or a form's field that is not JSON.
pub(super) fn text(field: &Field) -> Result<&str, Invalid> {
    let text = written(field)?;
    match text.len() > json::LONGEST {
        true => Err(format!("has {} bytes; at most {} are read", text.len(), json::LONGEST).into()),
        false => Ok(text),
    }
}

fn string(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// A short value as text: strings, numbers and booleans of JSON are read as they are written.
pub(super) fn word(field: Field) -> Result<String, Invalid> {
    let word = match in_body(&field)? {
        // 25.0 is the whole number 25 to JSON's schemas.
        Some(number @ Value::Number(_)) => {
            let written = number.to_string();
            written.strip_suffix(".0").map_or(written.clone(), str::to_owned)
        }
        Some(Value::Bool(boolean)) => boolean.to_string(),
        Some(value) => string(value).ok_or("must be one plain value")?,
        None => text(&field)?.to_owned(),
    };
    if word.len() > 200 {
        return Err(format!("has {} bytes; its values are short", word.len()).into());
    }
    Ok(word)
}

/// A number within bounds.
fn number(field: Field, least: f64, most: f64) -> Result<f64, Invalid> {
    let text = word(field)?;
    let number = text.parse().ok();
    let number = number.filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("is {text}; it must be from {least} to {most}").into())
}

/// A JSON value of at most `most` bytes, also as the text of a parameter or a form's field.
pub(super) fn value(field: &Field, most: usize) -> Result<Value, Invalid> {
    json::value(written(field)?, most).map_err(|error| error.to_string().into())
}

/// Whether a field is JSON `null`, also as the text of a parameter or a form's field.
pub(super) fn is_null_text(field: &Field) -> bool {
    let null = |text: &[u8]| unmarked(text).is_ok_and(|text| text.trim_ascii() == b"null");
    match field {
        Field::Text(text) => null(text.as_bytes()),
        Field::File(bytes) => null(bytes),
        Field::Json(sent) | Field::Plain(sent) => null(sent.as_ref()),
    }
}

fn object(field: &Field) -> Result<Map<String, Value>, Invalid> {
    match value(field, Attributes::MOST_TEXT)? {
        Value::Object(object) => Ok(object),
        _ => Err("must be an object, like {\"category\": \"bag\"}".into()),
    }
}
