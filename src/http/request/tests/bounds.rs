//! What a request may hold at most, and what its parts count.

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::super::endpoints::{
    AddPicture, FromBody, ListProducts, PatchProduct, PutProduct, Recommend, Search,
};
use super::super::fields::FromFields;
use super::{FORM, bodies, body, form, headers, limits, of_query, query, refused, send};
use crate::catalogue::Attributes;
use crate::http::limits::{Bodies, Limits};
use crate::http::problem::Code;
use crate::json;

#[tokio::test]
async fn a_name_that_is_given_twice_within_a_value_is_refused_on_every_way_in() {
    let twice = r#"{"size": 1, "price": {"gt": 1, "gt": 2}}"#;
    let body = format!(r#"{{"embedding": [1], "filter": {twice}}}"#);
    let in_query = "filter=%7B%22a%22%3A1%2C%22a%22%3A2%7D";
    let in_form = form(&[("image", b"eA=="), ("attributes", br#"{"a": 1, "a": 1}"#)]);
    for (refused, field, name) in [
        (
            refused(send::<Search>("", "application/json", body).await),
            "filter",
            "gt",
        ),
        (refused(query::<ListProducts>(in_query)), "filter", "a"),
        (
            refused(send::<PutProduct>("", FORM, in_form).await),
            "attributes",
            "a",
        ),
        (
            refused(
                send::<PatchProduct>("", "application/json", r#"{"attributes": {"b": null, "b": 1}}"#).await,
            ),
            "attributes",
            "b",
        ),
    ] {
        assert_eq!(refused, (field.to_owned(), format!("gives {name:?} twice")));
    }
}

#[tokio::test]
async fn a_value_is_read_no_further_than_its_limit() {
    let objects = |count: usize| format!("[{}0]", "{\"\": 0},".repeat(count));
    for (body, expected) in [
        (
            format!(r#"{{"embedding": [1], "filter": {}}}"#, objects(60_000)),
            ("filter", "has 480003 bytes; at most 131072 are read"),
        ),
        (
            format!(r#"{{"embedding": [1], "filter": {}}}"#, objects(10_000)),
            ("filter", "has too many values; as JSON in memory"),
        ),
        (
            format!(r#"{{"k": {}, "embedding": [1]}}"#, objects(60_000)),
            ("k", "has 480003 bytes; at most 131072 are read"),
        ),
        (
            format!(r#"{{"filters": {}, "embedding": [1]}}"#, objects(60_000)),
            ("filters", "is unknown"),
        ),
    ] {
        let (field, detail) = refused(send::<Search>("", "application/json", body).await);
        assert!(
            field == expected.0 && detail.starts_with(expected.1),
            "{field}: {detail}"
        );
    }
    // The largest attributes, each of their bytes written as six.
    let most = Attributes::MOST_BYTES - 1;
    let body = format!(r#"{{"attributes": {{"a": "{}"}}}}"#, "\\u0061".repeat(most));
    let patch: PatchProduct = send("", "application/json", body).await.unwrap();
    assert!(patch.attributes.is_some());
    let title = "x".repeat(json::LONGEST + 1);
    let (field, detail) =
        refused(send::<PutProduct>("", FORM, form(&[("image", b"eA=="), ("title", title.as_bytes())])).await);
    assert_eq!(
        (field.as_str(), detail.as_str()),
        ("title", "has 131073 bytes; at most 131072 are read")
    );
}

#[tokio::test]
async fn a_body_without_a_picture_is_smaller() {
    let large = Bodies::new(&Limits {
        body: 4 << 20,
        bodies: 4 << 20,
        ..limits()
    });
    let receive = async |accepts, bytes: usize| {
        let body = Body::from(vec![b' '; bytes]);
        body::receive(accepts, &headers("application/json"), body, &large)
            .await
            .map(drop)
    };
    assert!(receive(PatchProduct::ACCEPTS, 1 << 20).await.is_ok());
    let refusal = receive(PatchProduct::ACCEPTS, (1 << 20) + 1).await.unwrap_err();
    assert_eq!(refusal.code, Code::TooLarge);
    assert_eq!(refusal.detail, "the body is larger than 1048576 bytes");
    for accepts in [Search::ACCEPTS, Recommend::ACCEPTS] {
        assert!(receive(accepts, 4 << 20).await.is_ok());
    }
}

#[tokio::test]
async fn a_picture_that_was_decoded_from_text_counts_until_it_is_dropped() {
    let bodies = bodies();
    let picture = vec![0x89; 30_000];
    let base64 = STANDARD.encode(&picture);
    let json = format!(r#"{{"image": "{base64}"}}"#);
    let text = form(&[("image", base64.as_bytes())]);
    let file = form(&[("image\"; filename=\"x.png", &picture)]);
    for (content_type, body) in [
        ("application/json", json.into_bytes()),
        (FORM, text),
        (FORM, file),
    ] {
        let length = body.len() as u64;
        let mut fields = of_query::<AddPicture>("").unwrap();
        let (headers, body) = (headers(content_type), Body::from(body));
        let sent = body::receive(AddPicture::ACCEPTS, &headers, body, &bodies);
        sent.await.unwrap().add_to(&mut fields).unwrap();
        let image = AddPicture::from_fields(&mut fields).unwrap().image.into_inner();
        drop(fields);
        assert_eq!((image.len(), bodies.spent()), (30_000, length), "{content_type}");
        drop(image);
        assert_eq!(bodies.spent(), 0);
    }
}
