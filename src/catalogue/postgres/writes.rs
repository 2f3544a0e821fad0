//! Writes: each is a transaction, or a part of one with others, and is done as a whole or not at all.

use std::collections::HashSet;

use sqlx::{PgConnection, Postgres as Database, QueryBuilder};
use uuid::Uuid;

use super::error::Failure;
use super::filter::{self, facts};
use super::imports::{self, Did, Named};
use super::measured::Kind;
use super::reads::{cursor_of, number_of};
use super::rows::{
    Stored, add_pictures, check_space, drop_pictures, forget_vectors, number, product_of, put,
};
use super::spaces::Space;
use super::store::{Postgres, share_writes, transact};
use super::text::storable;
use crate::catalogue::attributes::AttributeChanges;
use crate::catalogue::error::CatalogueError;
use crate::catalogue::import::{ImportStep, not_merged, not_stored};
use crate::catalogue::packing::{json, product_sum};
use crate::catalogue::product::{NewProduct, Product};
use crate::catalogue::scope::Scope;
use crate::catalogue::title::Title;
use crate::catalogue::write::{Removed, Write, Written};

/// Products of one transaction of a bulk load.
const AT_ONCE: usize = 500;

impl Postgres {
    /// Does a write; once it is answered it is durable and searchable. Refused where too many wait; dropped before its
    /// turn, it is not done.
    pub async fn write(&self, write: Write) -> Result<Written, CatalogueError> {
        self.loaded()?;
        let _place = self.place_to_write(false).await?;
        let mut answers = self.apply(std::slice::from_ref(&write)).await?;
        answers.pop().unwrap_or(Err(CatalogueError::Panicked))
    }

    /// Does writes in their order; waits where too many wait.
    pub async fn write_many(
        &self,
        writes: Vec<Write>,
    ) -> Result<Vec<Result<Written, CatalogueError>>, CatalogueError> {
        self.loaded()?;
        let _place = self.place_to_write(true).await?;
        let mut answers = Vec::with_capacity(writes.len());
        for group in writes.chunks(AT_ONCE) {
            answers.extend(self.bounded(self.apply(group)).await?);
        }
        Ok(answers)
    }

    /// Begins a write without waiting for its result; it may be dropped.
    pub fn write_unobserved(&self, write: Write) {
        let store = self.clone();
        self.0.runtime.spawn(async move {
            // Nobody waits for it.
            let _ = store.write(write).await;
        });
    }

    /// Stores products into a catalogue that is not loaded, all or none.
    pub async fn store_all(&self, products: Vec<NewProduct>) -> Result<usize, CatalogueError> {
        transact!(self, Kind::Write, |connection| {
            let writing = self.writing(connection).await?;
            let space = &writing.space;
            for product in &products {
                check_space(&product.pictures, space)?;
            }
            let mut new = 0;
            for group in groups(&products) {
                let keys = put(connection, space, &group).await?;
                let ids: Vec<&str> = group.iter().map(|product| product.id.as_str()).collect();
                writing.name(connection, &ids, Named::ByAll).await?;
                new += keys.iter().filter(|(_, created)| *created).count();
            }
            Ok(new)
        })
    }

    /// Shares the lock of writes until the transaction ends.
    async fn writing(&self, connection: &mut PgConnection) -> Result<Writing, CatalogueError> {
        let spaces = share_writes(connection).await?;
        Ok(Writing {
            space: spaces.present.ok_or(CatalogueError::NotLoaded)?,
            server: self.0.server,
            has_feeds: spaces.has_feeds,
        })
    }

    /// Does writes in a catalogue that is not loaded.
    pub async fn change(
        &self,
        writes: Vec<Write>,
    ) -> Result<Vec<Result<Written, CatalogueError>>, CatalogueError> {
        self.apply(&writes).await
    }

