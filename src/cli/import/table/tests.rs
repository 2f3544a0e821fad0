use serde_json::{Value, json};

use super::joined::value;
use super::*;
use crate::catalogue::manifest::Line;
use crate::cli::import::lines::LONGEST;
use crate::service::ingest::RemarkKind;

/// What a table offers: id, title, number of pictures, attributes; or the refusal; and all remarks.
struct Offers(Vec<Offered>);

impl Offers {
    fn of(name: &str, text: &str, pictures: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for picture in pictures {
            std::fs::write(folder.path().join(picture), b"picture").unwrap();
        }
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        Self(source(&path).unwrap().offered.collect())
    }

    fn product(&self, index: usize) -> (&str, &str, usize, Value) {
        let Ok(Line::Product(product)) = &self.0[index].line else {
            panic!("{:?}", self.0[index].line)
        };
        let attributes = Value::from(product.attributes.as_map().clone());
        (
            product.id.as_str(),
            product.title.as_str(),
            product.pictures.len(),
            attributes,
        )
    }

    fn remarks(&self, index: usize) -> Vec<(&str, &str, RemarkKind)> {
        let remarks = self.0[index].remarks.iter();
        remarks
            .map(|remark| (remark.place.as_str(), remark.detail.as_str(), remark.kind))
            .collect()
    }

    fn refusal(&self, index: usize) -> (&str, &str) {
        let offered = &self.0[index];
        (&offered.place, &offered.line.as_ref().unwrap_err().detail)
    }
}

#[test]
fn a_cell_is_a_number_or_a_boolean_as_json_reads_it_and_else_a_string() {
    for (cell, expected) in [
        ("40", 40.into()),
        ("-2.50", (-2.5).into()),
        ("1e3", 1000.0.into()),
        ("true", true.into()),
        ("false", false.into()),
        ("18446744073709551615", u64::MAX.into()),
        ("18446744073709551616", "18446744073709551616".into()),
        ("007", "007".into()),
        ("1e999", "1e999".into()),
        (" 40", " 40".into()),
        ("True", "True".into()),
        ("null", "null".into()),
        ("\"a\"", "\"a\"".into()),
        ("[\"a\"]", "[\"a\"]".into()),
        ("NaN", "NaN".into()),
    ] {
        let expected: Value = expected;
        assert_eq!(value(cell), expected, "{cell}");
    }
}

#[test]
fn a_quote_that_is_never_closed_does_not_take_the_whole_file_into_memory() {
    let long = "x".repeat(usize::try_from(2 * LONGEST).unwrap());
    let offers = Offers::of("products.csv", &format!("id,image\na,AAE=\nb,\"{long}"), &[]);
    assert_eq!(offers.product(0).0, "a");
    let (place, detail) = offers.refusal(1);
    assert!(detail.contains("is a quote not closed?"), "{detail}");
    assert_eq!((offers.0.len(), place), (2, "line 3"));
}

#[test]
fn rows_with_one_id_are_one_product_wherever_they_stand() {
    let text = "id,title,image,option,price,note\n\
                tee,Tee,a.jpg,Red,10,\n\
                other,Other,a.jpg,,5,x\n\
                tee,,b.jpg,Blue,,\n\
                tee,Shirt,a.jpg,Blue,12,y\n";
    let offers = Offers::of("products.csv", text, &["a.jpg", "b.jpg"]);
    assert_eq!(offers.0.len(), 2);
    let attributes = json!({"option": ["Red", "Blue"], "price": 10, "note": "y"});
    assert_eq!(offers.product(0), ("tee", "Tee", 2, attributes));
    assert_eq!(offers.0[0].further, 2);
    let remarks = [
        (
            "line 5",
            "title: is \"Shirt\" here and \"Tee\" in line 2; the first one is kept",
            RemarkKind::Lost,
        ),
        (
            "line 4",
            "option: is \"Blue\" here and \"Red\" in line 2; both are kept, as a list",
            RemarkKind::Note,
        ),
        (
            "line 5",
            "price: is \"12\" here and \"10\" in line 2; the first one is kept",
            RemarkKind::Lost,
        ),
    ];
    assert_eq!(offers.remarks(0), remarks);
    assert_eq!(
        offers.product(1),
        ("other", "Other", 1, json!({"price": 5, "note": "x"}))
    );
    assert_eq!(offers.remarks(1), []);
}

