//! What was put onto a photo beside its product: a badge or a ribbon in a corner, a line of text at an edge, a watermark.
//!
//! What differs from the backdrop is divided into connected pieces on a coarse grid. The largest one, the product, is kept,
//! and so are all others that may belong to it: a piece is a mark only if it lies apart from the product, and either is
//! where marks are, or one of several small ones far from the product. Those are the letters of a watermark, which may
//! touch the product, too: then only what lies around the product's solid body is kept of it.

use super::backdrop::{Backdrop, Differing};
use super::part::Part;
use super::resample::{ONE, SAMPLE_ONE, Window};
use crate::picture::Decoded;

/// The longer side has so many cells at most.
const CELLS: u32 = 128;

/// A cell belongs to a piece if one in 8 of its pixels differs from the backdrop.
const FILLED_DIVISOR: u64 = 8;

/// Marks of a corner, a badge or ribbon, have at most a third of the pixels of the product, take at most 35 % of a side
/// and begin within 8 % of both edges.
const BADGE_DIVISOR: u64 = 3;
const BADGE_PERCENT: u32 = 35;
const BADGE_MARGIN_PERCENT: u32 = 8;

/// Text at an edge has at most a tenth of the pixels of the product and lies in the outermost 10 % of the side.
const TEXT_DIVISOR: u64 = 10;
const TEXT_PERCENT: u32 = 10;

/// So many cells lie at least between a mark and the product.
const APART: u32 = 3;

/// A watermark has at least so many small pieces, with so many cells between each and the product.
const WATERMARK_PIECES: usize = 3;
const WATERMARK_APART: u32 = 5;

/// Strokes of a watermark that touch each other and the product reach so many edges, with so many cells in the outermost
/// 12 % of the side.
const SCRIPT_EDGES: usize = 3;
const SCRIPT_CELLS: usize = 8;
const SCRIPT_MARGIN_PERCENT: u32 = 12;

/// A cell of the product's body differs from the backdrop twice as much as the watermark does (so, four times in the
/// square), or is one of 3 x 3 cells nine tenths of whose pixels differ, in a group of such cells that is at least a tenth
/// of the largest group: two letters side by side are a small group.
const STRONG: u64 = 4;
const SOLID_TENTHS: u64 = 9;
const SOLID_SHARE: usize = 10;

/// The marks on a photo, as cells of a grid over a part of it.
#[derive(Debug)]
pub(super) struct Marks {
    grid: Grid,
    /// For each cell, whether it is left out, since it is not near to what is kept; empty if there are no marks.
    cells: Vec<bool>,
}

impl Marks {
    /// Finds the product and the marks on a part of a picture: the columns and rows of the product, or `None` if there is
    /// only background.
    pub(super) fn beside_product(image: &Decoded, part: &Part, backdrop: &Backdrop) -> (Option<Part>, Self) {
        let grid = Grid::over(part);
        let mut filled = vec![(0_u32, 0_u64); grid.len()];
        let mut all = Differing::none(part);
        backdrop.each_differing(image, |x, y, distance| {
            all.count(x, y);
            let (pixels, sum) = &mut filled[grid.cell(x, y)];
            *pixels += 1;
            *sum += distance;
        });
        let pieces = grid.pieces(&filled);
        let cells = match grid.product(&pieces) {
            Some(product) => grid.marked(&pieces, product, &filled),
            None => Vec::new(),
        };
        let marks = Self { grid, cells };
        if marks.are_none() {
            return (all.trim(part), marks);
        }
        let mut kept = Differing::none(part);
        backdrop.each_differing(image, |x, y, _| {
            if !marks.cover(x, y) {
                kept.count(x, y);
            }
        });
        (kept.trim(part), marks)
    }

    /// Whether a place in the part is left out.
    fn cover(&self, x: u32, y: u32) -> bool {
        !self.cells.is_empty() && self.cells[self.grid.cell(x, y)]
    }

