//! The three ways to send a picture, read into one form: raw body, multipart form, JSON.
//!
//! Options come as query parameters, form fields or JSON fields; unknown ones and those given twice are refused by
//! name. A field of the body goes before a parameter of the query, so that a client may keep its defaults in the URL.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Uri, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::StreamExt;
use serde_json::Value;

use super::limits::Bodies;
use super::problem::{Code, Problem};
use crate::catalogue::filter::Filter;
use crate::catalogue::{Attributes, ProductKey, check_attributes, check_title};
use crate::service::manifest;
use crate::service::recommend::Taste;
use crate::service::search::SearchOptions;
use engine::embedding::stopping::{Length, LengthError};
use engine::network::Probe;
use engine::picture::Mode;

/// What a client sent, every field checked by itself.
#[derive(Debug, Default)]
pub struct Request {
    pub image: Option<Bytes>,
    pub embedding: Option<Vec<i32>>,
    pub time_steps: Option<Length>,
    pub probe: Option<Probe>,
    pub prepare: Option<Mode>,
    pub trace: Option<bool>,
    pub k: Option<usize>,
    pub min_score: Option<f64>,
    pub exact: Option<bool>,
    pub filter: Option<Filter>,
    pub limit: Option<usize>,
    pub after: Option<ProductKey>,
    pub title: Option<String>,
    pub attributes: Option<Attributes>,
    pub positive: Option<Vec<String>>,
    pub negative: Option<Vec<String>>,
    pub diversity: Option<f64>,
}

impl Request {
    /// How to search: what was said, else the defaults. The filter is taken out.
    pub fn search_options(&mut self) -> SearchOptions {
        let default = SearchOptions::default();
        SearchOptions {
            k: self.k.unwrap_or(default.k),
            min_score: self.min_score,
            exact: self.exact.unwrap_or(default.exact),
            filter: self.filter.take(),
        }
    }
}

/// Which fields an endpoint knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    Embeddings,
    Search,
    Similar,
    Recommend,
    Products,
    PutProduct,
    PatchProduct,
    AddPicture,
    /// One that takes no options.
    Nothing,
}

impl Endpoint {
    fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Embeddings => &["image", "time_steps", "probe", "prepare", "trace"],
            Self::Search => &[
                "image",
                "embedding",
                "time_steps",
                "prepare",
                "trace",
                "k",
                "min_score",
                "exact",
                "filter",
            ],
            Self::Similar => &["k", "min_score", "exact", "filter"],
            Self::Recommend => &[
                "positive",
                "negative",
                "diversity",
                "k",
                "min_score",
                "exact",
                "filter",
            ],
            Self::Products => &["limit", "after", "filter"],
            Self::PutProduct => &["image", "title", "attributes", "prepare"],
            Self::PatchProduct => &["title", "attributes"],
            Self::AddPicture => &["image", "prepare"],
            Self::Nothing => &[],
        }
    }
}

/// Picture content types of the raw way.
const PICTURES: [&str; 5] = ["image/png", "image/jpeg", "image/webp", "image/gif", "image/bmp"];

/// What RFC 7396 calls the JSON of a merge.
const MERGE_PATCH: &str = "application/merge-patch+json";

/// Reads the query of a request without a body.
pub fn parameters(endpoint: Endpoint, uri: &Uri) -> Result<Request, Problem> {
    let mut request = Request::default();
    let mut fields = Fields {
        endpoint,
        given: Vec::new(),
    };
    read_query(&mut fields, &mut request, uri)?;
    Ok(request)
}

fn read_query(fields: &mut Fields, request: &mut Request, uri: &Uri) -> Result<(), Problem> {
    let query = uri.query().unwrap_or_default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name == "image" || name == "embedding" {
            return Err(Problem::field(name, "is a field of the body, not a parameter"));
        }
        fields.set(request, &name, Given::Text(&value))?;
    }
    Ok(())
}

/// Where a page ended, as clients hand it back.
pub fn cursor(after: ProductKey) -> String {
    URL_SAFE_NO_PAD.encode(after.to_bytes())
}

