//! What a recommendation starts from: stored products, pictures and embeddings.

use axum::body::Bytes;
use serde_json::value::RawValue;

use super::fields::{Field, FromField, Invalid};
use super::values::{Image, Values, utf8};
use crate::chips::RunChoice;
use crate::http::limits::Counted;
use crate::json;
use crate::service::recommend::{Example, MOST_EXAMPLES};

/// What products are to be like: at least one example.
#[derive(Debug, Clone, PartialEq)]
pub struct Positive(pub Vec<Example<Bytes>>);

/// What products are to be unlike.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Negative(pub Vec<Example<Bytes>>);

/// What one example may be.
const KINDS: &str =
    "must be a product's id, {\"image\": a picture in base64} or {\"embedding\": [whole numbers]}";

impl FromField for Positive {
    fn from_field(field: Field) -> Result<Self, Invalid> {
        let examples = examples(&field, "positive")?;
        match examples.is_empty() {
            true => Self::missing(),
            false => Ok(Self(examples)),
        }
    }

    fn missing() -> Result<Self, Invalid> {
        Err("must name at least one product, picture or embedding".into())
    }
}

impl FromField for Negative {
    fn from_field(field: Field) -> Result<Self, Invalid> {
        examples(&field, "negative").map(Self)
    }

    fn missing() -> Result<Self, Invalid> {
        Ok(Self::default())
    }
}

/// The examples of a list, of a field with this name.
fn examples(field: &Field, name: &str) -> Result<Vec<Example<Bytes>>, Invalid> {
    let refuse = || "must be a list of product ids, pictures and embeddings, in a JSON body";
    let Field::Json(sent) = field else {
        return Err(refuse().into());
    };
    let list = json::list(utf8(sent.as_ref())?, MOST_EXAMPLES).map_err(|error| error.to_string())?;
    let (examples, given) = list.ok_or_else(refuse)?;
    if given > MOST_EXAMPLES {
        return Err(format!("names {given} examples; at most {MOST_EXAMPLES}").into());
    }
    let read = |(place, example): (usize, &RawValue)| {
        read(example, sent).map_err(|Invalid { path, reason }| {
            let within = path.map_or_else(String::new, |within| format!(".{within}"));
            Invalid {
                path: Some(format!("{name}.{place}{within}")),
                reason,
            }
        })
    };
    examples.into_iter().enumerate().map(read).collect()
}

/// Reads one example of a list; a path of a refusal is within it.
fn read(example: &RawValue, sent: &Counted) -> Result<Example<Bytes>, Invalid> {
    let text = example.get();
    if let Some(id) = json::string(text).map_err(|error| error.to_string())? {
        return Ok(Example::Product(id.into_owned()));
    }
    if !text.starts_with('{') {
        return Err(KINDS.into());
    }
    let (mut image, mut embedding) = (None, None);
    let mut choice = RunChoice::default();
    for (name, value) in json::members(text.as_bytes()).map_err(|error| error.to_string())? {
        let field = Field::Json(sent.part(value.get().as_bytes()));
        if field.is_json_null() {
            continue;
        }
        let read = match &*name {
            "image" => take(&mut image, field),
            "embedding" => take(&mut embedding, field),
            "region" => take(&mut choice.region, field),
            "prepare" => take(&mut choice.mode, field),
            _ => Err("is unknown; the known fields are image, region, prepare and embedding".into()),
        };
        read.map_err(|Invalid { reason, .. }| Invalid {
            path: Some(name.chars().take(100).collect()),
            reason,
        })?;
    }
    let runs = choice != RunChoice::default();
    match (image, embedding) {
        (Some(Image(file)), None) => Ok(Example::Picture(file, choice)),
        (None, Some(Values(values))) if !runs => Ok(Example::Embedding(values)),
        (None, Some(_)) => Err("has an embedding with region or prepare, which are about a picture".into()),
        _ => Err(KINDS.into()),
    }
}

/// Reads a member that may be given once.
fn take<T: FromField>(member: &mut Option<T>, field: Field) -> Result<(), Invalid> {
    match member.replace(T::from_field(field)?) {
        None => Ok(()),
        Some(_) => Err("is given twice".into()),
    }
}
