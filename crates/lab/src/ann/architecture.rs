//! Architectures by name, as in the paper: `32-64-10` lists the channels of the convolutions, then the classes.
//!
//! The paper gives channel counts only. Kernels, strides and paddings are our choice: with them every network of its
//! Table 1 has a fan-in of at most 4,096, except for the last, 32-64-128-256-10, which the paper could not deploy for
//! that reason.

use engine::network::activation::{Activation, Clipped};
use engine::network::{Kind, Layer, Network, NetworkError};
use engine::picture::{Recipe, Shape};

/// Stride and padding of each 3 x 3 convolution, by how many there are; on 28 x 28 pictures the last one gives 13 x 13,
/// 6 x 6, 4 x 4 and 5 x 5 positions.
const CONVOLUTIONS: [&[(usize, usize)]; 4] = [
    &[(2, 0)],
    &[(2, 0), (2, 0)],
    &[(2, 0), (2, 0), (1, 0)],
    &[(2, 0), (1, 0), (2, 0), (1, 1)],
];

/// The paper's network of that name. The layer before the classifier is the embedding layer.
///
/// # Errors
/// [`NetworkError`] for a name of another form, and for layers that do not fit `input`.
pub fn parse(name: &str, input: Shape) -> Result<Network, NetworkError> {
    let refuse = || {
        NetworkError::layer(
            name,
            "an architecture is 1 to 4 channel counts and the number of classes, like 32-64-10",
        )
    };
    let sizes = sizes(name.split('-')).ok_or_else(refuse)?;
    let (&classes, channels) = sizes.split_last().ok_or_else(refuse)?;
    let convolutions = paper_convolutions(channels).ok_or_else(refuse)?;
    let mut layers = connect(&convolutions, input)?;
    append_dense(&mut layers, input, &[classes])?;
    Ok(network(name, input, layers))
}

/// A network with a dense embedding layer: `32-64-128-10` has convolutions of 32 and 64 channels like the paper's, a
/// dense embedding layer of 128 neurons, and 10 classes. `32k5s2p2` is a convolution of 32 channels with a kernel of 5
/// x 5, stride 2 and padding 2; omitted parts are as in the paper's networks, or 3 x 3 with stride 1 and padding 1 where
/// there are more than the paper's four convolutions, up to eight. All activations are clipped to `levels` steps.
///
/// # Errors
/// [`NetworkError`] for a name of another form, and for layers that do not fit `input`.
pub fn parse_metric(name: &str, input: Shape, levels: u32) -> Result<Network, NetworkError> {
    let refuse = || {
        NetworkError::layer(
            name,
            "an architecture with a dense embedding is 1 to 8 convolutions, the embedding's neurons and the number \
             of classes, like 32-64-128-10; a convolution is its channels and, where it is not 3 x 3 as in the paper's \
             networks, kernel, stride and padding, like 32k5s2p2",
        )
    };
    let words: Vec<&str> = name.split('-').collect();
    let (described, dense) = words
        .split_at_checked(words.len().saturating_sub(2))
        .ok_or_else(refuse)?;
    let dense = sizes(dense.iter().copied()).ok_or_else(refuse)?;
    if !(1..=MOST_CONVOLUTIONS).contains(&described.len()) {
        return Err(refuse());
    }
    let defaults =
        paper_convolutions(&vec![1; described.len()]).unwrap_or_else(|| vec![PADDED; described.len()]);
    let convolutions: Vec<Convolution> = described
        .iter()
        .zip(defaults)
        .map(|(word, default)| Convolution::parse(word, default))
        .collect::<Option<_>>()
        .ok_or_else(refuse)?;
    let mut layers = connect(&convolutions, input)?;
    append_dense(&mut layers, input, &dense)?;
    let activation = Activation::Clipped(Clipped::new(levels, vec![FIRST_CEILING; layers.len() - 1]));
    activation.check(&layers)?;
    Ok(Network {
        activation,
        ..network(name, input, layers)
    })
}

