//! Tables of codes and of quantization (T.81, annexes B.2.4.1 and B.2.4.2).

use super::huffman::Table;
use crate::picture::error::JpegFault;

/// The Huffman tables that are in force.
#[derive(Default)]
pub(super) struct Tables {
    dc: [Option<Table>; 4],
    ac: [Option<Table>; 4],
}

impl Tables {
    pub(super) fn dc(&self, number: u8) -> Option<&Table> {
        self.dc.get(usize::from(number))?.as_ref()
    }

    pub(super) fn ac(&self, number: u8) -> Option<&Table> {
        self.ac.get(usize::from(number))?.as_ref()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.dc.iter().chain(&self.ac).all(Option::is_none)
    }

    /// Reads the tables of a segment.
    pub(super) fn define(&mut self, mut fields: &[u8]) -> Result<(), JpegFault> {
        let fault = JpegFault::Segment("Huffman table");
        while let Some((&class, rest)) = fields.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or(fault)?;
            let symbols = counts.iter().map(|&count| usize::from(count)).sum();
            let (symbols, rest) = rest.split_at_checked(symbols).ok_or(fault)?;
            let tables = match class >> 4 {
                0 => &mut self.dc,
                1 => &mut self.ac,
                _ => return Err(fault),
            };
            let table = tables.get_mut(usize::from(class & 15)).ok_or(fault)?;
            *table = Some(Table::new(*counts, symbols).ok_or(fault)?);
            fields = rest;
        }
        Ok(())
    }
}

/// Checks that a segment holds whole quantization tables, of 8 or 16 bits a number.
pub(super) fn quantization(mut fields: &[u8]) -> Result<(), JpegFault> {
    let fault = JpegFault::Segment("quantization table");
    while let Some((&number, rest)) = fields.split_first() {
        let length = match number >> 4 {
            0 => 64,
            1 => 128,
            _ => return Err(fault),
        };
        if number & 15 > 3 {
            return Err(fault);
        }
        fields = rest.get(length..).ok_or(fault)?;
    }
    Ok(())
}
