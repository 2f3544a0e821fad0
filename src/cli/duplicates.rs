//! `duplicates`: which products of a catalogue may be the same.

use std::io::Write;
use std::sync::Arc;

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::json;

use super::store::Chosen;
use super::{files, progress};
use crate::progress::Progress;
use crate::service::duplicates::{self, NamedPicture, duplicates};

/// Pictures of a group that a table shows; JSON has all of them.
const SHOWN: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DuplicatesFormat {
    Table,
    Json,
}

/// Report products that may be the same; a server may be running on the catalogue
#[derive(Debug, Args)]
#[command(
    after_help = "First come groups of pictures that are the same file, of one product or of several.
Then come groups of different files, of several products, that look almost the
same: each of them has the cosine similarity --min-score, or more, to another
one of its group, and its score is that to the nearest. They are found along an
index, which may miss a few. Nothing is changed.

Examples:
  spikelens duplicates --data-dir data
  spikelens duplicates --data-dir data --min-score 0.99 --format json"
)]
#[command(mut_arg("data_dir", |option| option.required_unless_present_any(["store", "store_file"])))]
pub struct Duplicates {
    #[command(flatten)]
    catalogue: Chosen,
    /// Least cosine similarity of pictures that look almost the same, 0.5 to 1
    #[arg(long, value_name = "SCORE", default_value_t = 0.999, env = "SPIKELENS_MIN_SCORE", value_parser = min_score)]
    min_score: f64,
    /// Output format
    #[arg(long, value_enum, default_value = "table", env = "SPIKELENS_FORMAT")]
    format: DuplicatesFormat,
}

fn min_score(text: &str) -> Result<f64, String> {
    let score = text.parse().ok().filter(|score| (0.5..=1.0).contains(score));
    score.ok_or_else(|| "must be a number from 0.5 to 1".to_owned())
}

impl Duplicates {
    /// Runs the command.
    ///
    /// # Errors
    /// If the catalogue cannot be read.
    pub fn run(self) -> Result<()> {
        let survey = self.catalogue.place()?.survey()?;
        let progress = Arc::new(Progress::default());
        let found = progress::follow(&progress, || {
            duplicates(&survey, self.min_score, files::threads(), &progress)
        })?;
        let mut out = std::io::stdout().lock();
        match self.format {
            DuplicatesFormat::Table => write_table(&mut out, &found, self.min_score)?,
            DuplicatesFormat::Json => {
                let mut answer = json!({"min_score": self.min_score});
                if let (Some(answer), serde_json::Value::Object(found)) =
                    (answer.as_object_mut(), serde_json::to_value(&found)?)
                {
                    answer.extend(found);
                }
                serde_json::to_writer_pretty(&mut out, &answer)?;
                writeln!(out)?;
            }
        }
        Ok(())
    }
}

fn write_table(out: &mut impl Write, found: &duplicates::Duplicates, min_score: f64) -> std::io::Result<()> {
    for group in &found.equal {
        let count = group.pictures.len();
        writeln!(out, "the same file, {count} pictures:")?;
        for picture in group.pictures.iter().take(SHOWN) {
            write_picture(out, "", picture, 1)?;
        }
        write_rest(out, count)?;
    }
    for group in &found.alike {
        let count = group.pictures.len();
        writeln!(out, "almost the same, {count} files:")?;
        for alike in group.pictures.iter().take(SHOWN) {
            let score = format!("{:.4}", alike.score);
            write_picture(out, &score, &alike.picture, alike.copies)?;
        }
        write_rest(out, count)?;
    }
    writeln!(
        out,
        "{} products, {} pictures; groups of the same file: {}; groups almost the same, {min_score} or more: {}",
        found.products,
        found.pictures,
        found.equal.len(),
        found.alike.len()
    )
}

fn write_picture(
    out: &mut impl Write,
    score: &str,
    picture: &NamedPicture,
    copies: usize,
) -> std::io::Result<()> {
    let NamedPicture {
        product_id,
        title,
        picture_id,
    } = picture;
    let more = match copies {
        1 => String::new(),
        copies => format!(" (this file: {copies} pictures)"),
    };
    writeln!(
        out,
        "{score:>8}  {product_id:28} picture {picture_id:10} {title}{more}"
    )
}

/// Says how many pictures of a group are not shown.
fn write_rest(out: &mut impl Write, count: usize) -> std::io::Result<()> {
    match count.saturating_sub(SHOWN) {
        0 => writeln!(out),
        more => writeln!(out, "{:>8}  and {more} more (--format json has all)\n", ""),
    }
}