/// The architecture `name` with the number of classes at its end, where it is left out: where the last word but one
/// describes a convolution's kernel, stride or padding, so that the last word is the embedding.
#[must_use]
pub fn with_classes(name: &str, classes: usize) -> String {
    let described = |word: &str| word.contains(['k', 's', 'p']);
    match name.rsplit('-').nth(1).is_some_and(described) {
        true => format!("{name}-{classes}"),
        false => name.to_owned(),
    }
}

/// More would be a network that no chip and no tutor of ours has use for.
const MOST_CONVOLUTIONS: usize = 8;

/// What a convolution is by default where the paper has no network as deep.
const PADDED: Convolution = Convolution {
    channels: 1,
    kernel: 3,
    stride: 1,
    padding: 1,
};

/// The initial ceiling: three standard deviations of the activations that initial parameters (uniform, with the
/// variance of He et al. 2015) give on Fashion-MNIST, so that hardly anything is clipped at the start.
const FIRST_CEILING: f32 = 2.0;

fn sizes<'a>(words: impl Iterator<Item = &'a str>) -> Option<Vec<usize>> {
    words.map(size).collect()
}

fn size(word: &str) -> Option<usize> {
    word.parse().ok().filter(|size| (1..=4096).contains(size))
}

/// A square convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Convolution {
    channels: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
}

impl Convolution {
    /// Parses `48k5s2p2`; kernel, stride and padding default to those of `default`.
    fn parse(word: &str, default: Self) -> Option<Self> {
        let end = |word: &str| {
            word.find(|letter: char| !letter.is_ascii_digit())
                .unwrap_or(word.len())
        };
        let (channels, mut rest) = word.split_at(end(word));
        let mut read = Self {
            channels: size(channels)?,
            ..default
        };
        for (letter, field) in [
            ('k', &mut read.kernel),
            ('s', &mut read.stride),
            ('p', &mut read.padding),
        ] {
            if let Some(value) = rest.strip_prefix(letter) {
                let (digits, next) = value.split_at(end(value));
                *field = digits.parse().ok()?;
                rest = next;
            }
        }
        rest.is_empty().then_some(read)
    }
}

/// The paper's convolutions with these channels; `None` if its networks have another number of convolutions.
fn paper_convolutions(channels: &[usize]) -> Option<Vec<Convolution>> {
    let table = CONVOLUTIONS.get(channels.len().checked_sub(1)?)?;
    let convolution = |(&channels, &(stride, padding)): (&usize, &(usize, usize))| Convolution {
        channels,
        kernel: 3,
        stride,
        padding,
    };
    Some(channels.iter().zip(*table).map(convolution).collect())
}

fn connect(convolutions: &[Convolution], input: Shape) -> Result<Vec<Layer>, NetworkError> {
    let mut layers: Vec<Layer> = Vec::with_capacity(convolutions.len() + 2);
    for (number, convolution) in (1..).zip(convolutions) {
        let source = layers.last().map_or(input, |layer| layer.output);
        let kind = Kind::Conv2d {
            kernel: [convolution.kernel; 2],
            stride: [convolution.stride; 2],
            padding: [convolution.padding; 2],
        };
        layers.push(Layer::connect(
            &format!("conv{number}"),
            kind,
            source,
            convolution.channels,
        )?);
    }
    Ok(layers)
}

fn append_dense(layers: &mut Vec<Layer>, input: Shape, sizes: &[usize]) -> Result<(), NetworkError> {
    for (number, &neurons) in (1..).zip(sizes) {
        let source = layers.last().map_or(input, |layer| layer.output);
        layers.push(Layer::connect(
            &format!("dense{number}"),
            Kind::Dense,
            source,
            neurons,
        )?);
    }
    Ok(())
}

