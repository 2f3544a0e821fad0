//! Stored products, read over HTTP.

use serde_json::{Value, json};

use crate::api::catalogue;
use crate::server::{Server, on_postgresql};

fn ids(products: &Value) -> Vec<String> {
    let products = products.as_array().unwrap();
    products
        .iter()
        .map(|p| p["id"].as_str().unwrap().to_owned())
        .collect()
}

/// The path of a product's first picture.
fn first_picture(server: &Server, product: &str) -> String {
    let product = format!("/v1/products/{product}");
    let picture = server.get(&product).json()["pictures"][0]["id"].clone();
    format!("{product}/pictures/{}", picture.as_str().unwrap())
}

#[test]
fn products_are_read_one_by_one_and_page_by_page() {
    let folder = catalogue(250, &[]);
    let server = Server::start(folder.path(), &[]).ready();

    let first = server.get("/v1/products/fashion-mnist-train-0");
    assert_eq!(first.status, 200);
    let first = first.json();
    assert_eq!(first["title"], "Ankle boot");
    assert_eq!(
        first["attributes"],
        json!({"category": "Ankle boot", "split": "train"})
    );
    assert_eq!(first["pictures"][0]["content_type"], "image/png");

    // Every product once, in the order in which they were stored.
    let mut all = Vec::new();
    let mut path = "/v1/products?limit=100".to_owned();
    let mut pages = 0;
    loop {
        let page = server.get(&path).json();
        all.extend(ids(&page["products"]));
        pages += 1;
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/products?limit=100&after={next}"),
            None => break,
        }
    }
    let expected: Vec<String> = (0..250).map(|n| format!("fashion-mnist-train-{n}")).collect();
    assert_eq!((pages, &all), (3, &expected));

    let bags = server
        .get("/v1/products?filter=%7B%22category%22%3A%22Bag%22%7D&limit=5")
        .json();
    assert_eq!(ids(&bags["products"]).len(), 5);
    assert!(
        bags["products"]
            .as_array()
            .unwrap()
            .iter()
            .all(|bag| bag["title"] == "Bag")
    );

    for (path, status, field) in [
        ("/v1/products/nobody", 404, None),
        ("/v1/products?limit=0", 400, Some("limit")),
        ("/v1/products?limit=101", 400, Some("limit")),
        ("/v1/products?after=abc", 400, Some("after")),
        ("/v1/products?order=title", 400, Some("order")),
        ("/v1/products/fashion-mnist-train-0?k=3", 400, Some("k")),
        ("/v1/products/fashion-mnist-train-0/pictures/999", 404, None),
        ("/v1/products/nobody/pictures/1", 404, None),
        ("/v1/products/nobody/similar", 404, None),
    ] {
        let refusal = server.get(path);
        assert_eq!(refusal.problem().0, status, "{path}");
        let named = refusal.json()["errors"][0]["field"].as_str().map(str::to_owned);
        assert_eq!(named.as_deref(), field, "{path}");
    }
}

