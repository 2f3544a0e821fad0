//! The API description as other programs use it: generated clients that act as shops, and a fuzzer that sends valid and
//! invalid requests to every route. `make test` installs both (scripts/clients.sh).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

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

/// Runs a command to its end and returns its output; panics with the output if it fails.
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

/// Six pictures as files, in a new folder.
fn write_pictures(queries: &Path) {
    std::fs::create_dir(queries).unwrap();
    for (number, picture) in pictures("t10k", 6).iter().enumerate() {
        let pixels = picture.pixels().iter().copied().collect();
        let file = GrayImage::from_raw(28, 28, pixels).unwrap();
        let path = queries.join(format!("product-{number}.png"));
        file.save_with_format(path, ImageFormat::Png).unwrap();
    }
}

#[test]
fn a_generated_client_works_as_a_shop_does() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let client = folder.path().join("client");
    let queries = folder.path().join("pictures");
    write_pictures(&queries);
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
fn a_generated_typescript_client_works_as_a_shop_does() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let client = folder.path().join("client");
    let queries = folder.path().join("pictures");
    write_pictures(&queries);
    std::fs::create_dir(&client).unwrap();
    for entry in std::fs::read_dir(root().join("tests/clients/typescript")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, client.join(path.file_name().unwrap())).unwrap();
        }
    }
    let installed = root().join("target/tools/clients/typescript/node_modules");
    std::os::unix::fs::symlink(&installed, client.join("node_modules")).unwrap();
    let node = || {
        let mut node = tool("node");
        node.current_dir(&client);
        node
    };
    ran(node()
        .arg("generate.mjs")
        .arg(root().join("openapi.yaml"))
        .arg("api.d.ts"));
    ran(node().args(["node_modules/typescript/bin/tsc", "--project", "."]));
    let server = Server::start(&data, &[]).ready();
    let said = ran(node()
        .arg("built/shop.js")
        .arg(format!("http://{}", server.address()))
        .arg(&queries));
    assert!(said.contains("6 products searched"), "{said}");
    // The compiler knows the API.
    let wrong = r#"import { connect } from "./spikelens.js";
await connect("").POST("/v1/search", { body: { image: new Blob(), k: "ten" } });
const { data } = await connect("").GET("/v1/products/{id}", { params: { path: { id: "a" } } });
console.log(data?.titel);
"#;
    std::fs::write(client.join("wrong.ts"), wrong).unwrap();
    let tsc = ["node_modules/typescript/bin/tsc", "--project", ".", "--noEmit"];
    let output = node().args(tsc).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let number = "Type 'string' is not assignable to type 'number'";
    let title = "Property 'titel' does not exist";
    assert!(
        !output.status.success() && said.contains(number) && said.contains(title),
        "{said}"
    );
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
    // The route of the description itself is left out.
    let described = include_str!("../../openapi.yaml")
        .matches("\n      operationId:")
        .count()
        - 1;
    assert!(said.contains(&format!("Tested: {described}")), "{said}");
    assert!(server.get("/readyz").status == 200);
}

/// A process that is killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The whole answer to a GET; `None` if nothing listens there.
fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nhost: shop\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer).into_owned())
}

#[test]
fn the_stack_s_storefront_shows_what_looks_alike_with_a_key_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let source = dataset();
    let imported = run(&[
        "import",
        source.to_str().unwrap(),
        "--data-dir",
        data.to_str().unwrap(),
        "--limit",
        "60",
    ]);
    assert!(imported.status.success());
    let keys = folder.path().join("keys");
    std::fs::write(&keys, "read 0123456789abcdef storefront\n").unwrap();
    let key = folder.path().join("storefront.key");
    std::fs::write(&key, "0123456789abcdef").unwrap();
    let server = Server::start(&data, &["--api-keys", keys.to_str().unwrap()]).ready();
    // A port that was free just now.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let shop = tool("python")
        .arg(root().join("docker/storefront/storefront.py"))
        .env("SPIKELENS_URL", format!("http://{}", server.address()))
        .env("SPIKELENS_KEY_FILE", &key)
        .env("LISTEN", address.to_string())
        .stderr(std::process::Stdio::null())
        .spawn();
    let _shop = Running(shop.unwrap());
    let start = Instant::now();
    let first = loop {
        if let Some(page) = get(address, "/") {
            break page;
        }
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "the storefront never answers"
        );
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(
        first.contains("200 OK") && first.matches("<img").count() == 40,
        "{first}"
    );
    let alike = get(address, "/products/fashion-mnist-train-0").unwrap();
    assert_eq!(alike.matches("<img").count(), 13, "{alike}");
    assert!(alike.contains("Ankle boot"), "{alike}");
    let picture = get(address, "/pictures/fashion-mnist-train-0/1").unwrap();
    assert!(
        picture.contains("image/png") && picture.contains("PNG"),
        "{picture}"
    );
    assert!(get(address, "/products/none").unwrap().contains("404"));
}

#[test]
fn the_stack_names_files_that_there_are() {
    let check = r#"
import pathlib, sys, yaml
folder = pathlib.Path(sys.argv[1])
stack = yaml.safe_load((folder / "compose.yaml").read_text())
made = {secret["file"] for secret in stack["secrets"].values()}
named = [volume.split(":")[0] for service in stack["services"].values() for volume in service.get("volumes", [])]
paths = [name for name in named if name.startswith(".")]
assert paths and all((folder / name).exists() for name in paths), paths
assert (folder / stack["services"]["spikelens"]["build"]["context"] / stack["services"]["spikelens"]["build"]["dockerfile"]).exists()
for other in folder.rglob("*.yaml"):
    assert yaml.safe_load(other.read_text()), other
print(len(paths), "files of the stack", sorted(made))
"#;
    let said = ran(tool("python").args(["-c", check]).arg(root().join("docker")));
    assert!(said.contains("files of the stack"), "{said}");
}
