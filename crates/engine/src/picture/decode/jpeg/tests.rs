//! The walk through a JPEG, on files of libjpeg-turbo's `cjpeg` 2.1.5 (`fixtures/`, made as its README says) and on
//! files made here of them.

use super::*;
use crate::picture::error::{JpegCoding, JpegFault};

const ORDINARY: [&[u8]; 3] = [
    include_bytes!("../fixtures/restarts.jpg"),
    include_bytes!("../fixtures/progressive-restarts.jpg"),
    include_bytes!("../fixtures/progressive.jpg"),
];

const UNCOMMON: [&[u8]; 5] = [
    include_bytes!("../fixtures/three-scans-2x2.jpg"),
    include_bytes!("../fixtures/three-scans-1x2.jpg"),
    include_bytes!("../fixtures/luma-last-2x2.jpg"),
    include_bytes!("../fixtures/fine-chroma.jpg"),
    include_bytes!("../fixtures/thirds-3x1.jpg"),
];

fn walk(bytes: &[u8]) -> Result<Layout, Refusal> {
    check(bytes, &frame(bytes)?, &|| false).map(|(layout, _)| layout)
}

fn fault(bytes: &[u8]) -> Option<JpegFault> {
    match walk(bytes) {
        Err(Refusal::Damaged { fault, .. }) => Some(fault),
        _ => None,
    }
}

/// The place of the first marker of this code.
fn marker(bytes: &[u8], code: u8) -> usize {
    bytes.windows(2).position(|pair| pair == [0xff, code]).unwrap()
}

/// A file with `inserted` before the first marker of this code.
fn with(bytes: &[u8], code: u8, inserted: &[u8]) -> Vec<u8> {
    let at = marker(bytes, code);
    [&bytes[..at], inserted, &bytes[at..]].concat()
}

#[test]
fn whole_files_are_walked_to_their_end() {
    for bytes in ORDINARY {
        assert_eq!(walk(bytes), Ok(Layout::Common));
    }
    for bytes in UNCOMMON {
        assert_eq!(walk(bytes), Ok(Layout::Uncommon));
    }
}

#[test]
fn a_file_that_is_cut_and_closed_again_is_damaged() {
    for bytes in ORDINARY.into_iter().chain(UNCOMMON) {
        let data = marker(bytes, 0xda) + 14;
        for end in data..bytes.len() - 2 {
            let closed = [&bytes[..end], &[0xff, 0xd9]].concat();
            let found = walk(&closed);
            // Between two scans of a progressive file stands a coarse, complete picture.
            let between_scans = [end, end - 1].iter().any(|&at| {
                let next = bytes.get(at..at + 2);
                matches!(next, Some(&[0xff, 0xc4 | 0xda]))
            });
            let coarse = frame(bytes).unwrap().progressive && between_scans;
            assert!(found.is_err() || coarse, "{end} of {}", bytes.len());
        }
    }
    let bytes = ORDINARY[0];
    let closed = [&bytes[..bytes.len() - 40], &[0xff, 0xd9]].concat();
    assert_eq!(fault(&closed), Some(JpegFault::ScanEndsEarly));
}

#[test]
fn a_cut_file_is_truncated_even_if_the_end_marker_alone_is_missing() {
    for bytes in ORDINARY.into_iter().chain(UNCOMMON) {
        for end in 2..bytes.len() {
            assert_eq!(walk(&bytes[..end]), Err(Refusal::Truncated), "cut to {end} bytes");
        }
    }
}

#[test]
fn line_feeds_that_became_two_bytes_are_damage() {
    let mut files = 0;
    for bytes in ORDINARY.into_iter().chain(UNCOMMON) {
        let mut text = Vec::new();
        for &byte in bytes {
            if byte == b'\n' {
                text.push(b'\r');
            }
            text.push(byte);
        }
        if text.len() > bytes.len() {
            files += 1;
            assert!(matches!(walk(&text), Err(Refusal::Damaged { .. })));
        }
    }
    assert!(files >= 4, "{files}");
}

