//! Bits of a scan, and the Huffman codes in them (T.81, annexes B.1.1.5, C and F.2.2.3).

use super::refusal::Refusal;
use crate::picture::error::JpegFault;

/// Codes up to this length are found by one lookup.
const SHORT: u32 = 9;

/// A Huffman table.
pub(super) struct Table {
    /// By the next [`SHORT`] bits: length and symbol of the code that they begin with; length 0 if it is longer.
    short: Vec<(u8, u8)>,
    /// By length: one more than the last code, aligned to 16 bits; 0 where there is none.
    ends: [u32; 17],
    /// By length: the index in `symbols` of the code 0 of that length, which may be below 0.
    offsets: [i32; 17],
    symbols: Vec<u8>,
}

impl Table {
    /// A table from the number of codes of each length and their symbols; `None` if the lengths form no code.
    pub(super) fn new(counts: [u8; 16], symbols: &[u8]) -> Option<Self> {
        let mut table = Self {
            short: vec![(0, 0); 1 << SHORT],
            ends: [0; 17],
            offsets: [0; 17],
            symbols: symbols.to_vec(),
        };
        let (mut code, mut index) = (0_u32, 0_i32);
        for (length, &count) in (1_u32..).zip(&counts) {
            let at = usize::try_from(length).ok()?;
            table.offsets[at] = index - i32::try_from(code).ok()?;
            for _ in 0..count {
                let symbol = *symbols.get(usize::try_from(index).ok()?)?;
                if length <= SHORT {
                    let first = usize::try_from(code << (SHORT - length)).ok()?;
                    let entries = table.short.get_mut(first..first + (1 << (SHORT - length)))?;
                    entries.fill((u8::try_from(length).ok()?, symbol));
                }
                code += 1;
                index += 1;
            }
            if code > 1 << length {
                return None;
            }
            if count > 0 {
                table.ends[at] = code << (16 - length);
            }
            code <<= 1;
        }
        Some(table)
    }
}

/// The coded data between two markers, bit by bit.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// The next byte that is not in `bits`.
    at: usize,
    /// Unread bits, the next one uppermost.
    bits: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self {
            bytes,
            at,
            bits: 0,
            count: 0,
        }
    }

    /// A fault at the place that was reached.
    pub(super) fn fault(&self, fault: JpegFault) -> Refusal {
        Refusal::Damaged { at: self.at, fault }
    }

    /// Takes whole bytes up to the next marker or the end of the file.
    fn fill(&mut self) {
        while self.count <= 56 {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            if let Some(next) = rest.first_chunk::<8>() {
                let word = u64::from_be_bytes(*next);
                if !holds_0xff(word) {
                    let bytes = (64 - self.count) / 8;
                    let kept = word >> (64 - 8 * bytes);
                    self.bits |= kept << (64 - self.count - 8 * bytes);
                    self.count += 8 * bytes;
                    self.at += usize::try_from(bytes).unwrap_or(0);
                    return;
                }
            }
            let length = match *rest {
                // A zero follows each byte of 0xff that is no marker.
                [0xff, 0, ..] => 2,
                [0xff, ..] | [] => return,
                _ => 1,
            };
            self.at += length;
            self.bits |= u64::from(rest[0]) << (56 - self.count);
            self.count += 8;
        }
    }

    /// Why there are no more bits.
    fn ended(&self) -> Refusal {
        if self.at + 1 >= self.bytes.len() {
            Refusal::Truncated
        } else {
            self.fault(JpegFault::ScanEndsEarly)
        }
    }

    fn drop_bits(&mut self, count: u32) {
        self.bits <<= count;
        self.count -= count;
    }

    /// The next `count` bits, 16 at most.
    pub(super) fn take(&mut self, count: u32) -> Result<u32, Refusal> {
        if count == 0 {
            return Ok(0);
        }
        if self.count < count {
            self.fill();
            if self.count < count {
                return Err(self.ended());
            }
        }
        let bits = self.bits >> (64 - count);
        self.drop_bits(count);
        Ok(u32::try_from(bits).unwrap_or(u32::MAX))
    }

    /// Passes over up to 64 bits.
    pub(super) fn skip(&mut self, mut count: u32) -> Result<(), Refusal> {
        while count > 16 {
            self.take(16)?;
            count -= 16;
        }
        self.take(count).map(drop)
    }

    /// The symbol of the next code. The bits that follow the code, as many as the symbol's lower four bits say, are passed
    /// over: they are the coefficient, whose value does not matter here.
    #[inline]
    pub(super) fn symbol(&mut self, table: &Table) -> Result<u8, Refusal> {
        // A code has 16 bits at most, and 15 may follow it.
        if self.count < 32 {
            self.fill();
        }
        let index = usize::try_from(self.bits >> (64 - SHORT)).unwrap_or(0);
        let (mut length, mut symbol) = table.short[index];
        if length == 0 {
            (length, symbol) = self.long(table)?;
        }
        let length = u32::from(length + (symbol & 15));
        if length > self.count {
            return Err(self.ended());
        }
        self.drop_bits(length);
        Ok(symbol)
    }

    /// Length and symbol of the next code, if it is longer than [`SHORT`].
    fn long(&self, table: &Table) -> Result<(u8, u8), Refusal> {
        let next = u32::try_from(self.bits >> 48).unwrap_or(0);
        let long = (10_u8..=16).zip(table.ends[10..].iter().zip(&table.offsets[10..]));
        for (length, (&end, &offset)) in long {
            if next < end {
                let code = i32::try_from(next >> (16 - length)).unwrap_or(i32::MAX);
                let at = usize::try_from(code + offset).ok();
                let symbol = at.and_then(|at| table.symbols.get(at));
                return symbol
                    .map(|&symbol| (length, symbol))
                    .ok_or_else(|| self.fault(JpegFault::Code));
            }
        }
        Err(if self.count < 16 {
            self.ended()
        } else {
            self.fault(JpegFault::Code)
        })
    }

    /// The place of the marker that ends the data, if nothing but the fill of the last byte is left before it.
    pub(super) fn end(&mut self) -> Result<usize, Refusal> {
        self.fill();
        if self.count >= 8 {
            return Err(self.fault(JpegFault::Extraneous));
        }
        Ok(self.at)
    }

    /// Goes on behind the restart marker of this number.
    pub(super) fn restart(&mut self, number: u8) -> Result<(), Refusal> {
        self.end()?;
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let fill = rest.iter().take_while(|&&byte| byte == 0xff).count();
        match rest.get(fill) {
            None => Err(Refusal::Truncated),
            Some(&code) if fill > 0 && code == 0xd0 + number => {
                self.at += fill + 1;
                (self.bits, self.count) = (0, 0);
                Ok(())
            }
            Some(_) => Err(self.fault(JpegFault::Restart)),
        }
    }
}

/// Whether one of eight bytes is 0xff.
fn holds_0xff(word: u64) -> bool {
    const LOWEST: u64 = 0x0101_0101_0101_0101;
    const HIGHEST: u64 = 0x8080_8080_8080_8080;
    // In the complement it is a zero, and taking one from a zero alone sets the highest bit.
    (!word).wrapping_sub(LOWEST) & word & HIGHEST != 0
}
