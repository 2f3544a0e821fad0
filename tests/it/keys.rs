//! API keys: without them the server listens on loopback only; with them it separates readers from writers.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::api::test_png;
use crate::server::{Server, run};

const READ: (&str, &str) = ("authorization", "Bearer reader-0123456789");
const WRITE: (&str, &str) = ("authorization", "bearer writer-0123456789");

#[test]
fn a_key_opens_what_its_role_may_and_the_file_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    std::fs::write(
        &file,
        "# the shop\nread reader-0123456789 shop front\nwrite writer-0123456789 back office\n",
    )
    .unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data, &["--api-keys", file.to_str().unwrap()]).ready();
    for path in ["/healthz", "/readyz", "/openapi.yaml"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    let none = server.get("/v1/model");
    assert_eq!(none.problem(), (401, "unauthorized".to_owned()));
    assert_eq!(none.header("www-authenticate"), Some("Bearer"));
    for wrong in ["Bearer nonsense", "Basic reader-0123456789", "Bearer", "Bearer "] {
        let answer = server.ask("GET", "/v1/model", &[("authorization", wrong)], b"");
        assert_eq!(answer.problem().0, 401, "{wrong}");
    }
    // Without a key, the answer does not reveal which routes and products exist.
    assert_eq!(server.get("/nowhere").problem().0, 401);
    assert_eq!(server.ask("GET", "/nowhere", &[READ], b"").problem().0, 404);
    // Requests that may write need a write key, even for products that do not exist.
    for (method, path, with_write) in [
        ("POST", "/nowhere", 404),
        ("DELETE", "/v1/model", 405),
        ("POST", "/healthz", 405),
        ("PUT", "/v1/search", 405),
    ] {
        assert_eq!(server.ask(method, path, &[], b"").problem().0, 401, "{path}");
        assert_eq!(server.ask(method, path, &[READ], b"").problem().0, 403, "{path}");
        let answer = server.ask(method, path, &[WRITE], b"");
        assert_eq!(answer.problem().0, with_write, "{path}");
        assert_eq!(answer.header("allow").is_some(), with_write == 405, "{path}");
    }
    assert_eq!(server.ask("GET", "/v1/search", &[READ], b"").problem().0, 405);

    let png = test_png(0);
    let kind = ("content-type", "image/png");
    let put = |key| server.ask("PUT", "/v1/products/a", &[key, kind], &png);
    assert_eq!(put(READ).problem(), (403, "forbidden".to_owned()));
    assert_eq!(put(WRITE).status, 201);
    assert_eq!(
        server.ask("DELETE", "/v1/products/a", &[READ], b"").problem().0,
        403
    );
    assert_eq!(server.ask("POST", "/v1/search", &[READ, kind], &png).status, 200);
    assert_eq!(server.ask("GET", "/metrics", &[READ], b"").status, 200);

    std::fs::write(&file, "read another-0123456789 shop front\n").unwrap();
    let id = server.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-HUP", &id])
            .status()
            .unwrap()
            .success()
    );
    let start = Instant::now();
    while server.ask("GET", "/v1/model", &[READ], b"").status != 401 {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "the old key still opens"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let another = ("authorization", "Bearer another-0123456789");
    assert_eq!(server.ask("GET", "/v1/model", &[another], b"").status, 200);
}

#[test]
fn a_server_without_keys_listens_on_loopback_only_unless_no_auth_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let refused = run(&["serve", "--listen", "0.0.0.0:0", "--data-dir", data]);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        said.contains("--api-keys") && said.contains("--no-auth"),
        "{said}"
    );
    let missing = run(&["serve", "--data-dir", data, "--api-keys", "/nowhere/keys"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(
        String::from_utf8(missing.stderr)
            .unwrap()
            .contains("/nowhere/keys")
    );
}
