//! What the shop sells: products, their pictures, the embedding of each picture, and the search among them.
//!
//! The files of this folder hold words and limits, without I/O. [`Catalogue`] is the one door to a store; each store has a
//! folder of its own, which no SQL and no index leaves. Absent: how an embedding is made (`engine`, `crate::chips`).

mod address;
mod attributes;
mod bulk;
mod checking;
mod comparing;
pub mod copying;
pub mod counts;
mod error;
pub mod exporting;
pub mod filter;
pub mod import;
mod last_few;
pub mod manifest;
mod next;
mod options;
mod origin;
mod packing;
pub mod picture_text;
pub mod postgres;
pub(crate) mod product;
mod ranking;
mod recall;
mod reembedding;
mod scope;
pub mod search;
pub mod sqlite;
mod store_stats;
mod stores;
mod survey;
mod target;
mod title;
pub mod write;

pub use address::{AddressError, StoreAddress};
pub use attributes::{AttributeChanges, Attributes};
pub use checking::{Batch, Checked, Which};
pub use comparing::ComparedPicture;
pub use error::{CatalogueError, OpenError};
pub use options::{Room, StoreOptions};
pub use origin::Origin;
pub use product::{
    Cursor, NewPicture, NewProduct, Page, PassingProducts, PictureFile, PictureKey, Product, ProductId,
    ProductNumbers, ProductPicture, StoredPicture,
};
pub use reembedding::{Background, EmbedLast, OfBoth};
pub use scope::Scope;
pub use store_stats::{StoreKind, StoreName, StoreStats, Timed};
pub use stores::Catalogue;
pub use survey::Survey;
pub use target::Target;
pub use title::Title;
