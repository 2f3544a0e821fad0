//! Numbers, compared without loss.

use std::cmp::Ordering;

use serde_json::{Number as Json, Value};

/// A number of JSON: a whole one of 64 bits, or a float that is none of those. Each value has one form.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// From the least `i64` to the greatest `u64`.
    Whole(i128),
    Float(f64),
}

/// The numbers that are whole numbers of 64 bits: from -2^63, below 2^64.
const WHOLE: std::ops::Range<f64> = -9_223_372_036_854_775_808.0..18_446_744_073_709_551_616.0;

impl Number {
    /// The number that a client sent.
    pub fn of(number: &Json) -> Self {
        let signed = number.as_i64().map(i128::from);
        match signed.or_else(|| number.as_u64().map(i128::from)) {
            Some(whole) => Self::Whole(whole),
            None => Self::of_float(number.as_f64().unwrap_or(f64::NAN)),
        }
    }

    fn of_float(number: f64) -> Self {
        match number.fract() == 0.0 && WHOLE.contains(&number) {
            // Every such float is a whole number that 128 bits hold.
            true => Self::Whole(number as i128),
            false => Self::Float(number),
        }
    }

    /// The number as JSON that stands for its value exactly, if it is whole and of 64 bits.
    pub fn to_json(self) -> Value {
        match self {
            Self::Whole(whole) => match i64::try_from(whole) {
                Ok(signed) => signed.into(),
                Err(_) => u64::try_from(whole).unwrap_or(u64::MAX).into(),
            },
            Self::Float(number) => number.into(),
        }
    }

    /// Where it stands beside another one.
    pub fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Whole(one), Self::Whole(other)) => one.cmp(other),
            (Self::Float(one), Self::Float(other)) => one.total_cmp(other),
            (Self::Whole(whole), Self::Float(float)) => beside(*whole, *float),
            (Self::Float(float), Self::Whole(whole)) => beside(*whole, *float).reverse(),
        }
    }
}

/// Where a whole number stands beside a float that is none.
fn beside(whole: i128, float: f64) -> Ordering {
    // Floats with a fraction are below 2^53, so that their whole part is exact; all others saturate or lie outside.
    match whole <= float.floor() as i128 {
        true => Ordering::Less,
        false => Ordering::Greater,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A decimal number as its sign, its digits before the point and those behind it.
    fn order_by_digits(one: &str, other: &str) -> Ordering {
        fn parts(text: &str) -> (bool, &str, &str) {
            let (negative, digits) = match text.strip_prefix('-') {
                Some(digits) => (true, digits),
                None => (false, text),
            };
            let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
            let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
            (
                negative && !(whole.is_empty() && fraction.is_empty()),
                whole,
                fraction,
            )
        }
        let (one, other) = (parts(one), parts(other));
        let magnitude = |a: (bool, &str, &str), b: (bool, &str, &str)| {
            let whole = a.1.len().cmp(&b.1.len()).then(a.1.cmp(b.1));
            whole.then(a.2.cmp(b.2))
        };
        match (one.0, other.0) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => magnitude(one, other),
            (true, true) => magnitude(other, one),
        }
    }

    /// All digits of a number.
    fn digits(number: &Json) -> String {
        let whole = number.as_i64().map(|whole| whole.to_string());
        let whole = whole.or_else(|| number.as_u64().map(|whole| whole.to_string()));
        whole.unwrap_or_else(|| format!("{:.1100}", number.as_f64().unwrap()))
    }

    /// Numbers close to one another, of every kind.
    fn number() -> impl Strategy<Value = Json> {
        let float = |number: f64| Json::from_f64(number);
        let near = prop_oneof![
            Just(0_i128),
            Just(1 << 53),
            Just(-(1 << 53)),
            Just(1 << 63),
            Just(-(1 << 63)),
            Just(1 << 64),
            Just(1000)
        ];
        let beside = (near, -3..3_i128).prop_map(|(near, off)| near + off);
        prop_oneof![
            beside.clone().prop_filter_map("of 64 bits", |whole| {
                let signed = i64::try_from(whole).ok().map(Json::from);
                signed.or_else(|| u64::try_from(whole).ok().map(Json::from))
            }),
            (beside, -2..2_i32).prop_filter_map("finite", move |(whole, step)| {
                let number = whole as f64;
                float(match step {
                    -2 => number - 0.5,
                    -1 => number.next_down(),
                    0 => number,
                    _ => number.next_up(),
                })
            }),
            any::<i64>().prop_map(Json::from),
            any::<u64>().prop_map(Json::from),
            any::<f64>().prop_filter_map("finite", float),
            (-1e3..1e3).prop_filter_map("finite", float),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn numbers_are_ordered_as_their_digits_are(one in number(), other in number()) {
            let expected = order_by_digits(&digits(&one), &digits(&other));
            let (one, other) = (Number::of(&one), Number::of(&other));
            prop_assert_eq!(one.order(&other), expected);
            prop_assert_eq!(one == other, expected == Ordering::Equal);
        }

        #[test]
        fn json_of_a_number_is_the_number(number in number()) {
            let Value::Number(again) = Number::of(&number).to_json() else { panic!("a number") };
            prop_assert_eq!(Number::of(&again), Number::of(&number));
        }
    }
}
