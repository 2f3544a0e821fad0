//! Circles of imports between the files of one package.
//!
//! In: paths and texts of its files. Out: each circle, as the files on it. A file imports another if it names something
//! of it by a path that begins with `crate`, `self`, `super`, one of its own children or a name that `use` gave to a
//! module. These are not imports: declaring a child with `mod`; a child's item that is only passed on by `pub use` (who
//! takes it from there imports the child); and tests.

use std::collections::{BTreeMap, BTreeSet};

/// The code of a file: without comments, the contents of strings, and items under `#[cfg(test)]`.
pub fn code(text: &str) -> String {
    without_tests(&without_strings_and_comments(text))
}

fn without_strings_and_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = raw_string(rest, out.chars().next_back()) {
            length
        } else if c == '"' {
            out.push_str("\"\"");
            string(rest)
        } else {
            character(rest).unwrap_or_default()
        };
        if skipped == 0 {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            // Lines stay lines.
            out.extend(rest[..skipped].matches('\n').map(|_| '\n'));
            rest = &rest[skipped..];
        }
    }
    out
}

/// The length of the raw string that `text` begins with.
fn raw_string(text: &str, before: Option<char>) -> Option<usize> {
    if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
        return None;
    }
    let hashes = text.strip_prefix("r")?;
    let count = hashes.len() - hashes.trim_start_matches('#').len();
    let inside = hashes[count..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(count));
    Some(count + 2 + inside.find(&end)? + end.len())
}

/// The length of the string that `text` begins with.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of the character literal that `text` begins with; a lifetime is none.
fn character(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('\'')?;
    if inside.starts_with('\\') {
        return Some(inside[2..].find('\'')? + 4);
    }
    let first = inside.chars().next()?.len_utf8();
    inside[first..].starts_with('\'').then_some(first + 2)
}

/// Leaves out each item that stands under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find(MARK) {
        out.push_str(&rest[..at]);
        let item = &rest[at + MARK.len()..];
        let mut depth = 0;
        let mut end = item.len();
        for (at, c) in item.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 1 => {
                    end = at + 1;
                    break;
                }
                '}' => depth -= 1,
                ';' if depth == 0 => {
                    end = at + 1;
                    break;
                }
                _ => {}
            }
        }
        rest = &item[end..];
    }
    out.push_str(rest);
    out
}

/// The words of a text: letters, digits and underscores.
pub fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
}

/// Every path that a tree in the form of a `use` stands for, and the name that it gives to it (`*` for all); the text
/// may go on behind the tree.
fn tree(text: &str) -> (Vec<(Vec<String>, String)>, usize) {
    let bytes = text.as_bytes();
    let mut at = 0;
    let spaces = |at: &mut usize| {
        while bytes.get(*at).is_some_and(u8::is_ascii_whitespace) {
            *at += 1;
        }
    };
    let mut path: Vec<String> = Vec::new();
    loop {
        spaces(&mut at);
        match bytes.get(at) {
            Some(b'{') => {
                at += 1;
                let mut found = Vec::new();
                loop {
                    spaces(&mut at);
                    if at >= bytes.len() || bytes[at] == b'}' {
                        return (found, (at + 1).min(bytes.len()));
                    }
                    let (below, length) = tree(&text[at..]);
                    found.extend(below.into_iter().map(|(below, name)| {
                        let mut whole = path.clone();
                        let own = below.first().is_some_and(|word| word == "self") && !path.is_empty();
                        whole.extend(below.into_iter().skip(usize::from(own)));
                        let name = if name == "self" {
                            whole.last().cloned().unwrap_or(name)
                        } else {
                            name
                        };
                        (whole, name)
                    }));
                    at += length.max(1);
                    spaces(&mut at);
                    if bytes.get(at) == Some(&b',') {
                        at += 1;
                    }
                }
            }
            Some(b'*') => {
                path.push("*".to_owned());
                return (vec![(path, "*".to_owned())], at + 1);
            }
            _ => {}
        }
        let word: String = words(&text[at..]).next().unwrap_or_default().to_owned();
        if word.is_empty() || !text[at..].starts_with(&word) {
            let name = path.last().cloned().unwrap_or_default();
            return (vec![(path, name)], at);
        }
        at += word.len();
        path.push(word);
        let mut next = at;
        spaces(&mut next);
        if text[next..].starts_with("::") {
            at = next + 2;
            continue;
        }
        let mut name = path.last().cloned().unwrap_or_default();
        if text[next..].starts_with("as ") {
            let alias = words(&text[next + 3..]).next().unwrap_or_default();
            at = next + text[next..].find(alias).unwrap_or(0) + alias.len();
            name = alias.to_owned();
        }
        return (vec![(path, name)], at);
    }
}

