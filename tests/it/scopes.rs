//! Several shops behind one server: a key with a filter sees and changes the products that pass, by whatever route.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use spikelens::http::routes;

use crate::api::test_png;
use crate::server::{Answer, Server};

const ADMIN: &str = "Bearer admin-0123456789";
const A: &str = "Bearer shop-a-0123456789";
const A_ADMIN: &str = "Bearer admin-a-0123456789";
const KEYS: &str = "admin admin-0123456789 operator\n\
    write shop-a-0123456789 shop a {\"shop\": \"a\"}\n\
    admin admin-a-0123456789 shop a's feed {\"shop\": \"a\"}\n";

/// What no answer to shop a may say: it is in the ids, titles and attributes of shop b alone.
const SECRET: &str = "of-another-shop";

struct Shops {
    server: Server,
    _folder: tempfile::TempDir,
}

impl Shops {
    /// Two shops with three products each; of both the first has the same picture.
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        std::fs::write(&file, KEYS).unwrap();
        let data = folder.path().join("data");
        let server = Server::start(&data, &["--api-keys", file.to_str().unwrap()]).ready();
        let shops = Self {
            server,
            _folder: folder,
        };
        for place in 0..3 {
            for (shop, name) in [("a", "own"), ("b", SECRET)] {
                let attributes = json!({"shop": shop, "brand": name, "price": place});
                let path = format!(
                    "/v1/products/{name}-{place}?title={name}&attributes={}",
                    encoded(&attributes)
                );
                let put = shops.ask(ADMIN, "PUT", &path, Some("image/png"), &test_png(place));
                assert_eq!(put.status, 201, "{put:?}");
            }
        }
        shops
    }

    fn ask(&self, key: &str, method: &str, path: &str, content_type: Option<&str>, body: &[u8]) -> Answer {
        let mut headers = vec![("authorization", key)];
        headers.extend(content_type.map(|content_type| ("content-type", content_type)));
        self.server.ask(method, path, &headers, body)
    }

    /// Asks as shop a.
    fn a(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.ask(
            A,
            method,
            path,
            Some("application/json"),
            body.to_string().as_bytes(),
        )
    }

    /// Imports lines by a key, and waits for the end.
    fn import(&self, key: &str, path: &str, lines: &[Value]) -> Value {
        let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
        let begun = self.ask(
            key,
            "POST",
            path,
            Some("application/x-ndjson"),
            lines.join("\n").as_bytes(),
        );
        assert_eq!(begun.status, 202, "{begun:?}");
        let id = begun.json()["id"].as_str().unwrap().to_owned();
        let ended = self.ask(key, "GET", &format!("/v1/imports/{id}?wait=30"), None, b"");
        assert_eq!(ended.json()["state"], "done", "{ended:?}");
        ended.json()
    }

    /// The ids of all products.
    fn ids(&self) -> Vec<String> {
        let listed = self.ask(ADMIN, "GET", "/v1/products?limit=100", None, b"").json();
        let products = listed["products"].as_array().unwrap().iter();
        products
            .map(|product| product["id"].as_str().unwrap().to_owned())
            .collect()
    }
}

fn encoded(value: &Value) -> String {
    form_urlencoded::byte_serialize(value.to_string().as_bytes()).collect()
}