#[test]
fn separators_byte_order_marks_and_their_line_are_understood() {
    for (name, text) in [
        ("a.csv", "id;image;title\na;AAE=;\"A; B, C\"\n"),
        ("a.csv", "sep=;\r\nid;image;title\r\na;AAE=;A; B, C\r\n"),
        ("a.csv", "\u{feff}sep=|\nid|image|title\na|AAE=|A; B, C\n"),
        ("a.tsv", "\u{feff}id\timage\ttitle\na\tAAE=\tA; B, C\n"),
    ] {
        let text = text.replace("A; B, C\r", "\"A; B, C\"\r");
        let offers = Offers::of(name, &text, &[]);
        assert_eq!(offers.product(0), ("a", "A; B, C", 1, json!({})), "{text:?}");
        let line = if text.contains("sep=") { "line 3" } else { "line 2" };
        assert_eq!(offers.0[0].place, line, "{text:?}");
    }
}

/// Two products as Shopify exports them: variants, further pictures, HTML, an option's name in the first row alone.
const SHOPIFY: &str = "\
Handle,Title,Body (HTML),Vendor,Tags,Published,Option1 Name,Option1 Value,Variant SKU,Variant Price,Image Src,Image Position,Variant Image
boot,Rain boot,\"<p>Keeps <b>dry</b> &amp; warm.</p>\",Anker,\"rain, winter\",true,Size,38,B-38,59.90,https://cdn.example/s/boot-1.jpg?v=1,1,
boot,,,,,,,39,B-39,54.90,https://cdn.example/s/boot-2.jpg?v=1,2,https://cdn.example/s/boot-1.jpg?v=1
boot,,,,,,,,,,https://cdn.example/s/boot-3.jpg?v=1,3,
cap,Cap,,Anker,,false,Title,Default Title,C-1,15,https://cdn.example/s/cap.jpg,1,
";

#[test]
fn an_export_of_shopify_is_read_as_it_comes() {
    let offers = Offers::of("export.csv", SHOPIFY, &["boot-1.jpg", "boot-2.jpg"]);
    let attributes = json!({
        "Body (HTML)": "Keeps dry & warm.", "Vendor": "Anker", "Tags": ["rain", "winter"], "Published": true,
        "Size": ["38", "39"], "Variant SKU": ["B-38", "B-39"], "Variant Price": 54.9,
    });
    assert_eq!(offers.product(0), ("boot", "Rain boot", 2, attributes));
    let unfetched = "image: https://cdn.example/s/boot-3.jpg?v=1 is not fetched; there is no file boot-3.jpg beside the manifest";
    assert_eq!(offers.remarks(0), [("line 4", unfetched, RemarkKind::Unfetched)]);
    assert_eq!(
        offers.refusal(1),
        ("line 5", "image: none of its pictures is fetched")
    );
    assert_eq!(offers.0[1].remarks[0].kind, RemarkKind::Unfetched);

    let offers = Offers::of(
        "export.csv",
        SHOPIFY,
        &["boot-1.jpg", "boot-2.jpg", "boot-3.jpg", "cap.jpg"],
    );
    assert_eq!(offers.product(0).2, 3);
    let attributes =
        json!({"Vendor": "Anker", "Published": false, "Variant SKU": "C-1", "Variant Price": 15});
    assert_eq!(offers.product(1), ("cap", "Cap", 1, attributes));
}

