//! The served description and the server match in both directions: routes, methods, status codes, examples.

use std::collections::BTreeSet;

use serde_json::Value;
use spikelens::http::problem::Code;
use spikelens::http::routes;

use crate::api::{catalogue, test_png};
use crate::guides::matching;
use crate::server::Server;

/// Methods that a path of OpenAPI may describe; its other keys describe the path itself.
const METHODS: [&str; 8] = [
    "get", "put", "post", "patch", "delete", "head", "options", "trace",
];

fn description() -> Value {
    serde_saphyr::from_str(include_str!("../../openapi.yaml")).expect("openapi.yaml is YAML")
}

/// Every operation: its method, its path and what describes it.
fn operations(description: &Value) -> Vec<(String, &str, &Value)> {
    let paths = description["paths"].as_object().expect("paths");
    let operations = paths.iter().flat_map(|(path, operations)| {
        let operations = operations.as_object().expect("operations of a path");
        operations
            .iter()
            .filter(|(method, _)| METHODS.contains(&method.as_str()))
            .map(|(method, operation)| (method.to_uppercase(), path.as_str(), operation))
    });
    operations.collect()
}

#[test]
fn every_route_is_described_and_every_description_is_served() {
    let description = description();
    let described: BTreeSet<(String, &str)> = operations(&description)
        .into_iter()
        .map(|(method, path, _)| (method, path))
        .collect();
    let served: Vec<(String, &str)> = routes::served()
        .map(|(method, path)| (method.to_string(), path))
        .collect();
    assert!(served.len() > 20, "{served:?}");
    let once: BTreeSet<(String, &str)> = served.iter().cloned().collect();
    assert_eq!(once.len(), served.len(), "a route is declared twice: {served:?}");
    assert_eq!(once, described);

    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]).ready();
    let paths: BTreeSet<&str> = described.iter().map(|(_, path)| *path).collect();
    for path in paths {
        let methods: BTreeSet<&str> = described
            .iter()
            .filter(|(_, described)| *described == path)
            .map(|(method, _)| method.as_str())
            .collect();
        let concrete = path.replace("{id}", "none").replace("{picture_id}", "none");
        for method in ["GET", "PUT", "POST", "PATCH", "DELETE"] {
            let answer = server.ask(method, &concrete, &[], b"");
            let served = answer.status != 405;
            assert_eq!(
                served,
                methods.contains(method),
                "{method} {path}: {}",
                answer.status
            );
        }
        let refused = server.ask("TRACE", &concrete, &[], b"");
        let allow = refused.header("allow").expect("a 405 names the methods");
        let allowed: BTreeSet<&str> = allow.split(',').filter(|method| *method != "HEAD").collect();
        assert_eq!(allowed, methods, "{path}");
    }
}

#[test]
fn every_route_refuses_a_parameter_that_it_does_not_know() {
    let description = description();
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]).ready();
    let operations = operations(&description);
    for (method, path, operation) in &operations {
        let named = path.replace("{id}", "none").replace("{picture_id}", "none");
        let answer = server.ask(method, &format!("{named}?bogus=1"), &[], b"");
        assert_eq!(
            (answer.problem(), &answer.json()["errors"][0]["field"]),
            ((400, "invalid_request".to_owned()), &Value::from("bogus")),
            "{method} {path}"
        );
        let described = &operation["responses"]["400"];
        assert!(described.is_object(), "{method} {path} does not describe 400");
    }
    assert!(operations.len() > 20);
    // Nothing is said of a route's options to a client without a key.
    let keys = folder.path().join("keys");
    std::fs::write(&keys, "read 0123456789abcdef one\n").unwrap();
    let data = folder.path().join("closed");
    let closed = Server::start(&data, &["--api-keys", keys.to_str().unwrap()]);
    assert_eq!(closed.get("/v1/model?bogus=1").problem().0, 401);
}

#[test]
fn every_code_is_described_and_no_other() {
    let description = description();
    let described = description
        .pointer("/components/schemas/Problem/properties/code/enum")
        .expect("the codes");
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(*described, Value::from(codes));
}

/// Every `example` of a media type, with its operation; those of the components have none.
fn examples(description: &Value) -> Vec<(&str, &Value)> {
    fn of_contents<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
        match value {
            Value::Object(members) => {
                let content = members.get("content").and_then(Value::as_object);
                let media_types = content.iter().flat_map(|content| content.values());
                found.extend(media_types.filter_map(|media_type| media_type.get("example")));
                members.values().for_each(|member| of_contents(member, found));
            }
            Value::Array(elements) => elements.iter().for_each(|element| of_contents(element, found)),
            _ => {}
        }
    }
    let described = operations(description).into_iter().map(|(_, _, operation)| {
        let id = operation["operationId"].as_str().expect("an operation's id");
        (id, operation)
    });
    described
        .chain([("", &description["components"])])
        .flat_map(|(id, value)| {
            let mut found = Vec::new();
            of_contents(value, &mut found);
            found.into_iter().map(move |example| (id, example))
        })
        .collect()
}

#[test]
fn every_example_is_a_real_answer() {
    let folder = catalogue(2000, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    let png = test_png(0);
    let search = |path: &str| server.post(path, "image/png", &png);
    let liked = br#"{"positive": ["fashion-mnist-train-0"], "k": 1}"#;
    let description = description();
    let examples = examples(&description);
    for (operation, example) in &examples {
        let answer = match *operation {
            "embed" => search("/v1/embeddings"),
            "search" => search("/v1/search?k=1"),
            "recommend" => server.post("/v1/recommend", "application/json", liked),
            "listProducts" => server.get("/v1/products?limit=1"),
            "getProduct" => server.get("/v1/products/fashion-mnist-train-0"),
            "similarProducts" => server.get("/v1/products/fashion-mnist-train-0/similar?k=1"),
            "model" => server.get("/v1/model"),
            "stats" => server.measured_stats(),
            "" => search("/v1/search?k=101"),
            other => panic!("no request is known for the example of {other}"),
        };
        let found = String::from_utf8(answer.body).unwrap();
        if let Err(difference) = matching::json(&example.to_string(), &found) {
            panic!("the example of {operation:?}: {difference}\n{found}");
        }
    }
    assert_eq!(examples.len(), 9);
}
