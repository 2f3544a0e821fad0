//! What manifests cannot say about the sources: the engine's modules import leftward only and touch no files, clock,
//! environment or async; files do not import each other in circles; `unsafe` is in the kernels alone; no file is long.

mod circles;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use circles::{circles, words};

/// The packages, by the folder of their sources.
const PACKAGES: [&str; 3] = ["crates/engine/src", "crates/lab/src", "src"];

/// The modules of the engine and of the server, from left to right. Modules of one rank may not import each other.
const ENGINE: &[&[&str]] = &[
    &["parallel", "text"],
    &["picture"],
    &["network"],
    &["chip"],
    &["emulator"],
    &["embedding"],
    &["model"],
    &["neighbours"],
];
const SERVER: &[&[&str]] = &[
    &["budget", "json"],
    &["admission", "progress"],
    &["catalogue"],
    &["chips"],
    &["service"],
    &["http"],
    &["cli"],
];

/// What the engine may not touch.
const IMPURE: [&str; 7] = [
    "tokio",
    "std::fs",
    "std::env",
    "std::time",
    "std::net",
    "rand::rng",
    "thread_rng",
];

/// hnsw_rs writes and reads a graph in a directory of its own; nothing else in the engine knows files.
const READS_FILES: &str = "neighbours/graph.rs";

/// Lines that a file may have.
const LINE_LIMIT: usize = 500;

/// One source file: its path below the sources of its package, and its text.
struct Source {
    path: String,
    text: String,
}

fn sources(package: &str) -> Vec<Source> {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(package);
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    paths.sort();
    let read = |path: &PathBuf| Source {
        path: path.strip_prefix(&root).unwrap().display().to_string(),
        text: std::fs::read_to_string(path).unwrap(),
    };
    paths.iter().map(read).collect()
}

/// The modules below `crate` that a file names, in braces too.
fn modules_named(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let outer = code[..at].chars().next_back();
        if !outer.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            let tree = circles::leaves(&code[at..]);
            found.extend(tree.into_iter().filter_map(|path| path.get(1).cloned()));
        }
    }
    found
}

/// Imports that do not go leftward.
fn rightward(order: &[&[&str]], source: &Source, code: &str) -> Vec<String> {
    let rank = |module: &str| order.iter().position(|rank| rank.contains(&module));
    let file = &source.path;
    let own_name = file.split('/').next().unwrap().trim_end_matches(".rs");
    let own = rank(own_name).unwrap_or_else(|| panic!("{file}: the module `{own_name}` has no rank"));
    let mut found = Vec::new();
    for imported in modules_named(code) {
        match rank(&imported) {
            None => found.push(format!("{file}: the module `{imported}` has no rank")),
            Some(other) if other > own || (other == own && imported != own_name) => {
                found.push(format!(
                    "{file}: `{own_name}` imports `{imported}`, which is not left of it"
                ));
            }
            Some(_) => {}
        }
    }
    found
}

/// What the engine may not touch and does.
fn impure(source: &Source, code: &str) -> Vec<String> {
    IMPURE
        .iter()
        .filter(|word| code.contains(*word) && source.path != READS_FILES)
        .map(|word| format!("{}: the engine may not use `{word}`", source.path))
        .collect()
}

/// `unsafe` outside of the kernels, and files that are too long.
fn unsafe_or_long(source: &Source, code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let kernel = ["emulator/kernel/", "neighbours/kernel"]
        .iter()
        .any(|kernel| source.path.starts_with(kernel));
    if !kernel && words(code).any(|word| word == "unsafe") {
        found.push(format!(
            "{}: `unsafe` is allowed in the kernels alone",
            source.path
        ));
    }
    let lines = source.text.lines().count();
    if lines > LINE_LIMIT {
        found.push(format!(
            "{}: {lines} lines, the limit is {LINE_LIMIT}",
            source.path
        ));
    }
    found
}

fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

