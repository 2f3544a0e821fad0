//! Requests as clients of all kinds write them: types, names and texts that differ from what the description says.

use serde_json::{Value, json};

use super::super::endpoints::{AddPicture, Embed, PatchProduct, PutProduct, Recommend, Search};
use super::{FORM, form, map, query, refused, send, send_json};
use crate::catalogue::AttributeChanges;
use crate::http::problem::Code;
use crate::http::request::endpoints::ListProducts;
use crate::service::recommend::Example;

/// Not ASCII alone, as no picture's file is.
const PICTURE: &[u8] = b"\x89PNG\r\n\x1a\n\0";
const BASE64: &str = "iVBORw0KGgoA";
/// What a browser and most clients write after the name of a file's field.
const FILE: &str = "image\"; filename=\"shoe.jpg";

#[tokio::test]
async fn the_bytes_decide_what_a_picture_is_and_not_its_type() {
    for content_type in [
        "image/jpg",
        "image/pjpeg",
        "image/x-png",
        "image/x-ms-bmp",
        "image/*",
        "Image/PNG; charset=binary",
        "application/octet-stream",
        "binary/octet-stream",
        "application/x-www-form-urlencoded",
        "",
    ] {
        let read: AddPicture = send("", content_type, PICTURE).await.unwrap();
        assert_eq!(read.image.into_inner(), PICTURE, "{content_type}");
    }
    let typed = form(&[(
        "image\"; filename=\"a.bin\"\r\ncontent-type: \"application/x-shoe",
        PICTURE,
    )]);
    let read: AddPicture = send("", FORM, typed).await.unwrap();
    assert_eq!(read.image.into_inner(), PICTURE);
}

#[tokio::test]
async fn a_body_whose_type_is_not_said_may_be_json_or_nothing() {
    let body = json!({"positive": ["a"], "k": 3}).to_string();
    for content_type in [
        "",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
    ] {
        let marked = format!("\u{feff}\n {body}");
        let (taste, options) = send::<Recommend>("", content_type, marked)
            .await
            .unwrap()
            .into_taste()
            .unwrap();
        assert_eq!(
            (taste.positive, options.k),
            (vec![Example::Product("a".to_owned())], 3)
        );
        let read: PatchProduct = send("title=New", content_type, "").await.unwrap();
        assert_eq!(read.title.unwrap().as_str(), "New");
        let (field, detail) = refused(send::<AddPicture>("", content_type, "").await);
        assert!(field == "image" && detail.starts_with("is missing"), "{detail}");
        let refusal = send::<Recommend>("", content_type, PICTURE).await.unwrap_err();
        assert_eq!(refusal.code, Code::UnsupportedMediaType);
    }
    let url_encoded = send::<Search>("", "application/x-www-form-urlencoded", "k=3&image=x").await;
    let refusal = url_encoded.unwrap_err();
    assert_eq!(refusal.code, Code::UnsupportedMediaType);
    assert!(
        refusal
            .detail
            .contains("which curl says of -d and --data-binary without -H; send a picture as image/png"),
        "{}",
        refusal.detail
    );
}

#[tokio::test]
async fn a_form_s_text_field_holds_a_picture_as_base64_or_a_data_url() {
    for text in [
        BASE64.to_owned(),
        format!("{}\r\n{}\r\n", &BASE64[..5], &BASE64[5..]),
        format!("\u{feff}{BASE64}"),
        format!("data:image/png;base64,{BASE64}"),
        format!("DATA:image/png;name=a.png;BASE64,{}", BASE64.replace('o', "%6F")),
    ] {
        let read: AddPicture = send("", FORM, form(&[("image", text.as_bytes())])).await.unwrap();
        assert_eq!(read.image.into_inner(), PICTURE, "{text}");
        let read: AddPicture = send_json("", json!({"image": text})).await.unwrap();
        assert_eq!(read.image.into_inner(), PICTURE, "{text}");
    }
    // A file is never read as text, and a picture needs no file name.
    let read: AddPicture = send("", FORM, form(&[(FILE, BASE64.as_bytes())])).await.unwrap();
    assert_eq!(read.image.into_inner(), BASE64);
    let read: AddPicture = send("", FORM, form(&[("image", PICTURE)])).await.unwrap();
    assert_eq!(read.image.into_inner(), PICTURE);
    for (text, expected) in [
        ("shoe.jpg", "is not base64: it has '.'"),
        ("http://a/b.jpg", "is a URL, and none is fetched"),
        ("", "is missing; send a picture"),
    ] {
        let (field, detail) =
            refused(send::<AddPicture>("", FORM, form(&[("image", text.as_bytes())])).await);
        assert!(field == "image" && detail.starts_with(expected), "{detail}");
    }
}

