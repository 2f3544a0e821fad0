//! What the shop sells: products, their pictures, the embedding of each picture, and the search among them.
//!
//! The files of this folder hold words and limits, without I/O. [`Catalogue`] is the one door to a store; each store has a
//! folder of its own, which no SQL and no index leaves. Absent: how an embedding is made (`engine`, `crate::chips`).

mod attributes;
mod error;
pub mod filter;
pub mod import;
pub mod manifest;
mod origin;
mod packing;
pub mod picture_text;
pub mod postgres;
pub(crate) mod product;
mod recall;
pub mod search;
pub mod sqlite;
mod stores;
mod title;
pub mod write;

pub use attributes::{AttributeChanges, Attributes};
pub use error::{CatalogueError, OpenError};
pub use origin::Origin;
pub use product::{
    Cursor, NewPicture, NewProduct, Page, PictureFile, PictureKey, Product, ProductId, ProductPicture,
    StoredPicture,
};
pub use stores::Catalogue;
pub use title::Title;
