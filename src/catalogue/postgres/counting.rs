//! What the attributes of products say in numbers: counts of values, groups and boosts.
//!
//! Counts of all products that pass a filter are kept until a product changes, whichever server changes it. Every
//! transaction that changes products holds the lock of writes, and counts in the sequence `product_changes` before it
//! commits. So counts that were made while nobody held the lock are of the sequence's value of that moment, or of later
//! changes, which that value is no longer asked for.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use sqlx::{PgConnection, Postgres as Database, QueryBuilder, Row};

use super::error::damaged;
use super::filter;
use super::kept_counts::Counted;
use super::measured::Kind;
use super::store::{Postgres, WRITES, read};
use super::text::{original, storable};
use crate::admission::Work;
use crate::catalogue::counts::{Counts, ValueCount};
use crate::catalogue::error::CatalogueError;
use crate::catalogue::filter::{Filter, Number};
use crate::catalogue::ranking::{Candidate, Facts};
use crate::catalogue::search::{BoostBy, SearchOptions};

impl Postgres {
    /// How many products pass, and how many of them have each value of these attributes.
    pub(super) async fn counts(
        &self,
        connection: &mut PgConnection,
        filter: Option<&Filter>,
        names: &[String],
    ) -> Result<Arc<Counts>, CatalogueError> {
        let now = sqlx::query(
            "SELECT last_value, pg_postmaster_start_time()::text AS running_since, EXISTS (
                 SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                 AND (classid::bigint << 32) + objid::bigint = $1) AS changing
             FROM product_changes",
        )
        .bind(WRITES)
        .fetch_one(&mut *connection)
        .await?;
        let counted = Counted {
            filter: filter.cloned(),
            names: names.to_vec(),
            changes: now.try_get("last_value")?,
            running_since: now.try_get("running_since")?,
        };
        if let Some(counts) = self.0.counts.known(&counted) {
            return Ok(counts);
        }
        let counts = Arc::new(count(connection, filter, names).await?);
        if !now.try_get::<bool, _>("changing")? {
            self.0.counts.keep(counted, &counts);
        }
        Ok(counts)
    }
}

impl Postgres {
    /// How many products pass a filter, and how many pictures they have.
    pub async fn count_passing(&self, filter: Filter, work: Work) -> Result<[usize; 2], CatalogueError> {
        let mut sql = QueryBuilder::<Database>::new(
            "SELECT count(*) AS products, coalesce(sum((SELECT count(*) FROM pictures i WHERE i.product = p.seq)), 0)::bigint
                 AS pictures FROM products p WHERE ",
        );
        filter::push(&mut sql, &filter);
        let row = read!(self, Kind::Look, work, |connection| {
            Ok(sql.build().persistent(false).fetch_one(connection).await?)
        })?;
        let count = |column: &str| -> Result<usize, CatalogueError> {
            let count: i64 = row.try_get(column)?;
            usize::try_from(count).map_err(|_| damaged("a negative count"))
        };
        Ok([count("products")?, count("pictures")?])
    }
}

async fn count(
    connection: &mut PgConnection,
    filter: Option<&Filter>,
    names: &[String],
) -> Result<Counts, CatalogueError> {
    let passing = |sql: &mut QueryBuilder<Database>| match filter {
        Some(filter) => filter::push(sql, filter),
        None => drop(sql.push("true")),
    };
    // Values in the order in which every store puts them.
    let mut sql = QueryBuilder::<Database>::new(
        "WITH counted AS (SELECT n.place, v.value, count(*) AS count FROM unnest(",
    );
    sql.push_bind(
        names
            .iter()
            .map(|name| storable(name).into_owned())
            .collect::<Vec<_>>(),
    );
    sql.push(
        "::text[]) WITH ORDINALITY AS n (name, place) CROSS JOIN products p CROSS JOIN LATERAL (
             SELECT DISTINCT e.value FROM jsonb_array_elements(p.facts -> n.name) AS e (value)) AS v WHERE ",
    );
    passing(&mut sql);
    sql.push(format!(
        " GROUP BY n.place, v.value),
         ranked AS (SELECT *, row_number() OVER (PARTITION BY place ORDER BY count DESC, jsonb_typeof(value),
             CASE jsonb_typeof(value) WHEN 'number' THEN value::numeric END, (value #>> '{{}}') COLLATE \"C\") AS position
             FROM counted)
         SELECT place, value::text, count, position FROM ranked WHERE position <= {}
         UNION ALL SELECT 0, NULL, count(*), 0 FROM products p WHERE ",
        Counts::MOST_VALUES
    ));
    passing(&mut sql);
    sql.push(" ORDER BY place, position");
    // Filters are planned for their values.
    let rows = sql.build().persistent(false).fetch_all(connection).await?;
    let mut counts = Counts {
        total: 0,
        facets: names.iter().map(|name| (name.clone(), Vec::new())).collect(),
    };
    for row in &rows {
        let count = row.try_get::<i64, _>("count")?;
        let count = u64::try_from(count).map_err(|_| damaged("a negative count"))?;
        let place = row.try_get::<i64, _>("place")? - 1;
        let place = usize::try_from(place)
            .ok()
            .and_then(|place| counts.facets.get_mut(place));
        let Some((_, values)) = place else {
            counts.total = count;
            continue;
        };
        let value = serde_json::from_str(row.try_get("value")?)
            .map_err(|error| damaged(format!("facts of a product: {error}")))?;
        let value = match value {
            Value::String(text) => Value::String(original(text)),
            Value::Number(number) => Number::of(&number).to_json(),
            value => value,
        };
        values.push(ValueCount { value, count });
    }
    Ok(counts)
}

/// What grouping and boosts need to know of candidates; `None` for those that are gone.
pub async fn facts_of(
    connection: &mut PgConnection,
    candidates: &[Candidate],
    options: &SearchOptions,
) -> Result<Vec<Option<Facts>>, CatalogueError> {
    let numbers: Vec<i64> = candidates.iter().map(|candidate| candidate.product).collect();
    let rows = sqlx::query("SELECT seq, id, attributes FROM products WHERE seq = ANY($1)")
        .bind(&numbers)
        .fetch_all(connection)
        .await?;
    let mut facts = HashMap::with_capacity(rows.len());
    for row in &rows {
        let (id, attributes): (&str, &str) = (row.try_get("id")?, row.try_get("attributes")?);
        let attributes: serde_json::Map<String, Value> = serde_json::from_str(attributes)
            .map_err(|error| damaged(format!("attributes of product {id}: {error}")))?;
        let group = options.group.as_ref();
        let group = group.and_then(|group| attributes.get(&group.attribute)).cloned();
        let boosts = options.boosts.iter().map(|boost| match &boost.by {
            BoostBy::Attribute(name) => attributes.get(name).and_then(Value::as_f64),
            BoostBy::Filter(filter) => Some(f64::from(u8::from(filter.holds(id, &attributes)))),
        });
        let boosts = boosts.collect();
        let group = group.unwrap_or_default();
        facts.insert(row.try_get::<i64, _>("seq")?, Facts { group, boosts });
    }
    Ok(numbers.iter().map(|number| facts.remove(number)).collect())
}
