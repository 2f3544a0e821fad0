//! The frame header (T.81, annex B.2.2).

use super::refusal::Refusal;
use crate::picture::error::{JpegCoding, JpegFault};

/// The frame header: the size of the picture and of its colour components.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub width: u32,
    pub height: u32,
    pub(super) progressive: bool,
    pub(super) components: Vec<Component>,
}

/// A colour component of a frame: its sampling factors, 1 to 4.
#[derive(Clone, Copy, Debug)]
pub(super) struct Component {
    pub id: u8,
    pub across: u32,
    pub down: u32,
}

impl Frame {
    /// Whether its scans refine the whole picture.
    pub(crate) fn is_progressive(&self) -> bool {
        self.progressive
    }

    /// The largest sampling factors.
    pub(super) fn largest(&self) -> (u32, u32) {
        let across = self.components.iter().map(|c| c.across).max();
        let down = self.components.iter().map(|c| c.down).max();
        (across.unwrap_or(1), down.unwrap_or(1))
    }

    /// Whether the first component is the finest, and each factor a power of two.
    pub(super) fn is_commonly_sampled(&self) -> bool {
        let first = self.components.first().map(|c| (c.across, c.down));
        let mut factors = self.components.iter().flat_map(|c| [c.across, c.down]);
        first == Some(self.largest()) && factors.all(u32::is_power_of_two)
    }

    /// Columns and rows of blocks of a component in a scan of its own (T.81, annex A.2.2).
    pub(super) fn blocks(&self, component: Component) -> (u32, u32) {
        let (across, down) = self.largest();
        (
            (self.width * component.across).div_ceil(across).div_ceil(8),
            (self.height * component.down).div_ceil(down).div_ceil(8),
        )
    }

    /// Reads the fields of the frame header that this code begins.
    pub(super) fn parse(code: u8, fields: &[u8]) -> Result<Self, Refusal> {
        let coding = match code {
            0xc0..=0xc2 => None,
            0xc3 => Some(JpegCoding::Lossless),
            0xc9..=0xcb => Some(JpegCoding::Arithmetic),
            0xf7 => Some(JpegCoding::JpegLs),
            _ => Some(JpegCoding::Hierarchical),
        };
        if let Some(coding) = coding {
            return Err(Refusal::Unread(coding));
        }
        let fault = Refusal::Damaged {
            at: 0,
            fault: JpegFault::Segment("frame header"),
        };
        let (&[precision, h1, h0, w1, w0, count], rest) = fields.split_first_chunk::<6>().ok_or(fault)?;
        let height = u32::from(u16::from_be_bytes([h1, h0]));
        let width = u32::from(u16::from_be_bytes([w1, w0]));
        if precision != 8 {
            return Err(Refusal::Unread(JpegCoding::Precision(precision)));
        }
        if rest.len() != 3 * usize::from(count) || count == 0 {
            return Err(fault);
        }
        if ![1, 3, 4].contains(&count) {
            return Err(Refusal::Unread(JpegCoding::Components(count)));
        }
        if height == 0 && width > 0 {
            return Err(Refusal::Unread(JpegCoding::LateHeight));
        }
        let mut components: Vec<Component> = Vec::new();
        for field in rest.chunks_exact(3) {
            let (across, down) = (u32::from(field[1] >> 4), u32::from(field[1] & 15));
            let twice = components.iter().any(|c| c.id == field[0]);
            if twice || !(1..=4).contains(&across) || !(1..=4).contains(&down) {
                return Err(fault);
            }
            let id = field[0];
            components.push(Component { id, across, down });
        }
        Ok(Self {
            width,
            height,
            progressive: code == 0xc2,
            components,
        })
    }
}
