//! The codes of one block of 8 x 8 coefficients, read for their lengths alone (T.81, annexes F.2.2 and G.2).

use super::huffman::{Bits, Table};
use super::refusal::Refusal;
use crate::picture::error::JpegFault;

/// The largest category of a difference of DC coefficients of 8-bit samples (T.81, table F.1).
const LARGEST_DC: u8 = 11;

/// The DC coefficient: of a sequential scan, or of a progressive one that begins it.
pub(super) fn dc(bits: &mut Bits<'_>, table: &Table) -> Result<(), Refusal> {
    let category = bits.symbol(table)?;
    if category > LARGEST_DC {
        return Err(bits.fault(JpegFault::Code));
    }
    Ok(())
}

/// The AC coefficients of a sequential scan.
pub(super) fn ac(bits: &mut Bits<'_>, table: &Table) -> Result<(), Refusal> {
    let mut at = 1_u32;
    while at < 64 {
        let symbol = bits.symbol(table)?;
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        match (run, size) {
            (15, 0) => at += 16,
            (_, 0) => return Ok(()),
            _ => at += run + 1,
        }
        if at > 64 {
            return Err(bits.fault(JpegFault::Code));
        }
    }
    Ok(())
}

/// The AC coefficients that one progressive scan codes.
#[derive(Clone, Copy)]
pub(super) struct Band {
    /// First and last coefficient, 1 to 63.
    pub first: u32,
    pub last: u32,
}

impl Band {
    /// The band as bits, coefficient 0 lowest.
    fn mask(self) -> u64 {
        (u64::MAX >> (63 - self.last)) & (u64::MAX << self.first)
    }
}

/// The blocks that end before the first coefficient of their band: how many are still to come.
#[derive(Default)]
pub(super) struct EndOfBands(u32);

impl EndOfBands {
    /// Forgets the run, at a restart.
    pub(super) fn reset(&mut self) {
        self.0 = 0;
    }

    /// Passes over at most `most` blocks that have ended; returns how many.
    pub(super) fn pass_over(&mut self, most: u32) -> u32 {
        let blocks = self.0.min(most);
        self.0 -= blocks;
        blocks
    }

    fn begin(&mut self, bits: &mut Bits<'_>, run: u32) -> Result<(), Refusal> {
        self.0 = (1 << run) + bits.take(run)?;
        Ok(())
    }
}

/// Begins the coefficients of a band. Bits of `nonzero` are set where one is not zero.
pub(super) fn begin(
    bits: &mut Bits<'_>,
    table: &Table,
    band: Band,
    ended: &mut EndOfBands,
    nonzero: &mut u64,
) -> Result<(), Refusal> {
    let mut at = band.first;
    while ended.0 == 0 && at <= band.last {
        let symbol = bits.symbol(table)?;
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        match (run, size) {
            (15, 0) => at += 16,
            (_, 0) => ended.begin(bits, run)?,
            _ => {
                at += run;
                if at > band.last {
                    return Err(bits.fault(JpegFault::Code));
                }
                *nonzero |= 1 << at;
                at += 1;
            }
        }
    }
    ended.0 = ended.0.saturating_sub(1);
    Ok(())
}

/// Adds a bit of precision to the coefficients of a band.
pub(super) fn refine(
    bits: &mut Bits<'_>,
    table: &Table,
    band: Band,
    ended: &mut EndOfBands,
    nonzero: &mut u64,
) -> Result<(), Refusal> {
    let mut at = band.first;
    while ended.0 == 0 && at <= band.last {
        let symbol = bits.symbol(table)?;
        let (mut zeros, size) = (u32::from(symbol >> 4), symbol & 15);
        match (zeros, size) {
            (15, 0) => {}
            (run, 0) => {
                ended.begin(bits, run)?;
                break;
            }
            // A coefficient becomes 1 or -1.
            (_, 1) => {}
            _ => return Err(bits.fault(JpegFault::Code)),
        }
        // A bit for each coefficient that is not zero, up to the end of the run of zeros.
        while at <= band.last {
            if *nonzero >> at & 1 == 1 {
                bits.skip(1)?;
            } else if zeros == 0 {
                break;
            } else {
                zeros -= 1;
            }
            at += 1;
        }
        if size > 0 {
            if at > band.last {
                return Err(bits.fault(JpegFault::Code));
            }
            *nonzero |= 1 << at;
        }
        at += 1;
    }
    if ended.0 > 0 {
        if at <= band.last {
            let rest = Band { first: at, ..band };
            bits.skip((*nonzero & rest.mask()).count_ones())?;
        }
        ended.0 -= 1;
    }
    Ok(())
}