#[test]
fn what_follows_the_end_and_fill_before_markers_are_passed_over() {
    for bytes in &ORDINARY[..2] {
        let trailing = [*bytes, &[0, 0xff, 0xd8, 7]].concat();
        assert_eq!(walk(&trailing), Ok(Layout::Common));
        for code in [0xdb, 0xc4, 0xda, 0xd0, 0xd9] {
            assert_eq!(
                walk(&with(bytes, code, &[0xff; 3])),
                Ok(Layout::Common),
                "{code:#x}"
            );
        }
    }
}

#[test]
fn bytes_that_belong_to_nothing_are_damage_except_behind_metadata() {
    let bytes = ORDINARY[0];
    for code in [0xc0, 0xc4, 0xda, 0xd0, 0xd9] {
        assert_eq!(
            fault(&with(bytes, code, &[7, 7])),
            Some(JpegFault::Extraneous),
            "{code:#x}"
        );
    }
    // Behind the JFIF header stands the first quantization table.
    for junk in [&[7, 7][..], &[0xff, 0, 0, 2]] {
        assert_eq!(walk(&with(bytes, 0xdb, junk)), Ok(Layout::Common));
    }
}

#[test]
fn restart_markers_must_be_there_and_in_turn() {
    for bytes in &ORDINARY[..2] {
        let mut other = bytes.to_vec();
        other[marker(bytes, 0xd0) + 1] = 0xd3;
        assert_eq!(fault(&other), Some(JpegFault::Restart));
        let at = marker(bytes, 0xd0);
        let without = [&bytes[..at], &bytes[at + 2..]].concat();
        assert!(matches!(walk(&without), Err(Refusal::Damaged { .. })));
    }
    // One more, behind the last block, is written by some scanners.
    assert_eq!(walk(&with(ORDINARY[0], 0xd9, &[0xff, 0xd2])), Ok(Layout::Common));
}

#[test]
fn a_component_without_a_scan_is_damage() {
    let bytes = UNCOMMON[0];
    let scans: Vec<_> = (0..bytes.len() - 1)
        .filter(|&at| bytes[at..at + 2] == [0xff, 0xda])
        .collect();
    let two = [&bytes[..scans[2]], &[0xff, 0xd9]].concat();
    assert_eq!(fault(&two), Some(JpegFault::Component));
    let twice = [&bytes[..scans[1]], &bytes[scans[0]..]].concat();
    assert_eq!(fault(&twice), Some(JpegFault::Order));
}

#[test]
fn refinement_without_a_beginning_is_damage() {
    let bytes = ORDINARY[2];
    let scans: Vec<_> = (0..bytes.len() - 1)
        .filter(|&at| bytes[at..at + 2] == [0xff, 0xda])
        .collect();
    let missing = scans.windows(2).filter_map(|pair| {
        let without = [&bytes[..pair[0]], &bytes[pair[1]..]].concat();
        fault(&without)
    });
    let orders = missing.filter(|&fault| fault == JpegFault::Order).count();
    assert!(orders >= 2, "{orders}");
}

#[test]
fn codings_that_are_not_read_are_named() {
    let arithmetic = include_bytes!("../fixtures/arithmetic.jpg");
    assert_eq!(walk(arithmetic), Err(Refusal::Unread(JpegCoding::Arithmetic)));
    let bytes = ORDINARY[0];
    let at = marker(bytes, 0xc0);
    for (code, coding) in [
        (0xc3, JpegCoding::Lossless),
        (0xc5, JpegCoding::Hierarchical),
        (0xc9, JpegCoding::Arithmetic),
        (0xf7, JpegCoding::JpegLs),
    ] {
        let mut other = bytes.to_vec();
        other[at + 1] = code;
        assert_eq!(walk(&other), Err(Refusal::Unread(coding)));
    }
    for (field, value, coding) in [(4, 12, JpegCoding::Precision(12)), (6, 0, JpegCoding::LateHeight)] {
        let mut other = bytes.to_vec();
        other[at + field] = value;
        other[at + 5] = 0;
        assert_eq!(walk(&other), Err(Refusal::Unread(coding)));
    }
    let tables = marker(bytes, 0xc4)..marker(bytes, 0xda);
    let interval = [0xff, 0xdd, 0, 4, 0, 3];
    let without = [&bytes[..tables.start], &interval, &bytes[tables.end..]].concat();
    assert_eq!(walk(&without), Err(Refusal::Unread(JpegCoding::NoTables)));
}
