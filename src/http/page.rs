//! `/`, `/catalogue` and `/status`: the web pages, compiled in. All of its files are served from here; a browser needs no other host.
//!
//! In: the files of `page/`. Out: documents whose links to the other files change with their content, so that a browser
//! caches those for good and revalidates only the documents.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::entity_tag;
use super::problem::{Code, Problem};
use engine::network::hex;

/// A file of the page: its name, its content type, its bytes.
type File = (&'static str, &'static str, &'static [u8]);

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! file {
    ($name:literal, $kind:expr) => {
        ($name, $kind, include_bytes!(concat!("page/", $name)))
    };
}

const SEARCH: File = file!("index.html", HTML);
const CATALOGUE: File = file!("catalogue.html", HTML);
const STATUS: File = file!("status.html", HTML);

const ASSETS: [File; 33] = [
    file!("api.js", SCRIPT),
    file!("app.js", SCRIPT),
    file!("arrange.js", SCRIPT),
    file!("attributes.js", SCRIPT),
    file!("base.css", CSS),
    file!("catalogue.css", CSS),
    file!("catalogue.js", SCRIPT),
    file!("chip.css", CSS),
    file!("chip.js", SCRIPT),
    file!("curl.js", SCRIPT),
    file!("details.js", SCRIPT),
    file!("dom.js", SCRIPT),
    file!("draw.js", SCRIPT),
    file!("energy.js", SCRIPT),
    file!("figures.js", SCRIPT),
    file!("filters.js", SCRIPT),
    file!("first.js", SCRIPT),
    file!("icon.svg", "image/svg+xml"),
    file!("key.js", SCRIPT),
    file!("matches.js", SCRIPT),
    file!("metrics.js", SCRIPT),
    file!("notices.js", SCRIPT),
    file!("page.css", CSS),
    file!("paper.js", SCRIPT),
    file!("products.css", CSS),
    file!("query.js", SCRIPT),
    file!("region.js", SCRIPT),
    file!("spikes.js", SCRIPT),
    file!("status.css", CSS),
    file!("status.js", SCRIPT),
    file!("steps.js", SCRIPT),
    file!("taste.js", SCRIPT),
    file!("theme.js", SCRIPT),
];

/// What documents write in links in place of the version.
const VERSION: &str = "{version}";

/// Scripts, styles and requests from and to this server only; images also from the page itself. No inline
/// scripts, no forms, and no page may show this one in a frame.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// The page as it is sent.
static PAGE: LazyLock<Page> = LazyLock::new(Page::new);

struct Page {
    /// In the paths of the assets: changes with the content of any of them.
    version: String,
    search: Asset,
    catalogue: Asset,
    status: Asset,
    assets: Vec<(&'static str, Asset)>,
}

/// A file with its entity tag.
struct Asset {
    content_type: &'static str,
    tag: HeaderValue,
    bytes: Vec<u8>,
}

impl Page {
    fn new() -> Self {
        let mut all = Sha256::new();
        for (name, _, bytes) in ASSETS {
            all.update(name);
            all.update(Sha256::digest(bytes));
        }
        let version = hex(&all.finalize())[..16].to_owned();
        let document = |(_, content_type, bytes): File| {
            let text = String::from_utf8_lossy(bytes).replace(VERSION, &version);
            Asset::new(content_type, text.into_bytes())
        };
        Self {
            search: document(SEARCH),
            catalogue: document(CATALOGUE),
            status: document(STATUS),
            assets: ASSETS
                .into_iter()
                .map(|(name, content_type, bytes)| (name, Asset::new(content_type, bytes.to_vec())))
                .collect(),
            version,
        }
    }
}

impl Asset {
    fn new(content_type: &'static str, bytes: Vec<u8>) -> Self {
        // Weak: the same for every coding that the answer may be compressed by.
        let tag = format!("W/\"{}\"", &hex(&Sha256::digest(&bytes))[..32]);
        Self {
            content_type,
            tag: HeaderValue::from_str(&tag).expect("a hash in quotes"),
            bytes,
        }
    }

    fn answer(&'static self, headers: &HeaderMap, caching: &'static str) -> Response {
        let fixed: [(HeaderName, HeaderValue); 5] = [
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
            (header::CACHE_CONTROL, HeaderValue::from_static(caching)),
            (header::VARY, HeaderValue::from_static("accept-encoding")),
            (header::ETAG, self.tag.clone()),
        ];
        if entity_tag::matches(headers, &self.tag) {
            return (StatusCode::NOT_MODIFIED, fixed).into_response();
        }
        let kind = [(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type))];
        (fixed, kind, self.bytes.as_slice()).into_response()
    }
}

/// Documents are revalidated each time, mostly with the answer 304.
const DOCUMENT: &str = "no-cache";
/// What is under a path with a version never changes.
const ASSET: &str = "public, max-age=31536000, immutable";

/// The page: search, and the chip at work.
pub async fn search(headers: HeaderMap) -> Response {
    PAGE.search.answer(&headers, DOCUMENT)
}

/// The catalogue's page: what can be found.
pub async fn catalogue(headers: HeaderMap) -> Response {
    PAGE.catalogue.answer(&headers, DOCUMENT)
}

/// The operator's page.
pub async fn status(headers: HeaderMap) -> Response {
    PAGE.status.answer(&headers, DOCUMENT)
}

/// A script, a style or a picture of the page.
pub async fn asset(
    Path((version, file)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let found = PAGE.assets.iter().find(|(name, _)| *name == file);
    match found {
        Some((_, sent)) if version == PAGE.version => Ok(sent.answer(&headers, ASSET)),
        _ => Err(Problem::new(
            Code::NotFound,
            "the page has no such file, or has changed since it was loaded; reload it",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_served_and_under_500_lines() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/page");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let mut served: Vec<&str> = ASSETS
            .iter()
            .chain([&SEARCH, &CATALOGUE, &STATUS])
            .map(|file| file.0)
            .collect();
        served.sort_unstable();
        assert_eq!(files, served);
        for (name, _, bytes) in ASSETS.iter().chain([&SEARCH, &CATALOGUE, &STATUS]) {
            let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
            assert!(lines < 500, "{name} has {lines} lines");
        }
    }

    #[test]
    fn documents_link_assets_by_version() {
        for sent in [&PAGE.search, &PAGE.catalogue, &PAGE.status] {
            let text = String::from_utf8(sent.bytes.clone()).unwrap();
            assert!(!text.contains(VERSION));
            for part in text.split("\"/assets/").skip(1) {
                let (version, rest) = part.split_once('/').unwrap();
                assert_eq!(version, PAGE.version);
                let file = rest.split('"').next().unwrap();
                assert!(PAGE.assets.iter().any(|(name, _)| *name == file), "{file}");
            }
        }
    }
}
