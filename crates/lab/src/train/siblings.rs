//! Which pictures stand in a batch beside one that is drawn several times: others of the same product.

use super::random::Random;

/// The pictures of each product.
#[derive(Debug)]
pub(super) struct Siblings {
    /// The training pictures, product by product; empty if products are not known.
    pictures: Vec<usize>,
    /// Where each training picture's product begins and ends in `pictures`.
    spans: Vec<[usize; 2]>,
}

impl Siblings {
    /// Of training pictures whose products are `groups`; `None`: each picture is of its own.
    pub(super) fn new(groups: Option<&[u32]>) -> Self {
        let groups = groups.unwrap_or_default();
        let mut pictures: Vec<usize> = (0..groups.len()).collect();
        pictures.sort_by_key(|&picture| groups[picture]);
        let mut spans = vec![[0, 0]; groups.len()];
        let mut first = 0;
        for product in pictures.chunk_by(|&a, &b| groups[a] == groups[b]) {
            for &picture in product {
                spans[picture] = [first, first + product.len()];
            }
            first += product.len();
        }
        Self { pictures, spans }
    }

    /// Each of the pictures `chosen`, followed by `views - 1` of its product, which may be itself.
    pub(super) fn batch(&self, chosen: &[usize], views: usize, mut random: Random) -> Vec<usize> {
        let mut batch = Vec::with_capacity(chosen.len() * views);
        for &picture in chosen {
            batch.push(picture);
            for _ in 1..views {
                batch.push(match self.spans.get(picture) {
                    None => picture,
                    Some(&[first, end]) => {
                        // A product has few pictures, whose number f32 represents exactly.
                        let place = (random.unit() * (end - first) as f32) as usize;
                        self.pictures[(first + place).min(end - 1)]
                    }
                });
            }
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_of_a_picture_are_its_own_or_its_products() {
        let random = || Random::new(3);
        let alone = Siblings::new(None);
        assert_eq!(alone.batch(&[4, 1], 1, random()), [4, 1]);
        assert_eq!(alone.batch(&[4, 1], 2, random()), [4, 4, 1, 1]);
        let groups = [7, 9, 7, 5, 7];
        let siblings = Siblings::new(Some(&groups));
        let batch = siblings.batch(&[0; 40], 3, random());
        assert_eq!(batch.len(), 120);
        for sibling in [0, 2, 4] {
            assert!(batch.contains(&sibling), "{batch:?}");
        }
        assert!(batch.iter().all(|&picture| groups[picture] == 7));
        assert!(batch.iter().step_by(3).all(|&picture| picture == 0));
        assert_eq!(siblings.batch(&[3], 2, random()), [3, 3]);
    }
}
