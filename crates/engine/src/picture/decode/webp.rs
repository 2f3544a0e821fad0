//! The chunks of a WebP file, whose sizes the decoder trusts.

/// The result of a check of a WebP file's chunks.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Chunks {
    /// The RIFF container, or a chunk in it, is longer than the file.
    Cut,
    /// The file contains every chunk in full.
    Whole {
        /// Columns and rows of the largest lossy frame; zeros if there is none. The decoder
        /// decodes such a frame before it compares its size with the canvas.
        largest_frame: (u32, u32),
    },
}

/// Walks the RIFF chunks (WebP container specification, "RIFF file format").
pub(super) fn chunks(bytes: &[u8]) -> Chunks {
    let mut largest_frame = (0, 0);
    let Some(riff_bytes) = little_endian_u32(bytes, 4) else {
        return Chunks::Cut;
    };
    let Some(mut rest) = usize::try_from(riff_bytes)
        .ok()
        .and_then(|length| length.checked_add(8))
        .and_then(|end| bytes.get(12..end))
    else {
        return Chunks::Cut;
    };
    while !rest.is_empty() {
        let Some(length) = little_endian_u32(rest, 4).and_then(|n| usize::try_from(n).ok()) else {
            return Chunks::Cut;
        };
        let Some(payload) = length.checked_add(8).and_then(|end| rest.get(8..end)) else {
            return Chunks::Cut;
        };
        let frame_header = match rest.get(..4) {
            // A lossy frame: its size stands after the frame tag and start code (RFC 6386, 9.1).
            Some(b"VP8 ") => payload.get(6..10),
            // An animation frame holds chunks behind 16 bytes of its own.
            Some(b"ANMF") => {
                rest = payload
                    .get(16..)
                    .map_or(&[], |_| rest.get(24..).unwrap_or_default());
                continue;
            }
            _ => None,
        };
        if let Some(&[w0, w1, h0, h1]) = frame_header {
            // The two upper bits of each size request scaling, which no decoder applies.
            let width = u32::from(u16::from_le_bytes([w0, w1]) & 0x3fff);
            let height = u32::from(u16::from_le_bytes([h0, h1]) & 0x3fff);
            let (widest, highest) = largest_frame;
            if u64::from(width) * u64::from(height) > u64::from(widest) * u64::from(highest) {
                largest_frame = (width, height);
            }
        }
        // Chunks are padded to even lengths; the last one's padding may be missing.
        rest = rest.get(8 + length + length % 2..).unwrap_or_default();
    }
    Chunks::Whole { largest_frame }
}

fn little_endian_u32(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*field))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lossy_frame_larger_than_its_canvas_is_seen_inside_an_animation_too() {
        let mut file = b"RIFF\0\0\0\0WEBP".to_vec();
        file.extend_from_slice(b"ANMF\x22\0\0\0");
        file.extend_from_slice(&[0; 16]);
        file.extend_from_slice(b"VP8 \x0a\0\0\0\0\0\0\x9d\x01\x2a\xff\x3f\xff\x3f");
        let riff = u32::try_from(file.len() - 8).unwrap();
        file[4..8].copy_from_slice(&riff.to_le_bytes());
        let largest_frame = (16_383, 16_383);
        assert_eq!(chunks(&file), Chunks::Whole { largest_frame });
        assert_eq!(chunks(&file[..file.len() - 1]), Chunks::Cut);
    }
}
