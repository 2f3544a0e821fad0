//! What a search on the page can be told: a region of the picture, ticks of values, groups, and more matches.

use serde_json::{Value, json};

use crate::api::{catalogue, test_png};
use crate::browser::{DESK, NARROW, Page};
use crate::page::{answered, check_manners, keep, opened, shown};
use crate::server::Server;

/// Text of an element.
fn text(page: &Page, selector: &str) -> String {
    page.text(&format!("document.querySelector({}).innerText", json!(selector)))
}

/// A parameter of the page's latest request to a path, as it was sent.
fn latest(page: &Page, path: &str, parameter: &str) -> Option<String> {
    let requests = page.requests();
    let url = requests
        .iter()
        .rfind(|url| url.contains(path))
        .expect("a request");
    let (_, query) = url.split_once('?')?;
    let value = query
        .split('&')
        .find_map(|pair| pair.strip_prefix(&format!("{parameter}=")))?;
    Some(
        percent_encoding::percent_decode_str(value)
            .decode_utf8_lossy()
            .into_owned(),
    )
}

/// The server's own answer to the first test picture; options are written as they are.
fn answer(server: &Server, options: &str) -> Value {
    let options = options.replace('"', "%22");
    let path = format!("/v1/search?{options}");
    server.post(&path, "image/png", &test_png(0)).json()
}

fn ids(answer: &Value) -> Vec<String> {
    let matches = answer["matches"].as_array().unwrap().iter();
    matches
        .map(|found| found["product_id"].as_str().unwrap().to_owned())
        .collect()
}

/// Opens the page with the first test picture.
fn with_picture(server: &Server, folder: &std::path::Path, look: crate::browser::Look) -> Page {
    let page = opened(server, look);
    let file = folder.join("query.png");
    std::fs::write(&file, test_png(0)).unwrap();
    answered(&page, || page.upload("#file", &file));
    page.until("!document.querySelector('#area').hidden");
    page
}

#[test]
fn a_region_is_drawn_by_mouse_finger_and_keys() {
    let folder = catalogue(60, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    let line = [(0.2, 0.15), (0.5, 0.4), (0.7, 0.8)];
    for look in [DESK, NARROW] {
        let page = with_picture(&server, folder.path(), look);
        let whole = shown(&page);
        assert_eq!(latest(&page, "/v1/search", "region"), None);
        // By mouse on the desk, by a finger on the phone; what it is given is what is searched.
        answered(&page, || match look.width {
            360 => page.stroke("#area", &line),
            _ => page.drag("#area", &line),
        });
        let region = latest(&page, "/v1/search", "region").unwrap();
        let sides: Vec<f64> = serde_json::from_str(&region).unwrap();
        for (side, drawn) in sides.iter().zip([0.2, 0.15, 0.7, 0.8]) {
            assert!((side - drawn).abs() < 0.02, "{region}");
        }
        let expected = ids(&answer(&server, &format!("k=15&region={region}")));
        assert_eq!(shown(&page), expected);
        assert_ne!(expected, whole);
        assert_eq!(
            text(&page, "#region-now"),
            "Only 20 to 70 % across, 15 to 80 % down"
        );
        assert!(text(&page, "#curl").contains("region=%5B0."));
        keep(&page, &format!("page-region-{}", look.width));
        answered(&page, || page.click("#region-clear"));
        assert_eq!(shown(&page), whole);

        // By keys; the button has given the focus back to the picture.
        answered(&page, || page.key("ArrowLeft", 37));
        assert_eq!(
            latest(&page, "/v1/search", "region").unwrap(),
            "[0.25,0.25,0.75,0.75]"
        );
        answered(&page, || page.key("ArrowRight", 39));
        answered(&page, || page.press("ArrowDown", 40, true));
        assert_eq!(
            latest(&page, "/v1/search", "region").unwrap(),
            "[0.3,0.25,0.8,0.8]"
        );
        // It stays on the picture, whatever is pressed, and a gesture is one search.
        for _ in 0..8 {
            page.key("ArrowRight", 39);
        }
        page.until(
            "document.querySelector('#curl').textContent.includes('region=%5B0.5%2C0.25%2C1%2C0.8%5D')",
        );
        let expected = ids(&answer(&server, "k=15&region=[0.5,0.25,1,0.8]"));
        assert_eq!(shown(&page), expected);
        assert!(text(&page, "#region-now").starts_with("Only 50 to 100 % across"));
        answered(&page, || page.key("Escape", 27));
        assert_eq!(shown(&page), whole);
        let said = page.run(
            "[...['role', 'aria-label', 'tabindex'].map((name) => document.querySelector('#area').getAttribute(name)),
             document.querySelector('#region-now').getAttribute('role')]",
        );
        assert!(said[1].as_str().unwrap().contains("Escape removes it"), "{said}");
        assert_eq!([&said[0], &said[2], &said[3]], ["application", "0", "status"]);

        // Another picture is searched whole.
        answered(&page, || page.key("ArrowLeft", 37));
        answered(&page, || page.click("#strip button"));
        assert_eq!(latest(&page, "/v1/search", "region"), None);
        assert_eq!(page.run("document.querySelector('#frame').hidden"), true);
        check_manners(&page, &server);
    }
}

