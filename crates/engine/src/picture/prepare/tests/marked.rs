//! Photos with frames, bars, dark edges, badges and watermarks: prepared as without them.

use super::*;

/// A shoe, dark on a sheet, in a photo of 400 x 400 pixels.
fn shoe(sheet: [u8; 3], leather: [u8; 3]) -> RgbImage {
    RgbImage::from_fn(400, 400, |x, y| {
        let shaft = (120..190).contains(&x) && (140..240).contains(&y);
        let toe = (120..300).contains(&x) && (200 + (300 - x.min(300)) / 9..260).contains(&y) && x >= 120;
        let sole = (116..306).contains(&x) && (255..265).contains(&y);
        Rgb(if sole {
            leather.map(|value| value / 2)
        } else if shaft || toe {
            leather
        } else {
            sheet
        })
    })
}

const WHITE: [u8; 3] = [255; 3];
const RED: [u8; 3] = [168, 40, 60];

/// The share of the input's pixels that differ by more than a tenth of the range, in percent.
fn differ(one: &RgbImage, other: &RgbImage) -> usize {
    let (one, other) = (auto(&decoded(one.clone())), auto(&decoded(other.clone())));
    let pixels = one.as_slice().iter().zip(other.as_slice());
    100 * pixels.filter(|(a, b)| a.abs_diff(**b) > 25).count() / 784
}

/// Paints over every pixel that `inside` does not choose.
fn painted(photo: &RgbImage, colour: [u8; 3], inside: impl Fn(u32, u32) -> bool) -> RgbImage {
    let (width, height) = photo.dimensions();
    RgbImage::from_fn(width, height, |x, y| {
        if inside(x, y) {
            *photo.get_pixel(x, y)
        } else {
            Rgb(colour)
        }
    })
}

fn framed(photo: &RgbImage, thickness: u32, colour: [u8; 3]) -> RgbImage {
    let inside = thickness..400 - thickness;
    painted(photo, colour, |x, y| inside.contains(&x) && inside.contains(&y))
}

#[test]
fn frames_of_any_gray_and_thickness_are_left_out() {
    let plain = shoe(WHITE, RED);
    for thickness in [1, 2, 4, 12, 20] {
        for gray in [0, 64, 128, 200, 235] {
            let marked = framed(&plain, thickness, [gray; 3]);
            assert_eq!(differ(&plain, &marked), 0, "{thickness} px of {gray}");
        }
    }
    // A coloured frame, a frame around a frame, and a line drawn on the sheet.
    let twice = framed(&framed(&plain, 16, [250; 3]), 8, [20, 30, 120]);
    assert_eq!(differ(&plain, &twice), 0);
    let drawn = painted(&plain, [30; 3], |x, y| {
        let near = x.min(y).min(399 - x).min(399 - y);
        !(8..10).contains(&near)
    });
    assert_eq!(differ(&plain, &drawn), 0);
}

#[test]
fn bars_are_left_out_at_any_edge() {
    let plain = shoe(WHITE, RED);
    let barred = |gray: u8, (left, right, upper, lower): (u32, u32, u32, u32)| {
        let (width, height) = (400 + left + right, 400 + upper + lower);
        let mut barred = RgbImage::from_pixel(width, height, Rgb([gray; 3]));
        image::imageops::replace(&mut barred, &plain, i64::from(left), i64::from(upper));
        barred
    };
    for bars in [(0, 0, 100, 100), (90, 90, 0, 0), (0, 0, 0, 60), (150, 0, 0, 0)] {
        for gray in [0, 64, 128, 200, 235] {
            assert_eq!(differ(&plain, &barred(gray, bars)), 0, "{gray} at {bars:?}");
        }
    }
    // Dark all around.
    for gray in [0, 64, 128] {
        assert_eq!(differ(&plain, &barred(gray, (30, 30, 80, 80))), 0, "{gray}");
    }
}

#[test]
fn one_dark_edge_is_left_out_be_it_sharp_or_soft() {
    let plain = shoe(WHITE, RED);
    for thickness in [2, 10, 40] {
        let sharp = painted(&plain, [40; 3], |x, _| x >= thickness);
        assert_eq!(differ(&plain, &sharp), 0, "left, {thickness} px");
        let sharp = painted(&plain, [40; 3], |_, y| y < 400 - thickness);
        assert_eq!(differ(&plain, &sharp), 0, "lower, {thickness} px");
    }
    let soft = RgbImage::from_fn(400, 400, |x, y| {
        let light = (x * 255 / 40).min(255);
        plain
            .get_pixel(x, y)
            .0
            .map(|value| u8::try_from(u32::from(value) * light / 255).unwrap())
            .into()
    });
    assert_eq!(differ(&plain, &soft), 0);
}

