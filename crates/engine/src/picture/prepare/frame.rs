//! Frames, bars and dark edges around a photo: what lies inside of them.
//!
//! From each edge inward, lines (rows or columns) of one colour are walked over until the first line that shows
//! something: the product. What surrounds the product is the colour of the last line before it. Lines further outside
//! that differ from it are a bar, one side of a thin frame or the dark edge of a scan, and are cut off. A thicker frame
//! has the same colour on all four sides.
//!
//! Nothing is cut where the colour changes slowly, as on a sheet in uneven light, nor where white surrounds something
//! dark: that is more often a product that fills its photo than a white frame.

use super::colour::{TRIM_DIVISOR, median, pixel, square, within};
use super::part::Part;
use crate::picture::Decoded;

/// A smaller side has no room for a frame beside a product.
const SMALLEST_SIDE: u32 = 48;

/// A line is of one colour if 95 in 100 of its pixels are within the tolerance of trimming of its median. The rest are
/// the other sides of a thin frame, dust and noise.
const OF_ONE_COLOUR: (usize, usize) = (95, 100);

/// So many pixels of a line are looked at, evenly spread; more would only take more time.
const SAMPLES: u32 = 512;

/// A change of colour beyond the tolerance is a step if it takes at most this part of the side.
const STEP_DIVISOR: u32 = 64;

/// A line drawn inside of the sheet's edge, and a white frame around a dark sheet, take at most this part of the side.
const THIN_DIVISOR: u32 = 40;

/// A frame with four equal sides takes at most this part of the shorter side.
const FRAME_DIVISOR: u32 = 16;

/// Behind a sharp edge, JPEG's blocks of 8 pixels are not clean.
const BLOCK: u32 = 8;

/// A bar around a frame around a margin with a line drawn in it: more has not been seen.
const ROUNDS: usize = 4;

type Colour = [u64; 3];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edge {
    Left,
    Right,
    Upper,
    Lower,
}

const EDGES: [Edge; 4] = [Edge::Left, Edge::Right, Edge::Upper, Edge::Lower];

/// The part of a photo inside of frames, bars and dark edges; the whole of it if it has none.
pub(super) fn inside(image: &Decoded) -> Part {
    let mut part = Part::whole(image);
    for _ in 0..ROUNDS {
        if part.shorter_side() < SMALLEST_SIDE {
            break;
        }
        let sides = EDGES.map(|edge| {
            Side::of(Lines {
                image,
                part: &part,
                edge,
            })
        });
        let mut cuts = sides.each_ref().map(Side::cut);
        if cuts == [0; 4] {
            cuts = frame(&sides);
        }
        if cuts == [0; 4] {
            break;
        }
        part = part.without(cuts);
    }
    part
}

/// The thickness of the four sides of a frame of one colour; zeros if there is none.
///
/// A dark frame around a light sheet may be of any thickness; others are equally thick on all four sides, and thin.
fn frame(sides: &[Side<'_>; 4]) -> [u32; 4] {
    const NONE: [u32; 4] = [0; 4];
    let [
        Side {
            lines: first,
            colours,
        },
        ..,
    ] = sides;
    let Some(&colour) = colours.first() else {
        return NONE;
    };
    let thickness = sides.each_ref().map(|side| {
        let of_frame = side
            .colours
            .iter()
            .take_while(|&&other| !first.differ(other, colour));
        u32::try_from(of_frame.count()).unwrap_or(u32::MAX)
    });
    let fits = |side: &Side<'_>, lines: u32| lines > 0 && lines + 1 < side.lines.count() / 2;
    if !sides.iter().zip(thickness).all(|(side, lines)| fits(side, lines)) {
        return NONE;
    }
    // The ring just inside: of another colour, and mostly of one.
    let part = first.part.without(thickness.map(|lines| lines + 1));
    let ring: Vec<Colour> = EDGES
        .iter()
        .flat_map(|&edge| {
            let image = first.image;
            let part = &part;
            Lines { image, part, edge }.pixels(0)
        })
        .collect();
    let sheet = median(&ring, first.image.channels());
    let alike = ring.iter().filter(|&&pixel| !first.differ(pixel, sheet)).count();
    let [thickest, thinnest] =
        [thickness.iter().max(), thickness.iter().min()].map(|one| one.map_or(0, |&one| one));
    let dark_around_light = !first.light(colour) && first.light(sheet) && alike * 10 >= ring.len() * 9;
    let equal =
        thickest <= first.part.shorter_side() / FRAME_DIVISOR && thickest - thinnest <= 2.max(thickest / 4);
    let thin = equal && alike * 2 > ring.len() && (!first.white(colour) || first.light(sheet));
    if first.differ(sheet, colour) && (dark_around_light || thin) {
        let unclean = BLOCK.min(part.shorter_side() / STEP_DIVISOR);
        thickness.map(|lines| lines + unclean)
    } else {
        NONE
    }
}

/// The lines of a part from one of its edges inward, and the colours of the outermost ones, as long as each has one alone.
struct Side<'a> {
    lines: Lines<'a>,
    colours: Vec<Colour>,
}

