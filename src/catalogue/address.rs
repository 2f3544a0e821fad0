//! Where a store on the network is. The address may hold a password, which no message shows.

use std::fmt;

use thiserror::Error;
use url::{ParseError, Url};

/// The address of a PostgreSQL database; its `Debug` and `Display` are without password and parameters.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreAddress(Url);

/// Why a text is not an address; without the text, which may hold a password.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum AddressError {
    #[error("does not begin with postgres://; expected {FORM}")]
    Scheme,
    #[error(
        "is not an address ({0}); expected {FORM}; in a password, /, ?, # and @ are written %2F, %3F, %23 and %40"
    )]
    Form(ParseError),
    #[error("names no {0}; expected {FORM}")]
    Missing(&'static str),
    #[error("has an unknown sslmode; expected {}", SSL_MODES.join(", "))]
    SslMode,
}

/// What an address looks like.
const FORM: &str = "postgres://USER[:PASSWORD]@HOST[:PORT]/DATABASE[?sslmode=MODE]";
const SCHEMES: [&str; 2] = ["postgres", "postgresql"];
const SSL_MODES: [&str; 6] = [
    "disable",
    "allow",
    "prefer",
    "require",
    "verify-ca",
    "verify-full",
];

impl StoreAddress {
    /// Whether a text is meant as an address, right or wrong.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        scheme.is_some_and(|scheme| SCHEMES.contains(&scheme))
    }

    /// Reads an address. Host and user may also be parameters, as for a socket: `postgres:///shop?host=/run&user=shop`.
    ///
    /// # Errors
    /// Says what an address looks like.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if !Self::is_meant(text) {
            return Err(AddressError::Scheme);
        }
        let url = Url::parse(text).map_err(AddressError::Form)?;
        let parameter = |name: &str| {
            url.query_pairs()
                .any(|(key, value)| key == name && !value.is_empty())
        };
        if url.path().trim_start_matches('/').is_empty() || url.fragment().is_some() {
            return Err(AddressError::Missing("database"));
        }
        if url.username().is_empty() && !parameter("user") {
            return Err(AddressError::Missing("user"));
        }
        if url.host_str().is_none_or(str::is_empty) && !parameter("host") {
            return Err(AddressError::Missing("host"));
        }
        let mut modes = url.query_pairs().filter(|(key, _)| key == "sslmode");
        if !modes.all(|(_, mode)| SSL_MODES.contains(&&*mode)) {
            return Err(AddressError::SslMode);
        }
        Ok(Self(url))
    }

    /// The whole address, password included, for the store alone.
    #[must_use]
    pub fn with_password(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for StoreAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(url) = self;
        write!(out, "{}://", url.scheme())?;
        if !url.username().is_empty() {
            write!(out, "{}@", url.username())?;
        }
        write!(out, "{}", url.host_str().unwrap_or_default())?;
        if let Some(port) = url.port() {
            write!(out, ":{port}")?;
        }
        write!(out, "{}", url.path())
    }
}

impl fmt::Debug for StoreAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "StoreAddress({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        for (text, shown) in [
            (
                "postgres://shop:s3cret@db:5433/lens?sslmode=verify-full",
                "postgres://shop@db:5433/lens",
            ),
            ("postgresql://shop@db/lens", "postgresql://shop@db/lens"),
            (
                "postgres://shop:%2Fs3cret@[::1]/lens",
                "postgres://shop@[::1]/lens",
            ),
            (
                "postgres:///lens?host=/run/pg&user=shop&password=s3cret",
                "postgres:///lens",
            ),
            (
                "postgres://shop@%2Frun%2Fpg/lens?password=s3cret",
                "postgres://shop@%2Frun%2Fpg/lens",
            ),
        ] {
            let address = StoreAddress::parse(text).unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(format!("{address:?}"), format!("StoreAddress({shown})"));
            assert_eq!(address.with_password(), text);
        }
    }

    #[test]
    fn a_wrong_address_is_refused_without_repeating_it() {
        for (text, part) in [
            ("mysql://shop:s3cret@db/lens", "does not begin with postgres://"),
            ("s3cret", "does not begin with postgres://"),
            ("postgres://shop:s3cret@db", "names no database"),
            ("postgres://shop:s3cret@db/", "names no database"),
            ("postgres://db/lens?password=s3cret", "names no user"),
            ("postgres:///lens?user=shop&password=s3cret", "names no host"),
            (
                "postgres://shop:s3cret@db/lens?sslmode=s3cret",
                "unknown sslmode; expected disable, allow",
            ),
            // A password that is not percent-encoded.
            ("postgres://shop:s3c/ret@db/lens", "written %2F, %3F, %23 and %40"),
            ("postgres://shop:12/s3cret@db/lens", "names no user"),
            ("postgres://shop:12#s3cret@db/lens", "names no database"),
        ] {
            let refusal = StoreAddress::parse(text).unwrap_err().to_string();
            assert!(refusal.contains(part), "{text}: {refusal}");
            assert!(!refusal.contains("s3c"), "{refusal}");
        }
    }
}
