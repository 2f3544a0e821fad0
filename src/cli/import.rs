//! `import`: fills a catalogue from files, without a server.

mod beside;
mod fashion_mnist;
mod folder;
mod lines;
mod source;
mod table;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::Args;

use self::source::Source;
use super::runtime::runtime;
use super::store::{Chosen, Place};
use super::{files, network, progress};
use crate::catalogue::manifest::Refusal;
use crate::catalogue::{Room, StoreOptions};
use crate::chips::Maker;
use crate::progress::Progress;
use crate::service::ingest::{IngestOptions, Ingested, ingest};
use engine::chip::cost::CostModel;
use engine::model::built_in::{Asked, BuiltIn};
use engine::network::{Probe, TimeSteps};

/// Fill a catalogue without a server
#[derive(Debug, Args)]
#[command(after_help = "SOURCE is one of
  a directory with Fashion-MNIST's *-ubyte.gz files: the training pictures.
  a directory of PNG, JPEG, WebP, GIF or BMP files: each is a product, and its
    file name without the extension is the product's id and title. Hidden
    files, other files and subdirectories are skipped and counted.
  a .ndjson or .jsonl manifest: one JSON object per line with id, title,
    attributes, prepare, and image (or images, for several). An image is a path
    relative to the manifest, base64 or a data: URL. A line without an image
    changes the product with its id: it sets the title, if given, and merges
    attributes, of which null removes one. {\"id\": ..., \"delete\": true} deletes
    it. What GET /v1/export gave is read, too.
  a .csv or .tsv table: the columns id, title and image (as above); every other
    column is an attribute. A cell that is true, false or a JSON number has
    that type; any other cell is a string (also 007, and integers that need
    more than 64 bits). An empty cell says nothing. Rows with the same id are
    one product: their pictures are joined, different texts of an attribute
    become a list, and any other contradiction is reported.
  a .csv table as Shopify or WooCommerce exports it: docs/tables.md.
Cells are separated by commas, semicolons or tabs. A path must not lead out of
its directory, not even by a symbolic link. Pictures at addresses are not
fetched: with --addresses they are listed, and files that were fetched beside
the table are found. Each row that cannot be stored, and all that a stored
product lacks, is reported with its line, id and reason; the exit code is then
1. A product that exists already is replaced.

Examples:
  spikelens import dataset/fashion-mnist --data-dir data --resume
  spikelens import photos --data-dir data
  spikelens import products.ndjson --data-dir data
    {\"id\": \"shoe-1\", \"attributes\": {\"price\": 40}, \"image\": \"photos/shoe-1.jpg\"}
    {\"id\": \"bag-1\", \"images\": [\"photos/bag-front.jpg\", \"photos/bag-back.jpg\"]}
  spikelens import products.csv --data-dir data
    id,title,image,price,sold_out
    shoe-1,Shoe,photos/shoe-1.jpg,40,false
  spikelens import export.csv --addresses | wget --force-directories --input-file=-
  spikelens import export.csv --data-dir data")]
#[command(mut_arg("data_dir", |option| {
    option
        .help("The catalogue's directory; created if missing")
        .required_unless_present_any(["store", "store_file", "addresses"])
}))]
pub struct Import {
    /// A directory, a .ndjson or .jsonl manifest, or a .csv or .tsv table
    source: PathBuf,
    #[command(flatten)]
    catalogue: Chosen,
    /// Only list the addresses of the pictures that a table names, one on each line; nothing is stored
    #[arg(long, env = "SPIKELENS_ADDRESSES")]
    addresses: bool,
    /// Skip products that are stored already
    #[arg(long, env = "SPIKELENS_RESUME")]
    resume: bool,
    /// An SNN file, or a built-in network: photos, clothing, fashion-mnist, paper-32-64-10 [default: the catalogue's own;
    /// of a new one photos, fashion-mnist for Fashion-MNIST]
    #[arg(long, value_name = "MODEL", env = "SPIKELENS_MODEL")]
    model: Option<Asked>,
    /// Time steps, 1 to 1024 [default: the catalogue's, else the model's]
    #[arg(long, value_name = "T", env = "SPIKELENS_TIME_STEPS")]
    time_steps: Option<TimeSteps>,
    /// spike_count, membrane or integrated [default: the catalogue's, else the model's]
    #[arg(long, env = "SPIKELENS_PROBE")]
    probe: Option<Probe>,
    /// Import only the first N products
    #[arg(long, value_name = "N", env = "SPIKELENS_LIMIT")]
    limit: Option<usize>,
}