    /// Does writes in one transaction; what the rules refuse changes nothing and holds up no other.
    async fn apply(&self, writes: &[Write]) -> Result<Vec<Result<Written, CatalogueError>>, CatalogueError> {
        transact!(self, Kind::Write, |connection| {
            let writing = self.writing(connection).await?;
            let mut answers = Vec::with_capacity(writes.len());
            // Imports with a line that is to be embedded again: those behind it wait, because lines are done in order.
            let mut held: HashSet<&str> = HashSet::new();
            for write in writes {
                if let Write::Import { id, .. } = write
                    && held.contains(id.as_str())
                {
                    answers.push(Err(CatalogueError::OtherOrigin));
                    continue;
                }
                answers.push(match apply(connection, &writing, write).await {
                    Ok(written) => Ok(written),
                    Err(Failure::Refused(refused)) => {
                        if let (Write::Import { id, .. }, CatalogueError::OtherOrigin) = (write, &refused) {
                            held.insert(id);
                        }
                        Err(refused)
                    }
                    Err(failed) => return Err(failed),
                });
            }
            Ok(answers)
        })
    }
}

/// What the writes of one transaction share.
struct Writing {
    space: Space,
    server: Uuid,
    has_feeds: bool,
}

impl Writing {
    /// Keeps products from being removed as missing by imports.
    async fn name(
        &self,
        connection: &mut PgConnection,
        ids: &[&str],
        named: Named<'_>,
    ) -> Result<(), Failure> {
        match self.has_feeds {
            true => imports::name(connection, ids, named).await,
            false => Ok(()),
        }
    }
}

/// Groups in which no id comes twice, in order.
fn groups(products: &[NewProduct]) -> Vec<Vec<&NewProduct>> {
    let (mut groups, mut ids) = (vec![Vec::new()], HashSet::new());
    for product in products {
        if !ids.insert(product.id.as_str()) {
            ids.clear();
            ids.insert(product.id.as_str());
            groups.push(Vec::new());
        }
        if let Some(last) = groups.last_mut() {
            last.push(product);
        }
    }
    groups.retain(|group| !group.is_empty());
    groups
}

/// Does a write of a product that must be part of a scope, before and after.
async fn within(
    connection: &mut PgConnection,
    writing: &Writing,
    scope: &Scope,
    write: &Write,
) -> Result<Written, Failure> {
    let id = write.product().unwrap_or_default();
    loop {
        let stored = in_the_way(connection, id).await?;
        write.is_within(scope, stored.as_ref())?;
        if stored.is_some() {
            // It is locked until the transaction ends.
            return apply(connection, writing, write).await;
        }
        sqlx::raw_sql("SAVEPOINT within")
            .execute(&mut *connection)
            .await?;
        let written = apply(connection, writing, write).await?;
        if written.created || written.product.is_none() {
            return Ok(written);
        }
        // Somebody created it meanwhile, and may not want it replaced.
        sqlx::raw_sql("ROLLBACK TO within")
            .execute(&mut *connection)
            .await?;
    }
}

/// Does one write. The rules are asked before anything is changed.
async fn apply(connection: &mut PgConnection, writing: &Writing, write: &Write) -> Result<Written, Failure> {
    let space = &writing.space;
    match write {
        Write::Put { product, only_new } => {
            check_space(&product.pictures, space)?;
            if *only_new {
                // Two that create the same product at once wait for each other here.
                sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
                    .bind(product.id.as_str())
                    .execute(&mut *connection)
                    .await?;
                if number(connection, product.id.as_str(), true).await?.is_some() {
                    let id = product.id.as_str().to_owned();
                    return Err(CatalogueError::Exists { id }.into());
                }
            }
            let keys = put(connection, space, &[product]).await?;
            writing
                .name(connection, &[product.id.as_str()], Named::ByAll)
                .await?;
            match keys.first() {
                Some((seq, created)) => written(connection, *seq, *created).await,
                None => Err(CatalogueError::Panicked.into()),
            }
        }
        Write::Merge {
            id,
            title,
            attributes,
        } => {
            let seq = merge(connection, &Scope::ALL, id, title.as_ref(), attributes).await?;
            writing.name(connection, &[id], Named::ByAll).await?;
            written(connection, seq, false).await
        }
        Write::Delete { id } => {
            let Some(seq) = number(connection, id, true).await? else {
                return Err(CatalogueError::NoProduct { id: id.clone() }.into());
            };
            delete(connection, space, &[seq]).await?;
            Ok(Written::NOTHING)
        }
        Write::DeletePassing { products, filter } => {
            let mut sql = QueryBuilder::<Database>::new("SELECT p.seq FROM products p WHERE p.seq = ANY(");
            sql.push_bind(&products.0);
            sql.push(") AND ");
            filter::push(&mut sql, filter);
            sql.push(" ORDER BY p.id FOR UPDATE");
            let asking = sql.build_query_scalar().persistent(false);
            let passing: Vec<i64> = asking.fetch_all(&mut *connection).await?;
            delete(connection, space, &passing).await?;
            Ok(removed(passing.len(), None))
        }
        Write::AddPicture { id, picture } => {
            check_space(std::slice::from_ref(picture), space)?;
            let stored = known(connection, id).await?;
            if stored.product.pictures.len() >= Product::MOST_PICTURES {
                let most = Product::MOST_PICTURES;
                return Err(CatalogueError::PicturesFull { id: id.clone(), most }.into());
            }
            add_pictures(connection, space, &[(stored.seq, picture)]).await?;
            touch(connection, stored.seq).await?;
            writing.name(connection, &[id], Named::ByAll).await?;
            written(connection, stored.seq, false).await
        }
        Write::DeletePicture { id, picture } => {
            let stored = known(connection, id).await?;
            let mut pictures = stored.product.pictures.iter();
            let Some(place) = pictures.position(|stored| stored.id == *picture) else {
                let (product, picture) = (id.clone(), picture.clone());
                return Err(CatalogueError::NoPicture { product, picture }.into());
            };
            if stored.pictures.len() == 1 {
                return Err(CatalogueError::LastPicture { id: id.clone() }.into());
            }
            let number = stored.pictures[place].0;
            let vectors = drop_pictures(connection, space, "seq", &[number]).await?;
            forget_vectors(connection, space, &vectors).await?;
            touch(connection, stored.seq).await?;
            writing.name(connection, &[id], Named::ByAll).await?;
            written(connection, stored.seq, false).await
        }
        Write::Within { scope, write } => Box::pin(within(connection, writing, scope, write)).await,
        Write::Import { id, step } => import_step(connection, writing, id, step).await,
    }
}

