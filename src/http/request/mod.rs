//! What a client sent, as one checked type for each endpoint.
//!
//! A picture comes in three ways: raw body with a query string, form, JSON. [`body`] makes one map of fields out of
//! each ([`fields::Fields`]); every value checks itself ([`values`]); an endpoint's type ([`endpoints`]) names the fields
//! that it knows and holds nothing invalid. [`extract`] hands it to the handler, and [`arguments`] finds its names there,
//! so that every route refuses what it does not know. To add a field, add one line to its endpoint, or to
//! [`endpoints::Ranking`] for all searches.

pub mod arguments;
pub mod body;
pub mod coding;
pub mod endpoints;
pub mod examples;
pub mod extract;
pub mod feeds;
pub mod fields;
pub mod networks;
pub mod product_fields;
mod ranking;
pub mod values;

#[cfg(test)]
mod tests;
