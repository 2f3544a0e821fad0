//! The web page over a catalogue of colour photos, wide and tall ones.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use engine::model::built_in::BuiltIn;
use engine::picture::{DecodeLimits, decode};
use image::{ImageFormat, Rgb, RgbImage};

use crate::browser::{DESK, PHONE};
use crate::page::{check_manners, keep, opened, shown};
use crate::server::{Server, run, spikelens};

/// A photo of a striped thing of a colour on a bright ground.
fn photo(width: u32, height: u32, colour: [u8; 3]) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let inside = x > width / 8 && x < width * 7 / 8 && y > height / 8 && y < height * 7 / 8;
        match (inside, (x + y) / 9 % 2) {
            (false, _) => Rgb([235, 230, 220]),
            (true, 0) => Rgb(colour),
            (true, _) => Rgb(colour.map(|value| value / 2)),
        }
    })
}

/// A directory of wide and tall photos in three colours.
fn photos(folder: &Path) {
    for (name, colour) in [
        ("red", [220, 30, 40]),
        ("green", [30, 160, 60]),
        ("blue", [40, 60, 210]),
    ] {
        for (form, width, height) in [("tall", 60, 240), ("wide", 320, 90)] {
            let path = folder.join(format!("{name}-{form}.png"));
            photo(width, height, colour)
                .save_with_format(path, ImageFormat::Png)
                .unwrap();
        }
    }
}

#[test]
fn colour_photos_are_shown_whole_and_as_the_chip_sees_them() {
    let folder = tempfile::tempdir().unwrap();
    photos(folder.path());
    let data = tempfile::tempdir().unwrap();
    let imported = run(&[
        "import",
        folder.path().to_str().unwrap(),
        "--data-dir",
        data.path().to_str().unwrap(),
        "--model",
        BuiltIn::Clothing.name(),
    ]);
    assert!(imported.status.success(), "{imported:?}");
    let server = Server::start_by(spikelens(&[]), data.path(), &[]).ready();
    let model = server.get("/v1/model").json();
    let chip = server.get("/v1/chip").json();
    for look in [DESK, PHONE] {
        let page = opened(&server, look);
        assert_eq!(shown(&page).len(), 6);
        assert_eq!(shown(&page)[0], "blue-tall");
        // The prepared picture has the network's size, and its colours.
        let prepared = page.text("document.querySelector('#prepared').src");
        let prepared = prepared.strip_prefix("data:image/png;base64,").unwrap();
        let prepared = STANDARD.decode(prepared).unwrap();
        let size = decode(&prepared, &DecodeLimits::default()).unwrap();
        assert_eq!(
            serde_json::json!([3, size.height(), size.width()]),
            model["layers"][0]["shape"]
        );
        let pixels = image::load_from_memory(&prepared).unwrap().to_rgb8();
        let middle = pixels.get_pixel(pixels.width() / 2, pixels.height() / 2);
        assert!(middle[2] > middle[0] && middle[2] > middle[1], "{middle:?}");
        // No photo is cut or stretched.
        page.until("document.querySelectorAll('#strip img').length === 6");
        let fits = page.run(
            "[...document.querySelectorAll('#original, #prepared, .match img, #strip img')].every((image) => {
               const [own, around] = [image, image.parentElement].map((one) => one.getBoundingClientRect());
               return getComputedStyle(image).objectFit === 'contain' && own.width <= around.width && own.height <= around.height;
             })",
        );
        assert_eq!(fits, true);
        // A drawing in ink is nothing for a network of colours.
        page.until("document.querySelector('#model').textContent");
        assert_eq!(page.run("document.querySelector('#draw').hidden"), true);
        // Every layer has its spikes, the three input planes as one, and every core its place.
        page.until("document.querySelectorAll('.floor .core').length");
        let layers = model["layers"].as_array().unwrap();
        assert_eq!(
            page.number("document.querySelectorAll('.train path').length"),
            layers.len() as f64
        );
        assert_eq!(
            page.number("document.querySelectorAll('.floor .core').length"),
            chip["cores_used"].as_f64().unwrap()
        );
        let planes = layers[0]["neurons"].as_u64().unwrap() as f64;
        assert_eq!(
            page.number("Number(document.querySelector('.train small').textContent.replace(/[^0-9]/g, ''))"),
            planes
        );
        check_manners(&page, &server);
        keep(&page, &format!("page-colour-{}", look.width));
    }
}
