//! One map of fields, whichever way a request came, and how types are read from it.
//!
//! This is not serde: its data model would copy the bytes of a picture, and its errors have no room for the path of what
//! is wrong within a field.

use std::sync::Arc;

use axum::body::Bytes;

use crate::catalogue::picture_text::is_meant;
use crate::http::limits::Counted;
use crate::http::problem::Problem;

/// A field's value as it came.
#[derive(Debug, Clone)]
pub enum Field {
    /// A parameter of the query string.
    Text(String),
    /// The text of a field of a JSON body: one value, which its type parses as far as it needs.
    Json(Counted),
    /// A file of a form, or a raw body.
    File(Bytes),
    /// A field of a form that is not a file.
    Plain(Counted),
}

impl Field {
    /// Whether it is the value `null` of a JSON body.
    #[must_use]
    pub fn is_json_null(&self) -> bool {
        matches!(self, Self::Json(text) if text.as_ref() == b"null")
    }
}

/// Why a value is invalid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// The place within the field, with the field's name, where it is not the field as a whole.
    pub path: Option<String>,
    /// What was sent and what would be right.
    pub reason: String,
}

impl From<String> for Invalid {
    fn from(reason: String) -> Self {
        Self { path: None, reason }
    }
}

impl From<&str> for Invalid {
    fn from(reason: &str) -> Self {
        Self::from(reason.to_owned())
    }
}

impl Invalid {
    /// The refusal of a field.
    fn of(self, name: &str) -> Problem {
        Problem::field(self.path.unwrap_or_else(|| name.to_owned()), self.reason)
    }
}

/// A value that is read from one field.
pub trait FromField: Sized {
    /// Reads and checks the value.
    ///
    /// # Errors
    /// Says what was sent and what would be right.
    fn from_field(field: Field) -> Result<Self, Invalid>;

    /// Whether a field is `null`, which is the same as not sending it.
    fn is_null(field: &Field) -> bool {
        field.is_json_null()
    }

    /// The value of a field that was not sent.
    ///
    /// # Errors
    /// Says that the field is required; so does every type that does not override this.
    fn missing() -> Result<Self, Invalid> {
        Err("is missing".into())
    }
}

impl<T: FromField> FromField for Option<T> {
    fn from_field(field: Field) -> Result<Self, Invalid> {
        T::from_field(field).map(Some)
    }

    fn is_null(field: &Field) -> bool {
        T::is_null(field)
    }

    fn missing() -> Result<Self, Invalid> {
        Ok(None)
    }
}

/// A type that is read from several fields: an endpoint's request, or a group of options that endpoints share.
pub trait FromFields: Sized {
    /// Adds the names of its fields to `names`.
    fn names(names: &mut Vec<&'static str>);

    /// Reads and checks its fields.
    ///
    /// # Errors
    /// Names the invalid field.
    fn from_fields(fields: &mut Fields) -> Result<Self, Problem>;
}

/// Declares a struct that is read from the fields of its members' names, then from those of the groups after `..`.
macro_rules! fields {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $name:ident {
            $($(#[$field_attribute:meta])* $field:ident: $type:ty,)*
            $(..$group:ident: $group_type:ty,)*
        }
    ) => {
        $(#[$attribute])*
        #[derive(Debug)]
        $visibility struct $name {
            $($(#[$field_attribute])* pub $field: $type,)*
            $(pub $group: $group_type,)*
        }

        impl $crate::http::request::fields::FromFields for $name {
            fn names(_names: &mut Vec<&'static str>) {
                $(_names.push(stringify!($field));)*
                $(<$group_type as $crate::http::request::fields::FromFields>::names(_names);)*
            }

            fn from_fields(
                _fields: &mut $crate::http::request::fields::Fields,
            ) -> Result<Self, $crate::http::problem::Problem> {
                Ok(Self {
                    $($field: _fields.read(stringify!($field))?,)*
                    $($group: $crate::http::request::fields::FromFields::from_fields(_fields)?,)*
                })
            }
        }
    };
}
pub(super) use fields;

/// The fields of one request by name, all of them known to its endpoint.
#[derive(Debug, Clone)]
pub struct Fields {
    known: Arc<[&'static str]>,
    /// Those of the query before those of the body.
    values: Vec<(&'static str, Field)>,
    /// Names in the place that is being read, the query or the body.
    here: Vec<&'static str>,
}

/// Fields of the body alone: too long for a URL.
const ONLY_IN_BODY: [&str; 1] = ["image"];

impl Fields {
    /// The parameters of a query string, for a route whose options are `known`.
    ///
    /// # Errors
    /// Names a parameter that is unknown, given twice, or a field of the body.
    pub fn of_query(known: Arc<[&'static str]>, query: Option<&str>) -> Result<Self, Problem> {
        let mut fields = Self {
            known,
            values: Vec::new(),
            here: Vec::new(),
        };
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if ONLY_IN_BODY.contains(&name.as_ref()) {
                return Err(Problem::field(name, "is a field of the body, not a parameter"));
            }
            fields.add(&name, Field::Text(value.into_owned()))?;
        }
        fields.here.clear();
        Ok(fields)
    }

    /// Adds a field of the body. It goes before a parameter of the query, so that a client may keep its defaults in the
    /// URL.
    ///
    /// # Errors
    /// Names a field that is unknown or given twice.
    pub fn add(&mut self, name: &str, field: Field) -> Result<(), Problem> {
        let Some(name) = self.known.iter().copied().find(|known| *known == name) else {
            let shown: String = name.chars().take(100).collect();
            return Err(Problem::field(shown, self.unknown(name)));
        };
        if self.here.contains(&name) {
            return Err(Problem::field(name, "is given twice"));
        }
        self.here.push(name);
        self.values.push((name, field));
        Ok(())
    }

    fn unknown(&self, name: &str) -> String {
        if self.known.is_empty() {
            return "is unknown; this request has no options".to_owned();
        }
        let meant = is_meant(name) && self.known.contains(&"image");
        let hint = if meant { "did you mean image? The" } else { "the" };
        format!("is unknown; {hint} known fields are {}", self.known.join(", "))
    }

    /// Takes the value of a field out and checks it; `null` is the same as leaving the field out. A parameter that the body
    /// overrides must be valid, too.
    ///
    /// # Errors
    /// Names the field, or the place within it, that is invalid or missing.
    pub fn read<T: FromField>(&mut self, name: &'static str) -> Result<T, Problem> {
        let last = self.read_each(name)?.pop();
        last.map_or_else(T::missing, Ok)
            .map_err(|invalid| invalid.of(name))
    }

    /// Takes all values of a field out, that of the query first.
    ///
    /// # Errors
    /// Names the field, or the place within it, that is invalid.
    pub fn read_each<T: FromField>(&mut self, name: &'static str) -> Result<Vec<T>, Problem> {
        let sent = self.values.extract_if(.., |(sent, _)| *sent == name);
        let sent = sent.filter(|(_, field)| !T::is_null(field));
        sent.map(|(_, field)| T::from_field(field).map_err(|invalid| invalid.of(name)))
            .collect()
    }
}
