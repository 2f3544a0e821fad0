//! How a layer is split over cores.

use crate::picture::Shape;

/// How a layer is split: over `position_parts x channel_parts` cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiling {
    /// Rows times columns.
    pub positions: usize,
    /// Channels of the layer.
    pub channels: usize,
    /// Parts of the positions.
    pub position_parts: usize,
    /// Parts of the channels.
    pub channel_parts: usize,
}

impl Tiling {
    /// Splits a layer. There must be at least as many positions and channels as parts.
    #[must_use]
    pub fn new(shape: Shape, position_parts: usize, channel_parts: usize) -> Self {
        Self {
            positions: shape.height * shape.width,
            channels: shape.channels,
            position_parts,
            channel_parts,
        }
    }

    /// The number of cores.
    #[must_use]
    pub fn cores(&self) -> usize {
        self.position_parts * self.channel_parts
    }

    /// The part of the positions that contains `position`.
    #[must_use]
    pub fn position_part(&self, position: usize) -> usize {
        part_of(position, self.positions, self.position_parts)
    }

    /// The part of the channels that contains `channel`.
    #[must_use]
    pub fn channel_part(&self, channel: usize) -> usize {
        part_of(channel, self.channels, self.channel_parts)
    }

    /// Index within the layer of the core that holds a neuron.
    #[must_use]
    pub fn core_of(&self, position: usize, channel: usize) -> usize {
        self.position_part(position) * self.channel_parts + self.channel_part(channel)
    }

    /// The positions of a part.
    #[must_use]
    pub fn positions_of(&self, part: usize) -> std::ops::Range<usize> {
        range(part, self.positions, self.position_parts)
    }

    /// The channels of a part.
    #[must_use]
    pub fn channels_of(&self, part: usize) -> std::ops::Range<usize> {
        range(part, self.channels, self.channel_parts)
    }

    /// The neurons on core `core` of the layer.
    #[must_use]
    pub fn neurons(&self, core: usize) -> usize {
        let positions = self.positions_of(core / self.channel_parts).len();
        positions * self.channels_of(core % self.channel_parts).len()
    }
}

/// Part `part` of `0..count`, split into `parts` parts whose lengths differ by at most 1.
fn range(part: usize, count: usize, parts: usize) -> std::ops::Range<usize> {
    part * count / parts..(part + 1) * count / parts
}

fn part_of(entry: usize, count: usize, parts: usize) -> usize {
    ((entry + 1) * parts - 1) / count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_neuron_is_on_exactly_one_core() {
        for (channels, height, width, position_parts, channel_parts) in [
            (1, 1, 1, 1, 1),
            (5, 3, 7, 4, 3),
            (64, 6, 6, 5, 1),
            (10, 1, 1, 1, 10),
            (3, 2, 2, 4, 3),
        ] {
            let tiling = Tiling::new(
                Shape {
                    channels,
                    height,
                    width,
                },
                position_parts,
                channel_parts,
            );
            let mut counted = vec![0; tiling.cores()];
            for position in 0..height * width {
                for channel in 0..channels {
                    let core = tiling.core_of(position, channel);
                    counted[core] += 1;
                    assert!(tiling.positions_of(core / channel_parts).contains(&position));
                    assert!(tiling.channels_of(core % channel_parts).contains(&channel));
                }
            }
            let neurons: Vec<usize> = (0..tiling.cores()).map(|core| tiling.neurons(core)).collect();
            assert_eq!(counted, neurons);
            assert_eq!(counted.iter().sum::<usize>(), channels * height * width);
        }
    }
}
