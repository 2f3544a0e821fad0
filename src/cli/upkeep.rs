//! `check` and `backup`: verify a catalogue, and copy it into one file.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::store::{Chosen, survey};
use super::{files, progress};
use crate::catalogue::Origin;
use crate::chips::Maker;
use crate::progress::Progress;
use crate::service::ServiceError;
use crate::service::check::check;
use engine::chip::cost::CostModel;
use engine::model::Model;
use engine::model::built_in::Asked;

/// Verify every checksum, embedding and index entry of a catalogue
#[derive(Debug, Args)]
#[command(after_help = "Example:
  spikelens check --data-dir data")]
#[command(mut_arg("data_dir", |option| option.required_unless_present_any(["store", "store_file"])))]
pub struct Check {
    #[command(flatten)]
    catalogue: Chosen,
    /// The network that made the embeddings: an SNN file, or a built-in one by its name [default: the catalogue's own]
    #[arg(long, value_name = "MODEL", env = "SPIKELENS_MODEL")]
    model: Option<Asked>,
}

/// Findings that are printed; the others are only counted.
const NAMED: usize = 100;

impl Check {
    /// Runs the command.
    ///
    /// # Errors
    /// If the catalogue cannot be read, or anything in it is damaged.
    pub fn run(self) -> Result<()> {
        let given = match &self.model {
            Some(asked) => Some(files::model(asked, CostModel::Loihi1Paper)?),
            None => None,
        };
        let place = self.catalogue.place()?;
        let survey = place.survey()?;
        let (next, origin) = (survey.next_origin()?, survey.origin()?);
        let maker = |origin: Option<&Origin>| -> Result<Option<Maker>> {
            let Some(origin) = origin else { return Ok(None) };
            let model = match &given {
                Some(given) => Some(Arc::clone(given)).filter(|given| given.id == origin.model_id),
                None => {
                    let kept = survey.model(&origin.model_id)?;
                    Model::of_id(&origin.model_id, kept.as_deref(), CostModel::Loihi1Paper)
                }
            };
            Ok(model.map(|model| Maker {
                model,
                origin: Arc::new(origin.clone()),
            }))
        };
        let (maker, next) = (maker(origin.as_ref())?, maker(next.as_ref())?);
        let mut out = std::io::stdout().lock();
        let mut findings = Vec::new();
        let progress = Arc::new(Progress::default());
        let checkup = progress::follow(&progress, || {
            check(
                &survey,
                maker.as_ref(),
                next.as_ref(),
                files::threads(),
                &progress,
                |finding| findings.push(finding),
            )
        });
        if survey.origin()? != origin {
            bail!("a server adopted new embeddings during the check; run the check again");
        }
        for finding in findings.iter().take(NAMED) {
            writeln!(out, "{finding}")?;
        }
        let checkup = match checkup {
            Ok(checkup) => checkup,
            Err(error) => {
                let damage = matches!(&error, ServiceError::Catalogue(error) if error.is_damage());
                bail!(
                    "{place} {}: {error} ({} findings before that)",
                    if damage { "is damaged" } else { "cannot be checked" },
                    findings.len()
                )
            }
        };
        if !findings.is_empty() {
            bail!(
                "{} findings in {place}; the first are printed above",
                findings.len()
            );
        }
        let rows = checkup.rows;
        let index = match checkup.index {
            Some(entries) => format!("{entries} entries of the stored index"),
            None => "no stored index".to_owned(),
        };
        let embedded = match (checkup.embedded, origin) {
            (Some(embedded), _) => format!("{embedded} embeddings recomputed and equal"),
            (None, None) => "no embeddings yet".to_owned(),
            (None, Some(origin)) => format!(
                "embeddings were not recomputed: {} {}",
                match given {
                    Some(_) => "--model is not the model that made them,",
                    None => "the catalogue does not contain their model, pass it with --model:",
                },
                origin.model_id
            ),
        };
        let next = match rows.next {
            0 => String::new(),
            next => format!(
                "; {next} embeddings by the next model, probe or T, recomputed if that model is available"
            ),
        };
        writeln!(
            out,
            "no damage found: {} products, {} pictures, {} embeddings; {index}; {embedded}{next}",
            rows.products, rows.pictures, rows.embeddings
        )?;
        Ok(())
    }
}

/// Write a catalogue to one file; a server may be running on it
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  spikelens backup --data-dir data --out shop.backup
  spikelens serve --data-dir fresh --restore shop.backup")]
pub struct Backup {
    /// The catalogue's directory
    #[arg(long, value_name = "DIR", env = "SPIKELENS_DATA_DIR")]
    data_dir: PathBuf,
    /// The file to write, which must not exist
    #[arg(long, value_name = "FILE", env = "SPIKELENS_OUT")]
    out: PathBuf,
}

impl Backup {
    /// Runs the command.
    ///
    /// # Errors
    /// If the catalogue cannot be read, or the backup exists or cannot be written.
    pub fn run(self) -> Result<()> {
        if self.out.exists() {
            bail!("{} already exists; choose another file name", self.out.display());
        }
        let survey = survey(&self.data_dir)?;
        let fresh = files::beside(&self.out)?;
        let written = survey.back_up(&fresh);
        if written.is_err() {
            // The error below matters more than a leftover file.
            let _ = std::fs::remove_file(&fresh);
        }
        written.with_context(|| format!("{} cannot be written", self.out.display()))?;
        std::fs::rename(&fresh, &self.out)
            .with_context(|| format!("{} cannot be written", self.out.display()))?;
        let bytes = std::fs::metadata(&self.out)?.len();
        writeln!(
            std::io::stdout().lock(),
            "{} is a backup of {}, {bytes} bytes",
            self.out.display(),
            self.data_dir.display()
        )?;
        Ok(())
    }
}
