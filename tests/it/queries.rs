//! What a search may say: a region of its picture, its embedding, fields of products, pictures to recommend by.

use std::io::Cursor;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::imageops::{FilterType, crop_imm, invert, overlay, resize};
use image::{DynamicImage, GrayImage, ImageFormat, Luma, RgbImage};
use serde_json::{Value, json};

use crate::api::{catalogue, test_png};
use crate::server::{Answer, Server};
use crate::support::pictures;

/// A photo of a boot on the left and a bag on the right, 800 x 600 pixels.
fn photo() -> RgbImage {
    let all = pictures("t10k", 19);
    let mut sheet = GrayImage::from_pixel(800, 600, Luma([255]));
    for (index, left) in [(0, 40), (18, 440)] {
        let mut garment = GrayImage::from_raw(28, 28, all[index].pixels().iter().copied().collect()).unwrap();
        invert(&mut garment);
        let garment = resize(&garment, 320, 320, FilterType::CatmullRom);
        overlay(&mut sheet, &garment, left, 140);
    }
    DynamicImage::from(sheet).into_rgb8()
}

fn file(image: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    image.write_to(&mut file, format).unwrap();
    file.into_inner()
}

fn cut(image: &RgbImage, [left, top, right, bottom]: [u32; 4]) -> Vec<u8> {
    let part = crop_imm(image, left, top, right - left, bottom - top).to_image();
    file(&part, ImageFormat::Png)
}

/// A JPEG that says that it is to be turned by a quarter to the right.
fn turned(image: &RgbImage) -> Vec<u8> {
    let jpeg = file(image, ImageFormat::Jpeg);
    let exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let length = u16::try_from(exif.len() + 2).unwrap().to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, exif, &jpeg[2..]].concat()
}

/// An answer without its times.
fn told(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    let mut told = answer.json();
    assert!(told.as_object_mut().unwrap().remove("timing").is_some());
    told
}

fn post(server: &Server, path: &str, body: &Value) -> Answer {
    server.post(path, "application/json", body.to_string().as_bytes())
}

fn ids(answer: &Value) -> Vec<&str> {
    let matches = answer["matches"].as_array().unwrap();
    matches
        .iter()
        .map(|found| found["product_id"].as_str().unwrap())
        .collect()
}