/// Opens a source of any form.
fn open(path: &Path, limit: Option<usize>) -> Result<Source> {
    let ending = path.extension().and_then(|ending| ending.to_str());
    let ending = ending.map(str::to_ascii_lowercase);
    let source = if files::is_fashion_mnist(path) {
        fashion_mnist::source(path, limit)?
    } else if path.is_dir() {
        folder::source(path)?
    } else {
        match ending.as_deref() {
            Some("ndjson" | "jsonl") => lines::source(path)?,
            _ if is_table(path) => table::source(path)?,
            _ => bail!(
                "{} is not a valid source: expected a directory of pictures or of Fashion-MNIST's *-ubyte.gz files, a \
                 manifest named *.ndjson or *.jsonl, or a table named *.csv or *.tsv",
                path.display()
            ),
        }
    };
    let limit = limit.unwrap_or(usize::MAX);
    Ok(Source {
        offered: Box::new(source.offered.take(limit)),
        expected: source.expected.min(limit),
        ..source
    })
}

fn is_table(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| {
        ["csv", "tsv"]
            .iter()
            .any(|known| ending.eq_ignore_ascii_case(known))
    })
}

impl Import {
    /// Runs the command.
    ///
    /// # Errors
    /// If the source or the model cannot be read, the catalogue cannot be written, or a product could not be stored.
    pub fn run(self) -> Result<()> {
        if self.addresses {
            return list_addresses(&self.source);
        }
        let place = self.catalogue.place()?;
        let source = open(&self.source, self.limit)?;
        let given = match &self.model {
            Some(asked) => Some(files::model(asked, CostModel::Loihi1Paper)?),
            None => None,
        };
        let runtime = runtime()?;
        let catalogue = runtime.block_on(place.open(Room::ONE, StoreOptions::ONE))?;
        let before = runtime.block_on(catalogue.origin())?;
        let model = match given {
            Some(given) => given,
            None => {
                let new = match files::is_fashion_mnist(&self.source) {
                    true => BuiltIn::FashionMnist,
                    false => network::NEW,
                };
                runtime.block_on(network::own(&catalogue, new, CostModel::Loihi1Paper))?
            }
        };
        let maker = Maker::new(model, before.as_ref(), self.probe, self.time_steps);
        let options = IngestOptions {
            resume: self.resume,
            threads: files::threads(),
            expected: source.expected,
        };
        let progress = Arc::new(Progress::default());
        let ingested = progress::follow(&progress, || {
            let ingest = ingest(&catalogue, &maker, source.offered, options, &progress, report);
            runtime.block_on(ingest)
        })?;
        let count = runtime.block_on(catalogue.count())?;
        runtime.block_on(catalogue.close());
        let Ingested {
            stored,
            joined,
            merged,
            deleted,
            replaced,
            skipped,
            failed,
            lost,
            unfetched,
        } = ingested;
        let mut out = std::io::stdout().lock();
        writeln!(
            out,
            "{stored} stored, {joined} joined, {merged} merged, {deleted} deleted, {replaced} replaced, {skipped} skipped, \
             {failed} failed; {place} has {count} products"
        )?;
        if unfetched > 0 {
            writeln!(
                out,
                "{unfetched} pictures were not fetched; `spikelens import {} --addresses` lists them",
                self.source.display()
            )?;
        }
        if lost > 0 {
            writeln!(out, "{lost} values or pictures of stored products were left out")?;
        }
        if let Some(skipped) = source.skipped {
            writeln!(out, "{skipped}")?;
        }
        let network = BuiltIn::of_id(&maker.origin.model_id).filter(|network| network.is_for_photos());
        if let (Some(network), Place::DataDir(data_dir)) = (network.filter(|_| stored > 0), &place) {
            suggest_own_network(network, data_dir);
        }
        if failed + lost + unfetched > 0 {
            bail!(
                "not all of {} is stored: {failed} rows failed, {lost} values or pictures were left out, {unfetched} pictures \
                 were not fetched; the reasons are printed above",
                self.source.display()
            );
        }
        Ok(())
    }
}

/// Prints the addresses of the pictures of a table.
fn list_addresses(path: &Path) -> Result<()> {
    if !is_table(path) {
        bail!(
            "{} is not a table named *.csv or *.tsv, whose addresses --addresses lists",
            path.display()
        );
    }
    let mut out = std::io::stdout().lock();
    for address in table::addresses(path)? {
        writeln!(out, "{address}")?;
    }
    Ok(())
}

/// Says that a built-in network for photos is only a beginning.
fn suggest_own_network(network: BuiltIn, data_dir: &Path) {
    // stderr may be closed; nothing depends on this line.
    let _ = writeln!(
        std::io::stderr(),
        "these photos are found by the built-in network {network}; `spikelens adapt --data-dir {} --out snn.safetensors` \
         makes a network of the shop's own from them",
        data_dir.display()
    );
}

/// Reports what could not be stored, above the progress bar if there is one.
fn report(place: &str, refusal: &Refusal) {
    let mut stderr = std::io::stderr().lock();
    let clear = if stderr.is_terminal() { "\r\x1b[2K" } else { "" };
    let id = refusal.id.as_ref().map(|id| format!(", id {id:?}"));
    // stderr may be closed; the exit code still says that a product failed.
    let _ = writeln!(
        stderr,
        "{clear}{place}{}: {}",
        id.unwrap_or_default(),
        refusal.detail
    );
}
