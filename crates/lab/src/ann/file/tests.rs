use engine::network::activation::{Activation, Clipped};
use proptest::prelude::*;

use super::*;

fn file(path: &str) -> Vec<u8> {
    std::fs::read(format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn golden(name: &str) -> Vec<u8> {
    file(&format!("tests/golden/paper-32-64-10/{name}"))
}

#[test]
fn what_is_written_reads_back_equal() {
    let ann = read_ann(&golden("ann.safetensors")).unwrap();
    assert_eq!(read_ann(&write_ann(&ann)).unwrap(), ann);
}

#[test]
fn the_shipped_networks_are_as_they_would_be_written() {
    for name in ["fashion-mnist", "paper-32-64-10"] {
        let ann = file(&format!("models/{name}.ann.safetensors"));
        assert!(write_ann(&read_ann(&ann).unwrap()) == ann, "{name}");
    }
}

#[test]
fn a_clipped_activation_reads_back_with_its_ceilings() {
    let mut ann = read_ann(&golden("ann.safetensors")).unwrap();
    ann.network.activation = Activation::Clipped(Clipped::new(8, vec![1.3, 0.1]));
    assert_eq!(read_ann(&write_ann(&ann)).unwrap(), ann);
    let refusal = |activation| {
        let mut ann = ann.clone();
        ann.network.activation = Activation::Clipped(activation);
        read_ann(&write_ann(&ann)).unwrap_err().to_string()
    };
    assert_eq!(
        refusal(Clipped::new(8, vec![1.3])),
        "the model file's metadata `network` has an activation with 1 ceilings; its 3 layers need one each, the last \
         one none"
    );
    assert_eq!(
        refusal(Clipped::new(8, vec![1.3, 0.0])),
        "layer conv2: its activation's ceiling is 0; it must be above 0 and finite"
    );
    assert!(refusal(Clipped::new(0, vec![1.3, 1.0])).contains("an activation of 0 levels"));
}

#[test]
fn not_a_number_is_refused_with_its_place() {
    let mut bytes = golden("ann.safetensors");
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    let refusal = read_ann(&bytes).unwrap_err().to_string();
    assert_eq!(
        refusal,
        "tensor dense1.weight: value 23039 is NaN; every value must be finite"
    );
}

#[test]
fn a_spiking_network_is_not_taken_for_a_float_one() {
    let refusal = read_ann(&golden("snn.safetensors")).unwrap_err().to_string();
    assert_eq!(
        refusal,
        r#"the model file's metadata `format` is "spikelens-snn"; it must be "spikelens-ann""#
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(read_ann(&bytes).is_err());
    }
}
