//! JSON of clients, read only as far as its limits. In: the text of an object or of one value. Out: the members of the
//! object as text, which takes no memory; a [`Value`] that is known to be small.
//!
//! A [`Value`] takes up to 100 times the memory of its text, and keeps the last of two members of one name. So a body is
//! never made into one as a whole, and a name that is given twice is refused.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::{self, Formatter};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};
use thiserror::Error;

/// Bytes of the text of one value: more than any filter, embedding or list of ids has.
pub const LONGEST: usize = 128 << 10;

/// Members of an object that are read; no request knows as many.
pub const MOST_MEMBERS: usize = 64;

/// What the values of one text may take in memory, by the estimates below.
pub const MOST_MEMORY: usize = 4 << 20;
/// An object: a node of a tree.
const OBJECT: usize = 640;
/// A member of an object, beside its value; some nodes are half empty.
const MEMBER: usize = 128;
/// Any value, with the least that an allocation takes.
const VALUE: usize = 48;

/// Why a text is not read, as the end of a sentence about it.
#[derive(Debug, Error)]
pub enum JsonError {
    #[error("is not JSON: {0}")]
    Syntax(#[from] serde_json::Error),
    #[error("must be a JSON object")]
    NotAnObject,
    #[error("has {bytes} bytes; at most {most} are read")]
    TooLong { bytes: usize, most: usize },
    #[error("has over {MOST_MEMBERS} members, more than are known")]
    TooManyMembers,
    #[error("has too many values; as JSON in memory they would take more than {MOST_MEMORY} bytes")]
    TooMany,
    #[error("gives {name:?} twice")]
    Twice { name: String },
}

/// The members of an object in their order, repeated ones included, each as its text.
///
/// # Errors
/// [`JsonError::Syntax`], [`JsonError::NotAnObject`] or [`JsonError::TooManyMembers`], beyond which the text is not read.
pub fn members(text: &[u8]) -> Result<Vec<(Cow<'_, str>, &RawValue)>, JsonError> {
    struct Members<'r>(&'r Reading);

    impl<'de> Visitor<'de> for Members<'_> {
        type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

        fn expecting(&self, out: &mut Formatter<'_>) -> fmt::Result {
            out.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(Text(name)) = map.next_key_seed(AsText)? {
                if members.len() == MOST_MEMBERS {
                    return Err(self.0.refuse(JsonError::TooManyMembers));
                }
                members.push((name, map.next_value()?));
            }
            Ok(members)
        }
    }

    let reading = Reading::default();
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let members = deserializer.deserialize_map(Members(&reading));
    let members = members.map_err(|error| match error.classify() {
        Category::Data => reading.refused.take().unwrap_or(JsonError::NotAnObject),
        _ => JsonError::Syntax(error),
    })?;
    deserializer.end()?;
    Ok(members)
}

/// The value that a text of at most `most` bytes stands for.
///
/// # Errors
/// Says why the text is not read; of two members of one name, and where values would take too much memory, at the place
/// where that is found.
pub fn value(text: &str, most: usize) -> Result<Value, JsonError> {
    let bytes = text.len();
    if bytes > most {
        return Err(JsonError::TooLong { bytes, most });
    }
    let reading = Reading::default();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Bounded(&reading).deserialize(&mut deserializer);
    let value = value.map_err(|error| reading.refused.take().unwrap_or(JsonError::Syntax(error)))?;
    deserializer.end()?;
    Ok(value)
}

/// The text that a JSON string stands for, borrowed where it has no escapes; `None` for any other value.
///
/// # Errors
/// [`JsonError::Syntax`] for an escape that is none.
pub fn string(text: &str) -> Result<Option<Cow<'_, str>>, JsonError> {
    if !text.starts_with('"') {
        return Ok(None);
    }
    let Text(string) = AsText.deserialize(&mut serde_json::Deserializer::from_str(text))?;
    Ok(Some(string))
}

/// The texts of the first values of a JSON list, at most `most`, and how many it has; `None` for any other value.
///
/// # Errors
/// [`JsonError::Syntax`].
pub fn list(text: &str, most: usize) -> Result<Option<(Vec<&RawValue>, usize)>, JsonError> {
    struct List(usize);

    impl<'de> Visitor<'de> for List {
        type Value = (Vec<&'de RawValue>, usize);

        fn expecting(&self, out: &mut Formatter<'_>) -> fmt::Result {
            out.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let (mut values, mut count) = (Vec::new(), 0);
            while let Some(value) = list.next_element()? {
                count += 1;
                if count <= self.0 {
                    values.push(value);
                }
            }
            Ok((values, count))
        }
    }

    if !text.starts_with('[') {
        return Ok(None);
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Ok(Some(deserializer.deserialize_seq(List(most))?))
}

/// What is known so far of a text that is being read.
#[derive(Default)]
struct Reading {
    memory: RefCell<usize>,
    refused: RefCell<Option<JsonError>>,
}

impl Reading {
    fn spend<E: serde::de::Error>(&self, memory: usize) -> Result<(), E> {
        let mut spent = self.memory.borrow_mut();
        *spent += memory;
        match *spent > MOST_MEMORY {
            true => Err(self.refuse(JsonError::TooMany)),
            false => Ok(()),
        }
    }

    /// Keeps the reason, for which the deserializer's errors have no room.
    fn refuse<E: serde::de::Error>(&self, reason: JsonError) -> E {
        let error = E::custom(&reason);
        self.refused.replace(Some(reason));
        error
    }
}

/// A [`Value`] within the limits.
#[derive(Clone, Copy)]
struct Bounded<'r>(&'r Reading);

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.0.spend(VALUE)?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;

    fn expecting(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("a number is not finite"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.0.spend(value.len())?;
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(self)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        self.0.spend(OBJECT)?;
        let mut members = Map::new();
        while let Some(Text(name)) = map.next_key_seed(AsText)? {
            self.0.spend(MEMBER + name.len())?;
            if members.contains_key(&*name) {
                let name = name.chars().take(100).collect();
                return Err(self.0.refuse(JsonError::Twice { name }));
            }
            members.insert(name.into_owned(), map.next_value_seed(self)?);
        }
        Ok(Value::Object(members))
    }
}

/// A string that is borrowed where it has no escapes.
struct Text<'a>(Cow<'a, str>);

