//! The three ways to send a body, each made into the same fields.

use std::fmt::{self, Formatter};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::error::Category;

use super::coding::{Coding, Pieces};
use super::fields::{Field, Fields};
use crate::http::limits::Bodies;
use crate::http::problem::{Code, Problem};
use engine::text::unmarked;

/// What an endpoint reads; JSON and forms are read by all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepts {
    /// Also a picture as the whole body: its field `image`.
    Picture,
    /// Also JSON by the name that RFC 7396 gives it.
    MergePatch,
    /// Fields with values that only JSON can express.
    Json,
}

/// Content types of pictures as a whole body. Any other `image/...` is read, too: the bytes decide.
const PICTURES: [&str; 5] = ["image/png", "image/jpeg", "image/webp", "image/gif", "image/bmp"];

const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const FORM: &str = "multipart/form-data";
/// What curl says of `-d` and `--data-binary`, whatever they send.
const URL_ENCODED: &str = "application/x-www-form-urlencoded";
/// Types of clients that do not say what they send.
const UNSAID: [&str; 4] = ["", "application/octet-stream", "binary/octet-stream", URL_ENCODED];

/// Reads a body within the limits of `bodies` and adds its fields.
///
/// # Errors
/// Refuses a coding that is not known, and a content type that the endpoint does not read, before the body is read; then
/// what is malformed, too large, unknown or given twice.
pub async fn read(
    fields: &mut Fields,
    accepts: Accepts,
    headers: &HeaderMap,
    body: Body,
    bodies: &Bodies,
) -> Result<(), Problem> {
    let pieces = Pieces::new(body, Coding::of(headers)?);
    let content_type = content_type(headers);
    let essence = essence(content_type);
    match essence.as_str() {
        JSON => add_json(fields, &whole(pieces, bodies).await?),
        MERGE_PATCH if accepts == Accepts::MergePatch => add_json(fields, &whole(pieces, bodies).await?),
        FORM => add_form(fields, content_type, whole(pieces, bodies).await?).await,
        picture if accepts == Accepts::Picture && picture.starts_with("image/") => {
            fields.add("image", Field::File(whole(pieces, bodies).await?))
        }
        unsaid if UNSAID.contains(&unsaid) => {
            add_unsaid(fields, accepts, unsaid, whole(pieces, bodies).await?)
        }
        other => Err(unsupported(accepts, other)),
    }
}

/// The content type of a request, empty if it has none.
#[must_use]
pub fn content_type(headers: &HeaderMap) -> &str {
    let content_type = headers.get(header::CONTENT_TYPE);
    content_type
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// A content type without its parameters, in lower case.
#[must_use]
pub fn essence(content_type: &str) -> String {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.to_ascii_lowercase()
}

/// Adds a body whose type the client does not know: JSON by its first character, else a picture. No picture's file begins
/// like JSON.
fn add_unsaid(fields: &mut Fields, accepts: Accepts, essence: &str, body: Bytes) -> Result<(), Problem> {
    // The query alone may say everything.
    if body.is_empty() {
        return Ok(());
    }
    let is_json = match unmarked(&body) {
        Ok(text) => text.trim_ascii_start().starts_with(b"{"),
        Err(_) => true,
    };
    let is_plain = || body.iter().all(|byte| byte.is_ascii_graphic());
    if is_json {
        add_json(fields, &body)
    } else if accepts == Accepts::Picture && !(essence == URL_ENCODED && is_plain()) {
        fields.add("image", Field::File(body))
    } else {
        Err(unsupported(accepts, essence))
    }
}

fn unsupported(accepts: Accepts, essence: &str) -> Problem {
    let given = match essence {
        "" => "there is no Content-Type".to_owned(),
        URL_ENCODED => {
            format!("the Content-Type is {essence:?}, which curl says of -d and --data-binary without -H")
        }
        _ => format!("the Content-Type is {essence:?}"),
    };
    let right = match accepts {
        Accepts::Json => JSON.to_owned(),
        Accepts::MergePatch => format!("{JSON}, or a form as {FORM}"),
        Accepts::Picture => format!(
            "a picture as {}, a form as {FORM}, or {JSON}",
            PICTURES.join(", ")
        ),
    };
    Problem::new(Code::UnsupportedMediaType, format!("{given}; send {right}"))
}

async fn whole(mut pieces: Pieces, bodies: &Bodies) -> Result<Bytes, Problem> {
    let mut buffer = match pieces.are_decoded() {
        true => bodies.decoded_buffer(),
        false => bodies.buffer(),
    };
    while let Some(piece) = pieces.next().await {
        if !buffer.add(&piece?) {
            break;
        }
        if buffer.is_refused() {
            pieces.stop_decoding();
        }
    }
    buffer.finish()
}

fn add_json(fields: &mut Fields, body: &[u8]) -> Result<(), Problem> {
    let refuse = |detail: String| Problem::new(Code::InvalidRequest, detail);
    let text = unmarked(body).map_err(|other| refuse(format!("the body {other}")))?;
    let Members(members) = serde_json::from_slice(text).map_err(|error| match error.classify() {
        Category::Data => refuse("the body must be a JSON object".to_owned()),
        _ => refuse(format!("the body is not JSON: {error}")),
    })?;
    members
        .into_iter()
        .try_for_each(|(name, value)| fields.add(&name, Field::Json(value)))
}

/// The members of a JSON object in their order, repeated ones included: a map would keep only the last of those.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, out: &mut Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

async fn add_form(fields: &mut Fields, content_type: &str, body: Bytes) -> Result<(), Problem> {
    let malformed =
        |error: multer::Error| Problem::new(Code::InvalidRequest, format!("the form is malformed: {error}"));
    let boundary = multer::parse_boundary(content_type).map_err(malformed)?;
    let stream = futures_util::stream::once(async { Ok::<_, std::convert::Infallible>(body) });
    let mut form = multer::Multipart::new(stream, boundary);
    while let Some(field) = form.next_field().await.map_err(malformed)? {
        let name = field.name().unwrap_or_default().to_owned();
        let is_file = field.file_name().is_some();
        let bytes = field.bytes().await.map_err(malformed)?;
        let value = match is_file {
            true => Field::File(bytes),
            false => Field::Plain(bytes),
        };
        fields.add(&name, value)?;
    }
    Ok(())
}
