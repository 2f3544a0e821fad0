//! The chain of imports: picture, network, chip, train and convert, emulator, embedding, neighbours, catalogue,
//! service, http, config, cli. Modules import leftward only; the core knows no files, clock, environment or async.

use std::path::{Path, PathBuf};

/// Rooms of one rank may not import each other.
const ORDER: [&[&str]; 12] = [
    &["picture"],
    &["network"],
    &["chip"],
    &["train", "convert"],
    &["emulator"],
    &["embedding"],
    &["neighbours"],
    &["catalogue"],
    &["service"],
    &["http"],
    &["config"],
    &["cli"],
];

/// What nothing left of `catalogue` may touch.
const IMPURE: [&str; 7] = [
    "tokio",
    "std::fs",
    "std::env",
    "std::time",
    "std::net",
    "rand::rng",
    "thread_rng",
];

const LONGEST: usize = 500;

fn rank(room: &str) -> Option<usize> {
    ORDER.iter().position(|rooms| rooms.contains(&room))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// The code of a file without comments and without its unit tests.
fn code(text: &str) -> String {
    let tests = text.find("#[cfg(test)]").unwrap_or(text.len());
    let lines = text[..tests]
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// The rooms that a file names as `crate::room`, in braces too.
fn imports(code: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let mut rooms = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => rooms.push(word(rest)),
            Some(group) => {
                let mut depth = 0;
                let mut start = true;
                for (at, c) in group.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        c if start && depth == 0 && !c.is_whitespace() => {
                            rooms.push(word(&group[at..]));
                            start = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    rooms
}

fn violations(room: &str, file: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let code = code(text);
    let own = rank(room).unwrap_or_else(|| panic!("{file}: the room `{room}` is not in the chain"));
    for imported in imports(&code) {
        match rank(&imported) {
            None => found.push(format!("{file}: `crate::{imported}` is not in the chain")),
            Some(other) if other > own || (other == own && imported != room) => {
                found.push(format!(
                    "{file}: `{room}` imports `{imported}`, which is not left of it"
                ));
            }
            Some(_) => {}
        }
    }
    // Unit tests in a file of their own may read the reference bundle.
    let pure = own < rank("catalogue").unwrap() && !file.ends_with("/tests.rs");
    for word in IMPURE.iter().filter(|word| pure && code.contains(*word)) {
        found.push(format!("{file}: `{word}` has no place in the core"));
    }
    let kernels = file.contains("emulator/kernel/") || file.ends_with("neighbours/kernel.rs");
    if !kernels
        && code
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .any(|word| word == "unsafe")
    {
        found.push(format!("{file}: `unsafe` lives in the kernels alone"));
    }
    if text.lines().count() > LONGEST {
        found.push(format!(
            "{file}: {} lines, {LONGEST} are the most",
            text.lines().count()
        ));
    }
    found
}

#[test]
fn modules_import_leftward_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 30, "the sources were not found");
    let mut found = Vec::new();
    for path in files {
        let file = path.strip_prefix(&root).unwrap().display().to_string();
        if ["main.rs", "lib.rs"].contains(&file.as_str()) {
            continue;
        }
        let room = file.split('/').next().unwrap().trim_end_matches(".rs").to_owned();
        found.extend(violations(&room, &file, &std::fs::read_to_string(&path).unwrap()));
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn the_check_itself_sees_what_it_must() {
    let cases = [
        ("network", "use crate::chip::cost;", "imports `chip`"),
        (
            "emulator",
            "use crate::{picture::Picture, service::{a, b}, network};",
            "imports `service`",
        ),
        ("convert", "use crate::train::Report;", "imports `train`"),
        ("chip", "fn now() { std::time::Instant::now(); }", "std::time"),
        ("service", "unsafe { }", "unsafe"),
        ("cli", &"\n".repeat(LONGEST + 1), "lines"),
    ];
    for (room, text, expected) in cases {
        let found = violations(room, "file.rs", text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].contains(expected), "{text}: {found:?}");
    }
    assert!(violations("cli", "file.rs", "use crate::{http, picture};\n// unsafe\n").is_empty());
}

#[test]
fn the_default_build_holds_no_training_library() {
    let output = std::process::Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--offline",
            "--edges",
            "normal",
            "--prefix",
            "none",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let tree = String::from_utf8(output.stdout).unwrap();
    assert!(tree.contains("hnsw_rs"), "{tree}");
    for library in ["burn", "candle", "tch", "cubecl"] {
        let found = tree.lines().find(|line| line.starts_with(library));
        assert_eq!(found, None);
    }
}
