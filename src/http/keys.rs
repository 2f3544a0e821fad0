//! Who may read and who may write: keys from a file, one a line, `read KEY name` or `write KEY name`.
//!
//! Keys are kept as hashes, compared in constant time and never logged; the log has the name.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use axum::http::{HeaderMap, Method, header};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::problem::{Code, Problem};

/// Why a file of keys is none.
#[derive(Debug, Error)]
pub enum KeysError {
    #[error("{path} cannot be read: {source}")]
    File { path: String, source: std::io::Error },
    #[error("{path}, line {line}: {reason}; a line is `read KEY name` or `write KEY name`")]
    Line {
        path: String,
        line: usize,
        reason: &'static str,
    },
    #[error("{path} has no key; nobody could ask for anything")]
    Empty { path: String },
}

/// What a key opens; writing includes reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Read,
    Write,
}

#[derive(Debug, Clone)]
struct Key {
    role: Role,
    sha256: [u8; 32],
    name: Arc<str>,
}

/// The keys of one server; those of its file as it was last read.
#[derive(Debug)]
pub struct Keys {
    path: PathBuf,
    keys: RwLock<Vec<Key>>,
}

/// Shorter keys can be guessed; they are taken with a warning.
const SHORT: usize = 16;

/// What anybody may ask for.
const OPEN: [&str; 5] = ["/", "/status", "/healthz", "/readyz", "/openapi.yaml"];

/// The page's parts are as open as the page itself.
const OPEN_FOLDER: &str = "/assets/";

/// What is asked by POST and changes nothing.
const ASKED_BY_POST: [&str; 3] = ["/v1/embeddings", "/v1/search", "/v1/recommend"];

impl Keys {
    /// Reads a file of keys.
    pub fn read(path: &Path) -> Result<Self, KeysError> {
        Ok(Self {
            keys: RwLock::new(parse(path)?),
            path: path.to_owned(),
        })
    }

    /// Reads the file again; the keys stay as they were if it cannot be used.
    pub fn reread(&self) -> Result<usize, KeysError> {
        let keys = parse(&self.path)?;
        let count = keys.len();
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(count)
    }

    /// The name of the key that a request comes with, if it may ask for what it does.
    pub fn admit(&self, method: &Method, path: &str, headers: &HeaderMap) -> Result<Arc<str>, Problem> {
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
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        // All are compared to their ends, so that the time tells nothing of any.
        let found = keys.iter().fold(None, |found, key| {
            let differs = key.sha256.iter().zip(given).fold(0, |all, (a, b)| all | (a ^ b));
            if differs == 0 { Some(key) } else { found }
        });
        let Some(key) = found else {
            return Err(Problem::new(Code::Unauthorized, "the key is not known here"));
        };
        if key.role < needed(method, path) {
            return Err(Problem::new(
                Code::Forbidden,
                format!("key {:?} may read; this takes one that may write", key.name),
            ));
        }
        Ok(Arc::clone(&key.name))
    }
}

/// Whether anybody may ask for it, as often as they like.
pub fn is_open(method: &Method, path: &str) -> bool {
    (OPEN.contains(&path) || path.starts_with(OPEN_FOLDER)) && matches!(*method, Method::GET | Method::HEAD)
}

fn needed(method: &Method, path: &str) -> Role {
    let reads = match *method {
        Method::GET | Method::HEAD => true,
        Method::POST => ASKED_BY_POST.contains(&path),
        _ => false,
    };
    if reads { Role::Read } else { Role::Write }
}