#[test]
fn a_region_gives_the_answer_of_the_cropped_picture() {
    let folder = catalogue(2000, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    let photo = photo();
    let png = file(&photo, ImageFormat::Png);
    let path = "/v1/search?k=5&embedding=true&trace=true";
    let mut found = Vec::new();
    for (region, pixels) in [
        ([0.0, 0.0, 0.5, 1.0], [0, 0, 400, 600]),
        ([0.5, 0.0, 1.0, 1.0], [400, 0, 800, 600]),
        ([0.536, 0.219, 0.957, 0.781], [429, 131, 766, 469]),
        ([0.0, 0.0, 1.0, 1.0], [0, 0, 800, 600]),
    ] {
        let expected = told(&server.post(path, "image/png", &cut(&photo, pixels)));
        let asked = server.post(&format!("{path}&region={}", json!(region)), "image/png", &png);
        assert_eq!(told(&asked), expected, "{region:?}");
        let body = json!({"image": STANDARD.encode(&png), "region": region});
        assert_eq!(told(&post(&server, path, &body)), expected, "{region:?}");
        let embedded = server.post(
            &format!("/v1/embeddings?region={}", json!(region)),
            "image/png",
            &png,
        );
        assert_eq!(embedded.json()["embedding"], expected["embedding"], "{region:?}");
        found.push(expected);
    }
    let label = |place: usize| found[place]["prediction"]["label"].as_str().unwrap();
    assert_eq!([label(0), label(1), label(2)], ["Ankle boot", "Bag", "Bag"]);
    assert_ne!(found[0]["embedding"], found[1]["embedding"]);

    // Fractions of the upright picture: what lies in its upper half.
    let jpeg = turned(&photo);
    let upright = image::load_from_memory(&jpeg).unwrap().rotate90().into_rgb8();
    let expected = told(&server.post(path, "image/png", &cut(&upright, [0, 0, 600, 400])));
    let asked = server.post(&format!("{path}&region=[0,0,1,0.5]"), "image/jpeg", &jpeg);
    assert_eq!(told(&asked), expected);

    // Less than a pixel is one.
    let asked = server.post(
        "/v1/embeddings?region=[0.25,0.5,0.2501,0.5001]",
        "image/png",
        &png,
    );
    let one = server.post("/v1/embeddings", "image/png", &cut(&photo, [200, 300, 201, 301]));
    assert_eq!(told(&asked), told(&one));
    let narrow = server.post("/v1/search?region=[0.25,0,0.2501,1]", "image/png", &png);
    assert_eq!(narrow.problem(), (422, "undecodable_image".to_owned()));
    for path in ["/v1/search?region=[0,0,0,1]", "/v1/search?region=left"] {
        let refused = server.post(path, "image/png", &png);
        assert_eq!(refused.json()["errors"][0]["field"], "region", "{path}");
    }
    let similar = server.get("/v1/products/fashion-mnist-train-1/similar?region=[0,0,1,1]");
    assert_eq!(similar.problem().0, 400);
    assert_eq!(similar.json()["errors"][0]["field"], "region");
}

#[test]
fn an_embedding_that_was_asked_for_finds_the_same_when_it_is_sent_back() {
    let folder = catalogue(1500, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    let png = test_png(3);
    let filter = json!({"split": "train"}).to_string();
    for path in [
        "/v1/search?k=20",
        "/v1/search?k=20&exact=true",
        "/v1/search?time_steps=16",
    ] {
        assert!(
            server
                .post(path, "image/png", &png)
                .json()
                .get("embedding")
                .is_none()
        );
        let answer = told(&server.post(&format!("{path}&embedding=true"), "image/png", &png));
        let body = json!({"embedding": answer["embedding"], "filter": filter.parse::<Value>().unwrap()});
        let path = path.replace("time_steps=16", "k=10");
        let again = told(&post(&server, &format!("{path}&embedding=true"), &body));
        assert_eq!(again["matches"], answer["matches"], "{path}");
        assert_eq!(again["embedding"], answer["embedding"]);
    }
}

#[test]
fn products_come_with_the_fields_that_were_asked_for() {
    let folder = catalogue(300, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    let png = test_png(0);
    let whole = told(&server.post("/v1/search?k=3", "image/png", &png));
    let products = |answer: &Value| -> Vec<Value> {
        let matches = answer["matches"].as_array().unwrap();
        matches.iter().map(|found| found["product"].clone()).collect()
    };
    for (fields, members) in [
        (json!([]), vec!["id"]),
        (json!(["title", "created_at"]), vec!["created_at", "id", "title"]),
        (
            json!(["attributes", "pictures", "updated_at"]),
            vec!["attributes", "id", "pictures", "updated_at"],
        ),
    ] {
        let body = json!({"image": STANDARD.encode(&png), "k": 3, "fields": fields});
        let answer = told(&post(&server, "/v1/search", &body));
        assert_eq!(ids(&answer), ids(&whole));
        for (part, whole) in products(&answer).iter().zip(products(&whole)) {
            let part = part.as_object().unwrap();
            let mut names: Vec<&String> = part.keys().collect();
            names.sort();
            assert_eq!(names, members.iter().collect::<Vec<_>>());
            assert!(part.iter().all(|(name, value)| *value == whole[name]), "{part:?}");
        }
    }
    let similar =
        server.get("/v1/products/fashion-mnist-train-0/similar?k=1&fields=%5B%22attributes.category%22%5D");
    let product = &products(&told(&similar))[0];
    assert_eq!(product["attributes"].as_object().unwrap().len(), 1);
    assert_eq!(product.as_object().unwrap().len(), 2);
    let body = json!({"positive": ["fashion-mnist-train-0"], "k": 1, "fields": []});
    let product = &products(&told(&post(&server, "/v1/recommend", &body)))[0];
    assert_eq!(product.as_object().unwrap().len(), 1);
    let refused = server.get("/v1/products/fashion-mnist-train-0/similar?fields=title");
    assert_eq!(refused.json()["errors"][0]["field"], "fields");
}

#[test]
fn pictures_and_embeddings_are_recommended_by_as_products_are() {
    let folder = catalogue(2500, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    let png = test_png(0);
    let image = STANDARD.encode(&png);
    let recommend = |body: Value| told(&post(&server, "/v1/recommend", &body));
    for exact in [true, false] {
        let searched = told(&server.post(
            &format!("/v1/search?exact={exact}&embedding=true"),
            "image/png",
            &png,
        ));
        let by_picture =
            recommend(json!({"positive": [{"image": image}], "exact": exact, "embedding": true}));
        assert_eq!(by_picture["matches"], searched["matches"]);
        assert_eq!(by_picture["embedding"], searched["embedding"]);
        let embedding = &searched["embedding"];
        let by_embedding = recommend(json!({"positive": [{"embedding": embedding}], "exact": exact}));
        assert_eq!(by_embedding["matches"], searched["matches"]);
        // Of each list, a picture counts as its embedding does.
        let lists = |example: Value| json!({"positive": ["fashion-mnist-train-7", example], "negative": [example], "exact": exact});
        let mixed = recommend(lists(json!({"image": image})));
        assert_eq!(mixed, recommend(lists(json!({"embedding": embedding}))));
        assert_ne!(mixed["matches"], searched["matches"]);
        assert!(!ids(&mixed).contains(&"fashion-mnist-train-7"));
    }
    let photo = file(&photo(), ImageFormat::Png);
    let bag = told(&server.post("/v1/search?region=[0.5,0,1,1]", "image/png", &photo));
    let photo = STANDARD.encode(&photo);
    let own = json!({"positive": [{"image": photo, "region": [0.5, 0, 1, 1]}], "region": [0, 0, 0.5, 1]});
    assert_eq!(recommend(own)["matches"], bag["matches"]);
    let common = json!({"positive": [{"image": photo}], "region": [0.5, 0, 1, 1]});
    assert_eq!(recommend(common)["matches"], bag["matches"]);

    let emulated = || {
        let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
        let line = metrics
            .lines()
            .find(|line| line.starts_with("spikelens_pictures_emulated_total"))
            .unwrap()
            .to_owned();
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    let before = emulated();
    recommend(
        json!({"positive": vec![json!({"image": image}); 60], "negative": vec![json!({"image": photo}); 40]}),
    );
    assert_eq!(emulated() - before, 100.0);

    for (example, status, code) in [
        (
            json!({"image": STANDARD.encode("no picture")}),
            422,
            "undecodable_image",
        ),
        (json!({"embedding": vec![0; 128]}), 422, "empty_embedding"),
        (json!({"embedding": [1, 2, 3]}), 400, "invalid_request"),
        (json!({"image": image, "colour": "red"}), 400, "invalid_request"),
        (json!("nobody"), 404, "not_found"),
    ] {
        let body = json!({"positive": ["fashion-mnist-train-7"], "negative": [example]});
        let refused = post(&server, "/v1/recommend", &body);
        assert_eq!(refused.problem(), (status, code.to_owned()), "{example}");
    }
}

#[test]
fn pictures_to_recommend_by_are_admitted_as_the_work_that_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &["--chips", "1"]).ready();
    let png = test_png(0);
    let plain = || server.post("/v1/search", "image/png", &png).status;
    // Rates are learned from what is measured here.
    (0..20).for_each(|_| assert_eq!(plain(), 200));
    let body = json!({"positive": vec![json!({"image": STANDARD.encode(&png)}); 100]});
    let done = AtomicBool::new(false);
    let (many, short) = std::thread::scope(|scope| {
        let ask = || {
            let mut statuses = Vec::new();
            while !done.load(Relaxed) {
                statuses.push(post(&server, "/v1/recommend", &body).status);
            }
            statuses
        };
        let clients: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        let short: Vec<u16> = (0..50).map(|_| plain()).collect();
        done.store(true, Relaxed);
        let many = clients.into_iter().flat_map(|client| client.join().unwrap());
        (many.collect::<Vec<_>>(), short)
    });
    assert_eq!(short, [200; 50]);
    assert!(many.contains(&200) && many.contains(&503), "{many:?}");
}

#[test]
fn pages_groups_boosts_and_facets_work_for_every_search_and_in_every_form() {
    let folder = catalogue(600, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    let id = "fashion-mnist-train-0";
    let embedding = {
        let sent = server.post("/v1/embeddings", "image/png", &test_png(0));
        told(&sent)["embedding"].clone()
    };
    let search = |options: &Value| {
        let mut body = options.clone();
        body["embedding"] = embedding.clone();
        told(&post(&server, "/v1/search", &body))
    };
    let recommend = |options: &Value| {
        let mut body = options.clone();
        body["positive"] = json!([id]);
        told(&post(&server, "/v1/recommend", &body))
    };
    let text = |options: &Value| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in options.as_object().unwrap() {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            query.append_pair(name, &value);
        }
        query.finish()
    };
    let similar =
        |options: &Value| told(&server.get(&format!("/v1/products/{id}/similar?{}", text(options))));
    let by_query = |options: &Value| {
        let path = format!("/v1/search?{}", text(options));
        told(&server.post(&path, "image/png", &test_png(0)))
    };
    let searches: [&dyn Fn(&Value) -> Value; 4] = [&search, &recommend, &similar, &by_query];
    let bags = json!({"category": "Bag"});
    let counted = json!({"limit": 100, "filter": bags});
    let listed = server.get(&format!("/v1/products?{}", text(&counted))).json();
    let of_bags = listed["products"].as_array().unwrap().len();
    assert!(of_bags > 30);
    for answer in searches {
        let whole = answer(&json!({"k": 60}));
        assert!(whole.get("total").is_none() && whole["matches"][0].get("group").is_none());
        let mut pages: Vec<Value> = Vec::new();
        for offset in [0, 20, 40] {
            let page = answer(&json!({"k": 20, "offset": offset}));
            pages.extend(page["matches"].as_array().unwrap().iter().cloned());
        }
        assert_eq!(whole["matches"].as_array(), Some(&pages));

        let grouped = answer(&json!({"k": 10, "group_by": "category", "group_size": 2, "fields": []}));
        let groups: Vec<&str> = grouped["matches"]
            .as_array()
            .unwrap()
            .iter()
            .map(|found| found["group"].as_str().unwrap())
            .collect();
        assert_eq!(groups.len(), 20, "{groups:?}");
        assert!(groups.chunks(2).all(|group| group[0] == group[1]));

        let boosted = answer(&json!({"k": 3, "boost": [{"filter": bags, "weight": 1}]}));
        for found in boosted["matches"].as_array().unwrap() {
            assert_eq!(found["product"]["attributes"]["category"], "Bag");
            let added = found["rank_score"].as_f64().unwrap() - found["score"].as_f64().unwrap();
            assert!((added - 1.0).abs() < 1e-9);
        }

        let facets = answer(&json!({"k": 1, "filter": bags, "facets": ["category", "size"]}));
        assert_eq!(facets["total"], of_bags);
        let expected = json!({"category": [{"value": "Bag", "count": of_bags}], "size": []});
        assert_eq!(facets["facets"], expected);
        let total = answer(&json!({"k": 1, "facets": []}));
        assert_eq!((&total["total"], &total["facets"]), (&json!(600), &json!({})));
    }
    for (options, field) in [
        (json!({"offset": 901}), "offset"),
        (json!({"group_size": 2}), "group_size"),
        (json!({"group_by": "category", "group_size": 11}), "group_size"),
        (json!({"group_by": ""}), "group_by"),
        (json!({"boost": [{"weight": 1}]}), "boost.0"),
        (
            json!({"boost": [{"attribute": "a", "filter": {}, "weight": 1}]}),
            "boost.0",
        ),
        (
            json!({"boost": [{"attribute": "a", "weight": 1.5}]}),
            "boost.0.weight",
        ),
        (
            json!({"boost": [{"filter": {"a": {"near": 1}}, "weight": 1}]}),
            "boost.0.filter.a.near",
        ),
        (json!({"facets": "category"}), "facets"),
        (json!({"facets": [7]}), "facets.0"),
        (json!({"diversity": 0.5, "offset": 10}), "offset"),
        (json!({"diversity": 0.5, "group_by": "category"}), "group_by"),
    ] {
        let mut body = options.clone();
        body["positive"] = json!([id]);
        let refused = post(&server, "/v1/recommend", &body);
        assert_eq!(
            (refused.status, &refused.json()["errors"][0]["field"]),
            (400, &json!(field)),
            "{options}"
        );
    }
}
