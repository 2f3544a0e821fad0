//! The program beside what is built in Python for the same purpose: a search service, and libraries for spiking networks.

pub mod service;
pub mod spiking;

use serde::Serialize;

#[derive(Debug, Serialize)]
pub struct Peers {
    pub service: Outcome<service::Service>,
    /// Only on request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub spiking: Vec<spiking::Beside>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome<T> {
    Measured(T),
    /// It cannot be installed or started here, and why.
    Missing(String),
}
