//! How the time given is spent: epochs of float training and of tuning, from speeds that were measured on this machine.

use serde::Serialize;
use thiserror::Error;

/// What a picture costs, in seconds on all CPUs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Speeds {
    /// An epoch of float training.
    pub float_s: f64,
    /// An epoch of tuning for [`LONG`] time steps.
    pub tune_s: f64,
    /// The emulation by the new network and by the one in use, together.
    pub judge_s: f64,
}

/// What is to be done in which time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Work {
    /// Pictures to learn from.
    pub pictures: usize,
    /// Pictures that both networks embed to be judged.
    pub judged: usize,
    pub seconds_left: f64,
    /// Seconds since the start.
    pub seconds_spent: f64,
}

/// How the time is spent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Plan {
    pub float_pictures: usize,
    pub float_epochs: usize,
    pub tune_pictures: usize,
    pub tune_epochs: usize,
    pub time_steps: u32,
    /// Expected seconds from now on.
    pub seconds: f64,
}

/// There is too little time for anything useful.
#[derive(Debug, Error, PartialEq)]
#[error(
    "--minutes {given:.1} is too little for {pictures} pictures on this machine: {least} epochs of training and \
     {tuning} of tuning on {some} of them, and the verdict, need about {needed:.1} minutes"
)]
pub struct TooLittle {
    pub given: f64,
    pub needed: f64,
    pub pictures: usize,
    pub some: usize,
    pub least: usize,
    pub tuning: usize,
}

/// Pictures of a batch: with 60 epochs in place of 100, smaller batches at a lower rate reach the same.
pub const BATCH: usize = 64;
pub const LEARNING_RATE: f32 = 4e-3;
pub const TUNE_BATCH: usize = 128;

/// Time steps where there is time to tune for them, and where there is little.
pub const LONG: u32 = 12;
const SHORT: u32 = 10;
/// With fewer epochs of tuning for [`LONG`], [`SHORT`] is taken.
const ENOUGH: usize = 5;

/// Epochs that are wanted, and steps of a small catalogue, whose epochs have few.
const FLOAT_EPOCHS: usize = 60;
const FLOAT_STEPS: usize = 2_000;
const MOST_FLOAT_EPOCHS: usize = 300;
const TUNE_EPOCHS: usize = 8;
const TUNE_STEPS: usize = 150;
const MOST_TUNE_EPOCHS: usize = 60;
/// Epochs that a picture is seen in at least: rather fewer pictures than fewer epochs.
const LEAST_FLOAT_EPOCHS: usize = 15;
const LEAST_TUNE_EPOCHS: usize = 2;
/// Pictures below which nothing useful is learned, if there are more.
const LEAST_PICTURES: usize = 500;

/// Kept back for what is not measured: means and variances, conversion, writing, a busy machine.
const RESERVE: f64 = 0.1;
/// The part of the time that float training may take before tuning has all that it wants.
const FLOAT_SHARE: f64 = 0.45;

/// Epochs of so many pictures that are wanted.
fn wanted(pictures: usize, batch: usize, epochs: usize, steps: usize, most: usize) -> usize {
    let batches = (pictures / batch).max(1);
    epochs.max(steps.div_ceil(batches).min(most))
}

/// As many whole epochs as fit.
fn fitting(seconds: f64, epoch_s: f64) -> usize {
    // A positive number far below the limits of usize; an epoch takes longer than a nanosecond.
    (seconds.max(0.0) / epoch_s.max(1e-9)).min(1e6) as usize
}

