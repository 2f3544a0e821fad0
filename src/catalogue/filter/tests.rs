use super::*;
use proptest::prelude::*;
use serde_json::json;

fn passes(filter: &Value, attributes: &Value) -> bool {
    let Value::Object(attributes) = attributes else {
        panic!("attributes are an object")
    };
    Filter::from_json(filter).unwrap().holds("bag-1", attributes)
}

#[test]
fn conditions_hold_as_described() {
    let bag = json!({"category": "bag", "price": 20, "sizes": ["s", "m"], "sold_out": false, "since": "2026-05-01", "zero": 0, "$any": 7, "$$x": true,
        "serial": 9_007_199_254_740_993_i64});
    for (filter, expected) in [
        (json!({}), true),
        (json!({"category": "bag"}), true),
        (json!({"category": "shoe"}), false),
        (json!({"category": "bag", "price": 21}), false),
        (json!({"price": 20.0}), true),
        (json!({"price": {"gte": 20, "lt": 50}}), true),
        (json!({"price": {"gt": 20}}), false),
        (json!({"price": {"lte": 19.99}}), false),
        (json!({"since": {"gte": "2026-01-01", "lt": "2027-01-01"}}), true),
        (json!({"category": {"in": ["shoe", "bag"]}}), true),
        (json!({"category": {"in": []}}), false),
        (json!({"category": {"in": [true, 3, "bag", "bag", -1]}}), true),
        (json!({"price": {"in": [20.0, "20", 3]}}), true),
        (json!({"price": {"in": ["20", 19, 21]}}), false),
        (json!({"sold_out": {"in": [true, false]}}), true),
        (json!({"zero": {"in": [-1, -0.0]}}), true),
        (json!({"sizes": "m"}), true),
        (json!({"sizes": {"in": ["l", "xl"]}}), false),
        (json!({"sizes": {"not": "s"}}), false),
        (json!({"sold_out": {"not": true}}), true),
        (json!({"missing": {"not": true}}), true),
        (json!({"missing": {"exists": false}}), true),
        (json!({"price": {"exists": true, "not": {"in": [1, 2]}}}), true),
        (json!({"$id": "bag-1"}), true),
        (
            json!({"$id": {"in": ["bag-2", "bag-1", "bag-1"]}, "category": "bag"}),
            true,
        ),
        (json!({"$id": {"in": []}}), false),
        (json!({"$id": {"not": {"in": ["bag-2"]}}}), true),
        (json!({"$id": {"not": "bag-1"}}), false),
        (
            json!({"$any": [{"price": 21}, {"category": "bag", "price": {"lt": 21}}]}),
            true,
        ),
        (
            json!({"$any": [{"price": 21}, {"category": "shoe", "price": 20}]}),
            false,
        ),
        (json!({"$any": [{}]}), true),
        (json!({"$any": []}), false),
        (
            json!({"$any": [{"price": 21}, {"$any": [{"$id": "bag-1"}]}], "sizes": "s"}),
            true,
        ),
        (json!({"$any": [{"price": 20}], "sizes": "l"}), false),
        // An attribute whose name begins with a dollar.
        (
            json!({"$$any": 7, "$$$x": {"exists": true}, "$$id": {"exists": false}}),
            true,
        ),
        // Whole numbers that one float stands for.
        (json!({"serial": 9_007_199_254_740_993_i64}), true),
        (json!({"serial": 9_007_199_254_740_992_i64}), false),
        (json!({"serial": 9_007_199_254_740_992.0}), false),
        (json!({"serial": {"gt": 9_007_199_254_740_992.0}}), true),
        (
            json!({"serial": {"in": [9_007_199_254_740_992_i64, 9_007_199_254_740_994_i64]}}),
            false,
        ),
        (
            json!({"serial": {"not": {"in": [9_007_199_254_740_993_u64]}}}),
            false,
        ),
        // Another type: the condition does not hold, in either direction.
        (json!({"price": "20"}), false),
        (json!({"price": {"gte": "1"}}), false),
        (json!({"category": {"lt": 5}}), false),
        (json!({"missing": {"lt": 5}}), false),
    ] {
        assert_eq!(passes(&filter, &bag), expected, "{filter}");
    }
}

