//! One scan: the blocks that it codes, and what the scans before it left (T.81, annexes A.2, B.2.3 and G.1).

use super::blocks::{Band, EndOfBands, ac, begin, dc, refine};
use super::frame::Frame;
use super::huffman::{Bits, Table};
use super::refusal::Refusal;
use super::tables::Tables;
use crate::picture::error::JpegFault;

/// A scan header.
pub(super) struct Scan {
    parts: Vec<Part>,
    /// First and last coefficient, 0 to 63.
    first: u8,
    last: u8,
    /// The bits that earlier scans left away, and that this one leaves away.
    high: u8,
    low: u8,
}

/// A component of a scan: its index in the frame, and its tables.
struct Part {
    component: usize,
    dc: u8,
    ac: u8,
}

impl Scan {
    pub(super) fn parse(fields: &[u8], frame: &Frame) -> Result<Self, JpegFault> {
        let fault = JpegFault::Segment("scan header");
        let (&count, rest) = fields.split_first().ok_or(fault)?;
        let (selectors, rest) = rest.split_at_checked(2 * usize::from(count)).ok_or(fault)?;
        let &[first, last, approximation] = rest else {
            return Err(fault);
        };
        let mut parts: Vec<Part> = Vec::new();
        for selector in selectors.chunks_exact(2) {
            let component = frame.components.iter().position(|c| c.id == selector[0]);
            let component = component.ok_or(JpegFault::Reference)?;
            if parts.iter().any(|part| part.component == component) {
                return Err(fault);
            }
            parts.push(Part {
                component,
                dc: selector[1] >> 4,
                ac: selector[1] & 15,
            });
        }
        // An interleaved unit holds 10 blocks at most (T.81, annex B.2.3).
        let blocks = parts.iter().map(|part| {
            let component = frame.components[part.component];
            component.across * component.down
        });
        if parts.is_empty() || (parts.len() > 1 && blocks.sum::<u32>() > 10) {
            return Err(fault);
        }
        let scan = Self {
            parts,
            first,
            last,
            high: approximation >> 4,
            low: approximation & 15,
        };
        // The fields of a sequential scan are fixed, and some cameras write others.
        if frame.progressive && !scan.is_progressive() {
            return Err(fault);
        }
        Ok(scan)
    }

    pub(super) fn components(&self) -> usize {
        self.parts.len()
    }

    fn is_progressive(&self) -> bool {
        let band = if self.first == 0 {
            self.last == 0
        } else {
            self.first <= self.last && self.last < 64 && self.parts.len() == 1
        };
        band && self.low <= 13 && (self.high == 0 || self.high == self.low + 1)
    }
}

/// How far the scans so far have come.
pub(super) struct Progress<'a> {
    frame: &'a Frame,
    components: Vec<Reached>,
}

/// How far the scans of one component have come.
struct Reached {
    /// By coefficient: the bits that are still left away; `None` before its first scan.
    left: [Option<u8>; 64],
    /// By block: the coefficients that are not zero, of a progressive picture.
    nonzero: Vec<u64>,
}

