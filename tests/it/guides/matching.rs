//! Compares an answer with what a document shows of it.
//!
//! JSON: every shown key must be there with its value; numbers are compared to the shown digits. `"..."` stands for any
//! value; as the last element of a list for any further elements, and as a key for any further keys, which are errors
//! without it. Values that differ from run to run are compared by type. Text is compared line by line; `...` stands for
//! anything within a line, and on a line of its own for any lines.

use serde_json::Value;

const ANYTHING: &str = "...";
/// Marks a number that is kept with its shown digits; strings in documents do not begin with it.
const NUMBER: char = '\u{1}';
/// Values that differ from run to run.
const BY_TYPE: [&str; 4] = ["created_at", "updated_at", "request_id", "seconds_left"];

/// Compares a sequence of JSON values; the error says where they differ.
pub fn json(shown: &str, found: &str) -> Result<(), String> {
    let shown = values(&with_digits(shown)).map_err(|error| format!("the document's answer: {error}"))?;
    let found = values(found).map_err(|error| format!("what was printed: {error}"))?;
    if shown.len() != found.len() {
        return Err(format!(
            "{} values are shown, {} printed",
            shown.len(),
            found.len()
        ));
    }
    for (shown, found) in shown.iter().zip(&found) {
        value(shown, found, "$")?;
    }
    Ok(())
}

fn values(text: &str) -> Result<Vec<Value>, serde_json::Error> {
    serde_json::Deserializer::from_str(text).into_iter().collect()
}

