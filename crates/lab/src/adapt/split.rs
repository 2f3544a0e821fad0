//! Which products are held out: about a fifth of those that can be judged by, chosen by their ids alone.

use sha2::{Digest, Sha256};
use thiserror::Error;

/// Products that are held out at least: with fewer, only enormous differences could be told from chance.
pub const LEAST: usize = 20;
/// Products that are held out at most.
pub const MOST: usize = 1000;
/// One product of so many is held out.
const SHARE: usize = 5;

/// Why no products can be held out.
#[derive(Debug, Error, PartialEq)]
#[error(
    "{judging} products {what}, of {products} with a picture that can be read; at least {} are needed: {LEAST} to judge by, \
     which nothing is learned from, and twice as many to learn from", 3 * LEAST
)]
pub struct TooFew {
    pub judging: usize,
    pub products: usize,
    pub what: &'static str,
}

/// A place between all ids that depends on nothing else, so that products keep it when others come and go.
#[must_use]
pub fn place(id: &str) -> [u8; 32] {
    Sha256::digest(id.as_bytes()).into()
}

/// Whether each product is held out. Only those that `judges` says so of can be; `what` says in words what they have.
///
/// # Errors
/// [`TooFew`], if fewer than three times [`LEAST`] products can be judged by.
pub fn held_out(ids: &[&str], judges: &[bool], what: &'static str) -> Result<Vec<bool>, TooFew> {
    let mut eligible: Vec<usize> = (0..ids.len()).filter(|&product| judges[product]).collect();
    let judging = eligible.len();
    if judging < 3 * LEAST {
        return Err(TooFew {
            judging,
            products: ids.len(),
            what,
        });
    }
    eligible.sort_by_cached_key(|&product| place(ids[product]));
    let mut held_out = vec![false; ids.len()];
    for product in &eligible[..(judging / SHARE).clamp(LEAST, MOST)] {
        held_out[*product] = true;
    }
    Ok(held_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(count: usize, judges: impl Fn(usize) -> bool) -> Result<Vec<bool>, TooFew> {
        let ids: Vec<String> = (0..count).map(|number| format!("product-{number}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let judges: Vec<bool> = (0..count).map(judges).collect();
        held_out(&ids, &judges, "have a label")
    }

    fn count(split: &[bool]) -> usize {
        split.iter().filter(|held_out| **held_out).count()
    }

    #[test]
    fn a_fifth_is_held_out_within_limits() {
        for (products, wanted) in [(60, 20), (100, 20), (500, 100), (4_999, 999), (20_000, 1_000)] {
            assert_eq!(count(&split(products, |_| true).unwrap()), wanted, "{products}");
        }
    }

    #[test]
    fn only_products_that_can_be_judged_by_are_held_out() {
        let split = split(1_000, |product| product % 2 == 0).unwrap();
        assert_eq!(count(&split), 100);
        assert!(split.iter().skip(1).step_by(2).all(|held_out| !held_out));
    }

    #[test]
    fn the_split_depends_on_ids_alone() {
        let ids = |order: &[usize]| -> Vec<String> { order.iter().map(|n| format!("product-{n}")).collect() };
        let forward: Vec<usize> = (0..200).collect();
        let backward: Vec<usize> = (0..200).rev().collect();
        let split = |order: &[usize]| {
            let ids = ids(order);
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            held_out(&ids, &[true; 200], "have a label").unwrap()
        };
        let mut turned = split(&backward);
        turned.reverse();
        assert_eq!(split(&forward), turned);
    }

    #[test]
    fn too_few_products_are_refused_with_their_number() {
        let refusal = split(300, |product| product < 59).unwrap_err().to_string();
        assert_eq!(
            refusal,
            "59 products have a label, of 300 with a picture that can be read; at least 60 are needed: 20 to judge by, \
             which nothing is learned from, and twice as many to learn from"
        );
    }
}