/// What a scan does with a block of a component.
#[derive(Clone, Copy)]
enum Step<'t> {
    Sequential(&'t Table, &'t Table),
    BeginDc(&'t Table),
    RefineDc,
    BeginAc(&'t Table, Band),
    RefineAc(&'t Table, Band),
}

impl<'a> Progress<'a> {
    pub(super) fn new(frame: &'a Frame) -> Self {
        let reached = || Reached {
            left: [None; 64],
            nonzero: Vec::new(),
        };
        Self {
            frame,
            components: frame.components.iter().map(|_| reached()).collect(),
        }
    }

    /// Whether every component has a scan: of its DC coefficients at least, for a file may stop at a coarse picture.
    pub(super) fn reached_all(&self) -> bool {
        self.components
            .iter()
            .all(|component| component.left[0].is_some())
    }

    /// Walks the coded data of a scan; returns the place of the marker behind it.
    pub(super) fn walk(
        &mut self,
        scan: &Scan,
        tables: &Tables,
        interval: u32,
        bits: &mut Bits<'_>,
        stop: &dyn Fn() -> bool,
    ) -> Result<usize, Refusal> {
        self.enter(scan).map_err(|fault| bits.fault(fault))?;
        let steps = scan.parts.iter().map(|part| self.step(scan, part, tables));
        let steps: Option<Vec<_>> = steps.collect();
        let steps = steps.ok_or_else(|| bits.fault(JpegFault::Reference))?;

        let component = |part: &Part| self.frame.components[part.component];
        let (blocks, (columns, rows)) = if let [part] = &*scan.parts {
            (vec![1], self.frame.blocks(component(part)))
        } else {
            let (across, down) = self.frame.largest();
            let blocks = scan.parts.iter().map(component).map(|c| c.across * c.down);
            let columns = self.frame.width.div_ceil(8 * across);
            (blocks.collect(), (columns, self.frame.height.div_ceil(8 * down)))
        };
        let mut ended = EndOfBands::default();
        let units = columns * rows;
        let (mut unit, mut next_question) = (0, 0);
        while unit < units {
            if unit >= next_question {
                if stop() {
                    return Err(Refusal::Stopped);
                }
                next_question = unit + columns;
            }
            if unit > 0 && unit.checked_rem(interval) == Some(0) {
                let number = (unit / interval - 1) % 8;
                bits.restart(u8::try_from(number).unwrap_or(0))?;
                ended.reset();
            }
            if let [Step::BeginAc(..)] = &*steps {
                let restart = unit.checked_div(interval).map(|before| (before + 1) * interval);
                let ended = ended.pass_over(restart.unwrap_or(units).min(units) - unit);
                if ended > 0 {
                    unit += ended;
                    continue;
                }
            }
            for ((part, step), &count) in scan.parts.iter().zip(&steps).zip(&blocks) {
                for _ in 0..count {
                    let place = usize::try_from(unit).unwrap_or(usize::MAX);
                    let nonzero = self.components[part.component].nonzero.get_mut(place);
                    block(bits, *step, &mut ended, nonzero)?;
                }
            }
            unit += 1;
        }
        bits.end()
    }

    /// Notes what a scan adds, if it follows from the scans before it.
    fn enter(&mut self, scan: &Scan) -> Result<(), JpegFault> {
        let progressive = self.frame.progressive;
        let (first, last, high, low) = if progressive {
            (scan.first, scan.last, scan.high, scan.low)
        } else {
            (0, 63, 0, 0)
        };
        for part in &scan.parts {
            let (width, height) = self.frame.blocks(self.frame.components[part.component]);
            let reached = &mut self.components[part.component];
            let before = (high > 0).then_some(high);
            let dc_is_missing = first > 0 && reached.left[0].is_none();
            let coefficients = &mut reached.left[usize::from(first)..=usize::from(last)];
            if dc_is_missing || coefficients.iter().any(|&left| left != before) {
                return Err(JpegFault::Order);
            }
            coefficients.fill(Some(low));
            if first > 0 && reached.nonzero.is_empty() {
                let blocks = u64::from(width) * u64::from(height);
                reached.nonzero = vec![0; usize::try_from(blocks).map_err(|_| JpegFault::Order)?];
            }
        }
        Ok(())
    }

    /// What a scan does with the blocks of a component; `None` if it names a table that the file does not have.
    fn step<'t>(&self, scan: &Scan, part: &Part, tables: &'t Tables) -> Option<Step<'t>> {
        let band = Band {
            first: scan.first.into(),
            last: scan.last.into(),
        };
        Some(match (self.frame.progressive, scan.first, scan.high) {
            (false, _, _) => Step::Sequential(tables.dc(part.dc)?, tables.ac(part.ac)?),
            (true, 0, 0) => Step::BeginDc(tables.dc(part.dc)?),
            (true, 0, _) => Step::RefineDc,
            (true, _, 0) => Step::BeginAc(tables.ac(part.ac)?, band),
            (true, _, _) => Step::RefineAc(tables.ac(part.ac)?, band),
        })
    }
}

fn block(
    bits: &mut Bits<'_>,
    step: Step<'_>,
    ended: &mut EndOfBands,
    nonzero: Option<&mut u64>,
) -> Result<(), Refusal> {
    match (step, nonzero) {
        (Step::Sequential(dc_table, ac_table), _) => {
            dc(bits, dc_table)?;
            ac(bits, ac_table)
        }
        (Step::BeginDc(table), _) => dc(bits, table),
        (Step::RefineDc, _) => bits.skip(1),
        (Step::BeginAc(table, band), Some(nonzero)) => begin(bits, table, band, ended, nonzero),
        (Step::RefineAc(table, band), Some(nonzero)) => refine(bits, table, band, ended, nonzero),
        (Step::BeginAc(..) | Step::RefineAc(..), None) => Err(bits.fault(JpegFault::Order)),
    }
}