/// Whether a client says that it has what goes by this entity tag.
pub fn knows(headers: &HeaderMap, tag: &str) -> bool {
    let tags = headers.get(header::IF_NONE_MATCH);
    let tags = tags.and_then(|tags| tags.to_str().ok()).unwrap_or_default();
    let mut tags = tags.split(',').map(str::trim);
    tags.any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}

/// Reads a request's query and body.
pub async fn read(
    endpoint: Endpoint,
    uri: &Uri,
    headers: &HeaderMap,
    body: Body,
    bodies: &Bodies,
) -> Result<Request, Problem> {
    let mut request = Request::default();
    let mut fields = Fields {
        endpoint,
        given: Vec::new(),
    };
    read_query(&mut fields, &mut request, uri)?;
    fields.given.clear();
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    if PICTURES.contains(&essence.as_str()) && endpoint.fields().contains(&"image") {
        request.image = Some(whole(body, bodies).await?);
    } else if essence == "application/json" || essence == MERGE_PATCH && endpoint == Endpoint::PatchProduct {
        let body = whole(body, bodies).await?;
        read_json(&mut fields, &mut request, &body)?;
    } else if essence == "multipart/form-data" {
        let body = whole(body, bodies).await?;
        read_form(&mut fields, &mut request, content_type, body).await?;
    } else {
        let given = if content_type.is_empty() {
            "there is no Content-Type".to_owned()
        } else {
            format!("the Content-Type is {essence:?}")
        };
        let taken = match endpoint {
            Endpoint::Recommend => "application/json".to_owned(),
            Endpoint::PatchProduct => "application/json, or a form as multipart/form-data".to_owned(),
            _ => format!(
                "a picture as {}, a form as multipart/form-data, or application/json",
                PICTURES.join(", ")
            ),
        };
        return Err(Problem::new(
            Code::UnsupportedMediaType,
            format!("{given}; send {taken}"),
        ));
    }
    Ok(request)
}

async fn whole(body: Body, bodies: &Bodies) -> Result<Bytes, Problem> {
    let mut stream = body.into_data_stream();
    let mut reading = bodies.read();
    while let Some(piece) = stream.next().await {
        let piece =
            piece.map_err(|_| Problem::new(Code::InvalidRequest, "the body ended before it was whole"))?;
        if !reading.take(&piece) {
            break;
        }
    }
    reading.whole()
}

fn read_json(fields: &mut Fields, request: &mut Request, body: &[u8]) -> Result<(), Problem> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| Problem::new(Code::InvalidRequest, format!("the body is not JSON: {error}")))?;
    let Value::Object(object) = value else {
        return Err(Problem::new(
            Code::InvalidRequest,
            "the body must be a JSON object",
        ));
    };
    for (name, value) in &object {
        fields.set(request, name, Given::Json(value))?;
    }
    Ok(())
}

async fn read_form(
    fields: &mut Fields,
    request: &mut Request,
    content_type: &str,
    body: Bytes,
) -> Result<(), Problem> {
    let malformed =
        |error: multer::Error| Problem::new(Code::InvalidRequest, format!("the form is malformed: {error}"));
    let boundary = multer::parse_boundary(content_type).map_err(malformed)?;
    let stream = futures_util::stream::once(async { Ok::<_, std::convert::Infallible>(body) });
    let mut form = multer::Multipart::new(stream, boundary);
    while let Some(field) = form.next_field().await.map_err(malformed)? {
        let name = field.name().unwrap_or_default().to_owned();
        let bytes = field.bytes().await.map_err(malformed)?;
        if name == "image" {
            fields.once("image")?;
            request.image = Some(bytes);
        } else {
            let text = std::str::from_utf8(&bytes).map_err(|_| Problem::field(&name, "is not UTF-8 text"))?;
            fields.set(request, &name, Given::Text(text))?;
        }
    }
    Ok(())
}