#[test]
fn an_invalid_filter_is_refused_by_its_path() {
    for (filter, expected) in [
        (json!(3), "filter: must be an object"),
        (json!({"price": null}), "filter.price: must be a string"),
        (json!({"price": {}}), "filter.price: must be a string"),
        (json!({"price": ["a"]}), "filter.price: must not be a list"),
        (
            json!({"price": {"gte": true}}),
            "filter.price.gte: must be a number",
        ),
        (
            json!({"price": {"near": 3}}),
            "filter.price.near: is not an operator",
        ),
        (json!({"price": {"in": "a"}}), "filter.price.in: must be a list"),
        (
            json!({"price": {"in": [["a"]]}}),
            "filter.price.in: must be a list",
        ),
        (
            json!({"price": {"not": {"exists": 1}}}),
            "filter.price.not.exists: must be true",
        ),
        (
            json!({"price": {"in": vec![0; 1001]}}),
            "filter.price.in: lists 1001 values; at most 1000",
        ),
        (
            json!({"$or": []}),
            "filter.$or: is unknown; there are $any and $id, and the attribute $or is written $$or",
        ),
        (json!({"$any": {}}), "filter.$any: must be a list of filters"),
        (json!({"$any": [{}, 3]}), "filter.$any.1: must be an object"),
        (
            json!({"$any": [{"a": {"$any": []}}]}),
            "filter.$any.0.a.$any: is not an operator",
        ),
        (
            json!({"$any": vec![json!({}); 65]}),
            "filter.$any: lists 65 filters; at most 64",
        ),
        (json!({"$id": 3}), "filter.$id: must be a product's id"),
        (json!({"$id": {"gt": "a"}}), "filter.$id: must be a product's id"),
        (
            json!({"$id": {"in": [3]}}),
            "filter.$id.in: must be a list of product ids",
        ),
        (
            json!({"$id": {"not": {"not": "a"}}}),
            "filter.$id.not: must be a product's id",
        ),
        (
            json!({"$id": {"in": vec![""; 1001]}}),
            "filter.$id.in: lists 1001 values; at most 1000",
        ),
    ] {
        let refusal = Filter::from_json(&filter).unwrap_err().to_string();
        assert!(refusal.starts_with(expected), "{filter}: {refusal}");
    }
    let many: Vec<usize> = (0..1000).collect();
    let filter = json!({"a": {"in": many}, "b": {"not": {"in": many}}, "c": 3});
    let refusal = Filter::from_json(&filter).unwrap_err().to_string();
    assert_eq!(refusal, "filter: names 2001 values in all; at most 2000");
    let deep = (0..9).fold(json!(1), |inner, _| json!({ "not": inner }));
    assert!(Filter::from_json(&json!({ "price": deep })).is_err());
    let any = |times| (0..times).fold(json!({"a": 1}), |inner, _| json!({"$any": [inner]}));
    assert!(Filter::from_json(&any(4)).is_ok());
    let refusal = Filter::from_json(&any(5)).unwrap_err().to_string();
    assert!(refusal.ends_with(".$any: is nested too deeply"), "{refusal}");
    let conditions = |names: usize| {
        (0..names)
            .map(|n| (n.to_string(), json!(n)))
            .collect::<Map<_, _>>()
    };
    let refusal = Filter::from_json(&json!({"$any": [conditions(40), conditions(24)]})).unwrap_err();
    assert_eq!(refusal.reason, "names 65 conditions in all; at most 64");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let name = prop_oneof!["[a-c]", "gte|lt|in|not|exists|[$]any|[$]id"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(name, inner, 0..4)
                .prop_map(|map| Value::from(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #[test]
    fn in_holds_where_one_of_its_values_is_equal(
        values in prop::collection::vec(prop_oneof![
            any::<bool>().prop_map(Value::from), (-3..3_i32).prop_map(Value::from), any::<f64>().prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from),
        ].prop_filter("a value", |value| !value.is_null()), 0..12),
        value in any_json(),
    ) {
        let each = values.iter().any(|one| passes(&json!({"a": one}), &json!({"a": value})));
        prop_assert_eq!(passes(&json!({"a": {"in": values}}), &json!({"a": value})), each);
    }

    #[test]
    fn any_json_is_a_filter_or_a_refusal_and_not_turns_round(filter in any_json(), attributes in any_json()) {
        if let (Ok(read), Value::Object(attributes)) = (Filter::from_json(&filter), &attributes) {
            let _ = read.holds("a", attributes);
        }
        let negated = json!({"a": {"not": filter}});
        if let (Ok(plain), Ok(negated), Value::Object(attributes)) =
            (Filter::from_json(&json!({"a": filter})), Filter::from_json(&negated), &attributes)
        {
            prop_assert_ne!(plain.holds("a", attributes), negated.holds("a", attributes));
        }
    }
}
