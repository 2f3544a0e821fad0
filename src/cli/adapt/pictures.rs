//! `adapt --pictures`: the pictures of a catalogue as files, in the order in which a teacher's rows are.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::label::label;
use crate::catalogue::sqlite::Survey;
use crate::cli::{files, progress};
use engine::picture::Format;
use engine::picture::decode::sniff;

/// The manifest's name.
const MANIFEST: &str = "pictures.csv";

/// Writes every picture, `000000.jpg` and so on, and then a manifest that names them in the same order, with the product
/// of each as its group: a data set.
///
/// # Errors
/// If the catalogue cannot be read, or the folder exists or cannot be written.
pub fn write(survey: &Survey, attribute: Option<&str>, folder: &Path) -> Result<()> {
    let unwritten = || format!("{} cannot be written", folder.display());
    if folder.exists() {
        bail!(
            "{} already exists; --pictures names a new directory",
            folder.display()
        );
    }
    let moment = survey.moment()?;
    let (mut labels, mut all) = (HashMap::new(), 0);
    survey.each_product(|id, attributes, pictures| {
        all += pictures;
        let value = attribute.and_then(|name| attributes.as_map().get(name));
        labels.insert(id, value.and_then(label).unwrap_or_default());
    })?;
    // Renamed at the end, so that a partial folder is never taken for a whole one.
    let fresh = files::beside(folder)?;
    std::fs::create_dir(&fresh).with_context(unwritten)?;
    let written = (|| -> Result<usize> {
        let mut manifest = csv::Writer::from_path(fresh.join(MANIFEST))?;
        manifest.write_record(["image", "id", "label", "group", "split"])?;
        let bar = progress::bar("writing pictures", all);
        let mut number = 0;
        survey.each_batch(|batch| -> Result<()> {
            for picture in batch {
                let name = format!("{number:06}.{}", ending(&picture.bytes));
                std::fs::write(fresh.join(&name), &picture.bytes)?;
                let label = labels.get(&picture.product).map_or("", String::as_str);
                manifest.write_record([&name, &number.to_string(), label, &picture.product, "train"])?;
                number += 1;
                bar.inc(1);
            }
            Ok(())
        })?;
        manifest.flush()?;
        bar.finish_and_clear();
        std::fs::rename(&fresh, folder)?;
        Ok(number)
    })();
    drop(moment);
    if written.is_err() {
        // The error below is what matters; what is left over does no harm.
        let _ = std::fs::remove_dir_all(&fresh);
    }
    let count = written.with_context(unwritten)?;
    writeln!(
        std::io::stdout().lock(),
        "{}: {count} pictures, named in order by {MANIFEST}",
        folder.display()
    )?;
    Ok(())
}

fn ending(bytes: &[u8]) -> &'static str {
    match sniff(bytes) {
        Ok(Format::Png) => "png",
        Ok(Format::Jpeg) => "jpg",
        Ok(Format::WebP) => "webp",
        Ok(Format::Gif) => "gif",
        Ok(Format::Bmp) => "bmp",
        Err(_) => "picture",
    }
}
