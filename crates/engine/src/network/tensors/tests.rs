use proptest::prelude::*;

use safetensors::SafeTensors;

use super::*;

fn golden(name: &str) -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/paper-32-64-10/");
    std::fs::read(format!("{path}{name}")).unwrap()
}

/// The bundle's SNN with one replacement in its header, of equal or other length, data left alone.
fn with_header(name: &str, from: &str, to: &str) -> Vec<u8> {
    let bytes = golden(name);
    let length = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    let header = std::str::from_utf8(&bytes[8..8 + length]).unwrap();
    assert!(header.contains(from), "{header}");
    let header = header.replace(from, to);
    let mut changed = u64::try_from(header.len()).unwrap().to_le_bytes().to_vec();
    changed.extend(header.as_bytes());
    changed.extend(&bytes[8 + length..]);
    changed
}

fn snn_refusal(bytes: &[u8]) -> String {
    read_snn(bytes).unwrap_err().to_string()
}

#[test]
fn what_is_written_reads_back_equal() {
    let snn = read_snn(&golden("snn.safetensors")).unwrap();
    let written = write_snn(&snn, Some("{}"));
    assert_eq!(read_snn(&written).unwrap(), snn);
    assert_eq!(written, write_snn(&snn, Some("{}")));
}

#[test]
fn a_flipped_bit_anywhere_is_found_and_a_file_without_a_sum_is_taken() {
    let snn = read_snn(&golden("snn.safetensors")).unwrap();
    let written = write_snn(&snn, None);
    let network = golden("snn.safetensors");
    assert!(
        !String::from_utf8_lossy(&network).contains("sha256"),
        "the bundle has none"
    );
    for at in (8..written.len()).step_by(61).chain([written.len() - 1]) {
        let mut damaged = written.clone();
        damaged[at] ^= 1;
        assert!(read_snn(&damaged).is_err(), "byte {at}");
    }
    let mut damaged = written;
    *damaged.last_mut().unwrap() ^= 1;
    let refusal = snn_refusal(&damaged);
    assert!(
        refusal.starts_with("the model file's metadata `sha256` is ")
            && refusal.contains("the file is damaged"),
        "{refusal}"
    );
}

#[test]
fn the_shipped_models_are_as_they_would_be_written() {
    let file =
        |name: &str| std::fs::read(format!("{}/../../models/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    for name in ["fashion-mnist", "paper-32-64-10"] {
        let snn = file(&format!("{name}.snn.safetensors"));
        let (_, header) = SafeTensors::read_metadata(&snn).unwrap();
        let conversion = header
            .metadata()
            .as_ref()
            .and_then(|metadata| metadata.get("conversion"));
        let written = write_snn(&read_snn(&snn).unwrap(), conversion.map(String::as_str));
        assert!(written == snn, "{name}");
    }
}

#[test]
fn a_truncated_file_is_refused_by_its_first_missing_tensor() {
    let bytes = golden("snn.safetensors");
    let refusal = snn_refusal(&bytes[..bytes.len() - 1]);
    assert_eq!(
        refusal,
        "tensor dense1.weight: it claims bytes 37864 to 83944 of the data, the file holds 83943; it is truncated or damaged"
    );
    assert!(snn_refusal(&bytes[..100]).contains("it is truncated or not a model"));
    assert!(snn_refusal(&[]).contains("0 bytes"));
}

#[test]
fn a_header_that_claims_ten_gigabytes_is_refused_without_allocating_them() {
    let mut bytes = golden("snn.safetensors");
    bytes[..8].copy_from_slice(&10_000_000_000u64.to_le_bytes());
    assert!(snn_refusal(&bytes).contains("the header claims 10000000000 bytes"));
    let refusal = snn_refusal(&with_header(
        "snn.safetensors",
        "[37864,83944]",
        "[37864,10000000000]",
    ));
    assert!(
        refusal.starts_with("tensor dense1.weight: it claims bytes 37864 to 10000000000"),
        "{refusal}"
    );
    let refusal = snn_refusal(&with_header("snn.safetensors", "[10,2304]", "[10,2000000000]"));
    assert!(
        refusal.starts_with("tensor dense1.weight: its shape [10,2000000000] does not fit"),
        "{refusal}"
    );
}

#[test]
fn a_tensor_of_the_wrong_type_is_refused() {
    let float = with_header(
        "snn.safetensors",
        r#""conv1.bias":{"dtype":"I32""#,
        r#""conv1.bias":{"dtype":"F32""#,
    );
    assert_eq!(
        snn_refusal(&float),
        "tensor conv1.bias: its type is F32; it must be I32"
    );
}

#[test]
fn a_tensor_of_the_wrong_shape_is_refused() {
    let bytes = with_header("snn.safetensors", "[64,32,3,3]", "[32,64,3,3]");
    assert_eq!(
        snn_refusal(&bytes),
        "tensor conv2.weight: its shape is [32, 64, 3, 3]; it must be [32, 32, 3, 3]"
    );
    let bytes = with_header("snn.safetensors", "[10,2304]", "[23040]");
    assert!(snn_refusal(&bytes).contains("a dense layer needs 2 axes"));
}

#[test]
fn layers_that_do_not_fit_are_refused() {
    let bytes = with_header(
        "snn.safetensors",
        r#"\"conv2\", \"kind\": \"conv2d\", \"kernel\": [3, 3]"#,
        r#"\"conv2\", \"kind\": \"conv2d\", \"kernel\": [5, 5]"#,
    );
    assert!(
        snn_refusal(&bytes)
            .starts_with("tensor conv2.weight: its shape is [64, 32, 3, 3]; it must be [64, 32, 5, 5]")
    );
    let bytes = with_header("snn.safetensors", "[1, 28, 28]", "[1, 2, 2]");
    assert_eq!(
        snn_refusal(&bytes),
        "layer conv1: a kernel of 3 does not fit an input of 2 with padding 0"
    );
    let bytes = with_header("snn.safetensors", "[1, 28, 28]", "[9000, 9000, 9000]");
    assert!(snn_refusal(&bytes).starts_with("layer input: 9000 x 9000 x 9000 neurons are more than"));
}

#[test]
fn a_missing_threshold_is_refused() {
    let bytes = with_header("snn.safetensors", r#", \"threshold\": 523"#, "");
    assert!(snn_refusal(&bytes).starts_with("layer conv2: it has no threshold"));
    let bytes = with_header("snn.safetensors", r#"\"threshold\": 255"#, r#"\"threshold\": 0"#);
    assert_eq!(
        snn_refusal(&bytes),
        "layer input: its threshold is 0; it must be at least 1"
    );
}

#[test]
fn one_kind_of_file_is_not_taken_for_the_other() {
    let refusal = snn_refusal(&golden("ann.safetensors"));
    assert_eq!(
        refusal,
        r#"the model file's metadata `format` is "spikelens-ann"; it must be "spikelens-snn""#
    );
}

#[test]
fn a_tensor_that_no_layer_names_is_refused() {
    let bytes = with_header("snn.safetensors", r#""conv1.bias""#, r#""conv9.bias""#);
    assert_eq!(
        snn_refusal(&bytes),
        "tensor conv9.bias: it belongs to none of the layers of `network`"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_damage_panics(at in 0usize..2500, byte in any::<u8>(), cut in 0usize..84_928) {
        let mut bytes = golden("snn.safetensors");
        bytes[at] = byte;
        let _ = read_snn(&bytes);
        bytes.truncate(cut);
        prop_assert!(read_snn(&bytes).is_err());
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(read_snn(&bytes).is_err());
    }
}
