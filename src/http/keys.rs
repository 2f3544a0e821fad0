//! API keys, from a file with one on each line: `read KEY name`, `write KEY name` or `admin KEY name`, each perhaps with a
//! filter of the products that it sees and changes, such as `write KEY name {"shop": "a"}`.
//!
//! Keys are kept as hashes, compared in constant time and never logged; the log has the name of the key.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::http::{HeaderMap, header};
use parking_lot::RwLock;
use serde_json::Value;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::problem::{Code, Problem};
use crate::catalogue::Scope;
use engine::text::{OtherEncoding, unmarked};

/// Why a file of keys cannot be used.
#[derive(Debug, Error)]
pub enum KeysError {
    #[error("{path} cannot be read: {source}")]
    File { path: String, source: std::io::Error },
    #[error("{path} {source}")]
    Encoding { path: String, source: OtherEncoding },
    #[error(
        "{path}, line {line}: {reason}; a line is `read KEY name`, `write KEY name` or `admin KEY name`, and may end with a \
         filter"
    )]
    Line {
        path: String,
        line: usize,
        reason: String,
    },
    #[error("{path} has no key: every request would be refused")]
    Empty { path: String },
}

/// What a key permits; each role includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Read,
    Write,
    /// What concerns the catalogue as a whole.
    Admin,
}

/// Whose key a request came with, and what it sees and changes.
#[derive(Debug, Clone)]
pub struct Admitted {
    pub name: Arc<str>,
    pub role: Role,
    pub scope: Scope,
}

#[derive(Debug, Clone)]
struct Key {
    role: Role,
    sha256: [u8; 32],
    name: Arc<str>,
    scope: Scope,
}

/// The keys of one server, as its file was last read.
#[derive(Debug)]
pub struct Keys {
    path: PathBuf,
    keys: RwLock<Vec<Key>>,
}

/// Shorter keys can be guessed; they are accepted with a warning.
const SHORT: usize = 16;

impl Keys {
    /// Reads a file of keys.
    ///
    /// # Errors
    /// Names the line that is invalid, or says that the file cannot be read or has no key.
    pub fn read(path: &Path) -> Result<Self, KeysError> {
        Ok(Self {
            keys: RwLock::new(parse(path)?),
            path: path.to_owned(),
        })
    }

    /// Reads the file again, and changes nothing.
    ///
    /// # Errors
    /// As [`Keys::read`].
    pub fn read_again(&self) -> Result<Self, KeysError> {
        Self::read(&self.path)
    }

    /// Takes over the keys of `fresh`, and returns their number.
    pub fn replace(&self, fresh: Self) -> usize {
        let keys = fresh.keys.into_inner();
        let count = keys.len();
        *self.keys.write() = keys;
        count
    }

    /// The key in the headers of a request that needs `role`.
    ///
    /// # Errors
    /// Refuses requests without a key, with an unknown key, or with one that does not permit `role`.
    pub fn admit(&self, role: Role, headers: &HeaderMap) -> Result<Admitted, Problem> {
        let given = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.as_bytes().split_first_chunk::<7>())
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"Bearer "))
            .map(|(_, key)| key.trim_ascii());
        let Some(given) = given else {
            return Err(Problem::new(
                Code::Unauthorized,
                "a key is needed: send it as `Authorization: Bearer KEY`",
            ));
        };
        let given: [u8; 32] = Sha256::digest(given).into();
        let keys = self.keys.read();
        // Every key is compared in full, so that the time reveals nothing about any of them.
        let found = keys.iter().fold(None, |found, key| {
            let differs = key.sha256.iter().zip(given).fold(0, |all, (a, b)| all | (a ^ b));
            if differs == 0 { Some(key) } else { found }
        });
        let Some(key) = found else {
            return Err(Problem::new(Code::Unauthorized, "the key is unknown"));
        };
        if key.role < role {
            let needed = match (key.role, role) {
                (Role::Read, Role::Write) => "may only read; this request needs one that may write",
                _ => "is not an admin key, which this request needs",
            };
            return Err(Problem::new(
                Code::Forbidden,
                format!("key {:?} {needed}", key.name),
            ));
        }
        Ok(Admitted {
            name: Arc::clone(&key.name),
            role: key.role,
            scope: key.scope.clone(),
        })
    }
}

