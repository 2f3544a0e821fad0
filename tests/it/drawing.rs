//! `inspect --format svg`: the drawing in the documentation is the program's, and every drawing is sound XML.

use engine::chip::draw::svg;
use engine::chip::place::Placement;
use engine::network::tensors::read_snn;

use crate::chip::network;
use crate::server::run;

/// Finds errors in a document that has elements, attributes in double quotes, text and entities, and no more.
pub fn fault(document: &str) -> Option<String> {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = document;
    while let Some(start) = rest.find('<') {
        let (text, tag) = rest.split_at(start);
        if let Some(wrong) = wrong_text(text) {
            return Some(wrong);
        }
        let Some(end) = tag.find('>') else {
            return Some(format!("never closed: {tag:.40}"));
        };
        let inner = &tag[1..end];
        rest = &tag[end + 1..];
        if let Some(name) = inner.strip_prefix('/') {
            if open.pop() != Some(name) {
                return Some(format!("</{name}> closes nothing"));
            }
            continue;
        }
        let (name, attributes) = inner.trim_end_matches('/').split_once(' ').unwrap_or((inner, ""));
        let mut seen = Vec::new();
        // name="value" name="value": the pieces between quotes are names and values in turn.
        let pieces: Vec<&str> = attributes.split('"').collect();
        if pieces.len().is_multiple_of(2) {
            return Some(format!("<{inner}> has an open quote"));
        }
        for pair in pieces.chunks(2) {
            match pair {
                [before, value] => {
                    let attribute = before.trim().strip_suffix('=').unwrap_or_default();
                    if attribute.is_empty() || seen.contains(&attribute) || wrong_text(value).is_some() {
                        return Some(format!("<{inner}>: {before}"));
                    }
                    seen.push(attribute);
                }
                [last] if last.trim().is_empty() => {}
                _ => return Some(format!("<{inner}>")),
            }
        }
        if !inner.ends_with('/') {
            open.push(name);
        }
        if open.is_empty() {
            return Some(format!("<{name}> is outside of the document's element"));
        }
    }
    (!open.is_empty() || !rest.trim().is_empty()).then(|| format!("left open: {open:?}"))
}

fn wrong_text(text: &str) -> Option<String> {
    let entities = ["amp;", "lt;", "gt;", "quot;"];
    let entity = |at: usize| entities.iter().any(|entity| text[at + 1..].starts_with(entity));
    let bad = text.match_indices('&').find(|(at, _)| !entity(*at));
    bad.map(|(at, _)| format!("bare &: {:.40}", &text[at..]))
        .or_else(|| {
            let control = |c: char| c.is_control() && c != '\n';
            text.contains(control).then(|| "a control character".to_owned())
        })
}

#[test]
fn the_drawing_in_the_documentation_is_the_program_s() {
    let output = run(&["inspect", "fashion-mnist", "--format", "svg"]);
    assert!(output.status.success(), "{output:?}");
    let drawn = String::from_utf8(output.stdout).unwrap();
    let kept = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/chip.svg")).unwrap();
    assert!(
        drawn == kept,
        "docs/chip.svg is not what the program draws; if the change is meant: \
         spikelens inspect fashion-mnist --format svg > docs/chip.svg"
    );
}

#[test]
fn a_drawing_shows_every_core_and_says_what_it_holds() {
    let shipped = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/models/fashion-mnist.snn.safetensors"
    );
    let snn = read_snn(&std::fs::read(shipped).unwrap()).unwrap();
    let placement = Placement::of(&snn).unwrap();
    let drawing = svg(&snn.network.name, &placement);
    assert_eq!(fault(&drawing), None);
    assert_eq!(
        drawing.matches(": not used</title>").count(),
        128 - placement.cores()
    );
    for core in &placement.cores {
        let title = format!(
            "<title>core {}, layer {}\ncompartments: {} of 1024",
            core.core, core.layer, core.compartments
        );
        assert!(drawing.contains(&title), "{title}");
        for (name, figure, limit) in [
            ("synapse bits", core.synapse_bits, 1_048_576),
            ("input axons", core.input_axons, 4096),
            ("output axons", core.output_axons, 4096),
        ] {
            assert!(
                drawing.contains(&format!("{name}: {figure} of {limit} (")),
                "{core:?}"
            );
        }
    }
}

#[test]
fn chips_are_drawn_one_below_another_and_names_cannot_break_the_document() {
    let mut snn = network("256-64-128-128-10");
    for layer in &mut snn.network.layers {
        layer.name = format!("<{}> & \"\u{1}", layer.name);
    }
    let placement = Placement::of(&snn).unwrap();
    assert!(placement.chips() > 1, "{} cores", placement.cores());
    let drawing = svg("a & b", &placement);
    assert_eq!(fault(&drawing), None);
    for chip in 0..placement.chips() {
        assert!(drawing.contains(&format!(">chip {chip}</tspan>")));
    }
    let shown = drawing.matches("<title>core ").count();
    assert_eq!(shown, 128 * placement.chips());
    assert!(drawing.contains("&lt;conv1&gt; &amp; &quot;\u{fffd}"));
}

#[test]
fn the_check_itself_finds_what_is_broken() {
    assert_eq!(fault("<a x=\"1\" y=\"&lt;\"><b/>c &amp; d</a>\n"), None);
    for broken in [
        "<a>",
        "<a></b>",
        "<a/><b/>",
        "<a x=1/>",
        "<a x=\"1\" x=\"2\"></a>",
        "<a>&</a>",
        "<a></a>text",
        "<a x=\"1></a>",
    ] {
        assert!(fault(broken).is_some(), "{broken}");
    }
}