#[tokio::test]
async fn a_field_of_another_name_is_refused_by_it_and_told_what_was_meant() {
    for name in ["image[]", "images", "file", "photo", "picture"] {
        let expected = "is unknown; did you mean image? The known fields are image, prepare";
        let file = format!("{name}\"; filename=\"shoe.jpg");
        for field in [file.as_str(), name] {
            let sent = form(&[("prepare", b"auto"), (field, PICTURE)]);
            let found = refused(send::<AddPicture>("", FORM, sent).await);
            assert_eq!(found, (name.to_owned(), expected.to_owned()));
        }
        let found = refused(send_json::<AddPicture>("", json!({name: BASE64})).await);
        assert_eq!(found, (name.to_owned(), expected.to_owned()));
    }
    let (_, detail) = refused(send::<AddPicture>("", FORM, form(&[("colour", b"red")])).await);
    assert_eq!(detail, "is unknown; the known fields are image, prepare");
    let (_, detail) = refused(send_json::<Recommend>("", json!({"positive": ["a"], "photo": "x"})).await);
    assert!(detail.starts_with("is unknown; the known fields"), "{detail}");
}

#[tokio::test]
async fn a_byte_order_mark_is_skipped_wherever_text_is_read() {
    let body = format!("\u{feff}{}", json!({"image": BASE64, "title": "A"}));
    let read: PutProduct = send("", "application/json", body).await.unwrap();
    assert_eq!(read.title.unwrap().as_str(), "A");
    let attributes = "\u{feff}{\"price\": 3}";
    let fields = [
        ("title", "\u{feff}A".as_bytes()),
        ("attributes", attributes.as_bytes()),
        (FILE, PICTURE),
    ];
    let read: PutProduct = send("", FORM, form(&fields)).await.unwrap();
    assert_eq!(read.title.unwrap().as_str(), "A");
    assert_eq!(*read.attributes.unwrap().as_map(), map(json!({"price": 3})));
    let read: ListProducts = query("filter=%EF%BB%BF%7B%22a%22%3A1%7D&limit=%EF%BB%BF7").unwrap();
    assert!(read.filter.unwrap().holds("p", &map(json!({"a": 1}))));
    assert_eq!(read.limit.unwrap().get(), 7);

    let utf16 = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    for content_type in ["application/json", ""] {
        let sent = send::<PatchProduct>("", content_type, utf16("\u{feff}{}")).await;
        assert_eq!(refused(sent).1, "the body is UTF-16; it must be UTF-8");
    }
    let sent = form(&[("attributes", &utf16("\u{feff}{}"))]);
    let found = refused(send::<PatchProduct>("", FORM, sent).await);
    assert_eq!(
        found,
        ("attributes".to_owned(), "is UTF-16; it must be UTF-8".to_owned())
    );
}

#[tokio::test]
async fn null_is_the_same_as_leaving_an_option_out_in_every_way_to_send_it() {
    let read: ListProducts = query("filter=null").unwrap();
    assert!(read.filter.is_none());
    let fields = [
        ("attributes", b" null\n".as_slice()),
        ("title", b"null"),
        (FILE, PICTURE),
    ];
    let read: PutProduct = send("", FORM, form(&fields)).await.unwrap();
    assert!(read.attributes.is_none());
    assert_eq!(read.title.unwrap().as_str(), "null", "a title is any text");
    let body = json!({"image": BASE64, "time_steps": null, "probe": null, "prepare": null, "trace": null});
    let (_, run) = send_json::<Embed>("", body).await.unwrap().into_run();
    assert_eq!(run, crate::chips::RunChoice::default());
    let body = json!({"embedding": [1], "image": null, "k": null, "min_score": null, "exact": null,
                      "filter": null, "time_steps": null, "prepare": null, "trace": null});
    assert!(send_json::<Search>("", body).await.is_ok());
    let removal = json!({"title": null, "attributes": {"price": null}});
    let read: PatchProduct = send_json("", removal).await.unwrap();
    let removed = AttributeChanges::new(map(json!({"price": null}))).unwrap();
    assert_eq!((read.title, read.attributes), (None, Some(removed)));
    let (field, detail) = refused(send_json::<Recommend>("", json!({"positive": Value::Null})).await);
    assert_eq!(
        (field.as_str(), detail.as_str()),
        ("positive", "must name at least one product, picture or embedding")
    );
}
