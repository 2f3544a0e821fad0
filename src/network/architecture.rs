//! The paper's way to name a network, `32-64-10`: convolution channels, then classes.
//!
//! The paper gives channel counts alone. Kernels, strides and paddings are our choice, made once: with them every
//! network of its Table 1 keeps within a fan-in of 4,096 but the last, 32-64-128-256-10, which the paper found not
//! deployable for that very reason.

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

/// Lays out the network that `name` stands for; the layer before the classifier is the embedding.
pub fn parse(name: &str, input: Shape) -> Result<Network, NetworkError> {
    let refuse = || {
        NetworkError::layer(
            name,
            "an architecture is 1 to 4 channel counts and the number of classes, like 32-64-10",
        )
    };
    let sizes: Vec<usize> = name
        .split('-')
        .map(|size| size.parse().ok().filter(|size| (1..=4096).contains(size)))
        .collect::<Option<_>>()
        .ok_or_else(refuse)?;
    let (&classes, channels) = sizes.split_last().ok_or_else(refuse)?;
    let convolutions = channels
        .len()
        .checked_sub(1)
        .and_then(|index| CONVOLUTIONS.get(index))
        .ok_or_else(refuse)?;
    let mut layers: Vec<Layer> = Vec::with_capacity(sizes.len());
    for (number, (&channels, &(stride, padding))) in (1..).zip(channels.iter().zip(*convolutions)) {
        let source = layers.last().map_or(input, |layer| layer.output);
        let kind = Kind::Conv2d {
            kernel: [3, 3],
            stride: [stride, stride],
            padding: [padding, padding],
        };
        let layer = Layer::connect(&format!("conv{number}"), kind, source, channels)?;
        layers.push(layer);
    }
    let source = layers.last().map_or(input, |layer| layer.output);
    layers.push(Layer::connect("dense1", Kind::Dense, source, classes)?);
    Ok(Network {
        name: name.to_owned(),
        input,
        recipe: Recipe::default_for(input),
        embedding_layer: layers.len() - 2,
        layers,
        labels: None,
        default_probe: None,
        default_time_steps: None,
        trained_with: None,
    })
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
    fn other_names_are_refused() {
        for name in ["", "10", "32-64-", "a-10", "1-2-3-4-5-10", "0-10"] {
            assert!(parse(name, FASHION).is_err(), "{name}");
        }
    }
}
