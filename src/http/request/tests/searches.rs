//! What a search may say beside its picture: regions, embeddings, fields of products, examples of a recommendation.

use axum::body::Bytes;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{FORM, form, query, refused, send, send_json};
use crate::catalogue::{Attributes, Product, Title};
use crate::chips::RunChoice;
use crate::http::request::endpoints::{Embed, Recommend, Search, Similar};
use crate::service::Query;
use crate::service::recommend::{Example, Taste};
use engine::picture::{Mode, Region};

fn region(edges: [f64; 4]) -> Option<Region> {
    Some(Region::new(edges).unwrap())
}

#[tokio::test]
async fn a_region_comes_as_json_in_every_way() {
    let image = STANDARD.encode("x");
    let expected = region([0.0, 0.25, 0.5, 1.0]);
    let sent: [Embed; 4] = [
        send("region=[0,0.25,0.5,1]", "image/png", "x").await.unwrap(),
        send(
            "",
            FORM,
            form(&[("image", b"eA=="), ("region", b"[0, 0.25, 0.5, 1.0]")]),
        )
        .await
        .unwrap(),
        send_json("", json!({"image": image, "region": [0, 0.25, 0.5, 1]}))
            .await
            .unwrap(),
        send_json(
            "region=[0,0,1,1]",
            json!({"image": image, "region": [0, 0.25, 0.5, 1]}),
        )
        .await
        .unwrap(),
    ];
    for sent in sent {
        assert_eq!(sent.into_run().1.region, expected);
    }
    let none: Embed = send("region=null", "image/png", "x").await.unwrap();
    assert_eq!(none.into_run().1.region, None);
    for wrong in [
        "[0,0,1]",
        "[0,0,1,1,1]",
        "[0,0,\"1\",1]",
        "0,0,1,1",
        "[0.5,0,0.5,1]",
        "[0,0,1,1.01]",
        "{}",
        "true",
    ] {
        let (field, detail) = refused(send::<Search>(&format!("region={wrong}"), "image/png", "x").await);
        assert_eq!(field, "region", "{wrong}");
        assert!(detail.contains("0 <= x0 < x1 <= 1"), "{wrong}: {detail}");
    }
    assert_eq!(refused(query::<Similar>("region=[0,0,1,1]")).0, "region");
}

#[tokio::test]
async fn an_embedding_is_a_query_or_asked_for() {
    let image = STANDARD.encode("x");
    let search = |query, body| send_json::<Search>(query, body);
    for (query, body, expected) in [
        ("", json!({"image": image}), false),
        ("embedding=true", json!({"image": image}), true),
        ("", json!({"image": image, "embedding": true}), true),
        (
            "embedding=true",
            json!({"image": image, "embedding": false}),
            false,
        ),
        ("embedding=True", json!({"image": image, "embedding": null}), true),
    ] {
        let read = search(query, body.clone()).await.unwrap();
        assert_eq!(read.add_embedding, expected, "{query} {body}");
        assert!(matches!(read.into_query().0, Query::Picture(..)));
    }
    let read = search("embedding=true", json!({"embedding": [1, -2]}))
        .await
        .unwrap();
    assert!(read.add_embedding);
    assert!(matches!(read.into_query().0, Query::Embedding(values) if values == [1, -2]));
    let formed: Search = send("", FORM, form(&[("image", b"eA=="), ("embedding", b"true")]))
        .await
        .unwrap();
    assert!(formed.add_embedding);
    for (body, reason) in [
        (json!({"embedding": "x"}), "must be true, false or"),
        (
            json!({"embedding": [1, 2], "image": image}),
            "cannot be sent with an image",
        ),
        (
            json!({"embedding": [1, 2], "region": [0, 0, 1, 1]}),
            "cannot be sent with time_steps, prepare, region",
        ),
    ] {
        let (field, detail) = refused(search("", body.clone()).await);
        assert_eq!(field, "embedding", "{body}");
        assert!(detail.starts_with(reason), "{body}: {detail}");
    }
}