impl Plan {
    /// Divides the time left.
    ///
    /// # Errors
    /// [`TooLittle`], with the minutes that would do.
    pub fn of(speeds: Speeds, work: Work) -> Result<Self, TooLittle> {
        let judge_s = speeds.judge_s * work.judged as f64;
        let usable = (1.0 - RESERVE) * work.seconds_left - judge_s;
        let some = work.pictures.min(LEAST_PICTURES);
        let short = f64::from(SHORT - 1) / f64::from(LONG - 1);
        let least_s = some as f64
            * (LEAST_FLOAT_EPOCHS as f64 * speeds.float_s + LEAST_TUNE_EPOCHS as f64 * short * speeds.tune_s);
        if usable < least_s {
            let needed = work.seconds_spent + (least_s + judge_s) / (1.0 - RESERVE);
            return Err(TooLittle {
                given: (work.seconds_left + work.seconds_spent) / 60.0,
                // Rounded up, so that what is said does.
                needed: (needed / 6.0).ceil() / 10.0 + 0.1,
                pictures: work.pictures,
                some,
                least: LEAST_FLOAT_EPOCHS,
                tuning: LEAST_TUNE_EPOCHS,
            });
        }
        // Tuning wants its epochs; what it leaves is for float training, which is never below its share.
        let tune_wanted = wanted(
            work.pictures,
            TUNE_BATCH,
            TUNE_EPOCHS,
            TUNE_STEPS,
            MOST_TUNE_EPOCHS,
        );
        let all = work.pictures as f64;
        let tune_most_s = tune_wanted as f64 * all * speeds.tune_s;
        let tune_least_s = some as f64 * LEAST_TUNE_EPOCHS as f64 * short * speeds.tune_s;
        let float_s = (usable - tune_most_s)
            .max(FLOAT_SHARE * usable)
            .min(usable - tune_least_s);
        let (float_pictures, float_epochs) = part(
            work.pictures,
            float_s,
            speeds.float_s,
            LEAST_FLOAT_EPOCHS,
            |pictures| wanted(pictures, BATCH, FLOAT_EPOCHS, FLOAT_STEPS, MOST_FLOAT_EPOCHS),
        );
        let spent = float_pictures as f64 * float_epochs as f64 * speeds.float_s;
        let mut plan = Self {
            float_pictures,
            float_epochs,
            tune_pictures: 0,
            tune_epochs: 0,
            time_steps: LONG,
            seconds: 0.0,
        };
        let tuned_s = plan.tune(usable - spent, speeds, work.pictures);
        plan.seconds = spent + tuned_s + judge_s;
        Ok(plan)
    }

    /// Plans the tuning again, after float training has taken `float_s` seconds: if that is more than was planned, the
    /// machine is busier than it was when it was measured.
    pub fn tune_again(&mut self, speeds: Speeds, work: Work, float_s: f64) {
        let planned = self.float_pictures as f64 * self.float_epochs as f64 * speeds.float_s;
        let slower = (float_s / planned.max(1e-9)).max(1.0);
        let speeds = Speeds {
            tune_s: speeds.tune_s * slower,
            judge_s: speeds.judge_s * slower,
            ..speeds
        };
        let usable = (1.0 - RESERVE / 2.0) * work.seconds_left - speeds.judge_s * work.judged as f64;
        self.tune(usable, speeds, work.pictures);
    }

    /// Plans the tuning in so many seconds; returns those it takes.
    fn tune(&mut self, usable: f64, speeds: Speeds, pictures: usize) -> f64 {
        let epochs =
            |pictures: usize| wanted(pictures, TUNE_BATCH, TUNE_EPOCHS, TUNE_STEPS, MOST_TUNE_EPOCHS);
        let long = fitting(usable, pictures as f64 * speeds.tune_s) >= ENOUGH.min(epochs(pictures));
        let count = if long { LONG } else { SHORT };
        let picture_s = speeds.tune_s * f64::from(count - 1) / f64::from(LONG - 1);
        self.time_steps = count;
        (self.tune_pictures, self.tune_epochs) = part(pictures, usable, picture_s, LEAST_TUNE_EPOCHS, epochs);
        self.tune_pictures as f64 * self.tune_epochs as f64 * picture_s
    }

    /// The plan as a sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        format!(
            "{} epochs of training on {} pictures, {} of tuning on {} at T = {}, then the verdict: about {:.1} minutes",
            self.float_epochs,
            self.float_pictures,
            self.tune_epochs,
            self.tune_pictures,
            self.time_steps,
            self.seconds / 60.0
        )
    }
}