#[test]
fn no_route_tells_a_shop_of_another_one() {
    let shops = Shops::open();
    let before = shops.ids();
    let picture = shops.ask(ADMIN, "GET", &format!("/v1/products/{SECRET}-0"), None, b"");
    let picture = picture.json()["pictures"][0]["id"].as_str().unwrap().to_owned();
    let other = format!("/v1/products/{SECRET}-0");
    let png = test_png(0);
    let embedded = shops.ask(A, "POST", "/v1/embeddings", Some("image/png"), &png);
    let embedding = embedded.json()["embedding"].clone();
    let everything = json!({"embedding": embedding, "k": 100, "facets": ["shop", "brand", "price"], "group_by": "brand",
        "group_size": 10, "boost": [{"filter": {"shop": "b"}, "weight": 1}]});
    let theirs = encoded(&json!({"$any": [{"shop": "b"}, {"$id": format!("{SECRET}-0")}]}));
    let foreign_import = {
        let line = json!({"id": format!("{SECRET}-0"), "attributes": {"price": 9}});
        let begun = shops.ask(
            ADMIN,
            "POST",
            "/v1/imports",
            Some("application/x-ndjson"),
            line.to_string().as_bytes(),
        );
        begun.json()["id"].as_str().unwrap().to_owned()
    };

    let mut tried: BTreeSet<(String, &str)> = BTreeSet::new();
    let mut expect = |method: &str, route: &'static str, answer: Answer, status: u16| {
        assert_eq!(answer.status, status, "{method} {route}: {answer:?}");
        let said =
            String::from_utf8_lossy(&answer.body).replace(&format!("{SECRET}-0"), "(what was asked for)");
        assert!(!said.contains(SECRET), "{method} {route}: {said}");
        tried.insert((method.to_owned(), route));
        answer
    };
    let with_picture = |method: &str, path: &str| shops.ask(A, method, path, Some("image/png"), &png);
    let none = json!({});

    // Searches.
    let search = expect(
        "POST",
        "/v1/search",
        shops.a("POST", "/v1/search", &everything),
        200,
    )
    .json();
    assert_eq!(
        (&search["total"], search["matches"].as_array().unwrap().len()),
        (&json!(3), 3)
    );
    assert_eq!(search["facets"]["brand"], json!([{"value": "own", "count": 3}]));
    expect(
        "POST",
        "/v1/search",
        with_picture("POST", &format!("/v1/search?filter={theirs}")),
        200,
    );
    expect(
        "POST",
        "/v1/embeddings",
        with_picture("POST", "/v1/embeddings"),
        200,
    );
    let similar = "/v1/products/{id}/similar";
    expect(
        "GET",
        similar,
        shops.a("GET", &format!("{other}/similar"), &none),
        404,
    );
    let of_own = shops.a("GET", "/v1/products/own-0/similar?k=100&facets=[]", &none);
    assert_eq!(expect("GET", similar, of_own, 200).json()["total"], 3);
    let positive = json!({"positive": [format!("{SECRET}-0")]});
    expect(
        "POST",
        "/v1/recommend",
        shops.a("POST", "/v1/recommend", &positive),
        404,
    );
    let negative = json!({"positive": ["own-0"], "negative": [format!("{SECRET}-0")]});
    expect(
        "POST",
        "/v1/recommend",
        shops.a("POST", "/v1/recommend", &negative),
        404,
    );
    let varied = json!({"positive": ["own-0"], "k": 100, "diversity": 0.5});
    expect(
        "POST",
        "/v1/recommend",
        shops.a("POST", "/v1/recommend", &varied),
        200,
    );

    // Reads.
    let listed = expect(
        "GET",
        "/v1/products",
        shops.a("GET", "/v1/products?limit=100", &none),
        200,
    )
    .json();
    assert_eq!(listed["products"].as_array().unwrap().len(), 3);
    let filtered = shops.a("GET", &format!("/v1/products?filter={theirs}"), &none);
    assert_eq!(
        expect("GET", "/v1/products", filtered, 200).json()["products"],
        json!([])
    );
    expect("GET", "/v1/products/{id}", shops.a("GET", &other, &none), 404);
    let of_picture = "/v1/products/{id}/pictures/{picture_id}";
    expect(
        "GET",
        of_picture,
        shops.a("GET", &format!("{other}/pictures/{picture}"), &none),
        404,
    );
    let exported = shops.a("GET", "/v1/export?pictures=true&embeddings=true", &none);
    assert_eq!(
        expect("GET", "/v1/export", exported, 200)
            .body
            .split(|byte| *byte == b'\n')
            .count(),
        4
    );
    let exported = shops.a("GET", &format!("/v1/export?filter={theirs}"), &none);
    assert!(expect("GET", "/v1/export", exported, 200).body.is_empty());
    let stats = expect("GET", "/v1/stats", shops.a("GET", "/v1/stats", &none), 200).json();
    assert_eq!(
        (&stats["products"], &stats["pictures"], &stats["imports"]),
        (&json!(3), &json!(3), &json!([]))
    );
    assert!(
        stats.get("index").is_none() && stats.get("store").is_none(),
        "{stats}"
    );
    expect("GET", "/metrics", shops.a("GET", "/metrics", &none), 403);
    expect("GET", "/v1/model", shops.a("GET", "/v1/model", &none), 200);
    expect("GET", "/v1/chip", shops.a("GET", "/v1/chip", &none), 200);
    let import = format!("/v1/imports/{foreign_import}");
    expect("GET", "/v1/imports/{id}", shops.a("GET", &import, &none), 404);

    // Writes: of products that are not there for it, and to what would not pass.
    let as_own = format!("{other}?attributes={}", encoded(&json!({"shop": "a"})));
    expect("PUT", "/v1/products/{id}", with_picture("PUT", &as_own), 404);
    expect(
        "PUT",
        "/v1/products/{id}",
        with_picture("PUT", "/v1/products/new"),
        403,
    );
    let patch = |path: &str, shop: &str| shops.a("PATCH", path, &json!({"attributes": {"shop": shop}}));
    expect("PATCH", "/v1/products/{id}", patch(&other, "a"), 404);
    expect(
        "PATCH",
        "/v1/products/{id}",
        patch("/v1/products/own-1", "b"),
        403,
    );
    expect(
        "DELETE",
        "/v1/products/{id}",
        shops.a("DELETE", &other, &none),
        404,
    );
    let pictures = "/v1/products/{id}/pictures";
    expect(
        "POST",
        pictures,
        with_picture("POST", &format!("{other}/pictures")),
        404,
    );
    expect(
        "DELETE",
        of_picture,
        shops.a("DELETE", &format!("{other}/pictures/{picture}"), &none),
        404,
    );
    let removed = shops.a("DELETE", &format!("/v1/products?filter={theirs}"), &none);
    assert_eq!(
        expect("DELETE", "/v1/products", removed, 200).json(),
        json!({"deleted": 0})
    );
    let counted = shops.a("DELETE", "/v1/products?filter={}&dry_run=true", &none);
    assert_eq!(
        expect("DELETE", "/v1/products", counted, 200).json(),
        json!({"deleted": 3})
    );
    let missing = shops.a(
        "POST",
        "/v1/imports?missing=delete",
        &json!({"id": "own-0", "delete": true}),
    );
    expect("POST", "/v1/imports", missing, 403);

    // What is of the catalogue as a whole takes an admin key without a filter.
    let whole = |key: &str, method: &str, path: &str| {
        let body = json!({"next": "drop"}).to_string();
        shops.ask(key, method, path, Some("application/json"), body.as_bytes())
    };
    for key in [A, A_ADMIN] {
        expect("POST", "/v1/model", whole(key, "POST", "/v1/model"), 403);
        expect("GET", "/v1/backup", whole(key, "GET", "/v1/backup"), 403);
    }
    assert_eq!(whole(ADMIN, "POST", "/v1/model").status, 409);

    // Nobody needs a key for these, and they tell nothing of any product.
    for route in [
        "/",
        "/catalogue",
        "/status",
        "/healthz",
        "/readyz",
        "/openapi.yaml",
    ] {
        expect("GET", route, shops.a("GET", route, &none), 200);
    }
    expect(
        "GET",
        "/assets/{version}/{file}",
        shops.a("GET", "/assets/1/none", &none),
        404,
    );

    let served: BTreeSet<(String, &str)> = routes::served()
        .map(|(method, path)| (method.to_string(), path))
        .collect();
    let left: Vec<_> = served.difference(&tried).collect();
    assert!(left.is_empty(), "nothing tries {left:?}");
    let ended = shops.ask(ADMIN, "GET", &format!("{import}?wait=30"), None, b"");
    assert_eq!((ended.status, &ended.json()["merged"]), (200, &json!(1)));
    assert_eq!(shops.ids(), before);
}

