//! A filter as a condition of SQL over `products.facts`.
//!
//! `facts` has each value of an attribute in a list, so that one form asks for a value and for an element of a list. Equality
//! is asked by containment, which the index answers; order by a path. Numbers are compared as PostgreSQL's `numeric`, without
//! loss.

use std::cmp::Ordering;

use serde_json::{Map, Value, json};
use sqlx::{Postgres, QueryBuilder};

use super::text::storable;
use crate::catalogue::filter::{Condition, Filter, Ids, Number, Part, Scalar};

/// Attributes as `facts`: each value in a list.
pub fn facts(attributes: &Map<String, Value>) -> Value {
    let stored = |value: &Value| match value {
        Value::String(text) => Value::String(storable(text).into_owned()),
        // A float's shortest digits may be those of another whole number.
        Value::Number(number) => Number::of(number).to_json(),
        value => value.clone(),
    };
    let facts = attributes.iter().map(|(name, value)| {
        let values = match value {
            Value::Array(values) => values.iter().map(stored).collect(),
            value => vec![stored(value)],
        };
        (storable(name).into_owned(), Value::Array(values))
    });
    Value::Object(facts.collect())
}

/// Adds the condition that the products `p` pass.
pub fn push(sql: &mut QueryBuilder<Postgres>, filter: &Filter) {
    sql.push("(true");
    for part in &filter.parts {
        sql.push(" AND ");
        match part {
            Part::Attribute(name, condition) => push_condition(sql, &storable(name), condition),
            Part::Id(ids) => push_ids(sql, ids),
            Part::Any(filters) => {
                sql.push("(false");
                for filter in filters {
                    sql.push(" OR ");
                    push(sql, filter);
                }
                sql.push(")");
            }
        }
    }
    sql.push(")");
}

fn push_ids(sql: &mut QueryBuilder<Postgres>, ids: &Ids) {
    sql.push(match ids {
        Ids::Among(_) => "(p.id = ANY(",
        Ids::NotAmong(_) => "(NOT p.id = ANY(",
    });
    // No product has an id with this character, which PostgreSQL has not.
    let named = ids.named().iter().filter(|id| !id.contains('\0'));
    sql.push_bind(named.cloned().collect::<Vec<_>>());
    sql.push("))");
}

fn push_condition(sql: &mut QueryBuilder<Postgres>, name: &str, condition: &Condition) {
    match condition {
        Condition::Equals(scalar) => push_contains(sql, name, &value(scalar)),
        Condition::In(values) => {
            sql.push("(false");
            for scalar in values.scalars() {
                sql.push(" OR ");
                push_contains(sql, name, &value(&scalar));
            }
            sql.push(")");
        }
        Condition::Compared(bound, orderings) => {
            // What is of another type is not comparable, and no match.
            let operator = match orderings {
                [Ordering::Greater] => ">",
                [Ordering::Greater, Ordering::Equal] => ">=",
                [Ordering::Less] => "<",
                _ => "<=",
            };
            let path = format!("$.{}[*] ? (@ {operator} $bound)", Value::from(name));
            sql.push("coalesce(jsonb_path_exists(p.facts, ");
            sql.push_bind(path);
            sql.push("::text::jsonpath, ");
            sql.push_bind(json!({ "bound": value(bound) }).to_string());
            sql.push("::text::jsonb, true), false)");
        }
        Condition::Exists(wanted) => {
            sql.push(if *wanted { "(p.facts ? " } else { "(NOT p.facts ? " });
            sql.push_bind(name.to_owned());
            sql.push(")");
        }
        Condition::Not(condition) => {
            sql.push("(NOT ");
            push_condition(sql, name, condition);
            sql.push(")");
        }
        Condition::All(conditions) => {
            sql.push("(true");
            for condition in conditions {
                sql.push(" AND ");
                push_condition(sql, name, condition);
            }
            sql.push(")");
        }
    }
}

fn push_contains(sql: &mut QueryBuilder<Postgres>, name: &str, value: &Value) {
    sql.push("p.facts @> ");
    sql.push_bind(json!({ name: [value] }).to_string());
    sql.push("::text::jsonb");
}

fn value(scalar: &Scalar) -> Value {
    match scalar {
        Scalar::Text(text) => Value::String(storable(text).into_owned()),
        Scalar::Number(number) => number.to_json(),
        Scalar::Boolean(boolean) => Value::Bool(*boolean),
    }
}
