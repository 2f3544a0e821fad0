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

/// Content types of pictures as a whole body.
const PICTURES: [&str; 5] = ["image/png", "image/jpeg", "image/webp", "image/gif", "image/bmp"];

const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const FORM: &str = "multipart/form-data";

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
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    match essence.as_str() {
        JSON => add_json(fields, &whole(pieces, bodies).await?),
        MERGE_PATCH if accepts == Accepts::MergePatch => add_json(fields, &whole(pieces, bodies).await?),
        FORM => add_form(fields, content_type, whole(pieces, bodies).await?).await,
        picture if accepts == Accepts::Picture && PICTURES.contains(&picture) => {
            fields.add("image", Field::Bytes(whole(pieces, bodies).await?))
        }
        _ => Err(unsupported(accepts, content_type, &essence)),
    }
}

fn unsupported(accepts: Accepts, content_type: &str, essence: &str) -> Problem {
    let given = if content_type.is_empty() {
        "there is no Content-Type".to_owned()
    } else {
        format!("the Content-Type is {essence:?}")
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
        let bytes = field.bytes().await.map_err(malformed)?;
        fields.add(&name, Field::Bytes(bytes))?;
    }
    Ok(())
}
