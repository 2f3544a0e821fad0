//! What all handlers share.

use std::sync::Arc;

use super::cors::WebOrigin;
use super::keys::Keys;
use super::limits::{Bodies, CallerRates, Limits};
use super::metrics::Requests;
use super::unread::{self, Unread};
use crate::service::Service;

/// What handlers share.
#[derive(Debug)]
pub struct App {
    pub service: Arc<Service>,
    pub limits: Limits,
    pub bodies: Bodies,
    /// Answers that clients have not read.
    pub unread: Arc<Unread>,
    /// `None` where callers are not limited in how often they ask.
    pub rates: Option<CallerRates>,
    /// `None` where requests need no key.
    pub keys: Option<Arc<Keys>>,
    /// Origins whose web pages may send requests, beside this server's own pages.
    pub origins: Vec<WebOrigin>,
    /// Counted for `/metrics`.
    pub requests: Requests,
}

impl App {
    /// The state of a server that has answered nothing yet.
    #[must_use]
    pub fn new(
        service: Arc<Service>,
        limits: Limits,
        keys: Option<Arc<Keys>>,
        origins: Vec<WebOrigin>,
    ) -> Self {
        Self {
            service,
            bodies: Bodies::new(&limits),
            unread: Unread::new(unread::HELD),
            rates: limits.rate.map(CallerRates::new),
            limits,
            keys,
            origins,
            requests: Requests::default(),
        }
    }
}
