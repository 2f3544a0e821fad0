//! Many products at a time: those that pass a filter, and whole ones to be exported.

use std::sync::Arc;

use sqlx::{PgConnection, Postgres as Database, QueryBuilder};

use super::copying::whole;
use super::filter;
use super::measured::Kind;
use super::reads::{cursor_of, number_of};
use super::spaces::Spaces;
use super::store::{Postgres, read};
use crate::admission::Work;
use crate::catalogue::error::CatalogueError;
use crate::catalogue::exporting::{Export, ExportPage};
use crate::catalogue::filter::Filter;
use crate::catalogue::product::{Cursor, PassingProducts, ProductNumbers};

/// The numbers of up to `most` products behind `after` that pass, in order.
async fn numbers(
    connection: &mut PgConnection,
    after: i64,
    filter: Option<&Filter>,
    most: usize,
) -> Result<Vec<i64>, sqlx::Error> {
    let mut sql = QueryBuilder::<Database>::new("SELECT p.seq FROM products p WHERE p.seq > ");
    sql.push_bind(after);
    if let Some(filter) = filter {
        sql.push(" AND ");
        filter::push(&mut sql, filter);
    }
    sql.push(format!(" ORDER BY p.seq LIMIT {most}"));
    let asking = sql.build_query_scalar().persistent(filter.is_none());
    asking.fetch_all(connection).await
}

fn behind(after: Option<&Cursor>) -> Result<i64, CatalogueError> {
    after.map_or(Ok(i64::MIN), number_of)
}

impl Postgres {
    /// Up to `most` products behind `after` that pass.
    pub async fn passing(
        &self,
        after: Option<Cursor>,
        filter: Arc<Filter>,
        most: usize,
        work: Work,
    ) -> Result<PassingProducts, CatalogueError> {
        let after = behind(after.as_ref())?;
        read!(self, Kind::Look, work, |connection| {
            let numbers = numbers(connection, after, Some(&filter), most).await?;
            let next = numbers.get(most.wrapping_sub(1)).map(|last| cursor_of(*last));
            let products = ProductNumbers(numbers);
            Ok(PassingProducts { products, next })
        })
    }

    /// The next whole products of an export, each as of one moment.
    pub async fn export(
        &self,
        after: Option<Cursor>,
        export: Arc<Export>,
        work: Work,
    ) -> Result<ExportPage, CatalogueError> {
        let after = behind(after.as_ref())?;
        read!(self, Kind::Look, work, |connection| {
            let filter = export.filter.as_ref();
            let numbers = numbers(connection, after, filter, Export::PRODUCTS).await?;
            let space = Spaces::read(connection).await?.present;
            let read = whole(connection, space.as_ref(), &numbers, Export::BYTES, export.files);
            let (read, products) = read.await?;
            let mut passing = Vec::with_capacity(products.len());
            for product in products {
                if export.takes(&product)? {
                    passing.push(product);
                }
            }
            let ended = read == numbers.len() && numbers.len() < Export::PRODUCTS;
            let last = numbers.get(read.wrapping_sub(1));
            Ok(ExportPage {
                origin: space.map(|space| space.origin),
                products: passing,
                next: last.filter(|_| !ended).map(|last| cursor_of(*last)),
            })
        })
    }
}
