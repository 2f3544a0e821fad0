//! What the page shows if something is refused, missing or not ready; and its security headers.

use crate::api::catalogue;
use crate::browser::{self, DESK, PHONE, Page};
use crate::page::{answered, check_manners, opened, shown};
use crate::server::{GRAY, Server};

const NOTICE: &str = "document.querySelector('#notice').textContent";

/// The browser logs every refused request in its console; asserts that nothing else is there.
fn only_refusals(page: &Page, status: u16) {
    for line in page.said() {
        let expected =
            format!("network Failed to load resource: the server responded with a status of {status}");
        assert!(line.starts_with(&expected), "{line}");
    }
}

#[test]
fn what_is_refused_is_said_in_words_where_it_can_be_mended() {
    let folder = catalogue(30, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    let page = opened(&server, PHONE);
    let before = shown(&page);
    let broken = folder.path().join("broken.png");
    std::fs::write(&broken, "no picture").unwrap();
    page.upload("#file", &broken);
    page.until("!document.querySelector('#notice').hidden");
    assert_eq!(
        page.text(NOTICE),
        "The 10 bytes begin like no known picture; send a PNG, JPEG, WebP, GIF or BMP picture."
    );
    assert_eq!(shown(&page).len(), 0);
    only_refusals(&page, 422);
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "no picture").unwrap();
    page.upload("#file", &text);
    page.until("document.querySelector('#notice').textContent.startsWith('The Content-Type is')");

    // A valid input clears the error message.
    answered(&page, || page.click("#strip button"));
    assert_eq!(shown(&page), before);
    assert_eq!(page.run("document.querySelector('#notice').hidden"), true);

    let page = opened(&server, DESK);
    page.run("document.querySelector('#filter-text').open = true");
    page.click("#filter-json");
    page.write("{\"category\": {\"like\": \"Bag\"}}");
    page.until("document.querySelector('#filter-said').textContent");
    let said = page.text("document.querySelector('#filter-said').textContent");
    assert!(
        said.starts_with("filter.category.like: is not an operator"),
        "{said}"
    );
    assert_eq!(
        page.text("document.querySelector('#filter-json').getAttribute('aria-invalid')"),
        "true"
    );
    assert_eq!(shown(&page), before, "what was found stays");
    answered(&page, || page.click("#filter-clear"));
    assert_eq!(
        page.text("document.querySelector('#filter-said').textContent"),
        ""
    );
    only_refusals(&page, 400);
}

#[test]
fn a_key_is_asked_for_and_kept_in_the_tab_alone() {
    let folder = catalogue(30, &[]);
    let file = folder.path().join("keys");
    std::fs::write(&file, "read reader-0123456789 shop front\n").unwrap();
    let server = Server::start(folder.path(), &["--api-keys", file.to_str().unwrap()]).ready();
    let page = Page::open(&format!("http://{}/", server.address()), DESK);
    for (key, said) in [
        ("wrong-0123456789", "stays in this browser tab"),
        ("reader-0123456789", "the key is unknown"),
    ] {
        page.until(&format!(
            "!document.querySelector('#key-form').hidden && document.querySelector('#key-said').textContent.includes('{said}')"
        ));
        page.write(key);
        page.key("Enter", 13);
    }
    page.until("performance.getEntriesByName('first-answer').length");
    assert_eq!(page.run("document.querySelector('#key-form').hidden"), true);
    page.until("[...document.querySelectorAll('.match img')].every((image) => image.naturalWidth === 28)");
    assert!(
        page.text("document.querySelector('#curl').textContent")
            .contains("Bearer $SPIKELENS_KEY")
    );
    assert!(
        !page
            .text("document.documentElement.outerHTML")
            .contains("reader-0123456789")
    );
    assert!(!page.text("JSON.stringify({...localStorage})").contains("reader"));
    only_refusals(&page, 401);
}

#[test]
fn the_page_waits_for_a_loading_catalogue_and_reports_an_empty_one() {
    let foreign = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/golden/paper-32-64-10/snn.safetensors"
    );
    let folder = catalogue(6000, &["--model", foreign]);
    // The catalogue's model is not available: not ready until everything is re-embedded, which takes a moment.
    let database = rusqlite::Connection::open(folder.path().join("catalogue.sqlite3")).unwrap();
    assert_eq!(database.execute("DELETE FROM models", []).unwrap(), 1);
    drop(database);
    browser::start();
    let server = Server::start(folder.path(), &[&GRAY[..], &["--time-steps", "64"]].concat());
    let page = Page::open(&format!("http://{}/", server.address()), DESK);
    page.until("document.querySelector('#waiting').innerText.startsWith('Not ready: ')");
    page.until("performance.getEntriesByName('first-answer').length");
    assert_eq!(page.run("document.querySelector('#waiting').hidden"), true);
    assert_eq!(
        page.text("document.querySelector('#steps-now').textContent"),
        "T = 64"
    );
    only_refusals(&page, 503);
    drop(page);

    let empty = tempfile::tempdir().unwrap();
    let server = Server::start(empty.path(), &[]).ready();
    let page = Page::open(&format!("http://{}/", server.address()), DESK);
    page.until("document.querySelector('#found-title').textContent === 'The catalogue is empty'");
    check_manners(&page, &server);
}

#[test]
fn the_page_and_its_parts_are_guarded_small_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]).ready();
    let gzip = ("accept-encoding", "gzip");
    let mut sent = 0;
    for document in ["/", "/catalogue", "/status"] {
        let answer = server.get(document);
        let policy = answer.header("content-security-policy").unwrap();
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let text = String::from_utf8(answer.body.clone()).unwrap();
        let head = server.ask("HEAD", document, &[], b"");
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert_eq!(
            head.header("content-length"),
            Some(text.len().to_string().as_str())
        );
        let tag = server
            .ask("GET", document, &[gzip], b"")
            .header("etag")
            .unwrap()
            .to_owned();
        let again = server.ask("GET", document, &[gzip, ("if-none-match", &tag)], b"");
        assert_eq!((again.status, again.body.len()), (304, 0));
        assert_eq!(server.ask("POST", document, &[], b"").problem().0, 405);

        let mut own = server.ask("GET", document, &[gzip], b"").body.len();
        for part in text.split("\"/assets/").skip(1) {
            let path = format!("/assets/{}", part.split('"').next().unwrap());
            let answer = server.ask("GET", &path, &[gzip], b"");
            assert_eq!(answer.status, 200, "{path}");
            // Smaller parts are sent as they are.
            let coding = (server.get(&path).body.len() >= 1024).then_some("gzip");
            assert_eq!(answer.header("content-encoding"), coding, "{path}");
            assert_eq!(
                answer.header("cache-control"),
                Some("public, max-age=31536000, immutable")
            );
            assert!(answer.header("content-security-policy").is_some());
            own += answer.body.len();
        }
        println!("{document}: {own} bytes with all its parts, compressed");
        sent += own;
    }
    assert!(sent < 100_000, "{sent} bytes");
    let unknown = server.get("/assets/0000000000000000/app.js");
    assert_eq!(unknown.problem(), (404, "not_found".to_owned()));
}
