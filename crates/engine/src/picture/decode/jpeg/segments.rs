//! The segments between a JPEG's scans (T.81, annex B).

use super::frame::Frame;
use super::huffman::Bits;
use super::refusal::Refusal;
use super::scan::{Progress, Scan};
use super::tables::{Tables, quantization};
use crate::picture::error::{JpegCoding, JpegFault};

/// More scans than encoders make (libjpeg's script for progressive colour has 10), and few enough to walk.
const MOST_SCANS: usize = 100;

/// How the pixels of a whole JPEG are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// As most encoders write it: the first component the finest, all in one scan or progressive.
    Common,
    /// Any other.
    Uncommon,
}

/// Reads the segments of a file, one after the other.
struct Segments<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Whether the last segment was metadata. Phones and editors write some whose length is wrong, which leaves the
    /// picture whole: what such a length leaves over is passed over, as every decoder does.
    after_metadata: bool,
}

impl<'a> Segments<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            after_metadata: false,
        }
    }

    /// The next marker's code, with the fields that follow its length; none for a marker alone.
    fn next(&mut self) -> Result<(u8, &'a [u8]), Refusal> {
        let mut rest = self.bytes.get(self.at..).unwrap_or_default();
        if self.after_metadata {
            let marker = |pair: &[u8]| pair[0] == 0xff && (pair[1] == 0xff || !is_reserved(pair[1]));
            let left_over = rest.windows(2).position(marker).unwrap_or(rest.len());
            self.at += left_over;
            rest = &rest[left_over..];
        }
        // A marker may be preceded by any number of fill bytes of 0xff.
        let fill = rest.iter().take_while(|&&byte| byte == 0xff).count();
        let Some(&code) = rest.get(fill) else {
            return Err(Refusal::Truncated);
        };
        if fill == 0 || is_reserved(code) {
            return Err(self.fault(JpegFault::Extraneous));
        }
        self.at += fill + 1;
        self.after_metadata = matches!(code, 0xe0..=0xef | 0xfe);
        if matches!(code, 0x01 | 0xd0..=0xd9) {
            return Ok((code, &[]));
        }
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some((&[high, low], _)) = rest.split_first_chunk::<2>() else {
            return Err(Refusal::Truncated);
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length < 2 {
            return Err(self.fault(JpegFault::Segment("segment's length")));
        }
        let fields = rest.get(2..length).ok_or(Refusal::Truncated)?;
        self.at += length;
        Ok((code, fields))
    }

    /// A fault of the segment that was read last, or of what follows it.
    fn fault(&self, fault: JpegFault) -> Refusal {
        Refusal::Damaged { at: self.at, fault }
    }

    /// Gives a refusal the place of the segment that was read last.
    fn here(&self, refusal: Refusal) -> Refusal {
        match refusal {
            Refusal::Damaged { at: 0, fault } => self.fault(fault),
            other => other,
        }
    }
}

/// Whether a byte behind 0xff is no marker that a file may have (T.81, table B.1).
fn is_reserved(code: u8) -> bool {
    matches!(code, 0x00 | 0x02..=0xbf | 0xf0..=0xf6 | 0xf8..=0xfd | 0xff)
}

fn is_frame(code: u8) -> bool {
    matches!(code, 0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf | 0xde | 0xf7)
}

/// Reads a file up to its frame header.
pub(crate) fn frame(bytes: &[u8]) -> Result<Frame, Refusal> {
    let mut segments = Segments::new(bytes);
    loop {
        match segments.next()? {
            (code, fields) if is_frame(code) => {
                return Frame::parse(code, fields).map_err(|refusal| segments.here(refusal));
            }
            (0xcc, _) => return Err(Refusal::Unread(JpegCoding::Arithmetic)),
            (0xd9 | 0xda, _) => return Err(segments.fault(JpegFault::Reference)),
            _ => {}
        }
    }
}

/// Accounts for every bit of a file up to its end marker; returns its EXIF block too. What follows the marker is not
/// read.
///
/// `stop` is asked for each row of blocks.
pub(crate) fn check<'a>(
    bytes: &'a [u8],
    frame: &Frame,
    stop: &dyn Fn() -> bool,
) -> Result<(Layout, Option<&'a [u8]>), Refusal> {
    let mut segments = Segments::new(bytes);
    let mut tables = Tables::default();
    let mut progress = Progress::new(frame);
    let (mut frames, mut scans, mut first_scan) = (0, 0, 0);
    let (mut interval, mut exif) = (0, None);
    loop {
        let (code, fields) = segments.next()?;
        match code {
            0xc4 => tables.define(fields).map_err(|fault| segments.fault(fault))?,
            0xdb => quantization(fields).map_err(|fault| segments.fault(fault))?,
            0xdd => match *fields {
                [high, low] => interval = u32::from(u16::from_be_bytes([high, low])),
                _ => return Err(segments.fault(JpegFault::Segment("restart interval"))),
            },
            0xda => {
                if tables.is_empty() {
                    return Err(Refusal::Unread(JpegCoding::NoTables));
                }
                let scan = Scan::parse(fields, frame).map_err(|fault| segments.fault(fault))?;
                let mut bits = Bits::new(bytes, segments.at);
                segments.at = progress.walk(&scan, &tables, interval, &mut bits, stop)?;
                scans += 1;
                if scans == 1 {
                    first_scan = scan.components();
                }
                if scans > MOST_SCANS {
                    return Err(Refusal::Unread(JpegCoding::Scans(MOST_SCANS)));
                }
            }
            0xe1 if exif.is_none() && fields.starts_with(b"Exif\0") => exif = Some(fields),
            0xd9 => break,
            0xcc => return Err(Refusal::Unread(JpegCoding::Arithmetic)),
            _ if is_frame(code) => {
                frames += 1;
                if frames > 1 {
                    return Err(segments.fault(JpegFault::Segment("second frame header")));
                }
            }
            _ => {}
        }
    }
    if !progress.reached_all() {
        return Err(segments.fault(JpegFault::Component));
    }
    let in_one = frame.progressive || first_scan == frame.components.len();
    match frame.components.len() {
        _ if in_one && frame.is_commonly_sampled() => Ok((Layout::Common, exif)),
        4 => Err(Refusal::Unread(JpegCoding::UncommonCmyk)),
        _ => Ok((Layout::Uncommon, exif)),
    }
}
