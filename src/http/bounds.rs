//! Holds what `docs/security.md` says of each bound to the bound itself.

use super::handlers::imports::LINE_TIMES;
use super::limits::{self, DRAINED};
use super::listen::{IDLE, OVER_LIMIT, OVER_LIMIT_TIME, STREAMS};
use super::request::body::WITHOUT_PICTURE;
use super::unread;
use crate::admission::LONG;
use crate::catalogue::Attributes;
use crate::catalogue::exporting::Export;
use crate::catalogue::filter::Filter;
use crate::catalogue::product::PictureFile;
use crate::json;

#[test]
fn every_bound_is_in_the_documentation() {
    let document = include_str!("../../docs/security.md");
    let words: Vec<&str> = document.split_whitespace().collect();
    // 2,000 is 2000.
    let plain = |text: &str| text.replace(',', "");
    let document = plain(&words.join(" "));
    let kib = |bytes: usize| bytes >> 10;
    let mib = |bytes: usize| bytes >> 20;
    let body = mib(DEFAULT_BODY);
    for statement in [
        format!("A body may have {body} MiB"),
        format!(
            "at most {} conditions and {} values in all",
            Filter::MOST_CONDITIONS,
            Filter::MOST_VALUES_IN_ALL
        ),
        format!(
            "longer than a {} of `--queue-ms`",
            if LONG == 10 { "tenth" } else { "?" }
        ),
        format!(
            "{} KiB, attributes {} KiB",
            kib(json::LONGEST),
            kib(Attributes::MOST_TEXT)
        ),
        format!("{} MiB as values in memory", mib(json::MOST_MEMORY)),
        format!("{} members", json::MOST_MEMBERS),
        format!("The body of a `PATCH` may have {} MiB", mib(WITHOUT_PICTURE)),
        format!("Bodies over {} KiB are parsed", kib(limits::LARGE)),
        format!("{} are received at a time", limits::STREAMS),
        format!("{} are sent at a time", limits::EXPORTS),
        format!("Each holds about {} MiB of pictures", mib(Export::BYTES)),
        format!("or {} s without a line", LINE_TIMES * DEFAULT_TIME_S),
        format!("closed after {} s, of HTTP/2 too", IDLE.as_secs()),
        format!("{OVER_LIMIT} connections of {} s", OVER_LIMIT_TIME.as_secs()),
        format!("less than {} KiB, or all that waits", kib(unread::LEAST)),
        format!("{} MiB beside `--max-bodies-bytes`", unread::HELD >> 20),
        format!("A stored picture holds {} KiB", kib(PictureFile::PIECE)),
        format!("{STREAMS} streams, "),
        format!("up to {} MiB and as long as a request may take", body * DRAINED),
    ] {
        assert!(
            document.contains(&plain(&statement)),
            "docs/security.md does not say: {statement}"
        );
    }
}

/// The defaults of `--max-body-bytes` and `--request-timeout-ms`, which the table of options is held to.
const DEFAULT_BODY: usize = 10 << 20;
const DEFAULT_TIME_S: u32 = 10;
