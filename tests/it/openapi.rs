//! The served description against the server, in both directions: every route and method, every code.

use spikelens::http::problem::Code;

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