#[test]
fn sources_keep_the_rules() {
    let mut found = Vec::new();
    let mut files = 0;
    for package in PACKAGES {
        for source in sources(package) {
            files += 1;
            let code = circles::code(&source.text);
            let mut broken = unsafe_or_long(&source, &code);
            let root = ["lib.rs", "main.rs"].contains(&source.path.as_str());
            if !root && !is_test(&source.path) {
                match package {
                    "crates/engine/src" => {
                        broken.extend(rightward(ENGINE, &source, &code));
                        broken.extend(impure(&source, &code));
                    }
                    "src" => broken.extend(rightward(SERVER, &source, &code)),
                    _ => {}
                }
            }
            found.extend(broken.into_iter().map(|rule| format!("{package}/{rule}")));
        }
    }
    assert!(files > 100, "the sources were not found");
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn files_do_not_import_each_other_in_circles() {
    let mut found = Vec::new();
    for package in PACKAGES {
        let files: Vec<(String, String)> = sources(package)
            .into_iter()
            .filter(|source| !is_test(&source.path))
            .map(|source| (source.path, source.text))
            .collect();
        for circle in circles(&files) {
            found.push(format!("{package}: {}", circle.join(" -> ")));
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn the_checks_find_what_breaks_the_rules() {
    let source = |path: &str, text: &str| Source {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    let check = |path: &str, text: &str| {
        let source = source(path, text);
        let code = circles::code(text);
        let order = if rank_is_of_server(path) { SERVER } else { ENGINE };
        let mut found = rightward(order, &source, &code);
        if order == ENGINE {
            found.extend(impure(&source, &code));
        }
        found.extend(unsafe_or_long(&source, &code));
        found
    };
    let cases = [
        ("network/mod.rs", "use crate::chip::cost;", "imports `chip`"),
        (
            "emulator/mod.rs",
            "use crate::{picture::Picture, neighbours::{a, b}, network};",
            "imports `neighbours`",
        ),
        (
            "service/mod.rs",
            "fn f() { crate::http::serve() }",
            "imports `http`",
        ),
        (
            "chip/cost.rs",
            "fn now() { std::time::Instant::now(); }",
            "std::time",
        ),
        ("service/mod.rs", "fn f() { unsafe { } }", "unsafe"),
        (
            "picture/mod.rs",
            "#[cfg(test)]\nmod tests;\nuse crate::network::A;",
            "imports `network`",
        ),
        ("cli/mod.rs", &"\n".repeat(LINE_LIMIT + 1), "lines"),
    ];
    for (path, text, expected) in cases {
        let found = check(path, text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].contains(expected), "{text}: {found:?}");
    }
    for (path, text) in [
        ("cli/mod.rs", "use crate::{http, service};\n// unsafe\n"),
        ("emulator/kernel/avx2.rs", "fn f() { unsafe { } }"),
        ("neighbours/graph.rs", "use std::fs;"),
        (
            "chip/cost.rs",
            "#[cfg(test)]\nmod tests { use std::fs; use crate::emulator::A; }\nfn f() {}",
        ),
    ] {
        assert!(check(path, text).is_empty(), "{text}");
    }
}

fn rank_is_of_server(path: &str) -> bool {
    let module = path.split('/').next().unwrap();
    SERVER.iter().any(|rank| rank.contains(&module))
}

/// The packages that a build of the program depends on, without its tests and examples.
fn dependencies(options: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--edges", "normal"])
        .args(["--prefix", "none"])
        .args(options)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let tree = String::from_utf8(output.stdout).unwrap();
    assert!(tree.contains("hnsw_rs"), "{tree}");
    tree
}

#[test]
fn the_default_build_holds_no_training_library() {
    let tree = dependencies(&[]);
    assert!(tree.contains("spikelens-lab"), "{tree}");
    for library in ["burn", "candle", "tch", "cubecl"] {
        let found = tree.lines().find(|line| line.starts_with(library));
        assert_eq!(found, None);
    }
}

#[test]
fn a_build_without_features_holds_no_laboratory() {
    let tree = dependencies(&["--no-default-features"]);
    let found = tree.lines().find(|line| line.starts_with("spikelens-lab"));
    assert_eq!(found, None);
}
