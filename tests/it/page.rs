//! The web page in a real browser, on a real server.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::api::{catalogue, test_png};
use crate::browser::{DESK, Look, PHONE, Page};
use crate::server::Server;

/// Opens a server's page and waits until it shows an answer.
pub fn opened(server: &Server, look: Look) -> Page {
    let page = Page::open(&format!("http://{}/", server.address()), look);
    page.until("performance.getEntriesByName('first-answer').length");
    page
}

/// Asserts that no request went to another host, the console is empty, and nothing is wider than the screen.
pub fn check_manners(page: &Page, server: &Server) {
    let own = format!("http://{}/", server.address());
    for url in page.requests() {
        let kept = ["data:", "blob:"].iter().any(|scheme| url.starts_with(scheme));
        assert!(kept || url.starts_with(&own), "{url}");
    }
    assert_eq!(page.said(), [""; 0]);
    let (wide, screen) = (
        page.number("document.documentElement.scrollWidth"),
        page.number("innerWidth"),
    );
    assert!(wide <= screen, "{wide} wide on a screen of {screen}");
}

/// The products on screen, in order.
pub fn shown(page: &Page) -> Vec<String> {
    let ids = page.run("[...document.querySelectorAll('.match')].map((one) => one.dataset.product)");
    let ids = ids.as_array().unwrap().iter();
    ids.map(|id| id.as_str().unwrap().to_owned()).collect()
}

/// Performs an action on the page and waits for the next answer.
pub fn answered(page: &Page, act: impl FnOnce()) {
    let before = page.number("Number(document.body.dataset.answers)");
    act();
    page.until(&format!("document.body.dataset.answers > {before}"));
    page.until("!document.body.classList.contains('busy')");
}

/// A test picture as a file.
fn file(folder: &Path, index: usize) -> std::path::PathBuf {
    let path = folder.join("photo.png");
    std::fs::write(&path, test_png(index)).unwrap();
    path
}

#[test]
fn the_page_is_alive_at_once_and_searches_what_it_is_given() {
    let folder = catalogue(60, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    for look in [DESK, PHONE] {
        let page = opened(&server, look);
        let took = page.number("performance.getEntriesByName('first-answer')[0].duration");
        let asked = page.number("performance.getEntriesByName('answer')[0].duration");
        println!(
            "{} px: first answer on screen {took:.0} ms after the page began, {asked:.0} ms after it was asked for",
            look.width
        );
        assert_eq!(shown(&page).len(), 15);
        assert_eq!(shown(&page)[0], "fashion-mnist-train-0");
        assert_eq!(
            page.number("document.querySelectorAll('.floor .core').length"),
            68.0
        );
        assert_eq!(
            page.number("document.querySelectorAll('.train path').length"),
            5.0
        );
        assert!(
            page.text("document.querySelector('#prepared').src")
                .starts_with("data:image/png")
        );

        // Another product of the strip, selected by keyboard.
        page.run("document.querySelectorAll('#strip button')[1].focus()");
        answered(&page, || page.key("Enter", 13));
        assert_eq!(shown(&page)[0], "fashion-mnist-train-1");

        answered(&page, || page.upload("#file", &file(folder.path(), 1)));
        assert_eq!(
            page.text("document.querySelector('#found-title').textContent"),
            "Looks like: Pullover"
        );
        assert_eq!(
            page.text("document.querySelector('#original-name').textContent"),
            "photo.png"
        );

        // The shown shell command gives the products on screen.
        let line = page.text("document.querySelector('#curl').textContent");
        let (options, url) = line.rsplit_once(" '").unwrap();
        assert!(
            options.contains("--data-binary '@photo.png'") && options.contains("Content-Type: image/png"),
            "{line}"
        );
        let path = url
            .trim_end_matches('\'')
            .strip_prefix(&format!("http://{}", server.address()));
        let answer = server.post(path.unwrap(), "image/png", &test_png(1)).json();
        assert_eq!(products(&answer), shown(&page));
        let energy = answer["emulation"]["energy_mj"]["total"].as_f64().unwrap();
        let figures = page.text("document.querySelector('#figures').innerText");
        assert!(figures.contains(&format!("{energy:.2}")), "{figures}");

        // Files that are dropped and pasted.
        for (event, index) in [("drop", 2), ("paste", 0)] {
            let image = STANDARD.encode(test_png(index));
            answered(&page, || {
                page.run(&format!(
                    "(() => {{ const bytes = Uint8Array.from(atob('{image}'), (one) => one.charCodeAt(0));
                     const file = new File([bytes], 'file.png', {{type: 'image/png'}}); const data = new DataTransfer(); data.items.add(file);
                     const given = {{bubbles: true, dataTransfer: data, clipboardData: data}};
                     document.body.dispatchEvent('{event}' === 'drop' ? new DragEvent('drop', given)
                     : new ClipboardEvent('paste', given)); }})()"
                ));
            });
            let expected = answer_to(&server, index);
            assert_eq!(products(&expected), shown(&page), "{event}");
        }
        check_manners(&page, &server);
        keep(&page, &format!("page-{}", look.width));
    }
}