#[test]
fn a_picture_comes_back_as_it_was_stored_and_only_when_it_is_not_known() {
    let folder = catalogue(20, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    let path = first_picture(&server, "fashion-mnist-train-3");
    let picture = server.get(&path);
    assert_eq!(
        (picture.status, picture.header("content-type")),
        (200, Some("image/png"))
    );
    assert!(picture.body.starts_with(b"\x89PNG"));
    let product = server.get("/v1/products/fashion-mnist-train-3").json();
    assert_eq!(product["pictures"][0]["bytes"], picture.body.len());
    let tag = picture.header("etag").unwrap().to_owned();
    let again = server.ask("GET", &path, &[("if-none-match", &tag)], b"");
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert_eq!(again.header("etag"), Some(tag.as_str()));
}

#[test]
fn what_is_similar_to_a_product_is_what_its_picture_finds_without_itself() {
    let folder = catalogue(2500, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    let picture = server.get(&first_picture(&server, "fashion-mnist-train-7")).body;
    let found = server
        .post("/v1/search?k=11&exact=true", "image/png", &picture)
        .json();
    let similar = server
        .get("/v1/products/fashion-mnist-train-7/similar?k=10&exact=true")
        .json();
    let found = found["matches"].as_array().unwrap();
    assert_eq!(found[0]["product_id"], "fashion-mnist-train-7");
    assert_eq!(similar["matches"].as_array().unwrap(), &found[1..]);
    assert!(similar.get("emulation").is_none());
    let graph = server.get("/v1/products/fashion-mnist-train-7/similar").json();
    assert_eq!(graph["matches"].as_array().unwrap().len(), 10);
}

#[test]
fn what_is_recommended_is_like_the_liked_unlike_the_disliked_and_as_varied_as_asked() {
    let folder = catalogue(2500, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    let ask = |body: Value| server.post("/v1/recommend", "application/json", body.to_string().as_bytes());
    let recommend = |body: Value| {
        let answer = ask(body);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["matches"].as_array().unwrap().clone()
    };
    let names = |matches: &[Value]| -> Vec<String> {
        let names = matches.iter().map(|found| found["product_id"].as_str().unwrap());
        names.map(str::to_owned).collect()
    };
    let one = "fashion-mnist-train-7";
    let similar = server.get(&format!("/v1/products/{one}/similar?k=10&exact=true"));
    let similar = similar.json()["matches"].as_array().unwrap().clone();
    let alone = recommend(json!({"positive": [one], "exact": true}));
    assert_eq!(
        names(&alone),
        names(&similar),
        "one product alone is what is similar to it"
    );

    // The second best is disliked: it is excluded, and similar products rank lower.
    let disliked = names(&alone)[1].clone();
    let away = recommend(json!({"positive": [one], "negative": [disliked], "k": 20}));
    assert_eq!(away.len(), 20);
    assert!(!names(&away).contains(&disliked) && !names(&away).contains(&one.to_owned()));
    assert_ne!(names(&away)[..9], names(&alone)[..9]);

    // With diversity: the matches are less alike, and the nearest is still first.
    let varied = recommend(json!({"positive": [one], "diversity": 0.7, "exact": true}));
    assert_eq!((varied.len(), &varied[0]), (10, &alone[0]));
    assert_ne!(names(&varied), names(&alone));
    let total = |matches: &[Value]| -> f64 { matches.iter().map(|m| m["score"].as_f64().unwrap()).sum() };
    assert!(total(&varied) < total(&alone));
    let bags =
        recommend(json!({"positive": [one, "fashion-mnist-train-8"], "filter": {"category": "Bag"}, "k": 3}));
    assert!(bags.len() == 3 && bags.iter().all(|bag| bag["product"]["title"] == "Bag"));

    for (body, status, field) in [
        (json!({}), 400, Some("positive")),
        (json!({"positive": []}), 400, Some("positive")),
        (json!({"positive": "x"}), 400, Some("positive")),
        (
            json!({"positive": [one], "diversity": 1.5}),
            400,
            Some("diversity"),
        ),
        (json!({"positive": [one], "image": "x"}), 400, Some("image")),
        (json!({"positive": ["nobody"]}), 404, None),
    ] {
        let refusal = ask(body.clone());
        assert_eq!(refusal.problem().0, status, "{body}");
        assert_eq!(refusal.json()["errors"][0]["field"].as_str(), field, "{body}");
    }
    assert_eq!(server.post("/v1/recommend", "image/png", b"x").problem().0, 415);
}

#[test]
fn the_state_of_the_catalogue_is_told_and_recall_is_measured() {
    let folder = catalogue(2200, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    let stats = server.get("/v1/stats").json();
    assert_eq!(
        (&stats["products"], &stats["pictures"]),
        (&json!(2200), &json!(2200))
    );
    assert_eq!(stats["index"]["search"], "graph");
    let stats = server.measured_stats().json();
    assert_eq!(stats["recall"]["queries"], 300);
    assert!(stats["recall"]["recall"].as_f64().unwrap() >= 0.98, "{stats}");
    let margin = stats["recall"]["margin"].as_f64().unwrap();
    assert!((1.0 / 300.0..0.02).contains(&margin), "{stats}");
    assert_eq!(
        server
            .ask("DELETE", "/v1/products/fashion-mnist-train-5", &[], b"")
            .status,
        204
    );
    let stats = server.get("/v1/stats").json();
    // PostgreSQL's index forgets what is removed by itself.
    let removed = u32::from(!on_postgresql());
    assert_eq!(
        (&stats["products"], &stats["index"]["removed"]),
        (&json!(2199), &json!(removed))
    );
    let empty = tempfile::tempdir().unwrap();
    let server = Server::start(empty.path(), &[]).ready();
    let stats = server.get("/v1/stats").json();
    assert_eq!(
        (&stats["products"], &stats["recall"]["recall"]),
        (&json!(0), &Value::Null)
    );
}
