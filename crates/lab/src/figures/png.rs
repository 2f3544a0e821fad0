//! Renders an SVG as a PNG. The font is included, because text would be missing on a host without fonts.

use std::sync::{Arc, LazyLock};

use anyhow::{Context, Result};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

/// Pixels of the PNG for each pixel of the SVG, so that text stays sharp.
const SCALE: f32 = 2.0;

/// DejaVu Sans for every family that an SVG may name.
static FONTS: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(dejavu::sans::regular().to_vec());
    fonts.load_font_data(dejavu::sans::bold().to_vec());
    fonts.set_sans_serif_family("DejaVu Sans");
    Arc::new(fonts)
});

/// Renders `svg` at twice its size.
pub fn png(svg: &str) -> Result<Vec<u8>> {
    let options = Options {
        font_family: "DejaVu Sans".to_owned(),
        fontdb: Arc::clone(&FONTS),
        ..Options::default()
    };
    let tree = Tree::from_str(svg, &options).context("the figure is not a valid SVG")?;
    let size = tree
        .size()
        .to_int_size()
        .scale_by(SCALE)
        .context("the figure has no size")?;
    let mut pixels = Pixmap::new(size.width(), size.height()).context("the figure is too large")?;
    resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
    pixels.encode_png().context("the figure cannot be written as PNG")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_drawn_whatever_family_is_named() {
        for family in [
            "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif",
            "sans-serif",
        ] {
            let svg = format!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"80\" height=\"20\" font-family=\"{family}\">\
                 <rect width=\"80\" height=\"20\" fill=\"#ffffff\"/>\
                 <text x=\"4\" y=\"15\" font-size=\"14\">≤ mAP</text></svg>"
            );
            let drawn = image::load_from_memory(&png(&svg).unwrap()).unwrap().to_luma8();
            assert_eq!(drawn.dimensions(), (160, 40));
            let dark = drawn.pixels().filter(|pixel| pixel.0[0] < 64).count();
            assert!(dark > 100, "{family}: {dark} dark pixels");
        }
    }
}
