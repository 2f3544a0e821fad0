//! Runs every command in the documents and compares its output with the answer that the document shows.
//!
//! Each document has its own directory, with the files that its reader is assumed to have, and its own server, which
//! replaces `127.0.0.1:8080`. A command `spikelens serve ...` stops that server and starts another.

mod blocks;
pub mod matching;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use image::{GrayImage, ImageFormat, Luma};
use serde_json::json;
use tempfile::TempDir;

use crate::server::{Server, run, spikelens};
use crate::support::{dataset, pictures};
use blocks::{Block, Kind, blocks};

/// The server's address in the documents.
const ADDRESS: &str = "127.0.0.1:8080";
/// The most blocks of a document that may be marked as not run.
const MOST_EXEMPT: usize = 4;
/// Training pictures in the documents' catalogue.
const CATALOGUE: &str = "2000";

/// Blocks of the README that are not run, by their beginning, and the reasons.
const README: [(&str, &str); 2] = [
    (
        "make serve",
        "it builds, indexes all pictures and serves; make test runs this very test",
    ),
    (
        "{\n  \"matches\"",
        "it is an answer of the whole catalogue to another photo",
    ),
];

/// A test picture for each photo that the documents name.
const PHOTOS: [(&str, usize); 4] = [("shoe", 0), ("sneaker", 9), ("dress", 13), ("bag", 18)];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A photo like a shop's: a large garment on a white background with margins, as JPEG.
fn photo(index: usize) -> Vec<u8> {
    let picture = &pictures("t10k", index + 1)[index];
    let mut pixels = GrayImage::from_raw(28, 28, picture.pixels().iter().copied().collect()).unwrap();
    imageops::invert(&mut pixels);
    let garment = imageops::resize(&pixels, 448, 448, FilterType::CatmullRom);
    let mut sheet = GrayImage::from_pixel(800, 600, Luma([255]));
    imageops::overlay(&mut sheet, &garment, 176, 76);
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, 90)
        .encode_image(&sheet)
        .unwrap();
    jpeg
}

/// The catalogue that every document starts with, made once.
fn catalogue() -> &'static Path {
    static CATALOGUE_DIR: OnceLock<PathBuf> = OnceLock::new();
    CATALOGUE_DIR.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guides");
        if folder.exists() {
            std::fs::remove_dir_all(&folder).unwrap();
        }
        let dataset = dataset();
        let said = run(&[
            "import",
            dataset.to_str().unwrap(),
            "--data-dir",
            folder.to_str().unwrap(),
            "--limit",
            CATALOGUE,
        ]);
        assert!(said.status.success(), "{said:?}");
        folder
    })
}

/// Prepares the files that a document's reader has before the first command.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::create_dir(path.join("dataset")).unwrap();
    std::os::unix::fs::symlink(dataset(), path.join("dataset/fashion-mnist")).unwrap();
    std::fs::create_dir(path.join("target")).unwrap();
    std::os::unix::fs::symlink(root().join("target/tools"), path.join("target/tools")).unwrap();
    for shared in ["models", "docs", "openapi.yaml", "tests", "benches"] {
        std::os::unix::fs::symlink(root().join(shared), path.join(shared)).unwrap();
    }
    std::fs::create_dir(path.join("photos")).unwrap();
    let mut lines = String::new();
    for (name, index) in PHOTOS {
        let photo = photo(index);
        std::fs::write(path.join(format!("{name}.jpg")), &photo).unwrap();
        std::fs::write(path.join(format!("photos/{name}.jpg")), &photo).unwrap();
        let line = json!({"id": format!("{name}-ndjson"), "title": name, "image": STANDARD.encode(&photo)});
        lines.push_str(&format!("{line}\n"));
    }
    std::fs::write(path.join("products.ndjson"), lines).unwrap();
    let side = image::load_from_memory(&photo(0)).unwrap().fliph();
    side.save_with_format(path.join("side.png"), ImageFormat::Png)
        .unwrap();
    let copied = Command::new("cp")
        .arg("-r")
        .arg(catalogue())
        .arg(path.join("data"))
        .status();
    assert!(copied.unwrap().success());
    folder
}

/// A document whose commands are being run.
struct Reader {
    folder: TempDir,
    server: Option<Server>,
}

impl Reader {
    /// Runs a block; returns its stdout.
    fn follow(&mut self, block: &Block) -> Result<String, String> {
        let mut printed = String::new();
        let mut script = String::new();
        for line in logical_lines(&block.text) {
            if line.starts_with("spikelens serve") {
                printed.push_str(&self.bash(&std::mem::take(&mut script))?);
                self.serve(&line);
            } else {
                script.push_str(&line);
                script.push('\n');
            }
        }
        printed.push_str(&self.bash(&script)?);
        Ok(printed)
    }

