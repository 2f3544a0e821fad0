//! Classes from the values of an attribute.

use std::collections::BTreeMap;

use thiserror::Error;

/// Classes at most; with more, only the commonest [`KEPT`] are.
const MOST: usize = 256;
const KEPT: usize = 255;

/// Why the values of an attribute are no classes.
#[derive(Debug, Error, PartialEq)]
pub enum LabelError {
    #[error("no product has the attribute {attribute:?}{there}")]
    Missing { attribute: String, there: String },
    #[error(
        "the attribute {attribute:?} has {values} values in {labelled} of {products} products, and {classes} of them \
         in two products or more{named}; at least two such values are needed"
    )]
    TooFew {
        attribute: String,
        values: usize,
        labelled: usize,
        products: usize,
        classes: usize,
        named: String,
    },
}

/// The classes of products.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Labels {
    /// Sorted; empty without labels.
    pub classes: Vec<String>,
    /// The class of each product.
    pub of: Vec<Option<u8>>,
    /// Values that are no class because one product has them, and values beyond the commonest ones.
    pub single: usize,
    pub rare: usize,
}

impl Labels {
    /// No labels for so many products.
    #[must_use]
    pub fn none(products: usize) -> Self {
        Self {
            of: vec![None; products],
            ..Self::default()
        }
    }

    /// Makes classes of the values that at least two products have; `present` are all attributes that there are, for the
    /// refusal.
    ///
    /// # Errors
    /// [`LabelError`] if there are fewer than two classes; it says what was found.
    pub fn of(attribute: &str, values: &[Option<String>], present: &[String]) -> Result<Self, LabelError> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for value in values.iter().flatten() {
            *counts.entry(value).or_default() += 1;
        }
        let all = counts.len();
        if all == 0 {
            return Err(LabelError::Missing {
                attribute: attribute.to_owned(),
                there: match present {
                    [] => "; the products have no attributes that are text".to_owned(),
                    present => format!("; there are {}", present.join(", ")),
                },
            });
        }
        let mut classes: Vec<(&str, usize)> = counts.into_iter().filter(|(_, count)| *count > 1).collect();
        if classes.len() < 2 {
            return Err(LabelError::TooFew {
                attribute: attribute.to_owned(),
                values: all,
                labelled: values.iter().flatten().count(),
                products: values.len(),
                classes: classes.len(),
                named: match classes.first() {
                    Some((class, _)) => format!(" ({class:?})"),
                    None => String::new(),
                },
            });
        }
        let single = all - classes.len();
        let mut rare = 0;
        if classes.len() > MOST {
            rare = classes.len() - KEPT;
            // The sort is stable, so equally common values are kept by their names.
            classes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            classes.truncate(KEPT);
            classes.sort_unstable();
        }
        let names: Vec<&str> = classes.into_iter().map(|(name, _)| name).collect();
        let class = |value: &Option<String>| {
            let found = names.binary_search(&value.as_deref()?).ok()?;
            u8::try_from(found).ok()
        };
        Ok(Self {
            of: values.iter().map(class).collect(),
            classes: names.into_iter().map(str::to_owned).collect(),
            single,
            rare,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(words: &[&str]) -> Vec<Option<String>> {
        let value = |word: &&str| (!word.is_empty()).then(|| (*word).to_owned());
        words.iter().map(value).collect()
    }

    #[test]
    fn a_value_of_two_products_is_a_class() {
        let labels = Labels::of("kind", &values(&["b", "a", "", "b", "c", "a"]), &[]).unwrap();
        assert_eq!(labels.classes, ["a", "b"]);
        assert_eq!(labels.of, [Some(1), Some(0), None, Some(1), None, Some(0)]);
        assert_eq!((labels.single, labels.rare), (1, 0));
    }

    #[test]
    fn of_too_many_classes_the_commonest_are_kept() {
        let mut words = Vec::new();
        for number in 0..300 {
            let count = if number < 100 { 2 } else { 3 };
            words.extend(std::iter::repeat_n(format!("class-{number:03}"), count));
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let labels = Labels::of("kind", &values(&words), &[]).unwrap();
        assert_eq!((labels.classes.len(), labels.rare), (255, 45));
        assert_eq!(labels.classes[0], "class-000");
        assert_eq!(labels.classes[55], "class-100");
        assert_eq!(labels.of[2 * 55], None);
        assert_eq!(labels.of.last(), Some(&Some(254)));
    }

    #[test]
    fn what_makes_no_two_classes_is_refused_with_what_was_found() {
        let refusal = |words: &[&str], present: &[String]| {
            Labels::of("kind", &values(words), present)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            refusal(&["", ""], &["brand".to_owned(), "price".to_owned()]),
            "no product has the attribute \"kind\"; there are brand, price"
        );
        assert_eq!(
            refusal(&["a", "a", "b", ""], &[]),
            "the attribute \"kind\" has 2 values in 3 of 4 products, and 1 of them in two products or more (\"a\"); at \
             least two such values are needed"
        );
        assert!(refusal(&["a", "b", "c"], &[]).contains("has 3 values in 3 of 3 products, and 0 of them"));
    }
}
