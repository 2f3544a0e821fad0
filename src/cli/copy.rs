//! `copy`: from a data directory or a database into another one.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::progress;
use super::store::{Place, Secret};
use crate::catalogue::Target;
use crate::progress::Progress;
use crate::service::copy::{Copied, copy};

/// Copy a catalogue into a new data directory or database
#[derive(Debug, Args)]
#[command(
    after_help = "Products keep their ids, order, times and attributes, pictures their ids and embeddings, and the
network's file goes with them: nothing is embedded again. At the end the counts
and every checksum of both are compared. Results of imports and embeddings that
are being made for another network are not copied; a source with imports that
are not done is refused.

A server may run on the source: what is copied is its state at the moment when
the copy begins. The target must be new, or a copy of the same source that
nothing else has written to; until the copy is finished nothing else opens it.
An interrupted copy goes on when it is started again. A finished one is brought
up to date: only what has changed is written. So a server is moved with little
downtime: copy while it runs, stop it, copy again, start it on the target.

Examples:
  spikelens copy --from data --to other
  spikelens copy --from data --to postgres://shop@db.example/lens
  spikelens copy --from-file address --to data"
)]
pub struct Copy {
    /// What to copy: a data directory, or postgres://USER[:PASSWORD]@HOST[:PORT]/DATABASE[?sslmode=MODE]
    #[arg(long, value_name = "DIR|ADDRESS", env = "SPIKELENS_FROM", hide_env_values = true, value_parser = Secret::new,
          required_unless_present = "from_file", conflicts_with = "from_file")]
    from: Option<Secret>,
    /// A file that holds this address
    #[arg(long, value_name = "FILE", env = "SPIKELENS_FROM_FILE")]
    from_file: Option<PathBuf>,
    /// Where to: as --from; a data directory is created if missing
    #[arg(long, value_name = "DIR|ADDRESS", env = "SPIKELENS_TO", hide_env_values = true, value_parser = Secret::new,
          required_unless_present = "to_file", conflicts_with = "to_file")]
    to: Option<Secret>,
    /// A file that holds this address
    #[arg(long, value_name = "FILE", env = "SPIKELENS_TO_FILE")]
    to_file: Option<PathBuf>,
}

impl Copy {
    /// Runs the command.
    ///
    /// # Errors
    /// If the source cannot be read, the target is not its copy or cannot be written, or both differ at the end.
    pub fn run(self) -> Result<()> {
        let from = Place::named("--from", self.from.as_ref(), self.from_file.as_deref())?;
        let to = Place::named("--to", self.to.as_ref(), self.to_file.as_deref())?;
        let name = from.identity();
        if name == to.identity() {
            bail!("--from and --to are both {from}; copy into another place");
        }
        let source = from.survey()?;
        let mut target = match &to {
            Place::DataDir(folder) => Target::open(folder)?,
            Place::Store(address) => Target::connect(address)?,
        };
        let progress = Arc::new(Progress::default());
        let copied = progress::follow(&progress, || copy(&source, &name, &mut target, &progress));
        let Copied {
            products,
            pictures,
            added,
            replaced,
            removed,
        } = copied.with_context(|| format!("{from} is not copied to {to}"))?;
        writeln!(
            std::io::stdout().lock(),
            "{to} is a copy of {from}: {products} products, {pictures} pictures; {added} added, {replaced} replaced, {removed} \
             removed; all checksums are equal"
        )?;
        Ok(())
    }
}