/// The values to tick, with what is written beside them.
fn ticks(page: &Page) -> Value {
    page.run(
        "[...document.querySelectorAll('[data-facet=category] .tick')].map((tick) =>
         [tick.querySelector('span').textContent, Number(tick.querySelector('small').textContent), tick.querySelector('input').checked])",
    )
}

const JSON: &str = "document.querySelector('#filter-json').value";

#[test]
fn ticks_filter_with_counts_and_agree_with_the_text() {
    let folder = catalogue(80, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    for look in [DESK, NARROW] {
        let page = with_picture(&server, folder.path(), look);
        let counted = answer(&server, "k=1&facets=[\"category\"]");
        let expected = |ticked: &[&str]| {
            let values = counted["facets"]["category"].as_array().unwrap().iter();
            Value::from_iter(values.map(|one| {
                json!([
                    one["value"],
                    one["count"],
                    ticked.contains(&one["value"].as_str().unwrap())
                ])
            }))
        };
        let number = |value: &str| {
            let values = counted["facets"]["category"].as_array().unwrap().iter();
            let one = values.clone().find(|one| one["value"] == value).unwrap();
            one["count"].as_u64().unwrap()
        };
        assert_eq!(ticks(&page), expected(&[]));
        assert!(text(&page, "#said").starts_with("15 of 80 products: "));
        assert_eq!(
            page.run("document.querySelector('#filters').open"),
            look.width > 820
        );
        page.run(
            "document.querySelector('#filters').open = document.querySelector('#filter-text').open = true",
        );

        answered(&page, || page.click("[data-value='\"Sandal\"']"));
        assert_eq!(page.text(JSON), r#"{"category":"Sandal"}"#);
        let sandals = shown(&page);
        assert_eq!(
            sandals,
            ids(&answer(&server, "k=15&filter={\"category\":\"Sandal\"}"))
        );
        // The other values keep their counts, so that one more can be ticked.
        assert_eq!(ticks(&page), expected(&["Sandal"]));
        answered(&page, || page.click("[data-value='\"Bag\"']"));
        assert_eq!(page.text(JSON), r#"{"category":{"in":["Sandal","Bag"]}}"#);
        assert_eq!(ticks(&page), expected(&["Sandal", "Bag"]));
        let both = number("Sandal") + number("Bag");
        let said = text(&page, "#said");
        assert!(
            said.contains(&format!(" of {both} products that pass the filter: ")),
            "{said}"
        );
        keep(&page, &format!("page-ticks-{}", look.width));

        // The text is the truth: the ticks follow it, and what they cannot show is shown as it is written.
        let texts = [
            (r#"{"category": {"in": ["Coat"]}}"#, &["Coat"][..], ""),
            (r#"{"category": {"not": "Coat"}}"#, &[], r#"{"not":"Coat"}"#),
            (r#"{"split": "train"}"#, &[], ""),
        ];
        // The page waits for the end of typing each time: once is enough on a phone.
        for (written, ticked, other) in &texts[if look.width > 820 { 0 } else { 2 }..] {
            answered(&page, || {
                page.run(&format!(
                    "(() => {{ const text = document.querySelector('#filter-json'); text.value = {};
                     text.dispatchEvent(new Event('input')); }})()",
                    json!(written)
                ));
            });
            let ticked: Vec<Value> = ticked.iter().map(|one| json!(one)).collect();
            let now = ticks(&page);
            let on = now.as_array().unwrap().iter().filter(|one| one[2] == true);
            assert_eq!(on.map(|one| one[0].clone()).collect::<Vec<_>>(), ticked, "{now}");
            let shown =
                page.text("document.querySelector('[data-facet=category] .other')?.textContent ?? ''");
            assert_eq!(shown, **other);
        }
        // A tick adds to what other attributes ask.
        answered(&page, || page.click("[data-value='\"Bag\"']"));
        assert_eq!(page.text(JSON), r#"{"split":"train","category":"Bag"}"#);
        answered(&page, || page.click("[data-value='\"Bag\"']"));
        assert_eq!(page.text(JSON), r#"{"split":"train"}"#);
        answered(&page, || page.click("#filter-clear"));
        assert_eq!(ticks(&page), expected(&[]));
        check_manners(&page, &server);
    }
}

/// Chooses the attribute to group by, by its place in the list.
fn group(page: &Page, place: &str) {
    answered(page, || {
        page.run(&format!(
            "(() => {{ const select = document.querySelector('#group'); select.value = '{place}';
             select.dispatchEvent(new Event('change')); }})()"
        ));
    });
}

#[test]
fn groups_show_their_best_and_more_follows_to_the_last_product() {
    let folder = catalogue(80, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    for look in [DESK, NARROW] {
        let page = with_picture(&server, folder.path(), look);
        group(&page, "0");
        let expected = answer(&server, "k=15&group_by=category&facets=[\"category\"]");
        assert_eq!(shown(&page), ids(&expected));
        let names = page
            .run("[...document.querySelectorAll('.stack .stack-name button')].map((one) => one.textContent)");
        let groups = expected["matches"].as_array().unwrap().iter();
        assert_eq!(
            names,
            Value::from_iter(groups.map(|found| found["group"].clone()))
        );
        assert!(
            text(&page, "#said")
                .starts_with("10 groups by category, the best product of each, of 80 products")
        );
        assert_eq!(page.run("document.querySelector('#more').hidden"), true);
        keep(&page, &format!("page-groups-{}", look.width));
        // A group opens as what it stands for: a filter.
        let first = names[0].as_str().unwrap().to_owned();
        answered(&page, || page.click(".stack-name button"));
        assert_eq!(page.text(JSON), json!({"category": first}).to_string());
        assert_eq!(page.run("!document.querySelector('.stack')"), true);
        page.run("document.querySelector('#filters').open = true");
        answered(&page, || page.click("#filter-clear"));

        // All products, once each, in the order of one ranking, and no picture is sent again.
        let pictures = |page: &Page| {
            page.requests()
                .iter()
                .filter(|url| url.contains("trace=true"))
                .count()
        };
        let before = pictures(&page);
        for (now, offset) in [(45, "15"), (75, "45"), (80, "75")] {
            answered(&page, || page.click("#more"));
            assert_eq!(shown(&page).len(), now);
            assert_eq!(latest(&page, "/v1/search", "offset").as_deref(), Some(offset));
        }
        assert_eq!(pictures(&page), before);
        assert_eq!(shown(&page), ids(&answer(&server, "k=100")));
        assert_eq!(page.run("document.querySelector('#more').hidden"), true);
        assert!(text(&page, "#said").starts_with("80 of 80 products: "));

        // A taste has pages and groups, too; a varied list has neither.
        let liked = shown(&page)[0].clone();
        answered(&page, || page.click(&format!("[data-product='{liked}'] .like")));
        answered(&page, || page.click("#more"));
        assert_eq!(shown(&page).len(), 45);
        assert_eq!(latest(&page, "/v1/recommend", "offset").as_deref(), Some("15"));
        page.run("document.querySelector('#diversity').focus()");
        answered(&page, || page.key("End", 35));
        let off =
            page.run("[document.querySelector('#more').hidden, document.querySelector('#group').disabled]");
        assert_eq!(off, json!([true, true]));
        check_manners(&page, &server);
    }
}

#[test]
fn more_ends_at_the_thousandth_product() {
    let folder = catalogue(5, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    let page = opened(&server, DESK);
    let pages = page.run(
        "import(document.querySelector('link[href$=\"/arrange.js\"]').href).then(({ nextPage, LAST }) => {
           const pages = [];
           for (let asked = 15; asked < LAST; asked = pages.at(-1).offset + pages.at(-1).k) pages.push(nextPage(asked));
           return pages;
         })",
    );
    let pages: Vec<(u64, u64)> = pages
        .as_array()
        .unwrap()
        .iter()
        .map(|page| (page["offset"].as_u64().unwrap(), page["k"].as_u64().unwrap()))
        .collect();
    let mut asked = 15;
    for &(offset, k) in &pages {
        assert!(offset <= asked && offset <= 900 && k <= 100, "{pages:?}");
        asked = offset + k;
    }
    assert_eq!(asked, 1000);
}
