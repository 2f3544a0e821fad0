//! Many products at a time: those that pass a filter, and whole ones to be exported.

use std::fs::File;
use std::sync::Arc;

use super::backup;
use super::catalogue::{Sqlite, blocking, invalid_cursor};
use super::keys::ProductKey;
use super::reader::Reader;
use crate::admission::Work;
use crate::catalogue::error::CatalogueError;
use crate::catalogue::exporting::{Export, ExportPage};
use crate::catalogue::filter::Filter;
use crate::catalogue::product::{Cursor, PassingProducts, ProductNumbers};
use crate::catalogue::write::{Write, Written};

impl Sqlite {
    /// Up to `most` products behind `after` that pass.
    pub async fn passing(
        &self,
        after: Option<Cursor>,
        filter: Arc<Filter>,
        most: usize,
        work: Work,
    ) -> Result<PassingProducts, CatalogueError> {
        let find = move |store: &Self, reader: &Reader, work: &Work| {
            let keys = store.keys(reader, after.as_ref(), Some(&filter), most, work)?;
            let next = keys.get(most.wrapping_sub(1)).map(|key| key.cursor());
            let products = ProductNumbers(keys.into_iter().map(|key| key.0).collect());
            Ok(PassingProducts { products, next })
        };
        let store = self.clone();
        let readers = &self.0.readers;
        readers
            .read(work, move |reader, work| find(&store, reader, work))
            .await
    }

    /// The next whole products of an export, each as of one moment.
    pub async fn export(
        &self,
        after: Option<Cursor>,
        export: Arc<Export>,
        work: Work,
    ) -> Result<ExportPage, CatalogueError> {
        let store = self.clone();
        let read = move |reader: &Reader, work: &Work| {
            let keys = store.keys(
                reader,
                after.as_ref(),
                export.filter.as_ref(),
                Export::PRODUCTS,
                work,
            )?;
            let _moment = reader.moment()?;
            let origin = reader.origin()?.map(Arc::new);
            let (mut products, mut bytes, mut last) = (Vec::new(), 0, None);
            let mut left = keys.iter();
            while bytes < Export::BYTES
                && let Some(key) = left.next()
            {
                work.check()?;
                last = Some(key);
                if let Some(product) = reader.copied_product(key.0, export.files)?
                    && export.takes(&product)?
                {
                    bytes += product.bytes();
                    products.push(product);
                }
            }
            let ended = left.next().is_none() && keys.len() < Export::PRODUCTS;
            let next = last.filter(|_| !ended).map(|key| key.cursor());
            Ok(ExportPage {
                origin,
                products,
                next,
            })
        };
        self.0.readers.read(work, read).await
    }

    fn keys(
        &self,
        reader: &Reader,
        after: Option<&Cursor>,
        filter: Option<&Filter>,
        most: usize,
        work: &Work,
    ) -> Result<Vec<ProductKey>, CatalogueError> {
        let after = match after {
            None => None,
            Some(cursor) => Some(ProductKey::of_cursor(cursor).ok_or_else(invalid_cursor)?),
        };
        let listing = self.loaded()?.index.read().listing();
        let filter = filter.map(|filter| reader.keyed(filter)).transpose()?;
        listing.after(after, filter.as_ref(), most, work)
    }

    /// The catalogue in a file that is gone once it is closed.
    pub async fn back_up(&self) -> Result<File, CatalogueError> {
        let store = self.clone();
        blocking(move || {
            let inner = &store.0;
            let _one = inner.backing_up.lock();
            let out = backup::sent(&inner.data_dir);
            backup::forget(&out);
            let written = inner.readers.with(|reader| reader.back_up(&out));
            let opened = written.and_then(|()| {
                let opened = File::open(&out);
                opened.map_err(|source| CatalogueError::Store(Box::new(source)))
            });
            // What is open stays until it is closed.
            backup::forget(&out);
            opened
        })
        .await
    }

    /// Does writes in a catalogue that is not loaded.
    pub async fn change(
        &self,
        writes: Vec<Write>,
    ) -> Result<Vec<Result<Written, CatalogueError>>, CatalogueError> {
        let applied = self.0.writes.run(move |store| store.write(writes)).await?;
        let written = applied.into_iter().map(|applied| {
            applied.map(|applied| Written {
                product: applied.product,
                created: applied.created,
                removed: applied.removed,
            })
        });
        Ok(written.collect())
    }
}