/// Turns numbers into strings, to keep the number of shown digits.
fn with_digits(json: &str) -> String {
    let mut out = String::new();
    let mut rest = json.chars().peekable();
    while let Some(letter) = rest.next() {
        match letter {
            '"' => {
                out.push(letter);
                while let Some(inner) = rest.next() {
                    out.push(inner);
                    match inner {
                        '\\' => out.extend(rest.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '-' | '0'..='9' => {
                out.push_str("\"\\u0001");
                out.push(letter);
                while let Some(digit) = rest.next_if(|next| next.is_ascii_digit() || "+-.eE".contains(*next))
                {
                    out.push(digit);
                }
                out.push('"');
            }
            _ => out.push(letter),
        }
    }
    out
}

fn value(shown: &Value, found: &Value, path: &str) -> Result<(), String> {
    let differ = || Err(format!("{path}: {} is shown, {found} printed", display(shown)));
    match (shown, found) {
        (Value::String(text), _) if text == ANYTHING => Ok(()),
        (Value::String(text), _) if text.starts_with(NUMBER) => match found.as_f64() {
            Some(number) if same_number(&text[1..], number) => Ok(()),
            _ => differ(),
        },
        (Value::Array(shown), Value::Array(found)) => list(shown, found, path),
        (Value::Object(shown), Value::Object(found)) => {
            for (key, shown) in shown.iter().filter(|(key, _)| *key != ANYTHING) {
                let inner = format!("{path}.{key}");
                let Some(found) = found.get(key) else {
                    return Err(format!("{inner} is shown, and not printed"));
                };
                if BY_TYPE.contains(&key.as_str()) || path.ends_with(".timing") {
                    same_type(shown, found, &inner)?;
                } else {
                    value(shown, found, &inner)?;
                }
            }
            match found.keys().find(|key| !shown.contains_key(*key)) {
                Some(key) if !shown.contains_key(ANYTHING) => {
                    Err(format!("{path}.{key} is printed, and not shown"))
                }
                _ => Ok(()),
            }
        }
        _ if shown == found => Ok(()),
        _ => differ(),
    }
}

fn list(shown: &[Value], found: &[Value], path: &str) -> Result<(), String> {
    let (named, open) = match shown.split_last() {
        Some((last, before)) if last == ANYTHING => (before, true),
        _ => (shown, false),
    };
    if found.len() < named.len() || !open && found.len() > named.len() {
        return Err(format!(
            "{path}: {} elements are shown, {} printed",
            named.len(),
            found.len()
        ));
    }
    for (index, (shown, found)) in named.iter().zip(found).enumerate() {
        value(shown, found, &format!("{path}[{index}]"))?;
    }
    Ok(())
}

fn same_type(shown: &Value, found: &Value, path: &str) -> Result<(), String> {
    let kind = |value: &Value| match value {
        Value::String(text) if text.starts_with(NUMBER) => "number",
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Bool(_) => "boolean",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
        Value::Null => "null",
    };
    if *shown == ANYTHING || kind(shown) == kind(found) {
        return Ok(());
    }
    Err(format!("{path}: a {} is shown, {found} printed", kind(shown)))
}

/// Whether a number, rounded to the shown digits, equals the shown one.
fn same_number(shown: &str, found: f64) -> bool {
    let Ok(number) = shown.parse::<f64>() else {
        return false;
    };
    match shown.split_once('.') {
        None => number == found,
        Some((_, decimals)) => {
            let digits = i32::try_from(decimals.len()).expect("a handful of digits");
            // Half a unit of the last digit, plus the rounding error of the difference.
            (number - found).abs() <= 0.5 * 10_f64.powi(-digits) * (1.0 + 1e-6)
        }
    }
}

fn display(shown: &Value) -> String {
    shown.to_string().replace("\\u0001", "")
}

/// Compares line by line; the error contains the output.
pub fn text(shown: &str, found: &str) -> Result<(), String> {
    let lines = |text: &str| -> Vec<String> {
        text.trim_end()
            .lines()
            .map(|line| line.trim_end().to_owned())
            .collect()
    };
    if same_lines(&lines(shown), &lines(found)) {
        return Ok(());
    }
    Err(format!("it is not what was printed:\n{found}"))
}

fn same_lines(shown: &[String], found: &[String]) -> bool {
    match shown.split_first() {
        None => found.is_empty(),
        Some((line, rest)) if line == ANYTHING => {
            (0..=found.len()).any(|skipped| same_lines(rest, &found[skipped..]))
        }
        Some((line, rest)) => found
            .split_first()
            .is_some_and(|(first, others)| same_line(line, first) && same_lines(rest, others)),
    }
}

fn same_line(shown: &str, found: &str) -> bool {
    let Some((start, rest)) = shown.split_once(ANYTHING) else {
        return shown == found;
    };
    let Some(left) = found.strip_prefix(start) else {
        return false;
    };
    left.char_indices()
        .map(|(at, _)| at)
        .chain([left.len()])
        .any(|at| same_line(rest, &left[at..]))
}

#[test]
fn what_is_shown_is_found() {
    for (shown, found) in [
        (r#"{"a": 1, "b": "x"}"#, r#"{"b": "x", "a": 1}"#),
        (r#"{"a": 2.900}"#, r#"{"a": 2.90049}"#),
        (r#"{"a": -0.25}"#, r#"{"a": -0.2501}"#),
        (r#"{"a": "...", "...": "..."}"#, r#"{"a": [1, 2], "c": 3}"#),
        (r#"[1, "..."]"#, "[1, 2, 3]"),
        (r#"[1, "..."]"#, "[1]"),
        (
            r#"{"timing": {"total_ms": 1.5}}"#,
            r#"{"timing": {"total_ms": 99.25}}"#,
        ),
        (
            r#"{"created_at": "2026-01-01"}"#,
            r#"{"created_at": "2027-02-03"}"#,
        ),
        (r#"{"seconds_left": "..."}"#, r#"{"seconds_left": null}"#),
        (r#"{"a": "1.5 of \"2\""}"#, r#"{"a": "1.5 of \"2\""}"#),
        ("{} {}", "{}\n{}"),
    ] {
        assert_eq!(json(shown, found), Ok(()), "{shown} {found}");
    }
    for (shown, found) in [
        ("a\nb", "a\nb\n"),
        ("a...z\n...\nend", "abcz\n1\n2\nend"),
        ("...", ""),
        ("...: done", "x: 5: done"),
    ] {
        assert_eq!(text(shown, found), Ok(()), "{shown} {found}");
    }
}

#[test]
fn what_is_wrong_is_found_out() {
    for (shown, found, place) in [
        (r#"{"a": 1}"#, r#"{"a": 2}"#, "$.a"),
        (r#"{"a": 1}"#, r#"{"a": 1, "b": 2}"#, "$.b"),
        (r#"{"a": 1, "...": "..."}"#, r#"{"b": 1}"#, "$.a"),
        (r#"{"a": 2.900}"#, r#"{"a": 2.901}"#, "$.a"),
        (r#"{"a": 2}"#, r#"{"a": 2.1}"#, "$.a"),
        (r#"{"a": 2}"#, r#"{"a": "2"}"#, "$.a"),
        (r#"{"a": "2"}"#, r#"{"a": 2}"#, "$.a"),
        (
            r#"{"a": {"b": [{"c": true}]}}"#,
            r#"{"a": {"b": [{"c": false}]}}"#,
            "$.a.b[0].c",
        ),
        ("[1, 2]", "[1, 2, 3]", "$"),
        (r#"[1, 2, "..."]"#, "[1]", "$"),
        (
            r#"{"timing": {"total_ms": 1.5}}"#,
            r#"{"timing": {"total_ms": "1"}}"#,
            "$.timing.total_ms",
        ),
        (
            r#"{"timing": {"total_ms": 1.5}}"#,
            r#"{"timing": {"all_ms": 1}}"#,
            "$.timing.total_ms",
        ),
        ("{}", "{} {}", "1 values"),
        ("{}", "no JSON", "printed"),
        ("{", "{}", "document"),
    ] {
        let error = json(shown, found).expect_err(shown);
        assert!(error.contains(place), "{shown} {found}: {error}");
    }
    for (shown, found) in [
        ("a", "b"),
        ("a", "a\nb"),
        ("a\n...", "b"),
        ("a...c", "ab"),
        ("a\nb", "a"),
    ] {
        assert!(text(shown, found).is_err(), "{shown} {found}");
    }
}
