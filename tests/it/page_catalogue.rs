//! The catalogue's page in a real browser.

use serde_json::{Value, json};

use crate::api::{catalogue, test_png};
use crate::browser::{DESK, Look, NARROW, Page};
use crate::page::{answered, check_manners, keep, opened, shown};
use crate::server::Server;

const TITLE: &str = "<img src=x onerror=\"window.hurt = true\">";

/// A product whose every text tries to be markup, with two pictures.
fn put_hostile(server: &Server) {
    let attributes = json!({
        "<b>kind</b>": "<script>window.hurt = true</script>", "__proto__": "own", "$price": 5,
        "sizes": ["<i>40</i>", "41"],
    });
    let body = json!({
        "image": base64(&test_png(0)), "title": TITLE, "attributes": attributes,
    });
    let headers = [("content-type", "application/json")];
    let path = "/v1/products/%22%3E%3Cb%3E%20%26%23";
    let put = server.ask("PUT", path, &headers, body.to_string().as_bytes());
    assert_eq!(put.status, 201, "{put:?}");
    let added = server.post(&format!("{path}/pictures"), "image/png", &test_png(1));
    assert_eq!(added.status, 201, "{added:?}");
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Opens the catalogue's page and waits until it shows products.
fn catalogue_page(server: &Server, look: Look) -> Page {
    let page = Page::open(&format!("http://{}/catalogue", server.address()), look);
    page.until("document.body.dataset.answers && !document.body.classList.contains('busy')");
    page
}

fn text(page: &Page, selector: &str) -> String {
    page.text(&format!("document.querySelector({}).innerText", json!(selector)))
}

/// The ids of the products on screen.
fn listed(page: &Page) -> Value {
    page.run("[...document.querySelectorAll('#products a')].map((one) => one.title)")
}

#[test]
fn the_catalogue_is_browsed_filtered_and_looked_at() {
    let folder = catalogue(60, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    put_hostile(&server);
    for look in [DESK, NARROW] {
        let page = catalogue_page(&server, look);
        assert_eq!(text(&page, "#said"), "48 of 61 products");
        // Pictures far below the screen wait until they come near it.
        page.until("document.querySelector('#products img').naturalWidth === 28");
        assert_eq!(
            page.run("document.querySelector('#products li:last-child img').src"),
            ""
        );
        answered(&page, || page.click("#more"));
        assert_eq!(text(&page, "#said"), "61 of 61 products");
        assert_eq!(page.run("document.querySelector('#more').hidden"), true);
        let all = server.get("/v1/products?limit=100").json();
        let all = all["products"].as_array().unwrap().iter();
        assert_eq!(
            listed(&page),
            Value::from_iter(all.map(|product| product["id"].clone()))
        );
        page.run("document.querySelector('#products li:last-child').scrollIntoView()");
        page.until("document.querySelector('#products li:last-child img').naturalWidth === 28");
        assert_eq!(text(&page, "#products li:last-child"), TITLE);

        page.run("document.querySelector('#filters').open = true");
        let filtered = |filter: &str| {
            let path = format!("/v1/products?limit=100&filter={filter}");
            let answer = server.get(&path.replace('"', "%22")).json();
            let products = answer["products"].as_array().unwrap().iter();
            Value::from_iter(products.map(|product| product["id"].clone()))
        };
        answered(&page, || page.click("[data-value='\"Bag\"']"));
        assert_eq!(listed(&page), filtered("{\"category\":\"Bag\"}"));
        answered(&page, || page.click("[data-value='\"Coat\"']"));
        let both = filtered("{\"category\":{\"in\":[\"Bag\",\"Coat\"]}}");
        assert_eq!(listed(&page), both);
        let number = both.as_array().unwrap().len();
        assert_eq!(
            text(&page, "#said"),
            format!("{number} of {number} products that pass the filter")
        );
        keep(&page, &format!("catalogue-{}", look.width));
        answered(&page, || page.click("#filter-clear"));
        assert_eq!(listed(&page).as_array().unwrap().len(), 48);
        answered(&page, || page.click("[data-value='\"<i>40</i>\"']"));
        assert_eq!(text(&page, "#products"), TITLE);

        page.run("document.querySelector('#products a').focus()");
        page.key("Enter", 13);
        page.until("document.querySelector('#details').open");
        page.until(
            "[...document.querySelectorAll('#details img')].every((image) => image.naturalWidth === 28)",
        );
        assert_eq!(
            page.number("document.querySelectorAll('.pictures img').length"),
            2.0
        );
        assert_eq!(text(&page, "#details-title"), TITLE);
        let facts = page.run(
            "Object.fromEntries([...document.querySelectorAll('.facts div')].map((one) => [...one.children].map((part) => part.textContent)))",
        );
        assert_eq!(
            facts["<b>kind</b>"], "<script>window.hurt = true</script>",
            "{facts}"
        );
        assert_eq!(facts["sizes"], "<i>40</i>, 41");
        assert_eq!(facts["id"], "\"><b> &#");
        assert!(facts["stored"].as_str().unwrap().contains(", 20"), "{facts}");
        keep(&page, &format!("catalogue-details-{}", look.width));
        // A similar product is looked at in the same place, and the address names what is shown.
        page.click(".alike a");
        page.until("document.querySelector('#details-title').textContent !== document.querySelector('#products .title').textContent");
        assert!(
            page.text("location.hash")
                .starts_with("#product=fashion-mnist-train-")
        );
        let search = page.text("document.querySelector('#details .button').href");
        page.key("Escape", 27);
        page.until("!document.querySelector('#details').open && location.hash === ''");
        assert_eq!(
            page.run("[window.hurt, document.querySelector('img[src=x]')]"),
            json!([null, null])
        );
        check_manners(&page, &server);

        // The search begins with the product that it is sent to.
        let page = Page::open(&search, look);
        page.until("document.querySelector('.match .score')?.textContent === 'itself'");
        let named = search.rsplit_once('=').unwrap().1;
        assert_eq!(shown(&page)[0], named);
        check_manners(&page, &server);
    }
}

#[test]
fn hostile_texts_stay_texts_on_the_search_page() {
    let folder = catalogue(12, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    put_hostile(&server);
    let page = opened(&server, NARROW);
    let titles = "[...document.querySelectorAll('.match .title')].map((one) => one.textContent)";
    page.until(&format!("{titles}.includes({})", json!(TITLE)));
    page.run("document.querySelector('#filters').open = true");
    // A tick of an attribute that is called like an object's prototype.
    let legends = page
        .run("[...document.querySelectorAll('.facet:not([hidden]) legend')].map((one) => one.textContent)");
    for name in ["<b>kind</b>", "__proto__", "sizes"] {
        assert!(legends.as_array().unwrap().contains(&json!(name)), "{legends}");
    }
    answered(&page, || page.click("[data-name=__proto__]"));
    assert_eq!(
        page.text("document.querySelector('#filter-json').value"),
        r#"{"__proto__":"own"}"#
    );
    assert_eq!(page.run(titles), json!([TITLE]));
    // An attribute whose name begins with `$` has one more in a filter.
    answered(&page, || {
        page.run(
            "(() => { const field = document.querySelector('[data-name=\"$$price\"]'); field.value = '6';
             field.dispatchEvent(new Event('change')); })()",
        );
    });
    assert_eq!(
        page.text("document.querySelector('#filter-json').value"),
        r#"{"__proto__":"own","$$price":{"gte":6}}"#
    );
    assert_eq!(page.run(titles), json!([]));
    answered(&page, || page.click("#filter-clear"));
    let place = page.text(
        "[...document.querySelectorAll('#group option')].find((one) => one.textContent === '<b>kind</b>').value",
    );
    answered(&page, || {
        page.run(&format!(
            "(() => {{ const select = document.querySelector('#group'); select.value = '{place}';
             select.dispatchEvent(new Event('change')); }})()"
        ));
    });
    let names =
        page.run("[...document.querySelectorAll('.stack-name button')].map((one) => one.textContent)");
    assert_eq!(names, json!(["<script>window.hurt = true</script>"]));
    // The others have no such attribute, and stand alone.
    assert_eq!(shown(&page).len(), 13);
    assert_eq!(
        page.run("[window.hurt, document.querySelector('img[src=x]')]"),
        json!([null, null])
    );
    check_manners(&page, &server);
}

