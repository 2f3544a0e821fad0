//! A condition on a product's id.

use serde_json::Value;

use super::condition::{FilterError, MOST_VALUES};

/// The products with these ids, or all others. Ids are in order, each once.
#[derive(Debug, Clone, PartialEq)]
pub enum Ids {
    Among(Vec<String>),
    NotAmong(Vec<String>),
}

impl Ids {
    /// Whether a product with this id passes.
    #[must_use]
    pub fn hold(&self, id: &str) -> bool {
        let has = |ids: &[String]| ids.binary_search_by(|other| other.as_str().cmp(id)).is_ok();
        match self {
            Self::Among(ids) => has(ids),
            Self::NotAmong(ids) => !has(ids),
        }
    }

    /// The ids that it names.
    #[must_use]
    pub fn named(&self) -> &[String] {
        let (Self::Among(ids) | Self::NotAmong(ids)) = self;
        ids
    }

    /// Parses an id, `{"in": [...]}` or `{"not": ...}` of either.
    pub(super) fn parse(value: &Value, path: &str) -> Result<Self, FilterError> {
        if let Some(("not", operand)) = operator(value) {
            return Ok(Self::NotAmong(ids(operand, &format!("{path}.not"))?));
        }
        Ok(Self::Among(ids(value, path)?))
    }
}

/// The only operator of a condition.
fn operator(value: &Value) -> Option<(&str, &Value)> {
    let operators = value.as_object().filter(|operators| operators.len() == 1)?;
    let (operator, operand) = operators.iter().next()?;
    Some((operator, operand))
}

fn ids(value: &Value, path: &str) -> Result<Vec<String>, FilterError> {
    let refuse = |path: &str, reason: String| {
        Err(FilterError {
            path: path.to_owned(),
            reason,
        })
    };
    if let Value::String(id) = value {
        return Ok(vec![id.clone()]);
    }
    let Some(("in", listed)) = operator(value) else {
        let reason = "must be a product's id, {\"in\": [ids]} or {\"not\": {\"in\": [ids]}}";
        return refuse(path, reason.to_owned());
    };
    let path = format!("{path}.in");
    let ids: Option<Vec<String>> = listed.as_array().and_then(|ids| {
        let ids = ids.iter().map(|id| id.as_str().map(str::to_owned));
        ids.collect()
    });
    let Some(mut ids) = ids else {
        return refuse(&path, "must be a list of product ids".to_owned());
    };
    if ids.len() > MOST_VALUES {
        return refuse(
            &path,
            format!("lists {} values; at most {MOST_VALUES}", ids.len()),
        );
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}
