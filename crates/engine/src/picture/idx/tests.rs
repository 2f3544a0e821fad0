use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;

fn idx(header: &[u32], items: &[u8]) -> Vec<u8> {
    let mut bytes: Vec<u8> = header.iter().flat_map(|n| n.to_be_bytes()).collect();
    bytes.extend_from_slice(items);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn refusal<T: std::fmt::Debug>(result: Result<T, PictureError>) -> IdxError {
    match result.unwrap_err() {
        PictureError::Idx(error) => error,
        other => panic!("{other}"),
    }
}

#[test]
fn pictures_and_labels_are_read_gzipped_and_plain() {
    let file = idx(&[0x0803, 2, 1, 3], &[1, 2, 3, 4, 5, 6]);
    for bytes in [gzip(&file), file] {
        let read = pictures(&bytes).unwrap();
        assert_eq!(read.dim(), (2, 1, 3));
        assert_eq!(read[[1, 0, 0]], 4);
    }
    let file = idx(&[0x0801, 3], &[9, 0, 5]);
    for bytes in [gzip(&file), file] {
        assert_eq!(labels(&bytes).unwrap(), [9, 0, 5]);
    }
}

#[test]
fn pictures_and_labels_are_held_against_one_another() {
    let pictures = gzip(&idx(&[0x0803, 2, 1, 3], &[1, 2, 3, 4, 5, 6]));
    let labels = |count: u32| {
        let items = vec![7; usize::try_from(count).unwrap()];
        idx(&[0x0801, count], &items)
    };
    let (read, told) = labelled(&pictures, &labels(2), None).unwrap();
    assert_eq!((read[1].as_slice(), told), (&[4, 5, 6][..], vec![7, 7]));
    let (read, told) = labelled(&pictures, &labels(2), Some(1)).unwrap();
    assert_eq!((read.len(), told.len()), (1, 1));
    let refusal = |labels: &[u8], count| refusal(labelled(&pictures, labels, count)).to_string();
    assert_eq!(
        refusal(&labels(3), None),
        "there are 3 labels for 2 pictures; give the two files of one split"
    );
    assert_eq!(
        refusal(&labels(2), Some(3)),
        "3 pictures are requested, the split has 2"
    );
}

#[test]
fn the_wrong_file_is_told_from_its_magic_number() {
    let error = refusal(pictures(&idx(&[0x0801, 1], &[0])));
    assert_eq!(
        error.to_string(),
        "an idx file of pictures begins with the magic number 0x00000803, this one with \
         0x00000801; give the official *-ubyte.gz file"
    );
}

#[test]
fn cut_and_overlong_files_are_told_apart() {
    let whole = idx(&[0x0803, 2, 1, 3], &[1, 2, 3, 4, 5, 6]);
    for end in 0..whole.len() {
        let error = refusal(pictures(&whole[..end]));
        let found = u64::try_from(end).unwrap();
        match error {
            IdxError::Truncated {
                expected: 22,
                found: f,
                ..
            } => assert_eq!(f, found),
            IdxError::Truncated { expected: 16, .. } => assert!(end < 16),
            other => panic!("{end}: {other}"),
        }
    }
    let zipped = gzip(&whole);
    for end in 2..zipped.len() {
        let error = refusal(pictures(&zipped[..end]));
        // Where the items are there and the checksum is not, the unpacker says so.
        let told = matches!(error, IdxError::Truncated { .. } | IdxError::Gzip { .. });
        assert!(told, "{end}: {error}");
    }
    let long = refusal(pictures(&idx(&[0x0803, 1, 1, 1], &[1, 2])));
    assert!(matches!(long, IdxError::Trailing { expected: 17, .. }));
}

#[test]
fn a_damaged_gzip_file_is_refused() {
    let mut zipped = gzip(&idx(&[0x0801, 1], &[0]));
    let checksum = zipped.len() - 8;
    zipped[checksum] ^= 1;
    assert!(matches!(refusal(labels(&zipped)), IdxError::Gzip { .. }));
}

#[test]
fn empty_sets_and_labels_without_a_class_are_refused() {
    let error = refusal(pictures(&idx(&[0x0803, 0, 28, 28], &[])));
    assert!(matches!(
        error,
        IdxError::Empty {
            count: 0,
            height: 28,
            width: 28
        }
    ));
    let error = refusal(labels(&idx(&[0x0801, 2], &[3, 10])));
    assert!(matches!(error, IdxError::Label { index: 1, label: 10 }));
}

#[test]
fn a_bomb_is_refused_before_it_unpacks() {
    // 64 MiB of zeros in 64 KiB: no more is unpacked than the header announces, and one byte.
    let zeros = vec![0; 64 << 20];
    let bomb = gzip(&[idx(&[0x0803, 1, 28, 28], &[]), zeros].concat());
    assert!(matches!(refusal(pictures(&bomb)), IdxError::Trailing { .. }));
    let claim = gzip(&idx(&[0x0803, u32::MAX, u32::MAX, u32::MAX], &[0; 99]));
    assert!(matches!(refusal(pictures(&claim)), IdxError::TooLarge { .. }));
    let claim = idx(&[0x0803, 300_000, 28, 28], &[0; 99]);
    assert!(matches!(
        refusal(pictures(&claim)),
        IdxError::Truncated {
            expected: 235_200_016,
            found: 115,
            ..
        }
    ));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = pictures(&bytes);
        let _ = labels(&bytes);
        let header = idx(&[0x0803], &bytes);
        let _ = pictures(&header);
        let _ = pictures(&[&[0x1f, 0x8b, 8], &bytes[..]].concat());
    }
}
