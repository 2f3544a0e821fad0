//! The checksum of a model file: its SHA-256 in its own metadata, which detects any damage.
//!
//! The checksum is computed with 64 zeros (`0`) in its place. Files without one are accepted.

use sha2::{Digest, Sha256};

use super::NetworkError;

/// The metadata's key.
pub const KEY: &str = "sha256";
/// The placeholder while the checksum is computed.
pub const BLANK: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Writes the checksum of `bytes`, a whole file with [`BLANK`] under [`KEY`], over the placeholder.
pub fn seal(bytes: &mut [u8]) {
    let place = place(bytes, BLANK).expect("the file was written with a blank");
    let sum = hex(&Sha256::digest(&*bytes));
    bytes[place..place + BLANK.len()].copy_from_slice(sum.as_bytes());
}

/// Verifies the checksum of a file.
pub fn check(bytes: &[u8], sum: &str) -> Result<(), NetworkError> {
    let refuse = |reason: String| Err(NetworkError::Metadata { key: KEY, reason });
    if sum.len() != BLANK.len() {
        return refuse(format!(
            "is {sum:?}; it must be a SHA-256 in 64 hexadecimal digits"
        ));
    }
    let Some(place) = place(bytes, sum) else {
        return refuse("must be written without escapes".to_owned());
    };
    let mut digest = Sha256::new();
    digest.update(&bytes[..place]);
    digest.update(BLANK);
    digest.update(&bytes[place + BLANK.len()..]);
    let found = hex(&digest.finalize());
    if found == sum {
        return Ok(());
    }
    refuse(format!(
        "is {sum}, but the file's SHA-256 is {found}: the file is damaged; get another copy of it"
    ))
}

/// The range of the checksum in the file.
fn place(bytes: &[u8], sum: &str) -> Option<usize> {
    let before = format!("\"{KEY}\":\"");
    let whole = format!("{before}{sum}\"");
    let at = bytes
        .windows(whole.len())
        .position(|found| found == whole.as_bytes())?;
    Some(at + before.len())
}

/// Bytes in hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