/// A field's value as it came.
enum Given<'a> {
    Text(&'a str),
    Json(&'a Value),
}

struct Fields {
    endpoint: Endpoint,
    /// In the query or in the body, whichever is read now.
    given: Vec<&'static str>,
}

impl Fields {
    /// The field's name if this endpoint knows it and it was not given before.
    fn once(&mut self, name: &str) -> Result<&'static str, Problem> {
        let known = self.endpoint.fields();
        let Some(known_name) = known.iter().find(|known| **known == name) else {
            let shown: String = name.chars().take(100).collect();
            let detail = match known {
                [] => "is not known here; there are no options".to_owned(),
                known => format!("is not known here; known are {}", known.join(", ")),
            };
            return Err(Problem::field(shown, detail));
        };
        if self.given.contains(known_name) {
            return Err(Problem::field(name, "is given twice"));
        }
        self.given.push(known_name);
        Ok(known_name)
    }

    fn set(&mut self, request: &mut Request, name: &str, given: Given<'_>) -> Result<(), Problem> {
        let name = self.once(name)?;
        let refuse = |detail: String| Problem::field(name, detail);
        match name {
            "image" => request.image = Some(image(given).map_err(refuse)?),
            "embedding" => request.embedding = Some(embedding(given).map_err(refuse)?),
            "time_steps" => {
                let steps = word(given).map_err(refuse)?;
                let steps = steps.parse();
                request.time_steps = Some(steps.map_err(|error: LengthError| refuse(error.to_string()))?);
            }
            "probe" => {
                let probe = word(given).map_err(refuse)?;
                request.probe = Some(
                    probe
                        .parse()
                        .map_err(|error: engine::network::UnknownProbe| refuse(error.to_string()))?,
                );
            }
            "prepare" => {
                let mode = word(given).map_err(refuse)?;
                request.prepare = Some(
                    mode.parse()
                        .map_err(|_| refuse(format!("is {mode:?}; it is auto or as_is")))?,
                );
            }
            "k" => request.k = Some(count(given).map_err(refuse)?),
            "limit" => request.limit = Some(count(given).map_err(refuse)?),
            "after" => {
                let cursor = word(given).map_err(refuse)?;
                let key = URL_SAFE_NO_PAD
                    .decode(&cursor)
                    .ok()
                    .and_then(|bytes| ProductKey::from_bytes(&bytes));
                request.after = Some(key.ok_or_else(|| {
                    refuse(
                        "is no cursor; give what `next` of the page before was, or nothing for the first"
                            .to_owned(),
                    )
                })?);
            }
            "min_score" => request.min_score = Some(figure(given, -1.0, 1.0).map_err(refuse)?),
            "diversity" => request.diversity = Some(figure(given, 0.0, 1.0).map_err(refuse)?),
            "positive" => request.positive = Some(ids(given).map_err(refuse)?),
            "negative" => request.negative = Some(ids(given).map_err(refuse)?),
            "exact" => request.exact = Some(truth(given).map_err(refuse)?),
            "filter" => request.filter = Some(filter(given)?),
            "title" => {
                let title = text(given).map_err(refuse)?;
                check_title(&title)?;
                request.title = Some(title);
            }
            "attributes" => {
                let attributes = attributes(given).map_err(refuse)?;
                if self.endpoint == Endpoint::PatchProduct {
                    let left = attributes.iter().filter(|(_, value)| !value.is_null());
                    check_attributes(&left.map(|(name, value)| (name.clone(), value.clone())).collect())?;
                } else {
                    check_attributes(&attributes)?;
                }
                request.attributes = Some(attributes);
            }
            "trace" => request.trace = Some(truth(given).map_err(refuse)?),
            other => unreachable!("{other} is in the endpoint's table"),
        }
        Ok(())
    }
}

/// A short value as text: JSON strings, numbers and booleans are all taken by their writing.
fn word(given: Given<'_>) -> Result<String, String> {
    let text = match given {
        Given::Text(text) => text,
        Given::Json(Value::String(text)) => text.as_str(),
        Given::Json(value @ (Value::Number(_) | Value::Bool(_))) => {
            // 25.0 is the whole number 25 to JSON's schemas.
            let writing = value.to_string();
            return Ok(writing.strip_suffix(".0").map_or(writing.clone(), str::to_owned));
        }
        Given::Json(_) => return Err("must be one plain value".to_owned()),
    };
    if text.len() > 200 {
        return Err(format!("has {} bytes; its values are short", text.len()));
    }
    Ok(text.to_owned())
}