#[test]
fn a_product_has_the_fields_that_were_asked_for() {
    let attributes = json!({"price": 3, "a.b": "c", "brand": "d"});
    let product = Product {
        id: "p".to_owned(),
        title: Title::new("Boot").unwrap(),
        attributes: Attributes::new(attributes.as_object().unwrap().clone()).unwrap(),
        pictures: Vec::new(),
        created_at: "then".to_owned(),
        updated_at: "now".to_owned(),
    };
    for (fields, expected) in [
        (json!([]), json!({"id": "p"})),
        (json!(["id", "title"]), json!({"id": "p", "title": "Boot"})),
        (
            json!(["attributes"]),
            json!({"id": "p", "attributes": attributes}),
        ),
        (
            json!(["attributes.price", "attributes.none"]),
            json!({"id": "p", "attributes": {"price": 3}}),
        ),
        (
            json!(["attributes.a.b", "pictures"]),
            json!({"id": "p", "attributes": {"a.b": "c"}, "pictures": []}),
        ),
        (
            json!(["attributes.price", "attributes", "attributes.a.b"]),
            json!({"id": "p", "attributes": attributes}),
        ),
        (
            json!(["updated_at", "created_at"]),
            json!({"id": "p", "created_at": "then", "updated_at": "now"}),
        ),
    ] {
        let sent = form_urlencoded::Serializer::new(String::new())
            .append_pair("fields", &fields.to_string())
            .finish();
        let read: Similar = query(&sent).unwrap();
        let shown = serde_json::to_value(read.fields.unwrap().of(&product)).unwrap();
        assert_eq!(shown, expected, "{fields}");
    }
    let many = json!(vec!["title"; 129]).to_string();
    for (wrong, reason) in [
        ("title,pictures", "must be a list as JSON"),
        ("\"title\"", "must be a list as JSON"),
        ("[3]", "has 3 among its names"),
        ("[\"titel\"]", "names \"titel\"; the fields are title,"),
        ("[\"attribute.x\"]", "names \"attribute.x\""),
        (many.as_str(), "names 129 fields; at most 128"),
    ] {
        let sent = form_urlencoded::Serializer::new(String::new())
            .append_pair("fields", wrong)
            .finish();
        let (field, detail) = refused(query::<Similar>(&sent));
        assert!(
            field == "fields" && detail.starts_with(reason),
            "{wrong}: {detail}"
        );
    }
}

async fn taste(body: Value) -> Result<Taste<Bytes>, (String, String)> {
    let read = send_json::<Recommend>("", body).await;
    let read = read.and_then(|request| Ok(request.into_taste()?.0));
    match read {
        Ok(taste) => Ok(taste),
        refusal => Err(refused(refusal)),
    }
}

#[tokio::test]
async fn examples_are_products_pictures_and_embeddings() {
    let file = STANDARD.encode(b"a file");
    let body = json!({
        "positive": ["a", {"image": file, "region": [0, 0.25, 0.5, 1], "prepare": "as_is", "embedding": null},
                     {"embedding": [1, -2, 3.0]}],
        "negative": [{"image": file}],
        "region": [0, 0, 0.5, 0.5],
    });
    let read = taste(body).await.unwrap();
    let own = RunChoice {
        mode: Some(Mode::AsIs),
        region: region([0.0, 0.25, 0.5, 1.0]),
        ..RunChoice::default()
    };
    let given = RunChoice {
        region: region([0.0, 0.0, 0.5, 0.5]),
        ..RunChoice::default()
    };
    let expected = [
        Example::Product("a".to_owned()),
        Example::Picture(Bytes::from_static(b"a file"), own),
        Example::Embedding(vec![1, -2, 3]),
    ];
    assert_eq!(read.positive, expected);
    assert_eq!(
        read.negative,
        [Example::Picture(Bytes::from_static(b"a file"), given)]
    );
}

#[tokio::test]
async fn what_is_no_example_is_refused_at_its_place() {
    for (positive, field, reason) in [
        (json!([]), "positive", "must name at least one"),
        (json!("a"), "positive", "must be a list of product ids"),
        (
            json!(vec!["a"; 101]),
            "positive",
            "names 101 examples; at most 100",
        ),
        (json!(["a", 3]), "positive.1", "must be a product's id"),
        (json!([{}]), "positive.0", "must be a product's id"),
        (
            json!([{"image": "AAAA", "embedding": [1]}]),
            "positive.0",
            "must be a product's id",
        ),
        (json!([{"image": 3}]), "positive.0.image", "must be a string"),
        (
            json!([{"image": "AAAA", "region": [0, 0, 2, 1]}]),
            "positive.0.region",
            "is [0.0, 0.0, 2.0, 1.0]",
        ),
        (
            json!([{"embedding": [1.5]}]),
            "positive.0.embedding",
            "value 0 is not",
        ),
        (
            json!([{"embedding": [1], "region": [0, 0, 1, 1]}]),
            "positive.0",
            "has an embedding with region",
        ),
        (json!([{"url": "x"}]), "positive.0.url", "is unknown"),
    ] {
        let (found, said) = taste(json!({"positive": positive})).await.unwrap_err();
        assert_eq!(found, field, "{positive}: {said}");
        assert!(said.starts_with(reason), "{positive}: {said}");
    }
    let twice = r#"{"positive": ["a"], "negative": [{"image": "AAAA", "image": "AAAA"}]}"#;
    let refusal = refused(send::<Recommend>("", "application/json", twice).await);
    assert_eq!(
        refusal,
        ("negative.0.image".to_owned(), "is given twice".to_owned())
    );
    let alone = taste(json!({"positive": ["a"], "region": [0, 0, 1, 1]}))
        .await
        .unwrap_err();
    assert_eq!(
        alone,
        (
            "region".to_owned(),
            "is of a picture, and there is none".to_owned()
        )
    );
}
