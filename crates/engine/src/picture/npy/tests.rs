use ndarray::array;
use proptest::prelude::*;

use super::*;

fn npy(header: &str, items: &[u8]) -> Vec<u8> {
    let length = u16::try_from(header.len()).unwrap().to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), items].concat()
}

fn of_shape(shape: &str, items: usize) -> Vec<u8> {
    let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n");
    npy(&header, &vec![7; items])
}

fn refusal(bytes: &[u8]) -> NpyError {
    match pictures(bytes).unwrap_err() {
        PictureError::Npy(error) => error,
        other => panic!("{other}"),
    }
}

#[test]
fn three_axes_are_one_picture_and_four_are_several() {
    let one = pictures(&of_shape("(1, 2, 3)", 6)).unwrap();
    assert_eq!(one.len(), 1);
    assert_eq!(one[0].as_slice(), [7; 6]);
    let header = "{'shape': (2, 1, 1, 2L), 'fortran_order': False, 'descr': \"<u1\"}";
    let two = pictures(&npy(header, &[1, 2, 3, 4])).unwrap();
    assert_eq!(two.len(), 2);
    assert_eq!(two[1].as_slice(), [3, 4]);
}

#[test]
fn version_two_has_a_longer_length() {
    let mut bytes = of_shape("(1, 1, 1)", 1);
    bytes[6] = 2;
    bytes.splice(10..10, [0, 0]);
    assert_eq!(pictures(&bytes).unwrap()[0].as_slice(), [7]);
    bytes[6] = 4;
    assert_eq!(refusal(&bytes), NpyError::Version { major: 4 });
}

#[test]
fn other_types_orders_and_shapes_are_refused() {
    let float = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1), }";
    assert_eq!(
        refusal(&npy(float, &[0; 4])).to_string(),
        "the .npy file has <f4 items, pixels must be uint8; convert with .astype('uint8')"
    );
    let records = "{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (1, 1, 1), }";
    assert!(matches!(refusal(&npy(records, &[0])), NpyError::ItemType { .. }));
    let fortran = "{'descr': '|u1', 'fortran_order': True, 'shape': (1, 1, 1), }";
    assert_eq!(refusal(&npy(fortran, &[0])), NpyError::FortranOrder);
    assert_eq!(
        refusal(&of_shape("(28, 28)", 784)).to_string(),
        "the .npy file has 2 axes [28, 28], pictures must have [channels, height, width] or \
         [pictures, channels, height, width]"
    );
    let none = NpyError::Empty {
        found: vec![0, 1, 28, 28],
    };
    assert_eq!(refusal(&of_shape("(0, 1, 28, 28)", 0)), none);
}

#[test]
fn lengths_that_do_not_fit_are_refused_without_allocating() {
    let bytes = of_shape("(1, 2, 3)", 5);
    let (expected, found) = (bytes.len() + 1, bytes.len());
    assert_eq!(refusal(&bytes), NpyError::Truncated { expected, found });
    let bytes = of_shape("(1, 2, 3)", 7);
    let (expected, found) = (bytes.len() - 1, bytes.len());
    assert_eq!(refusal(&bytes), NpyError::Trailing { expected, found });
    let huge = of_shape("(4294967296, 4294967296, 4294967296)", 1);
    let (expected, found) = (usize::MAX, huge.len());
    assert_eq!(refusal(&huge), NpyError::Truncated { expected, found });
    let above = of_shape("(99999999999999999999, 1, 1)", 1);
    assert!(matches!(refusal(&above), NpyError::Header { .. }));
}

#[test]
fn every_prefix_is_refused() {
    let whole = of_shape("(1, 2, 3)", 6);
    for end in 0..whole.len() {
        assert!(pictures(&whole[..end]).is_err(), "{end} bytes");
    }
}

#[test]
fn rows_are_written_as_numpy_writes_them() {
    let bytes = write_i32(array![[1, -2, 3], [4, 5, i32::MIN]].view());
    let (header, items_at) = read_header(&bytes).unwrap();
    assert_eq!(items_at % ALIGNMENT, 0);
    assert_eq!((header.descr.as_str(), header.fortran_order), ("<i4", false));
    assert_eq!(header.shape, [2, 3]);
    let items: Vec<i32> = bytes[items_at..]
        .as_chunks::<4>()
        .0
        .iter()
        .map(|item| i32::from_le_bytes(*item))
        .collect();
    assert_eq!(items, [1, -2, 3, 4, 5, i32::MIN]);
    assert!(write_i32(ndarray::Array2::zeros((0, 10)).view()).ends_with(b"\n"));
}

proptest! {
    #[test]
    fn no_bytes_panic(tail in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = pictures(&tail);
        let _ = pictures(&[&b"\x93NUMPY\x01\x00\x40\x00"[..], &tail].concat());
    }

    #[test]
    fn a_flipped_byte_never_panics(at in 0..80_usize, value: u8) {
        let mut bytes = of_shape("(1, 2, 3)", 6);
        let at = at % bytes.len();
        bytes[at] = value;
        let _ = pictures(&bytes);
    }
}

fn floats(descr: &str, order: &str, shape: &str, items: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
    npy(&header, items)
}

#[test]
fn float_rows_are_read_in_either_size_and_order() {
    let items: Vec<u8> = [1.5f32, -2.0, f32::NAN, 4.0, 5.0, 6.0]
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let found = rows(&floats("<f4", "False", "(2, 3)", &items)).unwrap();
    assert_eq!(found.dim(), (2, 3));
    assert_eq!((found[[0, 1]], found[[1, 0]]), (-2.0, 4.0));
    assert!(found[[0, 2]].is_nan());
    let found = rows(&floats("<f4", "True", "(3, 2)", &items)).unwrap();
    assert_eq!((found[[1, 0]], found[[0, 1]]), (-2.0, 4.0));
    let wide: Vec<u8> = [0.25f64, 1e300]
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    assert_eq!(
        rows(&floats("<f8", "False", "(1, 2)", &wide)).unwrap(),
        array![[0.25, f32::INFINITY]]
    );
}

#[test]
fn what_is_no_array_of_float_rows_is_refused() {
    let items = [0; 16];
    let found = |descr, shape| rows(&floats(descr, "False", shape, &items)).unwrap_err();
    assert_eq!(
        found("<i4", "(2, 2)"),
        NpyError::FloatType {
            found: "<i4".to_owned()
        }
    );
    assert_eq!(found("<f4", "(4,)"), NpyError::Rows { found: vec![4] });
    assert_eq!(found("<f4", "(0, 4)"), NpyError::Empty { found: vec![0, 4] });
    assert!(matches!(found("<f4", "(2, 3)"), NpyError::Truncated { .. }));
    assert!(matches!(found("<f4", "(1, 2)"), NpyError::Trailing { .. }));
    assert!(matches!(
        found("<f8", "(4611686018427387904, 4)"),
        NpyError::Truncated { .. }
    ));
}