/// A number within bounds.
fn figure(given: Given<'_>, least: f64, most: f64) -> Result<f64, String> {
    let text = word(given)?;
    let parsed = text.parse().ok();
    let parsed = parsed.filter(|figure| (least..=most).contains(figure));
    parsed.ok_or_else(|| format!("is {text}; it must be from {least} to {most}"))
}

/// Some products' ids.
fn ids(given: Given<'_>) -> Result<Vec<String>, String> {
    let ids = match given {
        Given::Json(Value::Array(ids)) => ids.iter().map(|id| id.as_str().map(str::to_owned)).collect(),
        _ => None,
    };
    let ids: Vec<String> = ids.ok_or("must be a list of product ids, in a JSON body")?;
    if ids.len() > Taste::MOST {
        return Err(format!("names {} products; at most {}", ids.len(), Taste::MOST));
    }
    Ok(ids)
}

/// How many products are wanted.
fn count(given: Given<'_>) -> Result<usize, String> {
    let text = word(given)?;
    let most = SearchOptions::MOST;
    let parsed = text.parse().ok().filter(|count| (1..=most).contains(count));
    parsed.ok_or_else(|| format!("is {text}; it must be a whole number from 1 to {most}"))
}

/// True or false, in the capitals that Python writes, too.
fn truth(given: Given<'_>) -> Result<bool, String> {
    let text = word(given)?;
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("is {text:?}; it is true or false")),
    }
}

/// A JSON field, or its text in a parameter or form field; a refusal names the place within the filter.
fn filter(given: Given<'_>) -> Result<Filter, Problem> {
    let read = match given {
        Given::Json(value) => Filter::from_json(value),
        Given::Text(text) => {
            let value = serde_json::from_str(text)
                .map_err(|error| Problem::field("filter", format!("is not JSON: {error}")))?;
            Filter::from_json(&value)
        }
    };
    read.map_err(|error| Problem::field(error.path, error.reason))
}

/// Any text, as it is.
fn text(given: Given<'_>) -> Result<String, String> {
    match given {
        Given::Text(text) => Ok(text.to_owned()),
        Given::Json(Value::String(text)) => Ok(text.clone()),
        Given::Json(_) => Err("must be a string".to_owned()),
    }
}

/// A JSON field, or its text in a parameter or form field; what its values may be is the catalogue's to say.
fn attributes(given: Given<'_>) -> Result<Attributes, String> {
    let value = match given {
        Given::Json(value) => value.clone(),
        Given::Text(text) => serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))?,
    };
    match value {
        Value::Object(attributes) => Ok(attributes),
        _ => Err("must be an object, like {\"category\": \"bag\"}".to_owned()),
    }
}

fn image(given: Given<'_>) -> Result<Bytes, String> {
    let text = match given {
        Given::Text(text) => text,
        Given::Json(Value::String(text)) => text.as_str(),
        Given::Json(_) => return Err("must be a string: base64 or a data: URL".to_owned()),
    };
    manifest::picture(text).map(Bytes::from)
}

fn embedding(given: Given<'_>) -> Result<Vec<i32>, String> {
    let Given::Json(Value::Array(values)) = given else {
        return Err("must be a list of whole numbers, in a JSON body".to_owned());
    };
    values
        .iter()
        .enumerate()
        .map(|(index, value)| {
            let fraction = || {
                value
                    .as_f64()
                    .filter(|value| value.fract() == 0.0 && value.abs() < 1e15)
            };
            let whole = value.as_i64().or_else(|| fraction().map(|value| value as i64));
            let whole = whole.and_then(|value| i32::try_from(value).ok());
            whole.ok_or_else(|| format!("value {index} is not a whole number of 32 bits"))
        })
        .collect()
}
