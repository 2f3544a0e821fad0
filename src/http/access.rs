//! Who may send a request: by key and role, and as often as the rate allows.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::Method;

use super::app::App;
use super::keys::Role;
use super::limits::Caller;
use super::listen::Peer;
use super::problem::Problem;

/// What a request needs to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing: no key, and no rate limits it.
    Open,
    /// A key of this role where there are keys; the caller's rate is limited.
    Key(Role),
}

impl Access {
    /// What a request to an unknown path, or with a method that its path does not have, needs to be told so: nothing is
    /// said about what exists before a key is shown.
    #[must_use]
    pub fn unrouted(method: &Method) -> Self {
        Self::Key(match *method {
            Method::GET | Method::HEAD => Role::Read,
            _ => Role::Write,
        })
    }
}

/// The name of the key that an admitted request came with, in the extensions of its response.
#[derive(Debug, Clone)]
pub struct KeyName(pub Arc<str>);

/// Admits a request, and names its key if it has one.
///
/// # Errors
/// Refuses requests without a key, with an unknown one or one of a lower role, and those beyond the caller's rate.
pub fn admit(app: &App, access: Access, request: &Request) -> Result<Option<KeyName>, Problem> {
    let Access::Key(role) = access else {
        return Ok(None);
    };
    let key = match &app.keys {
        None => None,
        Some(keys) => Some(keys.admit(role, request.headers())?),
    };
    if let Some(rates) = &app.rates {
        let caller = match (&key, request.extensions().get::<Peer>()) {
            (Some(key), _) => Caller::Key(Arc::clone(key)),
            (None, Some(Peer(address))) => Caller::at(address.ip()),
            (None, None) => return Ok(None),
        };
        rates.admit(&caller)?;
    }
    Ok(key.map(KeyName))
}
