//! The three ways to send a request, and what is refused in each, without a server.

mod bounds;
mod clients;
mod codings;
mod searches;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::body;
use super::endpoints::{
    AddPicture, Embed, FromBody, ListProducts, PatchProduct, PutProduct, Recommend, Search,
};
use super::fields::{Fields, FromFields};
use crate::catalogue::AttributeChanges;
use crate::catalogue::search::SearchOptions;
use crate::chips::RunChoice;
use crate::http::limits::{Bodies, Limits};
use crate::http::problem::{Code, Problem};
use crate::service::Query;
use engine::network::Probe;
use engine::picture::Mode;

fn limits() -> Limits {
    Limits {
        body: 1 << 20,
        bodies: 1 << 20,
        head: 0,
        time: Duration::ZERO,
        unread: Duration::ZERO,
        connections: 0,
        rate: None,
    }
}

fn bodies() -> Bodies {
    Bodies::new(&limits())
}

fn headers(content_type: &str) -> HeaderMap {
    let content_type = HeaderValue::from_str(content_type).unwrap();
    HeaderMap::from_iter([(header::CONTENT_TYPE, content_type)])
}

fn of_query<T: FromFields>(query: &str) -> Result<Fields, Problem> {
    let mut known = Vec::new();
    T::names(&mut known);
    Fields::of_query(known.into(), Some(query))
}

fn query<T: FromFields>(query: &str) -> Result<T, Problem> {
    T::from_fields(&mut of_query::<T>(query)?)
}

async fn send<T: FromBody>(query: &str, content_type: &str, body: impl Into<Bytes>) -> Result<T, Problem> {
    let mut fields = of_query::<T>(query)?;
    let body = Body::from(body.into());
    let sent = body::receive(T::ACCEPTS, &headers(content_type), body, &bodies()).await?;
    sent.add_to(&mut fields)?;
    T::from_fields(&mut fields)
}

async fn send_json<T: FromBody>(query: &str, body: Value) -> Result<T, Problem> {
    send(query, "application/json", body.to_string()).await
}

const FORM: &str = "multipart/form-data; boundary=X";

fn form(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut form = Vec::new();
    for (name, value) in fields {
        form.extend(format!("--X\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n").bytes());
        form.extend(*value);
        form.extend(b"\r\n");
    }
    form.extend(b"--X--\r\n");
    form
}

/// The field and the detail of a refusal.
fn refused<T>(result: Result<T, Problem>) -> (String, String) {
    let problem = result.err().expect("a refusal");
    assert_eq!(problem.code, Code::InvalidRequest);
    let error = problem.errors.into_iter().next();
    error.map_or_else(
        || (String::new(), problem.detail),
        |error| (error.field, error.detail),
    )
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is not an object"),
    }
}

