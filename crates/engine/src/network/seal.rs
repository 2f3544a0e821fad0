//! A model file's own SHA-256 in its metadata, so that a flipped bit anywhere in it is found and named.
//!
//! The sum is that of the file with 64 zeros (`0`) where the sum stands. Files without one are taken as they are.

use sha2::{Digest, Sha256};

use super::NetworkError;

/// The metadata's key.
pub const KEY: &str = "sha256";
/// What stands for the sum while it is taken.
pub const BLANK: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Puts the sum of `bytes`, a whole file with [`BLANK`] under [`KEY`], in its place.
pub fn seal(bytes: &mut [u8]) {
    let place = place(bytes, BLANK).expect("the blank was written");
    let sum = hex(&Sha256::digest(&*bytes));
    bytes[place..place + BLANK.len()].copy_from_slice(sum.as_bytes());
}

/// Refuses a file that is not what its sum was taken of.
pub fn check(bytes: &[u8], sum: &str) -> Result<(), NetworkError> {
    let refuse = |reason: String| Err(NetworkError::Metadata { key: KEY, reason });
    if sum.len() != BLANK.len() {
        return refuse(format!(
            "is {sum:?}; it must be a SHA-256 in 64 hexadecimal digits"
        ));
    }
    let Some(place) = place(bytes, sum) else {
        return refuse("is not written plainly".to_owned());
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
        "is {sum}, but the file's is {found}: it was damaged; take it anew from where it came from"
    ))
}

/// Where the sum stands in the file.
fn place(bytes: &[u8], sum: &str) -> Option<usize> {
    let before = format!("\"{KEY}\":\"");
    let whole = format!("{before}{sum}\"");
    let at = bytes
        .windows(whole.len())
        .position(|found| found == whole.as_bytes())?;
    Some(at + before.len())
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