    /// The share of each output pixel that is not left out, in 256ths, row by row; the windows are of the whole picture.
    pub(super) fn visible(&self, part: &Part, (across, down): (Window, Window)) -> Vec<u64> {
        // Four places in each direction of an output pixel.
        const PLACES: i64 = 4;
        let places = |window: Window, index: i64, start: u32, length: u32| {
            (0..PLACES).filter_map(move |place| {
                let parts = 2 * PLACES * i64::from(window.pixels);
                let middle = window.start + window.length * (2 * (index * PLACES + place) + 1) / parts;
                let inside = u32::try_from(middle.div_euclid(ONE)).ok()?.checked_sub(start)?;
                (inside < length).then_some(inside)
            })
        };
        let (left, top) = (part.columns.start, part.rows.start);
        let rows = (0..i64::from(down.pixels)).map(|row| places(down, row, top, part.height()));
        rows.flat_map(|rows| {
            (0..i64::from(across.pixels)).map(move |column| {
                let columns = places(across, column, left, part.width());
                let covered = rows.clone().flat_map(|y| columns.clone().map(move |x| (x, y)));
                let covered = covered.filter(|&(x, y)| self.cover(x, y)).count();
                SAMPLE_ONE - SAMPLE_ONE * u64::try_from(covered).unwrap_or(0) / 16
            })
        })
        .collect()
    }

    /// Whether there are none.
    pub(super) fn are_none(&self) -> bool {
        self.cells.is_empty()
    }
}

/// Square cells over a part of a picture.
#[derive(Debug)]
struct Grid {
    /// Width and height of a cell in pixels.
    side: u32,
    columns: u32,
    rows: u32,
}

/// Connected cells that differ from the backdrop.
struct Piece {
    cells: Vec<(u32, u32)>,
    pixels: u64,
    /// The mean squared distance of its pixels from the backdrop.
    contrast: u64,
    bounds: Bounds,
}

fn middle(mut values: Vec<u64>) -> Option<u64> {
    let middle = values.len() / 2;
    (!values.is_empty()).then(|| *values.select_nth_unstable(middle).1)
}

/// A box of cells: first and last column and row.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    columns: (u32, u32),
    rows: (u32, u32),
}

impl Bounds {
    fn at((column, row): (u32, u32)) -> Self {
        Self {
            columns: (column, column),
            rows: (row, row),
        }
    }

    fn with(self, (column, row): (u32, u32)) -> Self {
        Self {
            columns: (self.columns.0.min(column), self.columns.1.max(column)),
            rows: (self.rows.0.min(row), self.rows.1.max(row)),
        }
    }

    fn holds(&self, (column, row): (u32, u32)) -> bool {
        (self.columns.0..=self.columns.1).contains(&column) && (self.rows.0..=self.rows.1).contains(&row)
    }

    fn touches(&self, piece: &Piece) -> bool {
        piece.cells.iter().any(|&cell| self.holds(cell))
    }
}

impl Grid {
    fn over(part: &Part) -> Self {
        let side = part.width().max(part.height()).div_ceil(CELLS).max(1);
        Self {
            side,
            columns: part.width().div_ceil(side),
            rows: part.height().div_ceil(side),
        }
    }

    /// Pixels of a cell.
    fn area(&self) -> u64 {
        u64::from(self.side).pow(2)
    }

    fn len(&self) -> usize {
        self.index(0, self.rows)
    }

    fn index(&self, column: u32, row: u32) -> usize {
        let at = |cells: u32| usize::try_from(cells).unwrap_or(usize::MAX);
        at(row) * at(self.columns) + at(column)
    }

    fn cell(&self, x: u32, y: u32) -> usize {
        self.index(x / self.side, y / self.side)
    }

    /// The cells around a cell.
    fn around(&self, (column, row): (u32, u32)) -> impl Iterator<Item = (u32, u32)> + use<> {
        let columns = column.saturating_sub(1)..(column + 2).min(self.columns);
        let rows = row.saturating_sub(1)..(row + 2).min(self.rows);
        rows.flat_map(move |row| columns.clone().map(move |column| (column, row)))
    }

    fn pieces(&self, filled: &[(u32, u64)]) -> Vec<Piece> {
        let enough = (self.area() / FILLED_DIVISOR).max(1);
        let mut open: Vec<bool> = filled
            .iter()
            .map(|&(pixels, _)| u64::from(pixels) >= enough)
            .collect();
        self.connected(&mut open, filled)
    }