impl<'a> Side<'a> {
    fn of(lines: Lines<'a>) -> Self {
        let colours = (0..lines.count())
            .map_while(|index| lines.one_colour(index))
            .collect();
        Self { lines, colours }
    }

    /// The number of outermost lines that lie around the photo; less than half of all lines.
    fn cut(&self) -> u32 {
        let Self { lines, colours } = self;
        let count = lines.count();
        let Some((&innermost, walked)) = colours.last().zip(u32::try_from(colours.len()).ok()) else {
            return 0;
        };
        if walked == count {
            return 0;
        }
        let at = |lines: u32| usize::try_from(lines).unwrap_or(usize::MAX);
        let last = colours.len() - 1;
        let window = at((count / STEP_DIVISOR).max(2));
        let stepped = |index: usize| lines.differ(colours[index], colours[last.min(index + window)]);
        let Some(outside) = colours
            .iter()
            .rposition(|&colour| lines.differ(colour, innermost))
        else {
            return 0;
        };
        if !(0..last).any(stepped) {
            return 0;
        }
        // The innermost lines that differ: are they a line drawn on the sheet, or the product itself?
        let around = colours[..=outside]
            .iter()
            .rposition(|&colour| !lines.differ(colour, innermost));
        let drawn = around.is_some_and(|around| outside - around > at(count / THIN_DIVISOR));
        let white =
            lines.white(colours[outside]) && !lines.light(innermost) && outside >= at(count / THIN_DIVISOR);
        let outer = u32::try_from(outside + 1)
            .unwrap_or(u32::MAX)
            .saturating_add(BLOCK)
            .min(walked);
        if drawn || white || outer >= count / 2 {
            0
        } else {
            outer
        }
    }
}

/// The lines of a part, from one of its edges inward.
struct Lines<'a> {
    image: &'a Decoded,
    part: &'a Part,
    edge: Edge,
}

impl Lines<'_> {
    fn differ(&self, one: Colour, other: Colour) -> bool {
        !within(square(one, other), self.image.channels(), TRIM_DIVISOR)
    }

    fn white(&self, colour: Colour) -> bool {
        !self.differ(colour, self.gray(255)) || self.darkest(colour) >= 235
    }

    /// As light as a sheet may be.
    fn light(&self, colour: Colour) -> bool {
        self.darkest(colour) >= 178
    }

    fn darkest(&self, colour: Colour) -> u64 {
        colour[..self.image.channels()].iter().copied().min().unwrap_or(0)
    }

    fn gray(&self, value: u64) -> Colour {
        let mut colour = [0; 3];
        colour[..self.image.channels()].fill(value);
        colour
    }

    /// The number of lines.
    fn count(&self) -> u32 {
        match self.edge {
            Edge::Left | Edge::Right => self.part.width(),
            Edge::Upper | Edge::Lower => self.part.height(),
        }
    }

    /// A line's colour, if it has one alone.
    fn one_colour(&self, index: u32) -> Option<Colour> {
        let pixels = self.pixels(index);
        let colour = median(&pixels, self.image.channels());
        let alike = pixels
            .iter()
            .filter(|&&pixel| !self.differ(pixel, colour))
            .count();
        (alike * OF_ONE_COLOUR.1 >= pixels.len() * OF_ONE_COLOUR.0).then_some(colour)
    }

    /// Pixels of a line, evenly spread; at least one.
    fn pixels(&self, index: u32) -> Vec<Colour> {
        let Part { columns, rows } = self.part;
        let along = match self.edge {
            Edge::Left | Edge::Right => rows.clone(),
            Edge::Upper | Edge::Lower => columns.clone(),
        };
        let apart = (along.end - along.start).div_ceil(SAMPLES).max(1);
        along
            .step_by(usize::try_from(apart).unwrap_or(usize::MAX))
            .map(|place| match self.edge {
                Edge::Left => (columns.start + index, place),
                Edge::Right => (columns.end - 1 - index, place),
                Edge::Upper => (place, rows.start + index),
                Edge::Lower => (place, rows.end - 1 - index),
            })
            .map(|(x, y)| pixel(self.image, x, y))
            .collect()
    }
}
