//! CSV tables: a shop's own, with the columns `id`, `image` and `title`, or as Shopify and `WooCommerce` export them.
//!
//! The rows of a product may stand apart, as those of its variants do. So a table is read twice: first to learn which rows
//! are whose, then product by product.

mod columns;
mod file;
mod joined;
mod separator;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result};

use self::columns::{Columns, Key};
use self::file::{Place, Table};
use self::joined::{Joined, place};
use super::beside::Beside;
use super::source::Source;
use crate::catalogue::manifest::Refusal;
use crate::service::ingest::Offered;

/// The products of a table.
///
/// # Errors
/// If the file cannot be read or its header is invalid.
pub fn source(path: &Path) -> Result<Source> {
    let beside = Beside::of(path)?;
    let (mut table, columns) = opened(path)?;
    let entries = entries(&mut table, &columns);
    Ok(Source {
        expected: entries.len(),
        offered: Box::new(entries.into_iter().map(move |entry| match entry {
            Entry::Refused { line, refusal } => Offered::of(place(line), Err(refusal)),
            Entry::Product { id, rows } => offered(&mut table, &columns, &beside, &id, &rows),
        })),
        skipped: None,
    })
}

/// The addresses of all pictures that a table names, in its order, each once.
///
/// # Errors
/// As [`source`].
pub fn addresses(path: &Path) -> Result<Vec<String>> {
    let (mut table, columns) = opened(path)?;
    let mut addresses: Vec<String> = Vec::new();
    let mut known = std::collections::HashSet::new();
    while let Some((_, read)) = table.next() {
        let Ok(row) = read else { continue };
        for image in columns.images(&row) {
            if super::beside::is_address(image) && known.insert(image.to_owned()) {
                addresses.push(image.to_owned());
            }
        }
    }
    Ok(addresses)
}

fn opened(path: &Path) -> Result<(Table, Columns)> {
    let mut table = Table::open(path)?;
    let header = table.header();
    let header = header.with_context(|| format!("the first line of {} is not a header", path.display()))?;
    let columns = Columns::of(&header).with_context(|| path.display().to_string())?;
    Ok((table, columns))
}

/// What a table offers: a product and where its rows are, or a row that belongs to none.
enum Entry {
    Product { id: String, rows: Vec<Place> },
    Refused { line: u64, refusal: Refusal },
}

/// Reads which rows are whose, in the order of the products' first rows.
fn entries(table: &mut Table, columns: &Columns) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut products: HashMap<String, usize> = HashMap::new();
    // Rows of a product that is named by another of its columns, or only later.
    let mut parted: Vec<(String, Place)> = Vec::new();
    let mut names: HashMap<String, usize> = HashMap::new();
    while let Some((place, read)) = table.next() {
        let line = place.line;
        let refused = |detail: String, id: Option<String>| Entry::Refused {
            line,
            refusal: Refusal { id, detail },
        };
        let row = match read {
            Ok(row) => row,
            Err(detail) => {
                entries.push(refused(detail, None));
                continue;
            }
        };
        match columns.key(&row) {
            Err(detail) => entries.push(refused(detail, None)),
            Ok(Key::OfParent(parent)) => parted.push((parent, place)),
            Ok(Key::Own { id, names: others }) => {
                let index = *products.entry(id.clone()).or_insert_with(|| {
                    entries.push(Entry::Product { id, rows: Vec::new() });
                    entries.len() - 1
                });
                names.extend(others.into_iter().map(|name| (name, index)));
                if let Entry::Product { rows, .. } = &mut entries[index] {
                    rows.push(place);
                }
            }
        }
    }
    for (parent, place) in parted {
        let index = products.get(&parent).or_else(|| names.get(&parent));
        match index.and_then(|&index| entries.get_mut(index)) {
            Some(Entry::Product { rows, .. }) => rows.push(place),
            _ => entries.push(Entry::Refused {
                line: place.line,
                refusal: Refusal {
                    id: None,
                    detail: format!("Parent: {parent:?} is not a product of this file; export both together"),
                },
            }),
        }
    }
    entries
}

fn offered(table: &mut Table, columns: &Columns, beside: &Beside, id: &str, rows: &[Place]) -> Offered {
    let mut joined = Joined::default();
    for row in rows {
        match table.row_at(row) {
            Ok(cells) => joined.add(row.line, columns.read(&cells)),
            Err(detail) => return Offered::of(place(row.line), Err(Refusal::of(id, detail))),
        }
    }
    let first = rows.first().map_or(0, |row| row.line);
    let (product, remarks) = joined.product(id, columns, beside);
    Offered {
        further: rows.len().saturating_sub(1),
        remarks,
        ..Offered::product(place(first), product)
    }
}
