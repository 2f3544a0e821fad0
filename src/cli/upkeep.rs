//! `check` and `backup`: is everything as it was written, and a copy of it all in one file.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::{files, progress};
use crate::catalogue::Origin;
use crate::catalogue::sqlite::{Sqlite, Survey};
use crate::chips::Maker;
use crate::progress::Progress;
use crate::service::check::check;
use engine::chip::cost::CostModel;
use engine::model::Model;

/// Verify every sum, embedding and index entry of a catalogue
#[derive(Debug, Args)]
#[command(after_help = "Example:
  spikelens check --data-dir data")]
pub struct Check {
    /// The catalogue's folder
    #[arg(long, value_name = "DIR", env = "SPIKELENS_DATA_DIR")]
    data_dir: PathBuf,
    /// The SNN file that made the embeddings [default: the one that the catalogue keeps]
    #[arg(long, value_name = "SNN", env = "SPIKELENS_MODEL")]
    model: Option<PathBuf>,
}

/// Findings that are named; the others are only counted.
const NAMED: usize = 100;

impl Check {
    pub fn run(self) -> Result<()> {
        let given = match &self.model {
            Some(path) => Some(files::model(Some(path), CostModel::Loihi1Paper)?),
            None => None,
        };
        let survey = survey(&self.data_dir)?;
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
            bail!("a server adopted other embeddings while these were checked; check again");
        }
        for finding in findings.iter().take(NAMED) {
            writeln!(out, "{finding}")?;
        }
        let checkup = match checkup {
            Ok(checkup) => checkup,
            Err(error) => bail!(
                "{} is damaged: {error} ({} findings before that)",
                self.data_dir.display(),
                findings.len()
            ),
        };
        if !findings.is_empty() {
            bail!(
                "{} things in {} are not as they were written; the first are named above",
                findings.len(),
                self.data_dir.display()
            );
        }
        let rows = checkup.rows;
        let index = match checkup.index {
            Some(entries) => format!("{entries} entries of the kept index"),
            None => "no index is kept".to_owned(),
        };
        let embedded = match (checkup.embedded, origin) {
            (Some(embedded), _) => format!("{embedded} embeddings made once more are the same"),
            (None, None) => "nothing was embedded yet".to_owned(),
            (None, Some(origin)) => format!(
                "embeddings were not made once more: {} {}",
                match given {
                    Some(_) => "--model names another than theirs,",
                    None => "name their model with --model, the catalogue does not keep",
                },
                origin.model_id
            ),
        };
        let next = match rows.next {
            0 => String::new(),
            next => format!(
                "; {next} embeddings by the next model, probe or T, made once more where it can be had"
            ),
        };
        writeln!(
            out,
            "all as written: {} products, {} pictures, {} embeddings; {index}; {embedded}{next}",
            rows.products, rows.pictures, rows.embeddings
        )?;
        Ok(())
    }
}

/// Write a catalogue into one file, also while a server runs over it
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  spikelens backup --data-dir data --out shop.backup
  spikelens serve --data-dir fresh --restore shop.backup")]
pub struct Backup {
    /// The catalogue's folder
    #[arg(long, value_name = "DIR", env = "SPIKELENS_DATA_DIR")]
    data_dir: PathBuf,
    /// The file, which must not be there yet
    #[arg(long, value_name = "FILE", env = "SPIKELENS_OUT")]
    out: PathBuf,
}

impl Backup {
    pub fn run(self) -> Result<()> {
        if self.out.exists() {
            bail!("{} is there already; name a file that is not", self.out.display());
        }
        let survey = survey(&self.data_dir)?;
        let fresh = files::beside(&self.out)?;
        let written = survey.back_up(&fresh);
        if written.is_err() {
            // The refusal below is what matters; a left-over file is only untidy.
            let _ = std::fs::remove_file(&fresh);
        }
        written.with_context(|| format!("{} cannot be written", self.out.display()))?;
        std::fs::rename(&fresh, &self.out)
            .with_context(|| format!("{} cannot be written", self.out.display()))?;
        let bytes = std::fs::metadata(&self.out)?.len();
        writeln!(
            std::io::stdout().lock(),
            "{} holds {} as of this moment, {bytes} bytes",
            self.out.display(),
            self.data_dir.display()
        )?;
        Ok(())
    }
}

/// Opens a catalogue, whether a server runs over it or not.
fn survey(data_dir: &Path) -> Result<Survey> {
    if !Sqlite::exists(data_dir) {
        bail!(
            "{} holds no catalogue; `spikelens import` makes one",
            data_dir.display()
        );
    }
    Survey::open(data_dir).with_context(|| format!("{} is damaged", data_dir.display()))
}