struct AsText;

impl<'de> DeserializeSeed<'de> for AsText {
    type Value = Text<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Text<'de>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for AsText {
    type Value = Text<'de>;

    fn expecting(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(text.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(text.to_owned().into()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn refused<T: std::fmt::Debug>(result: Result<T, JsonError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn members_are_texts_in_their_order() {
        let members = members(br#" {"a": [1, {"b": 2}] , "a":"x\ny", "\u0063" : null} "#).unwrap();
        let members: Vec<_> = members
            .iter()
            .map(|(name, value)| (&**name, value.get()))
            .collect();
        assert_eq!(
            members,
            [("a", r#"[1, {"b": 2}]"#), ("a", r#""x\ny""#), ("c", "null")]
        );
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for (text, expected) in [
            (&b"[]"[..], "must be a JSON object"),
            (b"3", "must be a JSON object"),
            (b"", "is not JSON: EOF"),
            (b"{\"a\": 1", "is not JSON: EOF"),
            (b"{\"a\": 1} x", "is not JSON: trailing characters"),
            (b"{\"a\": \"\xff\"}", "is not JSON: invalid unicode"),
        ] {
            let refusal = refused(members(text));
            assert!(refusal.starts_with(expected), "{refusal}");
        }
    }

    #[test]
    fn an_object_is_read_no_further_than_any_request_goes() {
        let many: String = (0..1000).map(|n| format!("\"{n}\": 0, ")).collect();
        let refusal = refused(members(format!("{{{many}").as_bytes()));
        assert_eq!(refusal, "has over 64 members, more than are known");
    }

    #[test]
    fn a_value_that_would_take_much_memory_is_refused() {
        let objects = format!("[{}0]", "{\"\": 0},".repeat(5000));
        assert!(refused(value(&objects, LONGEST)).starts_with("has too many values"));
        let numbers = format!("[{}0]", "0,".repeat(100_000));
        assert_eq!(
            refused(value(&numbers, LONGEST)),
            "has 200003 bytes; at most 131072 are read"
        );
        assert!(refused(value(&numbers, usize::MAX)).starts_with("has too many values"));
        let deep = "[".repeat(LONGEST);
        assert!(refused(value(&deep, LONGEST)).starts_with("is not JSON: recursion limit"));
        // As many values as the largest filter, and an embedding of 16,384 values.
        let filter =
            json!({"a": {"in": (0..1000).collect::<Vec<_>>()}, "b": {"in": vec!["x".repeat(50); 1000]}});
        assert_eq!(value(&filter.to_string(), LONGEST).unwrap(), filter);
        let embedding = json!(vec![12345; 16_384]);
        assert_eq!(value(&embedding.to_string(), LONGEST).unwrap(), embedding);
    }

    #[test]
    fn a_name_that_is_given_twice_is_refused_at_any_depth() {
        for (text, name) in [
            (r#"{"a": 1, "b": 2, "a": 1}"#, "a"),
            (r#"{"a": [{"x y": {}, "x\u0020y": {}}]}"#, "x y"),
        ] {
            assert_eq!(refused(value(text, LONGEST)), format!("gives {name:?} twice"));
        }
        let apart = r#"[{"a": {"a": 1}}, {"a": 2}]"#;
        assert_eq!(value(apart, LONGEST).unwrap(), json!([{"a": {"a": 1}}, {"a": 2}]));
    }

    #[test]
    fn strings_and_lists_are_read_without_their_rest() {
        assert!(matches!(string(r#""abc""#), Ok(Some(Cow::Borrowed("abc")))));
        assert_eq!(string(r#""a\/b""#).unwrap().unwrap(), "a/b");
        assert_eq!(string("3").unwrap(), None);
        assert!(string(r#""\ud800""#).is_err());
        let (values, count) = list("[1, [2], 3]", 2).unwrap().unwrap();
        let values: Vec<_> = values.iter().map(|value| value.get()).collect();
        assert_eq!((values, count), (vec!["1", "[2]"], 3));
        assert!(list("{}", 2).unwrap().is_none());
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::hash_map(any::<String>(), inner, 0..8)
                    .prop_map(|map| Value::from(map.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_small_value_is_what_serde_json_reads(expected in any_value()) {
            for text in [expected.to_string(), serde_json::to_string_pretty(&expected).unwrap()] {
                prop_assert_eq!(&value(&text, usize::MAX).unwrap(), &serde_json::from_str::<Value>(&text).unwrap());
            }
        }

        #[test]
        fn no_text_panics(text in r#"[\[\]{}:,"\\ua0-9.\-eE ]{0,60}"#) {
            let plain = serde_json::from_str::<Value>(&text);
            match value(&text, usize::MAX) {
                Ok(value) => prop_assert_eq!(value, plain.unwrap()),
                Err(JsonError::Twice { .. }) => prop_assert!(plain.is_ok()),
                Err(_) => prop_assert!(plain.is_err()),
            }
            let _ = (members(text.as_bytes()), string(&text), list(&text, 3));
        }
    }
}
