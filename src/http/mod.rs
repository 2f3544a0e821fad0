//! HTTP: typed requests, routes by group, problem documents, metrics and the web page.
//!
//! JSON and status codes live here and in no module that this one imports.

mod access;
pub mod app;
#[cfg(test)]
mod bounds;
mod compression;
pub mod cors;
mod drain;
mod entity_tag;
mod exported_span;
mod handlers;
pub mod keys;
pub mod limits;
pub mod listen;
pub mod metrics;
mod middleware;
mod page;
pub mod problem;
mod request;
mod request_id;
pub mod routes;
mod server_timing;
mod socket;
mod trace_parent;
mod unread;

pub use app::App;
pub use routes::router;
