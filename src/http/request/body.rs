//! The three ways to send a body, each made into the same fields.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use futures_util::FutureExt;

use super::coding::{Coding, Pieces};
use super::fields::{Field, Fields};
use crate::http::limits::{Bodies, Counted};
use crate::http::problem::{Code, Problem};
use crate::json;
use engine::text::unmarked;

/// What an endpoint reads; JSON and forms are read by all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepts {
    /// Also a picture as the whole body: its field `image`.
    Picture,
    /// Also JSON by the name that RFC 7396 gives it.
    MergePatch,
    /// Fields with values that only JSON can express, pictures among them.
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

/// What a body is, by its content type.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Json,
    /// A form, with the content type that has its boundary.
    Form(String),
    Picture,
    /// Of a type that says nothing.
    Unsaid(String),
}

/// A whole body that is not parsed yet.
#[derive(Debug)]
pub struct Sent {
    accepts: Accepts,
    kind: Kind,
    body: Counted,
}

/// Bytes of a body without a picture.
pub const WITHOUT_PICTURE: usize = 1 << 20;

/// Receives a body within the limits of `bodies`.
///
/// # Errors
/// Refuses a coding that is not known, and a content type that the endpoint does not read, before the body is received;
/// then what is too large.
pub async fn receive(
    accepts: Accepts,
    headers: &HeaderMap,
    body: Body,
    bodies: &Bodies,
) -> Result<Sent, Problem> {
    let pieces = Pieces::new(body, Coding::of(headers)?);
    let content_type = content_type(headers);
    let essence = essence(content_type);
    let kind = match essence.as_str() {
        JSON => Kind::Json,
        MERGE_PATCH if accepts == Accepts::MergePatch => Kind::Json,
        FORM => Kind::Form(content_type.to_owned()),
        picture if accepts == Accepts::Picture && picture.starts_with("image/") => Kind::Picture,
        unsaid if UNSAID.contains(&unsaid) => Kind::Unsaid(essence),
        other => return Err(unsupported(accepts, other)),
    };
    let most = match accepts {
        Accepts::Picture | Accepts::Json => usize::MAX,
        Accepts::MergePatch => WITHOUT_PICTURE,
    };
    let body = whole(pieces, bodies, most).await?;
    Ok(Sent { accepts, kind, body })
}

impl Sent {
    /// How many bytes there are to parse; a picture alone is not parsed.
    #[must_use]
    pub fn bytes_to_parse(&self) -> usize {
        match self.kind {
            Kind::Picture => 0,
            _ => self.body.as_ref().len(),
        }
    }

    /// Adds the fields of the body.
    ///
    /// # Errors
    /// Refuses what is malformed, unknown or given twice.
    pub fn add_to(self, fields: &mut Fields) -> Result<(), Problem> {
        match self.kind {
            Kind::Json => add_json(fields, &self.body),
            Kind::Form(content_type) => add_form(fields, &content_type, &self.body),
            Kind::Picture => fields.add("image", Field::File(self.body.into())),
            Kind::Unsaid(essence) => add_unsaid(fields, self.accepts, &essence, self.body),
        }
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
fn add_unsaid(fields: &mut Fields, accepts: Accepts, essence: &str, body: Counted) -> Result<(), Problem> {
    let bytes = body.as_ref();
    // The query alone may say everything.
    if bytes.is_empty() {
        return Ok(());
    }
    let is_json = match unmarked(bytes) {
        Ok(text) => text.trim_ascii_start().starts_with(b"{"),
        Err(_) => true,
    };
    let is_plain = || bytes.iter().all(|byte| byte.is_ascii_graphic());
    if is_json {
        add_json(fields, &body)
    } else if accepts == Accepts::Picture && !(essence == URL_ENCODED && is_plain()) {
        fields.add("image", Field::File(body.into()))
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

async fn whole(mut pieces: Pieces, bodies: &Bodies, most: usize) -> Result<Counted, Problem> {
    let mut buffer = match pieces.are_decoded() {
        true => bodies.decoded_buffer(most),
        false => bodies.buffer(most),
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

fn add_json(fields: &mut Fields, body: &Counted) -> Result<(), Problem> {
    let refuse = |detail: String| Problem::new(Code::InvalidRequest, detail);
    let text = unmarked(body.as_ref()).map_err(|other| refuse(format!("the body {other}")))?;
    let members = json::members(text).map_err(|error| refuse(format!("the body {error}")))?;
    members
        .into_iter()
        .try_for_each(|(name, value)| fields.add(&name, Field::Json(body.part(value.get().as_bytes()))))
}

fn add_form(fields: &mut Fields, content_type: &str, body: &Counted) -> Result<(), Problem> {
    let malformed =
        |error: multer::Error| Problem::new(Code::InvalidRequest, format!("the form is malformed: {error}"));
    let boundary = multer::parse_boundary(content_type).map_err(malformed)?;
    let whole = Bytes::from(body.clone());
    let stream = futures_util::stream::once(async { Ok::<_, std::convert::Infallible>(whole) });
    let mut form = multer::Multipart::new(stream, boundary);
    let added = async {
        while let Some(field) = form.next_field().await.map_err(malformed)? {
            let name = field.name().unwrap_or_default().to_owned();
            let is_file = field.file_name().is_some();
            let bytes = field.bytes().await.map_err(malformed)?;
            let value = match is_file {
                true => Field::File(body.made(bytes).into()),
                false => Field::Plain(body.made(bytes)),
            };
            fields.add(&name, value)?;
        }
        Ok(())
    };
    // The whole body is there, so nothing waits.
    added.now_or_never().unwrap_or_else(|| Err(Problem::internal()))
}
