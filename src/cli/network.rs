//! Which network a catalogue is worked with: the one asked for, its own, or the one that a new catalogue takes.

use std::sync::Arc;

use anyhow::{Result, bail};

use super::files;
use crate::catalogue::Catalogue;
use crate::service::model_of;
use engine::chip::cost::CostModel;
use engine::model::Model;
use engine::model::built_in::{Asked, BuiltIn};

/// What a catalogue takes that is new, or empty and only served.
pub const NEW: BuiltIn = BuiltIn::Photos;

/// The catalogue's own network, which only an explicit `--model` changes; `new` if it has none yet, or if it is still empty
/// and has [`NEW`] because it was served.
///
/// # Errors
/// If the catalogue cannot be read, or its network is neither stored in it nor built in.
pub async fn own(catalogue: &Catalogue, new: BuiltIn, cost_model: CostModel) -> Result<Arc<Model>> {
    let taken = || files::model(&Asked::BuiltIn(new), cost_model);
    let Some(origin) = catalogue.origin().await? else {
        return taken();
    };
    let empty = catalogue.count().await? == 0;
    if empty && origin.model_id == NEW.id() {
        return taken();
    }
    match model_of(catalogue, &origin.model_id, cost_model).await? {
        Some(own) => Ok(own),
        None if empty => taken(),
        None => bail!(
            "the catalogue's embeddings are by the network with the id {}, which is neither stored in the catalogue nor \
             built into this program: pass its file with --model FILE; any other network given with --model replaces \
             them, from all stored pictures",
            origin.model_id
        ),
    }
}
