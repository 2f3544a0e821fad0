//! Axes: the marked values, and the position of a value.

/// The scale of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    Linear,
    /// Equal distances are equal factors.
    Logarithmic,
}

/// An axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    pub label: String,
    pub scale: Scale,
    /// The values to mark; round values are chosen if it is empty.
    pub ticks: Vec<f64>,
}

/// An axis with its range.
#[derive(Debug, Clone, PartialEq)]
pub struct Ruler {
    scale: Scale,
    least: f64,
    most: f64,
    pub ticks: Vec<f64>,
}

/// About this many values are marked.
const TICKS: f64 = 6.0;

impl Axis {
    /// An axis whose range contains `values`, with a margin on either side.
    pub fn over(&self, values: impl Iterator<Item = f64> + Clone) -> Ruler {
        let least = values.clone().fold(f64::INFINITY, f64::min);
        let most = values.fold(f64::NEG_INFINITY, f64::max);
        let (least, most) = if least.is_finite() && most.is_finite() {
            (least, most)
        } else {
            (1.0, 2.0)
        };
        match self.scale {
            Scale::Linear => self.linear(least, most),
            Scale::Logarithmic => self.logarithmic(least, most),
        }
    }

    /// From a round value below the smallest to one above the largest.
    fn linear(&self, least: f64, most: f64) -> Ruler {
        let span = if most > least {
            most - least
        } else {
            most.abs().max(1.0) / 10.0
        };
        let step = round_step(span / TICKS);
        let first = ((least - 0.02 * span) / step).floor();
        let last = ((most + 0.02 * span) / step).ceil();
        let ticks = if self.ticks.is_empty() {
            let mut ticks = Vec::new();
            let mut index = first;
            while index <= last {
                ticks.push(index * step);
                index += 1.0;
            }
            ticks
        } else {
            self.ticks.clone()
        };
        Ruler {
            scale: self.scale,
            least: first * step,
            most: last * step,
            ticks,
        }
    }

    fn logarithmic(&self, least: f64, most: f64) -> Ruler {
        let margin = (most / least).powf(0.05).max(1.05);
        let (least, most) = (least / margin, most * margin);
        let ticks = if self.ticks.is_empty() {
            let within = |digits: &[f64]| -> Vec<f64> {
                (-9i32..=9)
                    .flat_map(|power| digits.iter().map(move |digit| digit * 10f64.powi(power)))
                    .filter(|tick| (least..=most).contains(tick))
                    .collect()
            };
            let fine = within(&[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0]);
            if fine.len() <= 12 {
                fine
            } else {
                within(&[1.0, 2.0, 5.0])
            }
        } else {
            self.ticks.clone()
        };
        Ruler {
            scale: self.scale,
            least,
            most,
            ticks,
        }
    }
}

impl Ruler {
    /// The position of a value: 0 at the start of the axis, 1 at its end.
    pub fn place(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => (value - self.least) / (self.most - self.least),
            Scale::Logarithmic => (value / self.least).ln() / (self.most / self.least).ln(),
        }
    }

    /// A marked value with enough digits to distinguish it from its neighbours.
    pub fn shown(&self, tick: f64) -> String {
        let digits = (0..6).find(|&digits| {
            let shown = |value: f64| format!("{value:.digits$}");
            self.ticks.iter().all(|&tick| {
                let error = (shown(tick).parse::<f64>().unwrap_or(tick) - tick).abs();
                error < 1e-9 * tick.abs().max(1.0)
            })
        });
        format!("{tick:.0$}", digits.unwrap_or(6))
    }
}

/// 1, 2 or 5 times a power of ten, not below `step`.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let digits = [1.0, 2.0, 5.0, 10.0];
    let digit = digits
        .into_iter()
        .find(|digit| digit * power >= step * (1.0 - 1e-9));
    digit.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(scale: Scale) -> Axis {
        Axis {
            label: String::new(),
            scale,
            ticks: Vec::new(),
        }
    }

    #[test]
    fn a_linear_axis_marks_round_values_and_holds_its_data() {
        let ruler = axis(Scale::Linear).over([0.4797, 0.5403].into_iter());
        let shown: Vec<String> = ruler.ticks.iter().map(|&tick| ruler.shown(tick)).collect();
        assert_eq!(shown, ["0.46", "0.48", "0.50", "0.52", "0.54", "0.56"]);
        assert_eq!((ruler.place(0.46), ruler.place(0.56)), (0.0, 1.0));
    }

    #[test]
    fn a_logarithmic_axis_gives_equal_factors_equal_room() {
        let ruler = axis(Scale::Logarithmic).over([2.0, 12.0].into_iter());
        assert_eq!(ruler.ticks, [2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0]);
        let step = ruler.place(4.0) - ruler.place(2.0);
        assert!((ruler.place(8.0) - ruler.place(4.0) - step).abs() < 1e-12);
        assert!(ruler.place(2.0) > 0.0 && ruler.place(12.0) < 1.0);
    }

    #[test]
    fn one_value_and_none_have_axes_too() {
        for scale in [Scale::Linear, Scale::Logarithmic] {
            let ruler = axis(scale).over([90.0].into_iter());
            assert!((0.0..=1.0).contains(&ruler.place(90.0)), "{ruler:?}");
            assert!(
                !ruler.ticks.is_empty() || scale == Scale::Logarithmic,
                "{ruler:?}"
            );
            assert!(axis(scale).over(std::iter::empty()).place(1.5).is_finite());
        }
    }
}