#[test]
fn a_shop_changes_its_own_products_and_its_feed_leaves_others_alone() {
    let shops = Shops::open();
    let own = encoded(&json!({"shop": "a", "brand": "own"}));
    let put = |path: &str| shops.ask(A, "PUT", path, Some("image/png"), &test_png(5));
    assert_eq!(put(&format!("/v1/products/fresh?attributes={own}")).status, 201);
    assert_eq!(put(&format!("/v1/products/own-0?attributes={own}")).status, 200);
    let price = json!({"attributes": {"price": 7}});
    assert_eq!(shops.a("PATCH", "/v1/products/fresh", &price).status, 200);
    let added = shops.ask(
        A,
        "POST",
        "/v1/products/fresh/pictures",
        Some("image/png"),
        &test_png(6),
    );
    assert_eq!(added.status, 201);

    use base64::Engine;
    let image = base64::engine::general_purpose::STANDARD.encode(test_png(7));
    let other = format!("{SECRET}-1");
    let report = shops.import(
        A,
        "/v1/imports",
        &[
            json!({"id": "line", "attributes": {"shop": "a"}, "image": image}),
            json!({"id": "stray", "attributes": {"shop": "b"}, "image": image}),
            json!({"id": other, "attributes": {"shop": "a"}, "image": image}),
            json!({"id": "line", "attributes": {"price": 1}}),
            json!({"id": "line", "attributes": {"shop": "b"}}),
            json!({"id": other, "attributes": {"price": 1}}),
            json!({"id": other, "delete": true}),
            json!({"id": "own-2", "delete": true}),
        ],
    );
    let counts =
        ["received", "stored", "merged", "deleted", "failed"].map(|name| report[name].as_u64().unwrap());
    assert_eq!(counts, [8, 1, 1, 1, 4], "{report}");
    let errors: Vec<(u64, &str)> = report["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (error["line"].as_u64().unwrap(), error["detail"].as_str().unwrap()))
        .collect();
    assert_eq!(
        errors.iter().map(|error| error.0).collect::<Vec<_>>(),
        [2, 3, 5, 6]
    );
    assert!(
        errors[0].1.contains("would not pass the filter of the key"),
        "{errors:?}"
    );
    assert!(
        errors[1]
            .1
            .contains("is taken by a product that the key does not see"),
        "{errors:?}"
    );
    assert!(
        errors[2].1.contains("would not pass the filter of the key"),
        "{errors:?}"
    );
    assert!(errors[3].1.contains("there is no product"), "{errors:?}");

    // A feed that is the whole of shop a is nothing to shop b.
    let feed = [json!({"id": "own-1", "attributes": {"price": 2}})];
    let report = shops.import(A_ADMIN, "/v1/imports?missing=delete", &feed);
    assert_eq!(
        (&report["merged"], &report["deleted"]),
        (&json!(1), &json!(3)),
        "{report}"
    );
    let mut left = shops.ids();
    left.sort();
    let theirs = (0..3).map(|place| format!("{SECRET}-{place}"));
    let expected: Vec<String> = theirs.chain(["own-1".to_owned()]).collect();
    assert_eq!(left, expected);
    let price = shops.ask(ADMIN, "GET", &format!("/v1/products/{SECRET}-1"), None, b"");
    assert_eq!(price.json()["attributes"]["price"], 1);
}
