//! `search`: one search in a catalogue, without a server.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::json;

use super::runtime::runtime;
use super::store::{Chosen, Place};
use super::{embed, files, progress};
use crate::admission::Work;
use crate::catalogue::filter::Filter;
use crate::catalogue::search::{Nearest, SearchOptions};
use crate::catalogue::{Room, StoreOptions};
use crate::chips::{Embedder, RunOptions};
use crate::progress::Progress;
use crate::service::model_of;
use engine::chip::cost::CostModel;
use engine::embedding::stopping::Length;
use engine::model::built_in::Asked;
use engine::picture::{DecodeLimits, Mode};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SearchFormat {
    Table,
    Json,
}

/// Search a catalogue once, from the shell
#[derive(Debug, Args)]
#[command(after_help = "Example:
  spikelens search shoe.png --data-dir data --k 5")]
#[command(mut_arg("data_dir", |option| option.required_unless_present_any(["store", "store_file"])))]
pub struct Search {
    /// A picture file, or a .npy file of u8 pixels [c,h,w]
    picture: PathBuf,
    #[command(flatten)]
    catalogue: Chosen,
    /// Number of products, 1 to 100
    #[arg(long, default_value_t = 10, env = "SPIKELENS_K",
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=100))]
    k: usize,
    /// An SNN file, or a built-in network by its name [default: the catalogue's own]
    #[arg(long, value_name = "MODEL", env = "SPIKELENS_MODEL")]
    model: Option<Asked>,
    /// Time steps, 1 to 1024, or auto: run until the answer is settled [default: the catalogue's]
    #[arg(long, value_name = "T", env = "SPIKELENS_TIME_STEPS")]
    time_steps: Option<Length>,
    /// Compare with every embedding instead of searching the graph
    #[arg(long, env = "SPIKELENS_EXACT")]
    exact: bool,
    /// Only products whose attributes match this JSON filter: {"category": "Bag"}
    #[arg(long, value_name = "JSON", env = "SPIKELENS_FILTER", value_parser = filter)]
    filter: Option<Filter>,
    /// Output format
    #[arg(long, value_enum, default_value = "table", env = "SPIKELENS_FORMAT")]
    format: SearchFormat,
    /// loihi1-paper or loihi1-cores
    #[arg(long, default_value = "loihi1-paper", env = "SPIKELENS_COST_MODEL")]
    cost_model: CostModel,
}

fn filter(text: &str) -> Result<Filter, String> {
    let value = serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))?;
    Filter::from_json(&value).map_err(|error| error.to_string())
}

impl Search {
    /// Runs the command.
    ///
    /// # Errors
    /// If the picture, the model or the catalogue cannot be read, or the picture cannot be run.
    pub fn run(self) -> Result<()> {
        let place = self.catalogue.place()?;
        if let Place::DataDir(data_dir) = &place
            && !data_dir.is_dir()
        {
            bail!("{place} is not a directory; create a catalogue with `spikelens import`");
        }
        let runtime = runtime()?;
        let catalogue = runtime.block_on(place.open(Room::ONE, StoreOptions::ONE))?;
        let origin = runtime.block_on(catalogue.origin())?;
        let origin = origin.context("the catalogue is empty; fill it with `spikelens import`")?;
        let model = match &self.model {
            Some(asked) => {
                let given = files::model(asked, self.cost_model)?;
                (given.id == origin.model_id).then_some(given)
            }
            None => runtime.block_on(model_of(&catalogue, &origin.model_id, self.cost_model))?,
        };
        let model = model.context(
            "the catalogue's embeddings are not by this model; pass the model that made them with --model",
        )?;
        let mut embedder = Embedder::new(model, DecodeLimits::default());
        let named = embed::pictures(&embedder, &self.picture, Mode::Auto)?;
        let [(_, picture)] = named.as_slice() else {
            bail!(
                "{} contains {} pictures; search takes one",
                self.picture.display(),
                named.len()
            );
        };
        let options = RunOptions {
            time_steps: self.time_steps.unwrap_or(origin.time_steps.into()),
            probe: origin.probe,
            mode: Mode::Auto,
            region: None,
            trace: false,
        };
        let embedded = embedder.embed_picture(picture, options)?;
        let dimensions = embedded.embedding.values.len();
        let progress = Arc::new(Progress::default());
        progress::follow(&progress, || {
            let shown = Arc::clone(&progress);
            runtime.block_on(catalogue.load(origin.clone(), dimensions, files::threads(), shown))
        })?;
        let options = SearchOptions {
            k: self.k,
            exact: self.exact,
            filter: self.filter,
            ..SearchOptions::default()
        };
        let nearest = Nearest {
            origin: Arc::new(origin),
            embeddings: vec![embedded.embedding.values],
            without: Vec::new(),
            options,
            with_embeddings: false,
        };
        let matches = runtime.block_on(catalogue.nearest(nearest, Work::OWN))?.matches;
        runtime.block_on(catalogue.close());
        let mut out = std::io::stdout().lock();
        if self.format == SearchFormat::Json {
            let matches: Vec<_> = matches
                .iter()
                .map(|found| {
                    json!({
                        "product_id": found.product.id,
                        "picture_id": found.picture_id,
                        "score": found.score,
                        "product": found.product,
                    })
                })
                .collect();
            let answer = json!({
                "matches": matches,
                "probe": embedded.embedding.probe,
                "time_steps": embedded.embedding.time_steps.get(),
                "prediction": embedded.prediction,
                "emulation": embedded.emulation,
            });
            serde_json::to_writer_pretty(&mut out, &answer)?;
            writeln!(out)?;
            return Ok(());
        }
        writeln!(out, "{:>7}  {:28} title", "score", "product")?;
        for found in &matches {
            writeln!(
                out,
                "{:>7.4}  {:28} {}",
                found.score,
                found.product.id,
                found.product.title.as_str()
            )?;
        }
        let emulation = &embedded.emulation;
        writeln!(
            out,
            "\nlooks like {}; the chip would have spent {:.3} mJ in {:.3} ms (modelled, {}): {} spikes, {} synaptic operations",
            embedded.prediction.label,
            emulation.energy_mj.total,
            emulation.latency_ms,
            emulation.cost_model,
            emulation.spikes,
            emulation.synaptic_operations
        )?;
        Ok(())
    }
}