/// The pictures and epochs that fit: all pictures if each can be seen in at least `least` epochs, or else fewer.
fn part(
    pictures: usize,
    seconds: f64,
    picture_s: f64,
    least: usize,
    wanted: impl Fn(usize) -> usize,
) -> (usize, usize) {
    let all = fitting(seconds, pictures as f64 * picture_s);
    if all >= least {
        return (pictures, all.min(wanted(pictures)));
    }
    let fewer = fitting(seconds, least as f64 * picture_s).clamp(LEAST_PICTURES.min(pictures), pictures);
    (fewer, least)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two idle CPUs, as docs/photo-network.md says.
    const SPEEDS: Speeds = Speeds {
        float_s: 1.35e-3,
        tune_s: 17e-3,
        judge_s: 2e-3,
    };

    fn work(pictures: usize, minutes: f64) -> Work {
        Work {
            pictures,
            judged: pictures + 500,
            seconds_left: 60.0 * minutes,
            seconds_spent: 0.0,
        }
    }

    #[test]
    fn ten_minutes_of_3000_photos() {
        let plan = Plan::of(SPEEDS, work(2_400, 10.0)).unwrap();
        assert_eq!((plan.float_pictures, plan.float_epochs), (2_400, 60));
        assert_eq!((plan.tune_pictures, plan.tune_epochs), (2_400, 8));
        assert_eq!(plan.time_steps, 12);
        assert!(plan.seconds < 540.0, "{plan:?}");
    }

    #[test]
    fn every_plan_stays_within_the_time() {
        for pictures in [40, 300, 3_000, 16_000] {
            for minutes in [2.0, 5.0, 10.0, 60.0] {
                for slow in [0.3, 1.0, 3.0] {
                    let speeds = Speeds {
                        float_s: SPEEDS.float_s * slow,
                        tune_s: SPEEDS.tune_s * slow,
                        judge_s: SPEEDS.judge_s * slow,
                    };
                    let Ok(mut plan) = Plan::of(speeds, work(pictures, minutes)) else {
                        continue;
                    };
                    assert!(plan.seconds <= 60.0 * minutes * (1.0 - RESERVE), "{plan:?}");
                    assert!(plan.float_epochs >= LEAST_FLOAT_EPOCHS && plan.tune_epochs >= LEAST_TUNE_EPOCHS);
                    assert!(plan.float_pictures >= pictures.min(LEAST_PICTURES), "{plan:?}");
                    // Float training took all of the time: what is useful is tuned all the same.
                    plan.tune_again(speeds, work(pictures, 0.0), 60.0 * minutes);
                    assert_eq!(plan.tune_pictures, pictures.min(LEAST_PICTURES));
                    assert_eq!(plan.tune_epochs, LEAST_TUNE_EPOCHS);
                }
            }
        }
    }

    #[test]
    fn where_there_is_little_time_fewer_steps_and_then_fewer_pictures_are_tuned() {
        let plan = Plan::of(SPEEDS, work(2_400, 6.0)).unwrap();
        assert_eq!((plan.tune_pictures, plan.time_steps), (2_400, 10));
        let plan = Plan::of(SPEEDS, work(16_000, 10.0)).unwrap();
        assert!(plan.tune_pictures < 16_000 && plan.float_pictures < 16_000);
        assert_eq!(
            (plan.float_epochs, plan.tune_epochs),
            (LEAST_FLOAT_EPOCHS, LEAST_TUNE_EPOCHS)
        );
    }

    #[test]
    fn a_machine_that_got_slower_is_tuned_on_for_fewer_epochs() {
        let first = Plan::of(SPEEDS, work(2_400, 10.0)).unwrap();
        let float_s = 2_400.0 * 60.0 * SPEEDS.float_s;
        let mut same = first;
        same.tune_again(SPEEDS, work(2_400, 10.0 - float_s / 60.0), float_s);
        // What was kept back for surprises is spent, too.
        assert!(same.tune_epochs >= first.tune_epochs, "{same:?}");
        let mut slower = first;
        slower.tune_again(SPEEDS, work(2_400, 10.0 - float_s / 60.0), 1.5 * float_s);
        assert!(slower.tune_epochs < first.tune_epochs, "{slower:?}");
    }

    #[test]
    fn too_little_time_is_refused_with_what_would_do() {
        let refusal = Plan::of(SPEEDS, work(2_400, 0.5)).unwrap_err();
        assert!(
            refusal
                .to_string()
                .starts_with("--minutes 0.5 is too little for 2400 pictures"),
            "{refusal}"
        );
        assert!(Plan::of(SPEEDS, work(2_400, refusal.needed)).is_ok(), "{refusal}");
    }
}