/// Every path of the tree that `text` begins with.
pub fn leaves(text: &str) -> Vec<Vec<String>> {
    tree(text).0.into_iter().map(|(path, _)| path).collect()
}

type Module = Vec<String>;

fn module_of(path: &str) -> Module {
    let stem = path.trim_end_matches(".rs");
    let stem = stem.strip_suffix("/mod").unwrap_or(stem);
    if ["lib", "main"].contains(&stem) {
        return Vec::new();
    }
    stem.split('/').map(str::to_owned).collect()
}

/// One file, read.
struct File {
    module: Module,
    /// What is passed on: the name, and the path that it stands for, from the package's root.
    passed_on: Vec<(String, Vec<String>)>,
    /// What is used, from the package's root.
    used: BTreeSet<Vec<String>>,
}

fn read(module: Module, text: &str, modules: &BTreeSet<Module>) -> File {
    let code = code(text);
    let absolute = |path: &[String], aliases: &BTreeMap<String, Vec<String>>| -> Option<Vec<String>> {
        let mut base = module.clone();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => {
                base.clear();
                rest = &path[1..];
            }
            "self" => rest = &path[1..],
            "super" => {
                while rest.first().is_some_and(|word| word == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            word => {
                if let Some(known) = aliases.get(word) {
                    base.clone_from(known);
                    rest = &path[1..];
                } else {
                    let mut child = module.clone();
                    child.push(word.to_owned());
                    if !modules.contains(&child) {
                        return None;
                    }
                }
            }
        }
        base.extend(rest.iter().cloned());
        Some(base)
    };
    let mut passed_on = Vec::new();
    let mut used = BTreeSet::new();
    let mut aliases = BTreeMap::new();
    let mut body = String::new();
    let mut rest = code.as_str();
    // `use` declarations first: they give names to modules.
    while let Some(at) = find_use(rest) {
        let (before, declaration) = rest.split_at(at);
        body.push_str(before.trim_end_matches(|c| c != '\n' && c != ';' && c != '}'));
        let public = before
            .rsplit(['\n', ';', '}'])
            .next()
            .is_some_and(|start| start.contains("pub"));
        let (found, length) = tree(&declaration["use ".len()..]);
        for (path, name) in found {
            let Some(path) = absolute(&path, &BTreeMap::new()) else {
                continue;
            };
            if modules.contains(&path) && !path.is_empty() {
                aliases.insert(name, path);
            } else if public {
                passed_on.push((name, path));
            } else {
                used.insert(path);
            }
        }
        rest = &declaration["use ".len() + length..];
    }
    body.push_str(rest);
    // What is passed on and used here too is used.
    for (name, path) in &passed_on {
        if name != "*" && words(&body).any(|word| word == name) {
            used.insert(path.clone());
        }
    }
    let mut at = 0;
    while at < body.len() {
        let rest = &body[at..];
        let word = words(rest).next().unwrap_or_default();
        let Some(start) = rest.find(word).filter(|_| !word.is_empty()) else {
            break;
        };
        let qualified = body[..at + start].trim_end().ends_with("::");
        let end = start + word.len();
        if !qualified && rest[end..].starts_with("::") {
            for path in leaves(&rest[start..]) {
                if let Some(path) = absolute(&path, &aliases) {
                    used.insert(path);
                }
            }
        }
        at += end;
    }
    File {
        module,
        passed_on,
        used,
    }
}

/// Where a `use` declaration begins.
fn find_use(code: &str) -> Option<usize> {
    code.match_indices("use ").map(|(at, _)| at).find(|&at| {
        let before = code[..at].trim_end_matches([' ', '\n']);
        let word = words(before).last().unwrap_or_default();
        before.is_empty()
            || before.ends_with([';', '}', '{', ']', ')'])
            || (before.ends_with("pub") && word == "pub")
    })
}

/// The file in which an item is defined, following what files pass on.
fn target(path: &[String], files: &BTreeMap<Module, File>, depth: usize) -> Option<Module> {
    let own = (0..=path.len())
        .rev()
        .find(|&end| files.contains_key(&path[..end]))?;
    let (module, rest) = path.split_at(own);
    let file = &files[module];
    if let Some(item) = rest.first().filter(|_| depth < 8) {
        for (name, passed) in &file.passed_on {
            if name == item || name == "*" {
                let mut passed = passed.clone();
                if name == "*" {
                    passed.pop();
                    passed.push(item.clone());
                }
                let found = target(&passed, files, depth + 1);
                if name != "*" && found.is_some() {
                    return found;
                }
            }
        }
    }
    Some(module.to_vec())
}

/// Every circle of imports among files, given as `(path, text)`.
pub fn circles(files: &[(String, String)]) -> Vec<Vec<String>> {
    let modules: BTreeSet<Module> = files.iter().map(|(path, _)| module_of(path)).collect();
    let paths: BTreeMap<Module, &str> = files
        .iter()
        .map(|(path, _)| (module_of(path), path.as_str()))
        .collect();
    let read: BTreeMap<Module, File> = files
        .iter()
        .map(|(path, text)| (module_of(path), read(module_of(path), text, &modules)))
        .collect();
    let mut imports: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for file in read.values() {
        let from = paths[&file.module];
        for path in &file.used {
            if let Some(to) = target(path, &read, 0).map(|module| paths[&module])
                && to != from
            {
                imports.entry(from).or_default().insert(to);
            }
        }
    }
    shortest(&imports)
}

/// For each pair of files that import each other, directly or through others, a shortest circle; each circle once.
fn shortest(imports: &BTreeMap<&str, BTreeSet<&str>>) -> Vec<Vec<String>> {
    let mut found: Vec<Vec<String>> = Vec::new();
    let mut seen = BTreeSet::new();
    for &start in imports.keys() {
        let mut before: BTreeMap<&str, &str> = BTreeMap::new();
        let mut queue = std::collections::VecDeque::from([start]);
        while let Some(file) = queue.pop_front() {
            for &next in imports.get(file).into_iter().flatten() {
                if next == start {
                    let mut circle = vec![start.to_owned(), file.to_owned()];
                    let mut at = file;
                    while at != start {
                        at = before[at];
                        circle.push(at.to_owned());
                    }
                    if file == start {
                        circle.pop();
                    }
                    circle.reverse();
                    let set: BTreeSet<String> = circle.iter().cloned().collect();
                    if seen.insert(set) {
                        found.push(circle);
                    }
                    queue.clear();
                    break;
                }
                if let std::collections::btree_map::Entry::Vacant(entry) = before.entry(next) {
                    entry.insert(file);
                    queue.push_back(next);
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let files: Vec<(String, String)> = files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
            .collect();
        circles(&files)
    }

    #[test]
    fn circles_are_found_however_they_are_written() {
        let other = ("b.rs", "use crate::a::A;\npub struct B;");
        for text in [
            "use crate::b::B;",
            "use super::b::B;",
            "use crate::{b::{B, C}, c};",
            "use crate::b;\nfn f() { b::B; }",
            "use crate::b as other;\nfn f() { other::B; }",
            "fn f(b: crate::b::B) {}",
            "#[cfg(test)]\nmod tests { fn f() {} }\nuse crate::b::B;",
            "fn f() { use crate::b::B; }",
        ] {
            assert_eq!(of(&[("a.rs", text), other]), [["a.rs", "b.rs", "a.rs"]], "{text}");
        }
        let three = of(&[
            ("a/mod.rs", "mod one; mod two; pub struct A;"),
            ("a/one.rs", "use super::two::Two; pub struct One;"),
            ("a/two.rs", "use crate::b::B;"),
            ("b.rs", "use crate::a::one::One;"),
        ]);
        assert_eq!(three, [["a/one.rs", "a/two.rs", "b.rs", "a/one.rs"]]);
    }

    #[test]
    fn a_parent_may_not_use_a_child_that_uses_it() {
        let child = ("a/child.rs", "use super::A; pub struct Child(A);");
        for text in [
            "mod child; use child::Child; pub struct A;",
            "mod child; pub struct A; fn f() { child::Child; }",
            "mod child; pub use self::child::Child; pub struct A; fn f(c: Child) {}",
        ] {
            let found = of(&[("a/mod.rs", text), child]);
            assert_eq!(found, [["a/child.rs", "a/mod.rs", "a/child.rs"]], "{text}");
        }
        let passed_on = "mod child; pub use child::Child; pub struct A;";
        assert!(of(&[("a/mod.rs", passed_on), child]).is_empty());
    }

    #[test]
    fn who_takes_what_is_passed_on_imports_where_it_is_defined() {
        let found = of(&[
            ("a/mod.rs", "mod child; pub use child::Child;"),
            ("a/child.rs", "use crate::b::B; pub struct Child;"),
            ("b.rs", "use crate::a::Child; pub struct B;"),
        ]);
        assert_eq!(found, [["a/child.rs", "b.rs", "a/child.rs"]]);
    }

    #[test]
    fn what_is_no_import_makes_no_circle() {
        for text in [
            "// use crate::b::B;",
            "fn f() { \"use crate::b::B;\"; r#\"crate::b::B\"#; '\"'; }",
            "#[cfg(test)]\nmod tests { use crate::b::B; fn f() { '{'; } }",
            "use other::b::B; use std::b;",
            "fn f<'a>(x: &'a str) { x.b::<B>(); }",
        ] {
            let found = of(&[("a.rs", text), ("b.rs", "use crate::a::A;")]);
            assert!(found.is_empty(), "{text}: {found:?}");
        }
    }
}
