//! The served description against the server, in both directions: every route and method, every code.

use spikelens::http::problem::Code;

use crate::api::{catalogue, test_png};
use crate::guides::matching;
use crate::server::Server;

/// Every path with its methods, as the file's layout gives them: paths at two blanks, methods at four.
fn described() -> Vec<(String, Vec<String>)> {
    let text = include_str!("../../openapi.yaml");
    let paths = text.split("\npaths:\n").nth(1).expect("paths");
    let paths = paths.split("\ncomponents:\n").next().expect("their end");
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for line in paths.lines() {
        let name = line.trim().trim_end_matches(':');
        match line.len() - line.trim_start().len() {
            2 => found.push((name.to_owned(), Vec::new())),
            4 => found
                .last_mut()
                .expect("a path before")
                .1
                .push(name.to_uppercase()),
            _ => {}
        }
    }
    found
}

#[test]
fn every_route_is_described_and_every_description_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]).ready();
    let described = described();
    assert!(described.len() > 10, "{described:?}");
    for (path, methods) in &described {
        let concrete = path.replace("{id}", "none").replace("{picture_id}", "none");
        for method in ["GET", "PUT", "POST", "PATCH", "DELETE"] {
            let answer = server.ask(method, &concrete, &[], b"");
            let served = answer.status != 405;
            assert_eq!(
                served,
                methods.iter().any(|one| one == method),
                "{method} {path}: {}",
                answer.status
            );
        }
        let refused = server.ask("TRACE", &concrete, &[], b"");
        let allow = refused.header("allow").expect("a 405 says what is served");
        let mut allowed: Vec<&str> = allow.split(',').filter(|method| *method != "HEAD").collect();
        let mut methods: Vec<&str> = methods.iter().map(String::as_str).collect();
        allowed.sort_unstable();
        methods.sort_unstable();
        assert_eq!(allowed, methods, "{path}");
    }
    let routes = include_str!("../../src/http/mod.rs").matches(".route(").count();
    assert_eq!(routes, described.len(), "a route is not described");
}

#[test]
fn every_code_is_described_and_no_other() {
    let text = include_str!("../../openapi.yaml");
    let list = text.split("enum: [invalid_request").nth(1).expect("the codes");
    let list = format!("invalid_request{}", list.split(']').next().unwrap());
    let described: Vec<&str> = list.split(',').map(str::trim).collect();
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(described, codes);
}

/// Every `example:` of a media type, by the operation before it; the components' one by none.
fn examples() -> Vec<(String, String)> {
    let text = include_str!("../../openapi.yaml");
    let mut operation = String::new();
    let mut found: Vec<(String, String)> = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let depth = |line: &str| line.len() - line.trim_start().len();
        if line == "components:" {
            operation.clear();
        } else if let Some(name) = line.strip_prefix("      operationId: ") {
            name.clone_into(&mut operation);
        } else if line.trim() == "example:" {
            let mut example = String::new();
            while let Some(next) = lines.next_if(|next| depth(next) > depth(line)) {
                example.push_str(next);
                example.push('\n');
            }
            found.push((operation.clone(), example));
        }
    }
    found
}

#[test]
fn every_example_is_a_real_answer() {
    let folder = catalogue(2000, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    let png = test_png(0);
    let search = |path: &str| server.post(path, "image/png", &png);
    let liked = br#"{"positive": ["fashion-mnist-train-0"], "k": 1}"#;
    let examples = examples();
    for (operation, example) in &examples {
        let answer = match operation.as_str() {
            "embed" => search("/v1/embeddings"),
            "search" => search("/v1/search?k=1"),
            "recommend" => server.post("/v1/recommend", "application/json", liked),
            "listProducts" => server.get("/v1/products?limit=1"),
            "getProduct" => server.get("/v1/products/fashion-mnist-train-0"),
            "similarProducts" => server.get("/v1/products/fashion-mnist-train-0/similar?k=1"),
            "model" => server.get("/v1/model"),
            "stats" => server.get("/v1/stats"),
            "" => search("/v1/search?k=101"),
            other => panic!("no request is known for the example of {other}"),
        };
        let found = String::from_utf8(answer.body).unwrap();
        if let Err(difference) = matching::json(example, &found) {
            panic!("the example of {operation:?}: {difference}\n{found}");
        }
    }
    assert_eq!(examples.len(), 9);
}
