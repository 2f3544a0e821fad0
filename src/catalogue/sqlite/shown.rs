//! Products in memory as answers show them, so that a search reads the database only for those that nobody found lately.
//!
//! No product is given that a write has replaced. A write forgets its products once it is committed and before it is
//! answered; what was read before that is not kept after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::keys::ProductKey;
use crate::catalogue::error::CatalogueError;
use crate::catalogue::product::{PictureKey, Product};
use crate::catalogue::search::{Shown, ShownStats};

/// Products whose forgetting is noted together.
const NOTES: usize = 4096;
/// Bytes of a product beside its JSON, which is kept in parts and as a whole: about, measured by `products_take_what_is_said`.
const BESIDE: u64 = 800;

/// A product with the keys of its pictures, in their order.
#[derive(Debug, Clone)]
pub struct ShownProduct {
    pub product: Arc<Shown>,
    pub pictures: Arc<[PictureKey]>,
}

/// Products that were found lately, of a bounded size.
#[derive(Debug)]
pub struct ShownProducts {
    products: Cache<ProductKey, ShownProduct, Size>,
    /// Held while a product is kept, so that none is while it is noted as forgotten.
    keeping: RwLock<()>,
    /// How often products were forgotten.
    forgotten: AtomicU64,
    /// For each group of products, that number when one of them was forgotten last.
    notes: Box<[AtomicU64]>,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// A moment before anything is read.
#[derive(Debug, Clone, Copy)]
pub struct Before(u64);

#[derive(Debug, Clone)]
struct Size;

impl Weighter<ProductKey, ShownProduct> for Size {
    fn weight(&self, _: &ProductKey, listed: &ShownProduct) -> u64 {
        BESIDE + 2 * listed.product.json().len() as u64
    }
}

impl ShownProducts {
    /// Room for about so many bytes.
    pub fn new(bytes: u64) -> Self {
        // A product of a shop takes about so many.
        let about = usize::try_from(bytes / 1500).unwrap_or(usize::MAX).max(1);
        Self {
            products: Cache::with_weighter(about, bytes, Size),
            keeping: RwLock::default(),
            forgotten: AtomicU64::new(0),
            notes: (0..NOTES).map(|_| AtomicU64::new(0)).collect(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// To be asked before the transaction begins that products are read in.
    pub fn before(&self) -> Before {
        Before(self.forgotten.load(Ordering::Acquire))
    }

    /// A product, from memory or by `read`, in a transaction that began after `before`; `None` once it is gone.
    pub fn get(
        &self,
        key: ProductKey,
        before: Before,
        read: impl FnOnce() -> Result<Option<(Product, Vec<PictureKey>)>, CatalogueError>,
    ) -> Result<Option<ShownProduct>, CatalogueError> {
        if let Some(listed) = self.products.get(&key) {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(Some(listed));
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        let Some((product, pictures)) = read()? else {
            return Ok(None);
        };
        let listed = ShownProduct {
            product: Arc::new(Shown::new(product)?),
            pictures: pictures.into(),
        };
        let _keeping = self.keeping.read();
        if self.note(key).load(Ordering::Acquire) <= before.0 {
            self.products.insert(key, listed.clone());
        }
        Ok(Some(listed))
    }

    /// Forgets products that a write changed; called once it is committed.
    pub fn forget(&self, keys: impl Iterator<Item = ProductKey> + Clone) {
        {
            let _nobody_keeps = self.keeping.write();
            let now = self.forgotten.fetch_add(1, Ordering::AcqRel) + 1;
            keys.clone()
                .for_each(|key| self.note(key).store(now, Ordering::Release));
        }
        keys.for_each(|key| drop(self.products.remove(&key)));
    }

    fn note(&self, key: ProductKey) -> &AtomicU64 {
        let group = key.0.unsigned_abs() % NOTES as u64;
        &self.notes[usize::try_from(group).unwrap_or_default()]
    }

    /// How much is kept, and how often it was enough.
    pub fn stats(&self) -> ShownStats {
        ShownStats {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            bytes: self.products.weight(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::attributes::Attributes;
    use crate::catalogue::title::Title;
    use serde_json::json;

    fn product(title: &str) -> Option<(Product, Vec<PictureKey>)> {
        let attributes = json!({"category": "Ankle boot", "split": "train"});
        let product = Product {
            id: "fashion-mnist-train-0".to_owned(),
            title: Title::new(title).unwrap(),
            attributes: Attributes::new(attributes.as_object().unwrap().clone()).unwrap(),
            pictures: Vec::new(),
            created_at: "2026-11-26T10:00:00.000Z".to_owned(),
            updated_at: "2026-11-26T10:00:00.000Z".to_owned(),
        };
        Some((product, vec![PictureKey(1)]))
    }

    fn title(listed: Option<ShownProduct>) -> String {
        listed.unwrap().product.title.as_str().to_owned()
    }

    #[test]
    fn a_product_is_read_once_until_a_write_changes_it() {
        let shown = ShownProducts::new(1 << 20);
        let key = ProductKey(7);
        let before = shown.before();
        let first = shown.get(key, before, || Ok(product("old"))).unwrap();
        assert_eq!(title(first), "old");
        let again = shown.get(key, before, || panic!("it is in memory")).unwrap();
        assert_eq!(title(again), "old");
        shown.forget([key].into_iter());
        let new = shown.get(key, shown.before(), || Ok(product("new"))).unwrap();
        assert_eq!(title(new), "new");
        let stats = shown.stats();
        assert_eq!((stats.hits, stats.misses), (1, 2));
        assert!(shown.get(ProductKey(8), before, || Ok(None)).unwrap().is_none());
    }

    #[test]
    fn what_was_read_before_a_write_is_not_kept_after_it() {
        let shown = ShownProducts::new(1 << 20);
        let key = ProductKey(7);
        let before = shown.before();
        let read = || {
            // The transaction sees the old product; meanwhile the write is committed.
            shown.forget([key].into_iter());
            Ok(product("old"))
        };
        assert_eq!(title(shown.get(key, before, read).unwrap()), "old");
        // The same transaction goes on to read others, and comes back to it.
        assert_eq!(
            title(shown.get(key, before, || Ok(product("old"))).unwrap()),
            "old"
        );
        let now = shown.get(key, shown.before(), || Ok(product("new"))).unwrap();
        assert_eq!(title(now), "new");
    }

    #[test]
    fn products_take_what_is_said() {
        let shown = ShownProducts::new(1 << 30);
        let count = 2000;
        let took = allocation_counter::measure(|| {
            for key in 0..count {
                let read = || Ok(product("Ankle boot"));
                shown.get(ProductKey(key), shown.before(), read).unwrap();
            }
        });
        let said = shown.stats().bytes as f64;
        let ratio = took.bytes_current as f64 / said;
        assert!((0.7..1.3).contains(&ratio), "{ratio} of {said}");
    }
}