fn parse(path: &Path) -> Result<Vec<Key>, KeysError> {
    let shown = || path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|source| KeysError::File {
        path: shown(),
        source,
    })?;
    let mut keys = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let comment = line.find(" #").or_else(|| line.find('#').filter(|at| *at == 0));
        let line = line[..comment.unwrap_or(line.len())].trim();
        if line.is_empty() {
            continue;
        }
        let refuse = |reason| KeysError::Line {
            path: shown(),
            line: number,
            reason,
        };
        let mut words = line.splitn(3, char::is_whitespace);
        let role = match words.next() {
            Some("read") => Role::Read,
            Some("write") => Role::Write,
            _ => return Err(refuse("the first word is neither read nor write")),
        };
        let key = words.next().unwrap_or_default();
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(refuse("the key must be of plain characters"));
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
            return Err(refuse("the key stands on a line before"));
        }
        keys.push(Key {
            role,
            sha256,
            name: name.into(),
        });
    }
    if keys.is_empty() {
        return Err(KeysError::Empty { path: shown() });
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> (tempfile::TempDir, Result<Keys, KeysError>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        std::fs::write(&path, text).unwrap();
        let keys = Keys::read(&path);
        (folder, keys)
    }

    #[test]
    fn roles_open_what_they_should_and_no_more() {
        let text = "# shop\nread 0123456789abcdef front end\n\nwrite fedcba9876543210 importer # 2\n";
        let (_folder, keys) = written(text);
        let keys = keys.unwrap();
        let admit = |key: Option<&str>, method: Method, path: &str| {
            let mut headers = HeaderMap::new();
            if let Some(key) = key {
                headers.insert(header::AUTHORIZATION, format!("Bearer {key}").parse().unwrap());
            }
            let admitted = keys.admit(&method, path, &headers);
            admitted.map_err(|problem| problem.code)
        };
        let (read, write) = (Some("0123456789abcdef"), Some("fedcba9876543210"));
        for open in ["/healthz", "/", "/status", "/assets/0/app.js"] {
            assert!(is_open(&Method::GET, open), "{open}");
            assert!(!is_open(&Method::POST, open), "{open}");
        }
        assert!(!is_open(&Method::GET, "/metrics"));
        assert_eq!(admit(None, Method::GET, "/metrics"), Err(Code::Unauthorized));
        let wrong = Some("0123456789abcdeg");
        assert_eq!(admit(wrong, Method::GET, "/v1/model"), Err(Code::Unauthorized));
        assert_eq!(admit(read, Method::POST, "/v1/search"), Ok("front end".into()));
        for (method, path) in [
            (Method::PUT, "/v1/products/a"),
            (Method::DELETE, "/v1/products/a"),
            (Method::POST, "/v1/products/a/pictures"),
            (Method::POST, "/v1/imports"),
        ] {
            assert_eq!(admit(read, method.clone(), path), Err(Code::Forbidden), "{path}");
            assert_eq!(admit(write, method, path), Ok("importer".into()));
        }
        assert!(admit(write, Method::GET, "/v1/stats").is_ok());
    }

    #[test]
    fn what_is_no_file_of_keys_is_refused_by_line_and_without_the_key() {
        for (text, expected) in [
            ("", "has no key"),
            ("# none\n", "has no key"),
            ("\nadmin 0123456789abcdef x", "line 2: the first word"),
            ("write k\u{e9}y x", "line 1: the key must be"),
            ("read 0123456789abcdef", "line 1: the key has no name"),
            (
                "read 0123456789abcdef a\nwrite 0123456789abcdef b",
                "line 2: the key stands",
            ),
        ] {
            let refusal = written(text).1.unwrap_err().to_string();
            assert!(refusal.contains(expected), "{text}: {refusal}");
            assert!(!refusal.contains("0123456789"), "{refusal}");
        }
    }

    #[test]
    fn a_file_is_read_again_and_a_bad_one_changes_nothing() {
        let (folder, keys) = written("read 0123456789abcdef a");
        let keys = keys.unwrap();
        let path = folder.path().join("keys");
        std::fs::write(&path, "nonsense").unwrap();
        assert!(keys.reread().is_err());
        std::fs::write(&path, "read 0123456789abcdef a\nwrite fedcba9876543210 b").unwrap();
        assert_eq!(keys.reread().unwrap(), 2);
    }
}