/// Creates or replaces a product that must be part of a scope, before and after; says whether it is new.
async fn put_within(
    connection: &mut PgConnection,
    space: &Space,
    scope: &Scope,
    product: &NewProduct,
) -> Result<bool, Failure> {
    loop {
        let stored = match scope.is_all() {
            true => None,
            false => in_the_way(connection, product.id.as_str()).await?,
        };
        scope.permits(product.id.as_str(), stored.as_ref(), &product.attributes)?;
        let may_be_new = stored.is_none() && !scope.is_all();
        if may_be_new {
            sqlx::raw_sql("SAVEPOINT within")
                .execute(&mut *connection)
                .await?;
        }
        let keys = put(connection, space, &[product]).await?;
        let created = keys.first().is_some_and(|(_, created)| *created);
        if created || !may_be_new {
            return Ok(created);
        }
        // Somebody created it meanwhile, and may not want it replaced.
        sqlx::raw_sql("ROLLBACK TO within")
            .execute(&mut *connection)
            .await?;
    }
}

/// The product of this id, if there is one.
async fn in_the_way(connection: &mut PgConnection, id: &str) -> Result<Option<Product>, Failure> {
    match known(connection, id).await {
        Ok(stored) => Ok(Some(stored.product)),
        Err(Failure::Refused(CatalogueError::NoProduct { .. })) => Ok(None),
        Err(failed) => Err(failed),
    }
}