#[tokio::test]
async fn a_picture_and_its_options_come_in_three_ways() {
    let base64 = STANDARD.encode(b"\0picture");
    let from_json = json!({"image": base64, "k": "3", "exact": true, "min_score": 0.5, "filter": {"a": 1}});
    let fields: [(&str, &[u8]); 5] = [
        ("k", b"3"),
        ("exact", b"True"),
        ("min_score", b"0.5"),
        ("filter", br#"{"a": 1}"#),
        ("image\"; filename=\"x.png", b"\0picture"),
    ];
    let sent: [Search; 3] = [
        send(
            "k=3&exact=true&min_score=.5&filter=%7B%22a%22%3A1%7D",
            "image/png",
            b"\0picture".to_vec(),
        )
        .await
        .unwrap(),
        send("", FORM, form(&fields)).await.unwrap(),
        send_json("", from_json).await.unwrap(),
    ];
    for search in sent {
        let (query, options) = search.into_query();
        assert!(
            matches!(query, Query::Picture(image, run) if *image == *b"\0picture" && run == RunChoice::default())
        );
        let filter = options.filter.expect("a filter");
        assert!(filter.holds("p", &map(json!({"a": 1}))) && !filter.holds("p", &Map::new()));
        assert_eq!(
            (options.k, options.exact, options.min_score),
            (3, true, Some(0.5))
        );
    }
}

#[tokio::test]
async fn the_body_goes_before_the_query_and_null_is_the_same_as_nothing() {
    let image = STANDARD.encode("x");
    let embed = |query, body| send_json::<Embed>(query, body);
    let body = json!({"image": image, "probe": "membrane", "time_steps": 4.0, "trace": null});
    let (_, run) = embed("probe=integrated&trace=TRUE&prepare=as_is", body)
        .await
        .unwrap()
        .into_run();
    assert_eq!(
        (run.probe, run.mode, run.trace),
        (Some(Probe::Membrane), Some(Mode::AsIs), Some(true))
    );
    assert_eq!(run.time_steps, Some("4".parse().unwrap()));
    let overridden = embed("probe=none", json!({"image": image, "probe": "membrane"})).await;
    assert_eq!(
        refused(overridden).0,
        "probe",
        "a parameter must be valid, also if it is not used"
    );
    let (field, detail) = refused(embed("", json!({"image": null})).await);
    assert!(field == "image" && detail.starts_with("is missing; send a picture"));
    assert_eq!(
        refused(embed("", json!({"image": image, "colour": null})).await).0,
        "colour"
    );
    let body = json!({"positive": ["a"], "negative": null, "diversity": null, "k": null});
    let (taste, options) = send_json::<Recommend>("k=7", body)
        .await
        .unwrap()
        .into_taste()
        .unwrap();
    assert_eq!((taste.negative.len(), taste.diversity, options.k), (0, 0.0, 7));
    assert_eq!(
        SearchOptions { k: 10, ..options },
        SearchOptions::default(),
        "what is not sent has its default"
    );
}

#[tokio::test]
async fn a_null_attribute_is_not_stored_and_removes_in_a_patch() {
    let attributes = json!({"price": 3, "brand": null});
    let put = json!({"image": STANDARD.encode("x"), "title": null, "attributes": attributes});
    let put: PutProduct = send_json("", put).await.unwrap();
    assert_eq!(put.title, None);
    let stored = put.attributes.unwrap();
    assert_eq!(*stored.as_map(), map(json!({"price": 3})));
    for content_type in ["application/json", "application/merge-patch+json"] {
        let body = json!({"attributes": attributes}).to_string();
        let patch: PatchProduct = send("", content_type, body).await.unwrap();
        let expected = AttributeChanges::new(map(attributes.clone())).unwrap();
        assert_eq!(patch.attributes, Some(expected));
    }
    let patch: PatchProduct = send_json("", json!({"attributes": null})).await.unwrap();
    assert_eq!(patch.attributes, None);
}

#[tokio::test]
async fn what_is_unknown_repeated_or_in_the_wrong_place_is_refused_by_name() {
    let (field, detail) = refused(query::<ListProducts>("limit=3&order=title"));
    assert_eq!(field, "order");
    assert_eq!(detail, "is unknown; the known fields are limit, after, filter");
    let (field, detail) = refused(Fields::of_query(Arc::default(), Some("k=1")));
    assert_eq!(
        (field.as_str(), detail.as_str()),
        ("k", "is unknown; this request has no options")
    );
    let (field, _) = refused(send_json::<Recommend>("", json!({"positive": ["a"], "image": "x"})).await);
    assert_eq!(field, "image");
    let (field, detail) = refused(query::<ListProducts>("limit=3&limit=3"));
    assert_eq!((field.as_str(), detail.as_str()), ("limit", "is given twice"));
    let twice = form(&[("image", b"eA=="), ("image", b"eA==")]);
    assert_eq!(refused(send::<AddPicture>("", FORM, twice).await).0, "image");
    let body = r#"{"image": "eA==", "k": 1, "k": 1}"#;
    let (field, detail) = refused(send::<Search>("", "application/json", body).await);
    assert_eq!((field.as_str(), detail.as_str()), ("k", "is given twice"));
    for (body, expected) in [
        ("", "the body is not JSON"),
        (r#"{"k": 1"#, "the body is not JSON"),
        ("[]", "the body must be a JSON object"),
        ("3", "the body must be a JSON object"),
    ] {
        let (field, detail) = refused(send::<Search>("", "application/json", body).await);
        assert!(
            field.is_empty() && detail.starts_with(expected),
            "{body}: {detail}"
        );
    }
    let (field, detail) = refused(send::<Search>("image=x", "image/png", "x").await);
    assert_eq!(field, "image");
    assert_eq!(detail, "is a field of the body, not a parameter");
    // Refused before the body is read, whatever it is.
    assert_eq!(
        refused(send::<Search>("colour=red", "text/plain", "").await).0,
        "colour"
    );
}

#[tokio::test]
async fn each_value_says_what_it_must_be() {
    for (parameters, expected) in [
        ("k=101", "is 101; it must be a whole number from 1 to 100"),
        ("k=1.5", "is 1.5; it must be a whole number from 1 to 100"),
        ("min_score=NaN", "is NaN; it must be from -1 to 1"),
        ("exact=perhaps", "is \"perhaps\"; it is true or false"),
        ("prepare=nicely", "is \"nicely\"; it is auto or as_is"),
        ("time_steps=0", "\"0\" is not a whole number from 1 to 1024"),
        ("filter=bag", "is not JSON"),
    ] {
        let (field, detail) = refused(send::<Search>(parameters, "image/png", "x").await);
        assert!(
            parameters.starts_with(&field) && detail.starts_with(expected),
            "{detail}"
        );
    }
    let long = "1".repeat(201);
    for (body, name, expected) in [
        (json!({"image": 7}), "image", "must be a string: base64"),
        (json!({"image": "?"}), "image", "is not base64"),
        (json!({"k": [1]}), "k", "must be one plain value"),
        (json!({"k": long}), "k", "has 201 bytes; its values are short"),
        (
            json!({"embedding": "x"}),
            "embedding",
            "must be true, false or, in a JSON body, a list of whole numbers",
        ),
        (
            json!({"embedding": [1, 0.5]}),
            "embedding",
            "value 1 is not a whole number of 32 bits",
        ),
        (
            json!({"embedding": [1], "trace": true}),
            "embedding",
            "cannot be sent with time_steps",
        ),
        (
            json!({"embedding": [1], "image": "eA=="}),
            "embedding",
            "cannot be sent with an image",
        ),
        (
            json!({"filter": {"price": {"near": 3}}}),
            "filter.price.near",
            "is not an operator",
        ),
        (json!({}), "image", "is missing; send a picture"),
    ] {
        let mut body = map(body);
        if name != "image" && !body.contains_key("embedding") {
            body.insert("image".to_owned(), json!("eA=="));
        }
        let (field, detail) = refused(send_json::<Search>("", Value::Object(body)).await);
        assert!(field == name && detail.starts_with(expected), "{field}: {detail}");
    }
    for (body, name, expected) in [
        (
            json!({"positive": []}),
            "positive",
            "must name at least one product, picture or embedding",
        ),
        (
            json!({}),
            "positive",
            "must name at least one product, picture or embedding",
        ),
        (
            json!({"positive": "a"}),
            "positive",
            "must be a list of product ids, pictures and embeddings, in a JSON body",
        ),
        (
            json!({"positive": vec!["a"; 101]}),
            "positive",
            "names 101 examples; at most 100",
        ),
    ] {
        let (field, detail) = refused(send_json::<Recommend>("", body).await);
        assert_eq!((field.as_str(), detail.as_str()), (name, expected));
    }
    for (body, name) in [
        (json!({"title": 3}), "title"),
        (json!({"title": "x".repeat(1001)}), "title"),
        (json!({"attributes": [1]}), "attributes"),
        (json!({"attributes": {"sizes": [1]}}), "attributes.sizes"),
    ] {
        assert_eq!(refused(send_json::<PatchProduct>("", body).await).0, name);
    }
    let not_text = form(&[("image", b"eA=="), ("title", b"\xff")]);
    let (field, detail) = refused(send::<PutProduct>("", FORM, not_text).await);
    assert_eq!((field.as_str(), detail.as_str()), ("title", "is not UTF-8 text"));
}

#[tokio::test]
async fn other_content_types_are_refused_with_those_that_are_read() {
    let detail = |problem: Problem| {
        assert_eq!(problem.code, Code::UnsupportedMediaType);
        problem.detail
    };
    let search = send::<Search>("", "text/plain", "x").await.unwrap_err();
    assert_eq!(
        detail(search),
        "the Content-Type is \"text/plain\"; send a picture as image/png, image/jpeg, image/webp, image/gif, \
         image/bmp, a form as multipart/form-data, or application/json"
    );
    let recommend = send::<Recommend>("", "image/png", "x").await.unwrap_err();
    assert!(detail(recommend).ends_with("; send application/json"));
    let put = send::<PutProduct>("", "application/merge-patch+json", "{}").await;
    assert!(detail(put.unwrap_err()).starts_with("the Content-Type is \"application/merge"));
    let patch = send::<PatchProduct>("", "image/png", "x").await.unwrap_err();
    assert!(detail(patch).ends_with("application/json, or a form as multipart/form-data"));
}

/// Prints the mean of 200 in the best of five rounds: cargo test --lib parsing -- --ignored --nocapture
#[tokio::test]
#[ignore = "a measurement"]
async fn parsing_a_search_with_a_picture_of_200_kb() {
    let png: Vec<u8> = (0..200_000u32).map(|i| (i * 31 % 251) as u8).collect();
    let bodies = [
        ("raw", "image/png", png.clone()),
        (
            "form",
            FORM,
            form(&[("k", b"10"), ("image\"; filename=\"x.png", &png)]),
        ),
        (
            "JSON",
            "application/json",
            json!({"image": STANDARD.encode(&png), "k": 10})
                .to_string()
                .into_bytes(),
        ),
    ];
    for (name, content_type, body) in bodies {
        let body = Bytes::from(body);
        let mut best = Duration::MAX;
        for _ in 0..5 {
            let start = Instant::now();
            for _ in 0..200 {
                let search = send::<Search>("min_score=0.5&exact=true", content_type, body.clone()).await;
                let (query, _) = search.unwrap().into_query();
                assert!(matches!(query, Query::Picture(image, _) if image.len() == png.len()));
            }
            best = best.min(start.elapsed() / 200);
        }
        println!("{name}: {best:?}");
    }
}