    /// The pieces that the open cells make; all cells are closed.
    fn connected(&self, open: &mut [bool], filled: &[(u32, u64)]) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for row in 0..self.rows {
            for column in 0..self.columns {
                if std::mem::take(&mut open[self.index(column, row)]) {
                    pieces.push(self.piece((column, row), open, filled));
                }
            }
        }
        pieces
    }

    /// The piece that a cell belongs to; its cells are closed.
    fn piece(&self, first: (u32, u32), open: &mut [bool], filled: &[(u32, u64)]) -> Piece {
        let mut cells = vec![first];
        let (mut pixels, mut distance, mut next) = (0, 0, 0);
        while let Some(&cell) = cells.get(next) {
            next += 1;
            let (of_cell, sum) = filled[self.index(cell.0, cell.1)];
            pixels += u64::from(of_cell);
            distance += sum;
            cells.extend(
                self.around(cell)
                    .filter(|&(column, row)| std::mem::take(&mut open[self.index(column, row)])),
            );
        }
        Piece {
            pixels,
            contrast: distance / pixels.max(1),
            bounds: cells
                .iter()
                .fold(Bounds::at(first), |bounds, &cell| bounds.with(cell)),
            cells,
        }
    }

    /// The piece that shows the product: the largest one; those in the middle count four times.
    fn product<'a>(&self, pieces: &'a [Piece]) -> Option<&'a Piece> {
        let central = |(first, last): (u32, u32), all: u32| {
            let middle = (first + last + 1) * 5;
            (2 * all..=8 * all).contains(&middle)
        };
        pieces.iter().max_by_key(|piece| {
            let central =
                central(piece.bounds.columns, self.columns) && central(piece.bounds.rows, self.rows);
            piece.pixels * if central { 4 } else { 1 }
        })
    }

    /// All cells but those of what is kept and around it; empty if there are no marks.
    fn marked(&self, pieces: &[Piece], product: &Piece, filled: &[(u32, u64)]) -> Vec<bool> {
        let others: Vec<&Piece> = pieces
            .iter()
            .filter(|&piece| !std::ptr::eq(piece, product))
            .collect();
        // Most photos show one piece alone, whose distances nobody asks for.
        let apart = match others.is_empty() {
            true => Vec::new(),
            false => self.distances(product),
        };
        let gap = |piece: &Piece| {
            let gaps = piece
                .cells
                .iter()
                .map(|&(column, row)| apart[self.index(column, row)]);
            gaps.min().unwrap_or(0)
        };
        let small = |piece: &Piece| piece.pixels * BADGE_DIVISOR < product.pixels;
        let far: Vec<u64> = others
            .iter()
            .filter(|&piece| small(piece) && gap(piece) >= WATERMARK_APART)
            .map(|piece| piece.contrast)
            .collect();
        let watermark = if far.len() >= WATERMARK_PIECES {
            middle(far)
        } else {
            self.script_around(product, filled)
        };
        let body = watermark.and_then(|contrast| self.body(product, filled, Some(contrast)));
        let marks: Vec<&Piece> = others
            .iter()
            .copied()
            .filter(|&piece| {
                let apart = gap(piece) >= APART && small(piece);
                let text = piece.pixels * TEXT_DIVISOR < product.pixels && self.at_edge(piece);
                let beside = body.as_ref().is_some_and(|body| !body.touches(piece));
                apart && (text || self.in_corner(piece)) || beside
            })
            .collect();
        if marks.is_empty() && body.is_none() {
            return Vec::new();
        }
        let is_mark = |piece: &Piece| marks.iter().any(|&mark| std::ptr::eq(mark, piece));
        let kept = pieces
            .iter()
            .filter(|&piece| !is_mark(piece))
            .flat_map(|piece| &piece.cells);
        let kept = kept.filter(|&&cell| body.as_ref().is_none_or(|body| body.holds(cell)));
        let mut cells = vec![true; filled.len()];
        for (column, row) in kept.flat_map(|&cell| self.around(cell)) {
            cells[self.index(column, row)] = false;
        }
        cells
    }

    /// The contrast of a watermark that is one with the product: thin strokes outside of the product's solid body that reach
    /// three edges.
    fn script_around(&self, product: &Piece, filled: &[(u32, u64)]) -> Option<u64> {
        let body = self.body(product, filled, None)?;
        let contrast = |&(column, row): &(u32, u32)| {
            let (pixels, sum) = filled[self.index(column, row)];
            sum / u64::from(pixels.max(1))
        };
        let strokes: Vec<(u32, u32)> = product
            .cells
            .iter()
            .copied()
            .filter(|&cell| !body.holds(cell))
            .collect();
        let near = |cells: u32| (cells * SCRIPT_MARGIN_PERCENT).div_ceil(100);
        let (across, down) = (near(self.columns), near(self.rows));
        let several = |is: &dyn Fn(&(u32, u32)) -> bool| {
            strokes.iter().filter(|&cell| is(cell)).count() >= SCRIPT_CELLS
        };
        let edges = [
            several(&|&(column, _)| column < across.min(body.columns.0)),
            several(&|&(column, _)| column + across >= self.columns && column > body.columns.1),
            several(&|&(_, row)| row < down.min(body.rows.0)),
            several(&|&(_, row)| row + down >= self.rows && row > body.rows.1),
        ];
        let reaching = edges.into_iter().filter(|&reached| reached).count() >= SCRIPT_EDGES;
        let watermark = middle(strokes.iter().map(contrast).collect());
        watermark.filter(|_| reaching)
    }

    /// The box around the solid cells of the product, and beside a watermark of the given contrast around the strong ones;
    /// `None` if there are none.
    fn body(&self, product: &Piece, filled: &[(u32, u64)], watermark: Option<u64>) -> Option<Bounds> {
        let of = |(column, row): (u32, u32)| {
            let (pixels, sum) = filled[self.index(column, row)];
            (u64::from(pixels), sum)
        };
        let whole = self.area();
        let solid = |cell: (u32, u32)| of(cell).0 * 10 >= whole * SOLID_TENTHS;
        let strong = |cell: (u32, u32)| {
            let (pixels, sum) = of(cell);
            watermark.is_some_and(|contrast| pixels * 2 > whole && sum > STRONG * contrast * pixels)
        };
        let mut open = vec![false; filled.len()];
        for &cell in &product.cells {
            open[self.index(cell.0, cell.1)] = self.around(cell).all(solid);
        }
        let solids = self.connected(&mut open, filled);
        let largest = solids.iter().map(|solid| solid.cells.len()).max().unwrap_or(0);
        let cells = solids
            .iter()
            .filter(|solid| solid.cells.len() * SOLID_SHARE >= largest)
            .flat_map(|solid| solid.cells.iter().copied());
        let cells = cells.chain(product.cells.iter().copied().filter(|&cell| strong(cell)));
        let mut around = cells.flat_map(|cell| self.around(cell));
        let first = around.next()?;
        Some(around.fold(Bounds::at(first), Bounds::with))
    }

    fn in_corner(&self, piece: &Piece) -> bool {
        let corner = |(first, last): (u32, u32), all: u32| {
            let margin = first.min(all - 1 - last);
            (last + 1 - first) * 100 <= all * BADGE_PERCENT && margin * 100 <= all * BADGE_MARGIN_PERCENT
        };
        corner(piece.bounds.columns, self.columns) && corner(piece.bounds.rows, self.rows)
    }

    fn at_edge(&self, piece: &Piece) -> bool {
        let edge = |(first, last): (u32, u32), all: u32| {
            (last + 1) * 100 <= all * TEXT_PERCENT || (all - first) * 100 <= all * TEXT_PERCENT
        };
        edge(piece.bounds.columns, self.columns) || edge(piece.bounds.rows, self.rows)
    }

    /// For each cell, its distance in cells from a piece.
    fn distances(&self, piece: &Piece) -> Vec<u32> {
        let mut distances = vec![u32::MAX; self.len()];
        for &(column, row) in &piece.cells {
            distances[self.index(column, row)] = 0;
        }
        let (mut cells, mut next) = (piece.cells.clone(), 0);
        while let Some(&cell) = cells.get(next) {
            next += 1;
            let distance = distances[self.index(cell.0, cell.1)] + 1;
            for around in self.around(cell) {
                let of = &mut distances[self.index(around.0, around.1)];
                if *of == u32::MAX {
                    *of = distance;
                    cells.push(around);
                }
            }
        }
        distances
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cells_of_a_very_long_picture_are_filled_by_their_area() {
        let part = Part {
            columns: 0..1,
            rows: 0..40_000_000,
        };
        let grid = Grid::over(&part);
        assert_eq!((grid.len(), grid.area()), (128, 312_500 * 312_500));
        // All of its pixels differ, and still are few in a square of its height.
        let filled = vec![(312_500, 1); grid.len()];
        assert!(grid.pieces(&filled).is_empty());
    }
}