fn network(name: &str, input: Shape, layers: Vec<Layer>) -> Network {
    Network {
        name: name.to_owned(),
        input,
        recipe: Recipe::default_for(input.channels),
        embedding_layer: layers.len() - 2,
        layers,
        activation: Activation::Relu,
        labels: None,
        default_probe: None,
        default_time_steps: None,
        trained_with: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FASHION: Shape = Shape {
        channels: 1,
        height: 28,
        width: 28,
    };

    #[test]
    fn the_paper_s_best_network_is_the_bundle_s() {
        let network = parse("32-64-10", FASHION).unwrap();
        assert_eq!(network.embedding_dimensions(), 2304);
        assert_eq!(network.classes(), 10);
    }

    #[test]
    fn of_the_paper_s_twelve_the_last_alone_exceeds_the_fan_in() {
        let table_1 = [
            "4-8-10",
            "8-16-10",
            "16-32-10",
            "32-64-10",
            "4-8-16-10",
            "8-16-32-10",
            "16-32-64-10",
            "32-64-128-10",
            "4-8-16-32-10",
            "8-16-32-64-10",
            "16-32-64-128-10",
            "32-64-128-256-10",
        ];
        for name in table_1 {
            let network = parse(name, FASHION).unwrap();
            let most = network.layers.iter().map(Layer::fan_in).max().unwrap();
            assert_eq!(most > 4096, name == "32-64-128-256-10", "{name}: {most}");
        }
    }

    #[test]
    fn a_metric_network_has_a_dense_embedding() {
        let network = parse_metric("32-64-128-10", FASHION, 8).unwrap();
        let kinds: Vec<&str> = network.layers.iter().map(|layer| layer.kind.as_str()).collect();
        assert_eq!(kinds, ["conv2d", "conv2d", "dense", "dense"]);
        assert_eq!((network.embedding_dimensions(), network.classes()), (128, 10));
        assert_eq!(
            network.activation,
            Activation::Clipped(Clipped::new(8, vec![FIRST_CEILING; 3]))
        );
        for (name, levels) in [
            ("128-10", 8),
            ("32k-128-10", 8),
            ("32q5-128-10", 8),
            ("32p2k5-128-10", 8),
            ("32k0-128-10", 8),
            ("32s0-128-10", 8),
            ("32-64-128k3-10", 8),
            ("1-2-3-4-5-6-7-8-9-128-10", 8),
            ("32-128-10", 0),
            ("32--10", 8),
        ] {
            assert!(parse_metric(name, FASHION, levels).is_err(), "{name} {levels}");
        }
    }

    #[test]
    fn a_metric_network_s_convolutions_may_be_described() {
        let network = parse_metric("48k5s2p2-64k5-128-10", FASHION, 8).unwrap();
        let conv = |kernel, stride, padding| Kind::Conv2d {
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [padding; 2],
        };
        assert_eq!(network.layers[0].kind, conv(5, 2, 2));
        assert_eq!(network.layers[1].kind, conv(5, 2, 0));
        let shapes: Vec<usize> = network.layers.iter().map(Layer::neurons).collect();
        assert_eq!(shapes, [48 * 14 * 14, 64 * 5 * 5, 128, 10]);
    }

    #[test]
    fn more_convolutions_than_the_paper_s_keep_their_size_unless_described() {
        let network = parse_metric("4s2-4-8s2-8-16s2-128-10", FASHION, 8).unwrap();
        let shapes: Vec<usize> = network.layers.iter().map(Layer::neurons).collect();
        assert_eq!(
            shapes,
            [
                4 * 14 * 14,
                4 * 14 * 14,
                8 * 7 * 7,
                8 * 7 * 7,
                16 * 4 * 4,
                128,
                10
            ]
        );
    }

    #[test]
    fn classes_are_added_where_they_are_left_out() {
        for (name, completed) in [
            ("48k7s4p3-64k3-128", "48k7s4p3-64k3-128-17"),
            ("48k7s4p3-64k3-128-10", "48k7s4p3-64k3-128-10"),
            ("32-64-128-10", "32-64-128-10"),
            ("128", "128"),
        ] {
            assert_eq!(with_classes(name, 17), completed);
        }
    }

    #[test]
    fn other_names_are_refused() {
        for name in ["", "10", "32-64-", "a-10", "1-2-3-4-5-10", "0-10"] {
            assert!(parse(name, FASHION).is_err(), "{name}");
        }
    }
}
