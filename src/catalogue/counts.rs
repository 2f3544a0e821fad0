//! How many products pass a filter, and how many of them have each value of an attribute.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::Value;

use super::filter::Number;

/// Products that pass a filter.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counts {
    pub total: u64,
    /// The attributes that were asked for, in that order, with their most frequent values.
    pub facets: Vec<(String, Vec<ValueCount>)>,
}

/// How many products have a value, or have it in their list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ValueCount {
    pub value: Value,
    pub count: u64,
}

impl Counts {
    /// The most attributes of one search.
    pub const MOST_FACETS: usize = 32;
    /// The most values of an attribute: the most frequent ones, equals with booleans first, then numbers, then texts, each in
    /// order.
    pub const MOST_VALUES: usize = 100;
}

/// Counts the values of one attribute.
#[derive(Debug, Default)]
pub struct Tally<'a> {
    booleans: [u64; 2],
    numbers: HashMap<NumberKey, (Number, u64)>,
    texts: HashMap<&'a str, u64>,
}

/// A number by which equal ones are found: whether it is whole, and its digits or bits.
type NumberKey = (bool, i128);

impl<'a> Tally<'a> {
    /// Counts the value of so many products; a list counts for each of its elements once.
    pub fn add(&mut self, value: &'a Value, products: u64) {
        match value {
            Value::Array(elements) => {
                for (place, element) in elements.iter().enumerate() {
                    if !elements[..place].contains(element) {
                        self.add_one(element, products);
                    }
                }
            }
            value => self.add_one(value, products),
        }
    }

    fn add_one(&mut self, value: &'a Value, products: u64) {
        match value {
            Value::Bool(boolean) => self.booleans[usize::from(*boolean)] += products,
            Value::Number(number) => {
                let number = Number::of(number);
                let key = match number {
                    Number::Whole(whole) => (true, whole),
                    Number::Float(float) => (false, i128::from(float.to_bits())),
                };
                self.numbers.entry(key).or_insert((number, 0)).1 += products;
            }
            Value::String(text) => *self.texts.entry(text).or_default() += products,
            // No element of a list is one, and no attribute.
            Value::Null | Value::Array(_) | Value::Object(_) => {}
        }
    }

    /// The most frequent values.
    pub fn most_frequent(self) -> Vec<ValueCount> {
        let most = Counts::MOST_VALUES;
        let mut numbers: Vec<(Number, u64)> = self.numbers.into_values().collect();
        keep(&mut numbers, most, |a, b| b.1.cmp(&a.1).then(a.0.order(&b.0)));
        let mut texts: Vec<(&str, u64)> = self.texts.into_iter().collect();
        keep(&mut texts, most, |a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let booleans = [false, true].into_iter().zip(self.booleans);
        let booleans = booleans.filter(|(_, count)| *count > 0);
        let mut values: Vec<ValueCount> = booleans
            .map(|(boolean, count)| (Value::Bool(boolean), count))
            .chain(
                numbers
                    .into_iter()
                    .map(|(number, count)| (number.to_json(), count)),
            )
            .chain(texts.into_iter().map(|(text, count)| (text.into(), count)))
            .map(|(value, count)| ValueCount { value, count })
            .collect();
        values.sort_by_key(|value| std::cmp::Reverse(value.count));
        values.truncate(most);
        values
    }
}

/// Keeps the first `most` in an order.
fn keep<T>(items: &mut Vec<T>, most: usize, order: impl Fn(&T, &T) -> std::cmp::Ordering) {
    if items.len() > most {
        items.select_nth_unstable_by(most, &order);
        items.truncate(most);
    }
    items.sort_unstable_by(order);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn equal_values_count_together_and_the_most_frequent_come_first() {
        let values = [
            (json!("b"), 2),
            (json!(["a", "b", "a"]), 3),
            (json!(3), 1),
            (json!(3.0), 4),
            (json!(u64::MAX), 5),
            (json!(true), 5),
            (json!(["a"]), 2),
        ];
        let mut tally = Tally::default();
        for (value, products) in &values {
            tally.add(value, *products);
        }
        let counted: Vec<(Value, u64)> = tally
            .most_frequent()
            .into_iter()
            .map(|ValueCount { value, count }| (value, count))
            .collect();
        let expected = [
            (json!(true), 5),
            (json!(3), 5),
            (json!(u64::MAX), 5),
            (json!("a"), 5),
            (json!("b"), 5),
        ];
        assert_eq!(counted, expected);
    }

    #[test]
    fn of_many_values_the_first_hundred_are_kept() {
        let values: Vec<Value> = (0..300)
            .rev()
            .map(|number| json!(format!("{number:03}")))
            .collect();
        let mut tally = Tally::default();
        values.iter().for_each(|value| tally.add(value, 1));
        tally.add(&values[0], 1);
        let counted = tally.most_frequent();
        assert_eq!(counted.len(), 100);
        assert_eq!((&counted[0].value, counted[0].count), (&json!("299"), 2));
        assert_eq!(
            (&counted[1].value, &counted[99].value),
            (&json!("000"), &json!("098"))
        );
    }
}
