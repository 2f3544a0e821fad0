//! Extractors: what a handler names in its arguments is read, checked and refused before it runs.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header;
use axum::http::request::Parts;

use super::body;
use super::endpoints::FromBody;
use super::fields::{Fields, FromFields};
use crate::http::app::App;
use crate::http::problem::Problem;

/// A request without a body: its query string.
#[derive(Debug)]
pub struct Parameters<T>(pub T);

impl<T: FromFields, S: Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        T::from_fields(&mut of_query(parts)).map(Self)
    }
}

/// The fields of the query string, which the route's guard has read.
fn of_query(parts: &mut Parts) -> Fields {
    let fields = parts.extensions.remove::<Fields>();
    fields.expect("a guard reads the query string before the handler's arguments are made")
}

/// A request with a body: the fields of its query string and its body.
#[derive(Debug)]
pub struct Payload<T>(pub T);

impl<T: FromBody + Send + 'static> FromRequest<Arc<App>> for Payload<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let mut fields = of_query(&mut parts);
        let sent = body::receive(T::ACCEPTS, &parts.headers, body, &app.bodies).await?;
        let bytes = sent.bytes_to_parse();
        let read = move || {
            sent.add_to(&mut fields)?;
            T::from_fields(&mut fields).map(Self)
        };
        app.bodies.read(bytes, read).await
    }
}

/// Refuses a request for the catalogue before its body is read while the server is not ready.
#[derive(Debug)]
pub struct Ready;

impl FromRequestParts<Arc<App>> for Ready {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        app.service.ready()?;
        Ok(Self)
    }
}

/// Whether a write may only create, by `If-None-Match: *`. Products have no entity tags to compare.
#[derive(Debug, Clone, Copy)]
pub struct OnlyNew(pub bool);

impl<S: Sync> FromRequestParts<S> for OnlyNew {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        if parts.headers.contains_key(header::IF_MATCH) {
            return Err(Problem::field(
                "If-Match",
                "is not supported: products have no entity tags",
            ));
        }
        match parts.headers.get(header::IF_NONE_MATCH) {
            None => Ok(Self(false)),
            Some(value) if value == "*" => Ok(Self(true)),
            Some(other) => {
                let other = String::from_utf8_lossy(other.as_bytes());
                Err(Problem::field(
                    "If-None-Match",
                    format!("is {other}; only * is supported, to create a product that does not exist yet"),
                ))
            }
        }
    }
}
