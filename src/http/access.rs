//! Who may send a request: by key and role, and as often as the rate allows.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::Method;

use super::app::App;
use super::keys::{Admitted, Role};
use super::limits::Caller;
use super::listen::Peer;
use super::problem::{Code, Problem};
use crate::catalogue::Scope;

/// What a request needs to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing: no key, and no rate limits it.
    Open,
    /// A key of this role where there are keys; the caller's rate is limited.
    Key(Role),
    /// The same, and no key that sees only a part of the catalogue.
    Whole(Role),
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

/// What whoever sends a request may do, in its extensions.
#[derive(Debug, Clone)]
pub struct Rights {
    pub role: Role,
    pub scope: Scope,
}

impl Rights {
    /// Refuses what concerns the catalogue as a whole, named by `what`.
    ///
    /// # Errors
    /// If they are not an admin's.
    pub fn admin(&self, what: &str) -> Result<(), Problem> {
        match self.role {
            Role::Admin => Ok(()),
            Role::Read | Role::Write => Err(Problem::new(
                Code::Forbidden,
                format!("the key is not an admin key, which {what} needs"),
            )),
        }
    }
}

/// The name of the key that an admitted request came with, in the extensions of its response.
#[derive(Debug, Clone)]
pub struct KeyName(pub Arc<str>);

/// Who sends a request: its key's name, or its address where there are no keys.
#[must_use]
pub fn caller(key: Option<&KeyName>, request: &Request) -> Option<Caller> {
    match key {
        Some(KeyName(name)) => Some(Caller::Key(Arc::clone(name))),
        None => address(request),
    }
}

fn address(request: &Request) -> Option<Caller> {
    let peer = request.extensions().get::<Peer>();
    peer.map(|Peer(address)| Caller::at(address.ip()))
}

/// Admits a request; returns whose key it has, if it has one.
///
/// # Errors
/// Refuses requests without a key, with an unknown one or one of a lower role, and those beyond the rate of the caller or, for
/// refused ones, of its address.
pub fn admit(app: &App, access: Access, request: &Request) -> Result<Option<Admitted>, Problem> {
    let (Access::Key(role) | Access::Whole(role)) = access else {
        return Ok(None);
    };
    let at = address(request);
    let count = |caller: Option<Caller>| match (&app.rates, caller) {
        (Some(rates), Some(caller)) => rates.admit(&caller),
        _ => Ok(()),
    };
    let Some(keys) = &app.keys else {
        return count(at).map(|()| None);
    };
    let admitted = keys.admit(role, request.headers()).and_then(|key| match access {
        Access::Whole(_) if !key.scope.is_all() => Err(Problem::new(
            Code::Forbidden,
            format!(
                "key {:?} has a filter; this request needs one that sees all products",
                key.name
            ),
        )),
        _ => Ok(key),
    });
    match admitted {
        Ok(key) => count(Some(Caller::Key(Arc::clone(&key.name)))).map(|()| Some(key)),
        // A right key is admitted whatever its address has tried: behind a proxy all clients have the same one.
        Err(refusal) => count(at).and(Err(refusal)),
    }
}
