//! Figures as SVG files and, in builds with the cargo feature `train`, also as PNG files.

pub mod axis;
pub mod chart;
#[cfg(feature = "train")]
pub mod png;

use std::path::Path;

use anyhow::Result;

use crate::files;

/// Writes `NAME.svg` and, if this build can draw it, `NAME.png`; returns whether it can.
pub fn write(folder: &Path, name: &str, svg: &str) -> Result<bool> {
    files::write_whole(&folder.join(format!("{name}.svg")), svg.as_bytes())?;
    #[cfg(feature = "train")]
    files::write_whole(&folder.join(format!("{name}.png")), &png::png(svg)?)?;
    Ok(cfg!(feature = "train"))
}