fn parse(path: &Path) -> Result<Vec<Key>, KeysError> {
    let shown = || path.display().to_string();
    let unread = |source| KeysError::File {
        path: shown(),
        source,
    };
    let bytes = std::fs::read(path).map_err(unread)?;
    let text = unmarked(&bytes).map_err(|source| KeysError::Encoding {
        path: shown(),
        source,
    })?;
    let text = std::str::from_utf8(text).map_err(|error| unread(std::io::Error::other(error)))?;
    let mut keys = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let refuse = |reason: &str| KeysError::Line {
            path: shown(),
            line: number,
            reason: reason.to_owned(),
        };
        // A filter may have the mark of comments in its texts.
        let comment = line.find(" #").or_else(|| line.find('#').filter(|at| *at == 0));
        let filter = line
            .find('{')
            .filter(|at| comment.is_none_or(|comment| *at < comment));
        let scope = filter.map(|at| scope(&line[at..])).transpose();
        let scope = scope.map_err(|reason| refuse(&reason))?.unwrap_or_default();
        let line = line[..filter.or(comment).unwrap_or(line.len())].trim();
        if line.is_empty() && scope.is_all() {
            continue;
        }
        let mut words = line.splitn(3, char::is_whitespace);
        let role = match words.next() {
            Some("read") => Role::Read,
            Some("write") => Role::Write,
            Some("admin") => Role::Admin,
            _ => return Err(refuse("the first word is not read, write or admin")),
        };
        let key = words.next().unwrap_or_default();
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(refuse("the key must consist of visible ASCII characters"));
        }
        let name = words.next().unwrap_or_default().trim();
        if name.is_empty() {
            return Err(refuse("the key has no name"));
        }
        if key.len() < SHORT {
            tracing::warn!(name, "a key of fewer than 16 characters can be guessed");
        }
        let sha256: [u8; 32] = Sha256::digest(key).into();
        if keys.iter().any(|known: &Key| known.sha256 == sha256) {
            return Err(refuse("an earlier line has the same key"));
        }
        keys.push(Key {
            role,
            sha256,
            name: name.into(),
            scope,
        });
    }
    if keys.is_empty() {
        return Err(KeysError::Empty { path: shown() });
    }
    Ok(keys)
}