    /// Starts the server of a `spikelens serve` command in place of the previous one.
    fn serve(&mut self, line: &str) {
        self.server = None;
        let command = line.split(" #").next().unwrap_or(line);
        let mut data = self.folder.path().join("data");
        let mut arguments = Vec::new();
        let mut words = command.split_whitespace().skip(2);
        while let Some(word) = words.next() {
            match word {
                // On a free port.
                "--listen" => drop(words.next()),
                "--data-dir" => data = self.folder.path().join(words.next().unwrap()),
                _ => arguments.push(word),
            }
        }
        let mut command = spikelens(&[]);
        command.current_dir(self.folder.path());
        self.server = Some(Server::start_by(command, &data, &arguments).ready());
    }

    fn bash(&self, script: &str) -> Result<String, String> {
        if script.trim().is_empty() {
            return Ok(String::new());
        }
        let address = self.server.as_ref().map(|server| server.address().to_string());
        let script = script.replace(ADDRESS, &address.unwrap_or_else(|| "127.0.0.1:1".to_owned()));
        let programs = Path::new(env!("CARGO_BIN_EXE_spikelens")).parent().unwrap();
        let path = format!(
            "{}:{}",
            programs.display(),
            std::env::var("PATH").unwrap_or_default()
        );
        let mut command = Command::new("bash");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SPIKELENS_") {
                command.env_remove(name);
            }
        }
        let output = command
            .args(["-c", &format!("set -euo pipefail\n{script}")])
            .current_dir(self.folder.path())
            .env("PATH", path)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(printed);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("{}: {said}{printed}", output.status))
    }
}

/// Logical lines: a trailing backslash joins a line with the next.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open = String::new();
    for line in text.lines() {
        match line.strip_suffix('\\') {
            Some(start) => open.push_str(start),
            None => {
                open.push_str(line);
                lines.push(std::mem::take(&mut open));
            }
        }
    }
    assert!(open.is_empty(), "the last line is continued: {text}");
    lines
}

/// Runs a document from its first block to its last.
fn follow(name: &str) {
    let document =
        std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut all = blocks(&document);
    if name == "README.md" {
        for block in &mut all {
            if let Some((_, reason)) = README.iter().find(|(start, _)| block.text.starts_with(start)) {
                block.exempt = Some((*reason).to_owned());
            }
        }
    }
    let folder = folder();
    let server = Server::start(&folder.path().join("data"), &[]).ready();
    let mut reader = Reader {
        folder,
        server: Some(server),
    };
    let mut wrong = Vec::new();
    let (mut commands, mut answers, mut exempt) = (0, 0, 0);
    let mut printed = None;
    for block in &all {
        let place = format!("{name}:{}", block.line);
        if let Some(reason) = &block.exempt {
            println!("{place} is not run: {reason}");
            exempt += 1;
            printed = None;
            continue;
        }
        if block.kind == Kind::Sh {
            commands += 1;
            printed = match reader.follow(block) {
                Ok(text) => Some(text),
                Err(error) => {
                    wrong.push(format!("{place} failed, {error}"));
                    None
                }
            };
            continue;
        }
        let Some(printed) = printed.take() else {
            wrong.push(format!("{place} is an answer that no command before it gave"));
            continue;
        };
        answers += 1;
        let same = match block.kind {
            Kind::Json => matching::json(&block.text, &printed),
            _ => matching::text(&block.text, &printed),
        };
        if let Err(error) = same {
            wrong.push(format!("{place}: {error}\nprinted: {printed}"));
        }
    }
    println!("{name}: {commands} blocks of commands run, {answers} answers compared, {exempt} exempt");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(commands > 0, "{name} has no command that could be run");
    assert!(exempt <= MOST_EXEMPT, "{name}: {exempt} blocks are exempt");
}

#[test]
fn the_readme_can_be_followed() {
    follow("README.md");
}

#[test]
fn the_guide_to_the_interface_can_be_followed() {
    follow("docs/http.md");
}

#[test]
fn the_guide_to_models_can_be_followed() {
    follow("docs/models.md");
}

#[test]
fn the_guide_to_tables_can_be_followed() {
    follow("docs/tables.md");
}

#[test]
fn the_guide_to_operations_can_be_followed() {
    follow("docs/operations.md");
}

#[test]
fn the_guide_to_security_can_be_followed() {
    follow("docs/security.md");
}
