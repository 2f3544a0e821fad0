//! The description of the interface in the hands of others: a generated client that works as a shop does, and a fuzzer
//! that asks everything in every way. `make test` installs both (scripts/clients.sh).

use std::path::{Path, PathBuf};
use std::process::Command;

use image::{GrayImage, ImageFormat};

use crate::server::{Server, run};
use crate::support::{dataset, pictures};

fn tool(name: &str) -> Command {
    let path = root().join("target/tools/clients/bin").join(name);
    assert!(
        path.exists(),
        "{} is missing; `make test`, or scripts/clients.sh alone, installs it",
        path.display()
    );
    Command::new(path)
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Runs to the end; gives what was printed, and fails with it.
fn ran(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{command:?}: {said}");
    said
}

#[test]
fn a_generated_client_works_as_a_shop_does() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let client = folder.path().join("client");
    let queries = folder.path().join("pictures");
    std::fs::create_dir(&queries).unwrap();
    for (number, picture) in pictures("t10k", 6).iter().enumerate() {
        let pixels = picture.pixels().iter().copied().collect();
        let file = GrayImage::from_raw(28, 28, pixels).unwrap();
        let path = queries.join(format!("product-{number}.png"));
        file.save_with_format(path, ImageFormat::Png).unwrap();
    }
    let clients = root().join("tests/clients");
    let generated = ran(tool("openapi-python-client")
        .arg("generate")
        .args([Path::new("--path"), &root().join("openapi.yaml")])
        .args([Path::new("--config"), &clients.join("generator.yaml")])
        .args([Path::new("--output-path"), &client]));
    assert!(!generated.contains("will not be generated"), "{generated}");
    let server = Server::start(&data, &[]).ready();
    let said = ran(tool("python")
        .arg(clients.join("shop.py"))
        .arg(format!("http://{}", server.address()))
        .arg(&queries)
        .env("PYTHONPATH", &client));
    assert!(said.contains("6 products searched"), "{said}");
}

#[test]
fn a_fuzzer_finds_nothing_that_the_description_does_not_say() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let imported = run(&[
        "import",
        dataset().to_str().unwrap(),
        "--data-dir",
        data.to_str().unwrap(),
        "--limit",
        "120",
    ]);
    assert!(imported.status.success());
    let server = Server::start(&data, &[]).ready();
    let url = format!("http://{}", server.address());
    let clients = root().join("tests/clients");
    let examples = std::env::var("SPIKELENS_FUZZ_EXAMPLES").unwrap_or_else(|_| "10".to_owned());
    let seed = std::env::var("SPIKELENS_FUZZ_SEED").unwrap_or_else(|_| "1".to_owned());
    let said = ran(tool("schemathesis")
        .arg("--config-file")
        .arg(clients.join("schemathesis.toml"))
        .args(["run", &format!("{url}/openapi.yaml"), "--checks", "all"])
        .args(["--max-examples", &examples, "--seed", &seed])
        .args(["--continue-on-failure", "--request-timeout", "10", "--no-color"])
        .current_dir(folder.path())
        .env("SPIKELENS_URL", &url)
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("PYTHONPATH", &clients)
        .env("PYTHONDONTWRITEBYTECODE", "1"));
    // The description itself is not asked for once more.
    let described = include_str!("../../openapi.yaml")
        .matches("\n      operationId:")
        .count()
        - 1;
    assert!(said.contains(&format!("Tested: {described}")), "{said}");
    assert!(server.get("/readyz").status == 200);
}