#[test]
fn the_catalogue_asks_for_a_key_and_says_what_is_missing() {
    let folder = catalogue(30, &[]);
    let file = folder.path().join("keys");
    std::fs::write(&file, "read reader-0123456789 shop front\n").unwrap();
    let server = Server::start(folder.path(), &["--api-keys", file.to_str().unwrap()]).ready();
    let url = format!("http://{}/catalogue#product=sold", server.address());
    let page = Page::open(&url, DESK);
    page.until("!document.querySelector('#key-form').hidden");
    page.write("reader-0123456789");
    page.key("Enter", 13);
    page.until("document.querySelectorAll('#products img')[5]?.naturalWidth === 28");
    assert_eq!(text(&page, "#said"), "30 of 30 products");
    page.run("document.querySelector('#products a').click()");
    page.until("document.querySelector('#details img')?.naturalWidth === 28");
    page.run("document.querySelector('#details-close').click()");
    page.until("!document.querySelector('#details').open && location.hash === ''");
    page.run("location.hash = '#product=sold'");
    page.until("document.querySelector('#notice').textContent === 'There is no product \"sold\".'");
    assert_eq!(page.run("document.querySelector('#details').open"), false);

    let empty = tempfile::tempdir().unwrap();
    let server = Server::start(empty.path(), &[]).ready();
    let page = catalogue_page(&server, NARROW);
    assert!(text(&page, "#said").starts_with("The catalogue is empty."));
    check_manners(&page, &server);
}