/// As `WooCommerce` exports: a product with variations, one of them before it, and a simple one without a SKU.
const WOOCOMMERCE: &str = "\
ID,Type,SKU,Name,Published,Short description,Regular price,Categories,Images,Parent,Position,Attribute 1 name,Attribute 1 value(s),Attribute 1 visible,Meta: _x
31,variation,hoodie-red,Hoodie - Red,1,,42,,https://shop.example/u/red.jpg,hoodie,0,Colour,Red,,
30,variable,hoodie,Hoodie,1,<em>Soft</em>,,\"Clothes, Clothes > Hoodies\",\"https://shop.example/u/front.jpg, https://shop.example/u/back.jpg\",,0,Colour,\"Blue, Red\",1,y
32,variation,,Hoodie - Blue,1,,45,,,id:30,1,Colour,Blue,,
40,simple,,Belt,1,,9.5,Clothes,https://shop.example/u/belt.jpg,,0,,,,
41,variation,lost,Lost,1,,1,,,nobody,0,,,,
";

#[test]
fn an_export_of_woocommerce_is_read_as_it_comes() {
    let offers = Offers::of(
        "export.csv",
        WOOCOMMERCE,
        &["red.jpg", "front.jpg", "back.jpg", "belt.jpg"],
    );
    let attributes = json!({
        "SKU": ["hoodie", "hoodie-red"], "Type": ["variable", "variation"], "Published": 1, "Short description": "Soft",
        "Regular price": 42, "Categories": ["Clothes", "Clothes > Hoodies"], "Colour": ["Blue", "Red"],
    });
    assert_eq!(offers.product(0), ("hoodie", "Hoodie", 3, attributes));
    assert_eq!((offers.0[0].further, offers.remarks(0)), (2, vec![]));
    let attributes =
        json!({"Type": "simple", "Published": 1, "Regular price": 9.5, "Categories": ["Clothes"]});
    assert_eq!(offers.product(1), ("40", "Belt", 1, attributes));
    let detail = "Parent: \"nobody\" is not a product of this file; export both together";
    assert_eq!(offers.refusal(2), ("line 6", detail));
}

#[test]
fn addresses_are_listed_once_in_the_table_s_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("export.csv");
    std::fs::write(&path, SHOPIFY).unwrap();
    let listed = addresses(&path).unwrap();
    let expected = ["boot-1.jpg?v=1", "boot-2.jpg?v=1", "boot-3.jpg?v=1", "cap.jpg"];
    assert_eq!(
        listed,
        expected.map(|name| format!("https://cdn.example/s/{name}"))
    );
}

#[test]
fn a_row_without_an_id_and_a_17th_picture_are_reported() {
    let mut text = "id,image\n,AAE=\n".to_owned();
    for number in 1..=17 {
        text.push_str(&format!("many,{number}.jpg\n"));
    }
    let names: Vec<String> = (1..=17).map(|number| format!("{number}.jpg")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let offers = Offers::of("products.csv", &text, &names);
    assert_eq!(
        offers.refusal(0),
        ("line 2", "id: is empty; it says which product the row is of")
    );
    assert_eq!(offers.product(1).2, 16);
    let remark = "image: 17.jpg is one more than the 16 pictures that a product may have; it is left out";
    assert_eq!(offers.remarks(1), [("line 19", remark, RemarkKind::Lost)]);
}

#[test]
fn a_header_of_no_known_form_is_refused_with_what_is_known() {
    let folder = tempfile::tempdir().unwrap();
    for (text, reason) in [
        (
            "name,photo\n",
            "must name the columns id, image and, optionally, title, or be that of an export by Shopify",
        ),
        ("id,image,x,x\n", "names the column \"x\" twice"),
        ("id,image,\n", "column 3 has no name"),
    ] {
        let path = folder.path().join("products.csv");
        std::fs::write(&path, text).unwrap();
        let refusal = format!("{:#}", source(&path).err().unwrap());
        assert!(refusal.contains(reason), "{refusal}");
    }
}