/// The products that pass the filter at the start of a text, behind which there may be a comment.
fn scope(text: &str) -> Result<Scope, String> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let value = values.next().and_then(Result::ok);
    let rest = text.get(values.byte_offset()..).unwrap_or_default();
    let value = value.filter(|_| rest.trim().is_empty() || rest.starts_with(" #"));
    let value = value.ok_or("what begins with { is not a filter as JSON")?;
    Scope::of(&value).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: impl AsRef<[u8]>) -> (tempfile::TempDir, Result<Keys, KeysError>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        std::fs::write(&path, text).unwrap();
        let keys = Keys::read(&path);
        (folder, keys)
    }

    #[test]
    fn a_key_permits_what_its_role_includes() {
        let text = "\u{feff}# shop\r\nread 0123456789abcdef front end\n\nwrite fedcba9876543210 importer # 2 {\n\
             admin 00112233445566778899 operator\n";
        let (_folder, keys) = written(text);
        let keys = keys.unwrap();
        let admit = |key: Option<&str>, role: Role| {
            let mut headers = HeaderMap::new();
            if let Some(key) = key {
                headers.insert(header::AUTHORIZATION, format!("Bearer {key}").parse().unwrap());
            }
            let admitted = keys.admit(role, &headers);
            admitted
                .map(|admitted| admitted.name)
                .map_err(|problem| problem.code)
        };
        let (read, write) = (Some("0123456789abcdef"), Some("fedcba9876543210"));
        let admin = Some("00112233445566778899");
        assert_eq!(admit(write, Role::Admin), Err(Code::Forbidden));
        assert_eq!(admit(admin, Role::Admin), Ok("operator".into()));
        assert_eq!(admit(admin, Role::Write), Ok("operator".into()));
        assert_eq!(admit(None, Role::Read), Err(Code::Unauthorized));
        assert_eq!(
            admit(Some("0123456789abcdeg"), Role::Read),
            Err(Code::Unauthorized)
        );
        assert_eq!(admit(read, Role::Read), Ok("front end".into()));
        assert_eq!(admit(read, Role::Write), Err(Code::Forbidden));
        assert_eq!(admit(write, Role::Write), Ok("importer".into()));
        assert_eq!(admit(write, Role::Read), Ok("importer".into()));
    }

    #[test]
    fn a_key_with_a_filter_sees_what_passes() {
        let text = "write 0123456789abcdef shop a {\"shop\": \"a # {\"} # 2\nread fedcba9876543210 all";
        let (_folder, keys) = written(text);
        let keys = keys.unwrap();
        let keys = keys.keys.read();
        let scope = Scope::of(&serde_json::json!({"shop": "a # {"})).unwrap();
        assert_eq!((&*keys[0].name, &keys[0].scope), ("shop a", &scope));
        assert!(keys[1].scope.is_all());
    }

    #[test]
    fn a_mark_before_the_first_key_is_skipped_and_another_encoding_named() {
        let line = "\u{feff}read 0123456789abcdef one\r\n";
        let (_folder, keys) = written(line);
        assert_eq!(&*keys.unwrap().keys.read()[0].name, "one");
        let utf16: Vec<u8> = line.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let refusal = written(utf16).1.unwrap_err().to_string();
        assert!(refusal.ends_with("keys is UTF-16; it must be UTF-8"), "{refusal}");
        let latin = written(b"read 0123456789abcdef caf\xe9")
            .1
            .unwrap_err()
            .to_string();
        assert!(latin.contains("keys cannot be read: incomplete utf-8"), "{latin}");
    }

    #[test]
    fn an_invalid_file_is_refused_by_line_and_without_the_key() {
        for (text, expected) in [
            ("", "has no key"),
            ("# none\n", "has no key"),
            ("\nroot 0123456789abcdef x", "line 2: the first word"),
            (
                "read 0123456789abcdef a {\"shop\": \"a\"",
                "line 1: what begins with { is not a filter",
            ),
            (
                "read 0123456789abcdef a {\"shop\": \"a\"} b",
                "line 1: what begins with { is not a filter",
            ),
            (
                "read 0123456789abcdef a {\"shop\": {\"near\": 1}}",
                "line 1: filter.shop.near: is not an operator",
            ),
            ("write k\u{e9}y x", "line 1: the key must consist"),
            ("read 0123456789abcdef", "line 1: the key has no name"),
            (
                "read 0123456789abcdef a\nwrite 0123456789abcdef b",
                "line 2: an earlier line",
            ),
        ] {
            let refusal = written(text).1.unwrap_err().to_string();
            assert!(refusal.contains(expected), "{text}: {refusal}");
            assert!(!refusal.contains("0123456789"), "{refusal}");
        }
    }

    #[test]
    fn a_file_is_read_again_and_an_invalid_one_changes_nothing() {
        let (folder, keys) = written("read 0123456789abcdef a");
        let keys = keys.unwrap();
        let path = folder.path().join("keys");
        std::fs::write(&path, "nonsense").unwrap();
        assert!(keys.read_again().is_err());
        std::fs::write(&path, "read 0123456789abcdef a\nwrite fedcba9876543210 b").unwrap();
        assert_eq!(keys.replace(keys.read_again().unwrap()), 2);
    }
}