/// The server's own answer to a test picture.
fn answer_to(server: &Server, index: usize) -> Value {
    server
        .post("/v1/search?k=15", "image/png", &test_png(index))
        .json()
}

/// The products of an answer, in order.
fn products(answer: &Value) -> Vec<String> {
    let matches = answer["matches"].as_array().unwrap().iter();
    matches
        .map(|found| found["product_id"].as_str().unwrap().to_owned())
        .collect()
}

/// Saves a screenshot of the page, to see what the test saw.
pub fn keep(page: &Page, name: &str) {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.png"));
    std::fs::write(path, page.screenshot()).unwrap();
}

#[test]
fn a_drawing_is_searched_stroke_by_stroke_by_hand_and_by_keyboard() {
    let folder = catalogue(60, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    let page = opened(&server, DESK);
    page.until("!document.querySelector('#draw').hidden");
    page.click("#draw");
    // A pair of trousers: a waist and two legs.
    answered(&page, || page.drag("#canvas", &[(0.35, 0.1), (0.65, 0.1)]));
    let waist = page.text("document.querySelector('#prepared').src");
    answered(&page, || {
        page.drag("#canvas", &[(0.38, 0.1), (0.36, 0.5), (0.35, 0.95)])
    });
    answered(&page, || {
        page.drag("#canvas", &[(0.62, 0.1), (0.64, 0.5), (0.65, 0.95)])
    });
    assert_eq!(
        page.text("document.querySelector('#found-title').textContent"),
        "Looks like: Trouser"
    );
    assert!(
        page.run("!document.querySelector('#save').hidden")
            .as_bool()
            .unwrap()
    );
    answered(&page, || page.click("#undo"));
    answered(&page, || page.click("#undo"));
    assert_eq!(page.text("document.querySelector('#prepared').src"), waist);

    page.run("document.querySelector('#canvas').focus()");
    page.key(" ", 32);
    for _ in 0..6 {
        page.key("ArrowDown", 40);
    }
    answered(&page, || page.key(" ", 32));
    assert_ne!(page.text("document.querySelector('#prepared').src"), waist);
    check_manners(&page, &server);
}

#[test]
fn time_steps_change_quality_energy_and_latency() {
    let folder = catalogue(60, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    let page = opened(&server, PHONE);
    let figures = "document.querySelector('#tradeoff').innerText";
    assert!(
        page.text(figures).contains("at the default"),
        "{}",
        page.text(figures)
    );
    page.run("document.querySelector('#time-steps').focus()");
    for _ in 0..24 {
        page.key("ArrowRight", 39);
    }
    // Intermediate answers may be skipped; the last one is shown.
    page.until("document.querySelectorAll('.numbers span').length === 32");
    let said = page.text(figures);
    assert!(said.contains("of 15 matches as with T = 8"), "{said}");
    assert!(said.contains("% against T = 8"), "{said}");
    assert!(
        page.text("document.querySelector('#curl').textContent")
            .contains("&time_steps=32&")
    );
    let energy = page.number("parseFloat(document.querySelector('#figures strong').textContent)");
    assert!(energy > 5.0, "{energy}");

    answered(&page, || page.click("#steps-auto"));
    let chosen = page.text("document.querySelector('#steps-now').textContent");
    assert!(chosen.starts_with("auto: T = "), "{chosen}");
    answered(&page, || page.click("#steps-default"));
    assert_eq!(
        page.text("document.querySelector('#steps-now').textContent"),
        "T = 8"
    );

    // The floor plan and the raster are also available by keyboard and as tables.
    page.run("document.querySelector('.floor').focus()");
    page.key("ArrowRight", 39);
    let core = page.text("document.querySelector('#floor .readout').textContent");
    assert!(core.starts_with("Core 1, input: "), "{core}");
    assert_eq!(
        page.number("document.querySelectorAll('#floor tbody tr').length"),
        68.0
    );
    page.run("document.querySelector('.raster').focus()");
    page.key("ArrowRight", 39);
    page.key("ArrowRight", 39);
    let step = page.text("document.querySelector('#spikes .readout').textContent");
    assert!(step.starts_with("Step 2: input "), "{step}");
    page.click("#play");
    page.until("document.querySelector('#play').textContent === 'Stop'");
    page.until("document.querySelector('#play').textContent === 'Play'");
    check_manners(&page, &server);
}

#[test]
fn likes_dislikes_diversity_and_filters_narrow_what_is_found() {
    let folder = catalogue(60, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    for look in [DESK, PHONE] {
        let page = opened(&server, look);
        let before = shown(&page);
        let liked = before[2].clone();
        answered(&page, || page.click(&format!("[data-product='{liked}'] .like")));
        assert!(!shown(&page).contains(&liked));
        assert_eq!(
            page.number("document.querySelectorAll('#tastes .liked').length"),
            1.0
        );
        let disliked = shown(&page)[0].clone();
        answered(&page, || {
            page.click(&format!("[data-product='{disliked}'] .unlike"))
        });
        assert!(!shown(&page).contains(&disliked));
        let line = page.text("document.querySelector('#curl').textContent");
        let body = format!("\"positive\":[\"{liked}\"],\"negative\":[\"{disliked}\"]");
        assert!(line.contains("/v1/recommend") && line.contains(&body), "{line}");
        page.run("document.querySelector('#diversity').focus()");
        answered(&page, || page.key("End", 35));
        assert!(
            page.text("document.querySelector('#curl').textContent")
                .contains("\"diversity\":1,")
        );

        page.run("document.querySelector('#filters').open = true");
        answered(&page, || page.click("[data-value='\"Sandal\"']"));
        let titles = "[...document.querySelectorAll('.match .title')].map((one) => one.textContent)";
        let only_sandals = format!("{titles}.length > 0 && {titles}.every((title) => title === 'Sandal')");
        assert_eq!(page.run(&only_sandals), true, "{}", page.run(titles));
        // With no liked product, the picture is searched again, with the filter.
        answered(&page, || page.click("#tastes .liked button"));
        assert!(
            page.text("document.querySelector('#found-title').textContent")
                .starts_with("Looks like: ")
        );
        assert_eq!(page.run(&only_sandals), true, "{}", page.run(titles));
        answered(&page, || page.click("#filter-clear"));
        assert_eq!(shown(&page), before);

        // With only a disliked product, the product of the last search counts as liked.
        answered(&page, || page.click(&format!("[data-product='{liked}'] .unlike")));
        let line = page.text("document.querySelector('#curl').textContent");
        assert!(
            line.contains("\"positive\":[\"fashion-mnist-train-0\"]"),
            "{line}"
        );
        check_manners(&page, &server);
    }
}
