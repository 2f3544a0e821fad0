//! The paper's way to name a network, `32-64-10`: convolution channels, then classes.
//!
//! The paper gives channel counts alone. Kernels, strides and paddings are our choice, made once: with them every
//! network of its Table 1 keeps within a fan-in of 4,096 but the last, 32-64-128-256-10, which the paper found not
//! deployable for that very reason.

use super::activation::{Activation, Clipped};
use super::{Kind, Layer, Network, NetworkError};
use crate::picture::{Recipe, Shape};

/// Stride and padding of each 3 x 3 convolution, by how many there are; on 28 x 28 pictures the last one gives 13 x 13,
/// 6 x 6, 4 x 4 and 5 x 5 positions.
const CONVOLUTIONS: [&[(usize, usize)]; 4] = [
    &[(2, 0)],
    &[(2, 0), (2, 0)],
    &[(2, 0), (2, 0), (1, 0)],
    &[(2, 0), (1, 0), (2, 0), (1, 1)],
];

/// Lays out the paper's network of that name; the layer before the classifier is the embedding.
pub fn parse(name: &str, input: Shape) -> Result<Network, NetworkError> {
    let refuse = || {
        NetworkError::layer(
            name,
            "an architecture is 1 to 4 channel counts and the number of classes, like 32-64-10",
        )
    };
    let sizes = sizes(name).ok_or_else(refuse)?;
    let (&classes, channels) = sizes.split_last().ok_or_else(refuse)?;
    let mut layers = convolutions(channels, input).ok_or_else(refuse)??;
    append_dense(&mut layers, input, &[classes])?;
    Ok(network(name, input, layers))
}

/// Lays out a network with a compact embedding: `32-64-128-10` has convolutions of 32 and 64 channels as the paper's
/// have, a dense embedding layer of 128 neurons and 10 classes. All activations are clipped to `levels` steps.
pub fn parse_metric(name: &str, input: Shape, levels: u32) -> Result<Network, NetworkError> {
    let refuse = || {
        NetworkError::layer(
            name,
            "an architecture with a dense embedding is 1 to 4 channel counts, the embedding's neurons and the number \
             of classes, like 32-64-128-10",
        )
    };
    let sizes = sizes(name).ok_or_else(refuse)?;
    let [channels @ .., embedding, classes] = sizes.as_slice() else {
        return Err(refuse());
    };
    let mut layers = convolutions(channels, input).ok_or_else(refuse)??;
    append_dense(&mut layers, input, &[*embedding, *classes])?;
    let activation = Activation::Clipped(Clipped::new(levels, vec![FIRST_CEILING; layers.len() - 1]));
    activation.check(&layers)?;
    Ok(Network {
        activation,
        ..network(name, input, layers)
    })
}

/// Where training starts from: three standard deviations of what first parameters make of Fashion-MNIST (uniform, of
/// the variance that He et al. 2015 give), so that hardly anything is clipped before anything is learnt.
const FIRST_CEILING: f32 = 2.0;

fn sizes(name: &str) -> Option<Vec<usize>> {
    name.split('-')
        .map(|size| size.parse().ok().filter(|size| (1..=4096).contains(size)))
        .collect()
}

/// None where the table has no such number of convolutions.
fn convolutions(channels: &[usize], input: Shape) -> Option<Result<Vec<Layer>, NetworkError>> {
    let convolutions = CONVOLUTIONS.get(channels.len().checked_sub(1)?)?;
    let mut layers: Vec<Layer> = Vec::with_capacity(channels.len() + 2);
    for (number, (&channels, &(stride, padding))) in (1..).zip(channels.iter().zip(*convolutions)) {
        let source = layers.last().map_or(input, |layer| layer.output);
        let kind = Kind::Conv2d {
            kernel: [3, 3],
            stride: [stride, stride],
            padding: [padding, padding],
        };
        match Layer::connect(&format!("conv{number}"), kind, source, channels) {
            Ok(layer) => layers.push(layer),
            Err(error) => return Some(Err(error)),
        }
    }
    Some(Ok(layers))
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
        recipe: Recipe::default_for(input),
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
            ("1-2-3-4-5-128-10", 8),
            ("32-128-10", 0),
            ("32--10", 8),
        ] {
            assert!(parse_metric(name, FASHION, levels).is_err(), "{name} {levels}");
        }
    }

    #[test]
    fn other_names_are_refused() {
        for name in ["", "10", "32-64-", "a-10", "1-2-3-4-5-10", "0-10"] {
            assert!(parse(name, FASHION).is_err(), "{name}");
        }
    }
}