#[test]
fn a_dark_photo_in_a_light_frame_stays_dark() {
    let plain = shoe([12; 3], [200, 190, 60]);
    for thickness in [1, 4] {
        assert_eq!(
            differ(&plain, &framed(&plain, thickness, WHITE)),
            0,
            "{thickness}"
        );
    }
}

#[test]
fn what_looks_like_a_frame_but_is_the_product_is_kept() {
    // A scarf or a box that nearly fills its photo: white at its edges is the sheet.
    for (columns, rows) in [(20..380, 20..380), (60..340, 6..394), (2..398, 100..300)] {
        let dark = |x: u32, y: u32| columns.contains(&x) && rows.contains(&y);
        let scarf = RgbImage::from_fn(400, 400, |x, y| {
            let print = (150..250).contains(&x) && (150..250).contains(&y);
            Rgb(if !dark(x, y) {
                WHITE
            } else if print {
                [220, 200, 40]
            } else {
                [60, 60, 110]
            })
        });
        let picture = auto(&decoded(scarf));
        let middle = row(&picture, 14);
        assert!(
            middle[4..8].iter().all(|&value| value > 120),
            "{columns:?} {rows:?}: {middle:?}"
        );
    }
}

#[test]
fn a_sheet_in_uneven_light_is_no_frame() {
    let plain = shoe(WHITE, RED);
    let shaded = RgbImage::from_fn(400, 400, |x, y| {
        let light = 255 - y / 10;
        plain
            .get_pixel(x, y)
            .0
            .map(|value| u8::try_from(u32::from(value) * light / 255).unwrap())
            .into()
    });
    assert_eq!(differ(&plain, &shaded), 0);
}

#[test]
fn rounded_corners_do_not_become_the_backdrop() {
    let plain = shoe(WHITE, RED);
    let rounded = painted(&plain, [0; 3], |x, y| {
        let (across, down) = (x.min(399 - x), y.min(399 - y));
        across >= 30 || down >= 30 || (30 - across).pow(2) + (30 - down).pow(2) <= 900
    });
    assert!(differ(&plain, &rounded) <= 3);
}

#[test]
fn a_badge_in_a_corner_and_a_line_of_text_at_an_edge_are_left_out() {
    let plain = shoe(WHITE, RED);
    for (middle_x, middle_y) in [(50, 50), (350, 50), (50, 350), (350, 350)] {
        let disc = painted(&plain, [10, 120, 60], |x, y| {
            u32::pow(x.abs_diff(middle_x), 2) + u32::pow(y.abs_diff(middle_y), 2) > 40 * 40
        });
        assert_eq!(differ(&plain, &disc), 0, "{middle_x} {middle_y}");
    }
    let ribbon = painted(&plain, [10, 120, 60], |x, y| !(60..90).contains(&(400 - x + y)));
    assert!(differ(&plain, &ribbon) <= 3);
    let text = painted(&plain, [90; 3], |x, y| {
        !((370..385).contains(&y) && (100..300).contains(&x) && x % 12 < 6)
    });
    assert!(differ(&plain, &text) <= 3);
}

#[test]
fn a_pair_and_a_detached_part_are_kept() {
    // Two shoes, and a bag whose handle stands apart.
    let pair = painted(&RgbImage::from_pixel(400, 400, Rgb([60; 3])), WHITE, |x, y| {
        (20..180).contains(&x) && (20..120).contains(&y) || (220..380).contains(&x) && (280..380).contains(&y)
    });
    let picture = auto(&decoded(pair));
    assert!(
        row(&picture, 3)[4] > 150 && row(&picture, 24)[23] > 150,
        "{picture:?}"
    );
    let bag = painted(&RgbImage::from_pixel(400, 400, Rgb([60; 3])), WHITE, |x, y| {
        (60..340).contains(&x) && (150..380).contains(&y) || (120..280).contains(&x) && (60..80).contains(&y)
    });
    assert!(row(&auto(&decoded(bag)), 0)[14] > 150);
}

#[test]
fn a_watermark_over_all_is_left_out_around_the_product() {
    let plain = shoe(WHITE, RED);
    let marked = RgbImage::from_fn(400, 400, |x, y| {
        let pixel = plain.get_pixel(x, y);
        let stroke = (x + y) % 20 < 4 && (x + 400 - y) % 100 < 70;
        if stroke {
            pixel.0.map(|value| (value / 10) * 7 + 38).into()
        } else {
            *pixel
        }
    });
    let extent = |photo: RgbImage| {
        let picture = auto(&decoded(photo));
        let rows = (0..28).filter(|&y| row(&picture, y).iter().any(|&value| value > 100));
        (rows.clone().min().unwrap(), rows.max().unwrap())
    };
    let (plain, marked) = (extent(plain), extent(marked));
    assert!(
        plain.0.abs_diff(marked.0) <= 1 && plain.1.abs_diff(marked.1) <= 1,
        "{plain:?} {marked:?}"
    );
}