/// Does one step of an import.
async fn import_step(
    connection: &mut PgConnection,
    writing: &Writing,
    import: &str,
    step: &ImportStep,
) -> Result<Written, Failure> {
    let (space, server) = (&writing.space, writing.server);
    match step {
        ImportStep::Stored { line, product } => {
            check_space(&product.pictures, space)?;
            let Some(scope) = imports::take(connection, import, *line).await? else {
                return Ok(Written::NOTHING);
            };
            let id = product.id.as_str();
            match put_within(connection, space, &scope, product).await {
                Ok(created) => {
                    writing.name(connection, &[id], Named::Written(import)).await?;
                    imports::count(connection, import, Did::Store).await?;
                    Ok(Written {
                        created,
                        ..Written::NOTHING
                    })
                }
                Err(Failure::Refused(error)) => {
                    let detail = not_stored(error)?;
                    imports::refuse(connection, import, *line, Some(id), &detail).await?;
                    Ok(Written::NOTHING)
                }
                Err(failed) => Err(failed),
            }
        }
        ImportStep::Merged {
            line,
            id,
            title,
            attributes,
        } => {
            let Some(scope) = imports::take(connection, import, *line).await? else {
                return Ok(Written::NOTHING);
            };
            match merge(connection, &scope, id, title.as_ref(), attributes).await {
                Ok(_) => {
                    writing.name(connection, &[id], Named::Written(import)).await?;
                    imports::count(connection, import, Did::Merge).await?;
                }
                Err(Failure::Refused(error)) => {
                    let detail = not_merged(error)?;
                    imports::refuse(connection, import, *line, Some(id), &detail).await?;
                }
                Err(failed) => return Err(failed),
            }
            Ok(Written::NOTHING)
        }
        ImportStep::Deleted { line, id } => {
            let Some(scope) = imports::take(connection, import, *line).await? else {
                return Ok(Written::NOTHING);
            };
            writing.name(connection, &[id], Named::By(import)).await?;
            let mut found = number(connection, id, true).await?;
            if !scope.is_all()
                && let Some(seq) = found
                && !product_of(connection, seq)
                    .await?
                    .is_some_and(|stored| scope.has(&stored.product))
            {
                found = None;
            }
            imports::count(connection, import, Did::Delete(found.is_some())).await?;
            let Some(seq) = found else {
                return Ok(Written::NOTHING);
            };
            delete(connection, space, &[seq]).await?;
            Ok(removed(1, None))
        }
        ImportStep::RemoveMissing { after, most } => {
            let after = after.as_ref().map_or(Ok(i64::MIN), number_of)?;
            let (gone, next) = imports::missing(connection, import, server, after, *most).await?;
            delete(connection, space, &gone).await?;
            Ok(removed(gone.len(), next))
        }
        step => {
            imports::apply(connection, import, step, server).await?;
            Ok(Written::NOTHING)
        }
    }
}

fn removed(products: usize, next: Option<i64>) -> Written {
    Written {
        removed: Removed {
            products,
            next: next.map(cursor_of),
        },
        ..Written::NOTHING
    }
}

/// Deletes products with their pictures; the caller has locked them.
async fn delete(connection: &mut PgConnection, space: &Space, products: &[i64]) -> Result<(), Failure> {
    if products.is_empty() {
        return Ok(());
    }
    let vectors = drop_pictures(connection, space, "product", products).await?;
    sqlx::query("DELETE FROM products WHERE seq = ANY($1)")
        .bind(products)
        .execute(&mut *connection)
        .await?;
    forget_vectors(connection, space, &vectors).await
}

/// Changes a product's title and attributes; returns its number.
async fn merge(
    connection: &mut PgConnection,
    scope: &Scope,
    id: &str,
    title: Option<&Title>,
    changes: &AttributeChanges,
) -> Result<i64, Failure> {
    let stored = known(connection, id).await?;
    let merged = stored.product.attributes.clone().changed(changes.clone())?;
    scope.permits(id, Some(&stored.product), &merged)?;
    let title = title.unwrap_or(&stored.product.title).as_str();
    let attributes = json(&merged)?;
    sqlx::query(
        "UPDATE products SET title = $2, attributes = $3, facts = $4::text::jsonb, sum = $5,
         updated_at = clock_timestamp() WHERE seq = $1",
    )
    .bind(stored.seq)
    .bind(storable(title))
    .bind(&attributes)
    .bind(facts(merged.as_map()).to_string())
    .bind(product_sum(id, title, &attributes).to_vec())
    .execute(connection)
    .await?;
    Ok(stored.seq)
}

/// The product of this id, which nobody else changes until the transaction ends.
async fn known(connection: &mut PgConnection, id: &str) -> Result<Stored, Failure> {
    let stored = match number(connection, id, true).await? {
        Some(seq) => product_of(connection, seq).await?,
        None => None,
    };
    Ok(stored.ok_or_else(|| CatalogueError::NoProduct { id: id.to_owned() })?)
}

async fn touch(connection: &mut PgConnection, seq: i64) -> Result<(), Failure> {
    sqlx::query("UPDATE products SET updated_at = clock_timestamp() WHERE seq = $1")
        .bind(seq)
        .execute(connection)
        .await?;
    Ok(())
}

async fn written(connection: &mut PgConnection, seq: i64, created: bool) -> Result<Written, Failure> {
    let product = product_of(connection, seq).await?.map(|stored| stored.product);
    Ok(Written {
        product,
        created,
        ..Written::NOTHING
    })
}
