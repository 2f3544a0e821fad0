//! The whole adaptation of a network to a catalogue: measuring, planning, learning, judging.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use ndarray::{Array2, Axis};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::course::{Course, Learned, Lesson, network};
use super::judge::{Embedded, Known, embed};
use super::plan::{Plan, Work};
use super::split::place;
use super::task::Task;
use super::verdict::{By, Judgement, Verdict};
use crate::ann::Ann;
use crate::progress;
use engine::chip::cost::CostModel;
use engine::model::Model;
use engine::network::tensors::write_snn;
use engine::network::{Probe, TimeSteps, hex};
use engine::picture::Picture;

/// A picture that could be read, in the forms that are needed of it.
#[derive(Debug)]
pub struct Kept {
    /// Its product, as an index of the task's.
    pub product: usize,
    /// Its number among all pictures of the catalogue, which is that of the teacher's row.
    pub number: usize,
    /// Larger than the network's input, for views; none of a product that is held out.
    pub larger: Option<Picture>,
    /// As the server prepares it for the new network.
    pub new: Picture,
    /// As the server prepares it for the network in use, if that is different.
    pub in_use: Option<Picture>,
}

/// The network in use.
#[derive(Debug, Clone)]
pub struct InUse {
    pub model: Arc<Model>,
    pub probe: Probe,
    pub time_steps: TimeSteps,
    /// The float network that it was converted from, if there is one.
    pub ann: Option<Ann>,
}

/// What the user asks for.
#[derive(Debug, Clone)]
pub struct Wish {
    /// An architecture with a dense embedding; without the number of classes.
    pub architecture: String,
    pub side: usize,
    pub seed: u64,
    /// The time for all of it, counted from `started`.
    pub minutes: f64,
    pub started: Instant,
    /// The words of the command that determine the network, for its file.
    pub command: String,
}

/// A network, and how it compares with the one in use.
#[derive(Debug)]
pub struct Adapted {
    /// The file of the new network.
    pub file: Vec<u8>,
    pub model: Model,
    pub plan: Plan,
    pub verdict: Verdict,
    pub judgements: Vec<Judgement>,
    /// Products that were held out, and those that were learned from.
    pub products: [usize; 2],
    pub pictures: [usize; 2],
    /// Modelled means over the held-out pictures, in use and new; none without any.
    pub energy_mj: Option<[f64; 2]>,
    pub latency_ms: Option<[f64; 2]>,
    pub minutes: f64,
}

/// Nearest pictures by which a teacher judges.
const NEAREST: usize = 10;
/// Pictures whose emulation is timed.
const TIMED: usize = 32;

/// Makes a network for a catalogue and judges it.
///
/// # Errors
/// If there are too few pictures or too little time, the chip cannot hold the network, or a step fails.
pub fn adapt(
    task: &Task,
    pictures: Vec<Kept>,
    teacher: Option<&Array2<f32>>,
    in_use: &InUse,
    wish: &Wish,
) -> Result<Adapted> {
    let Sorted {
        lesson,
        known,
        new,
        own,
    } = Sorted::of(task, pictures, teacher)?;
    let network = network(&wish.architecture, wish.side, &task.labels.classes)?;
    let learned = known.learned;
    let course = Course {
        lesson: &lesson,
        calibration: &new[..learned],
        start: in_use.ann.as_ref(),
        seed: wish.seed,
    };
    let own = own.as_deref().unwrap_or(&new);

    let bar = progress::bar("measuring this machine", 4);
    let (mut speeds, sample) = course.measure(&network, &bar)?;
    let sample = read(&write_snn(&sample, None))?;
    // Without anything to judge by, nothing is emulated.
    let judged = if task.by.is_empty() {
        0
    } else {
        known.products.len()
    };
    let timed = TIMED.min(learned);
    let begun = Instant::now();
    let hidden = ProgressBar::hidden();
    embed(
        &sample,
        &new[..timed],
        sample.snn.network.time_steps(),
        Probe::SpikeCount,
        &hidden,
    )?;
    embed(
        &in_use.model,
        &own[..timed],
        in_use.time_steps,
        in_use.probe,
        &hidden,
    )?;
    speeds.judge_s = begun.elapsed().as_secs_f64() / timed as f64;
    bar.finish_and_clear();
    let work = || {
        let spent = wish.started.elapsed().as_secs_f64();
        Work {
            pictures: learned,
            judged,
            seconds_left: 60.0 * wish.minutes - spent,
            seconds_spent: spent,
        }
    };
    let mut plan = Plan::of(speeds, work())?;
    eprintln!("plan: {}", plan.sentence());
    let again = |plan: &mut Plan, float_s: f64| {
        let before = *plan;
        plan.tune_again(speeds, work(), float_s);
        if *plan != before {
            eprintln!(
                "tuning, by the time that is left: {} epochs on {} pictures at T = {}",
                plan.tune_epochs, plan.tune_pictures, plan.time_steps
            );
        }
    };
    let mut made = course.run(&network, &mut plan, again)?;

    let mut seen = Vec::new();
    let mut judgements = Vec::new();
    if judged > 0 {
        let bar = progress::bar("judging", 2 * judged);
        let model = read(&write_snn(&made.snn, None))?;
        seen.push(embed(&in_use.model, own, in_use.time_steps, in_use.probe, &bar)?);
        let (steps, probe) = (made.snn.network.time_steps(), made.snn.network.probe());
        seen.push(embed(&model, &new, steps, probe, &bar)?);
        bar.finish_and_clear();
        if let [in_use, new] = seen.as_slice() {
            let judge = |by: &By| known.judge(*by, [&in_use.values, &new.values]);
            judgements = task.by.iter().filter_map(judge).collect();
        }
    }
    let verdict = Verdict::of(&judgements);
    let mut held_out: Vec<usize> = known.products[learned..].to_vec();
    held_out.dedup();
    let mut taught: Vec<usize> = known.products[..learned].to_vec();
    taught.dedup();
    let products = [held_out.len(), taught.len()];
    let file = file(&mut made, &plan, task, &judgements, verdict, products, wish);
    let both = |figure: fn(&Embedded) -> f64| match seen.as_slice() {
        [in_use, new] => Some([figure(in_use), figure(new)]),
        _ => None,
    };
    Ok(Adapted {
        model: read(&file)?,
        file,
        plan,
        verdict,
        judgements,
        products,
        pictures: [known.products.len() - learned, learned],
        energy_mj: both(|seen| seen.energy_mj),
        latency_ms: both(|seen| seen.latency_ms),
        minutes: wish.started.elapsed().as_secs_f64() / 60.0,
    })
}

fn read(file: &[u8]) -> Result<Model> {
    Model::read(file, CostModel::Loihi1Paper).context("the new network cannot be read back")
}

/// The pictures in the order of learning and judging.
struct Sorted {
    lesson: Lesson,
    known: Known,
    new: Vec<Picture>,
    /// None where both networks take the same pictures.
    own: Option<Vec<Picture>>,
}

impl Sorted {
    /// Those that are learned from first, all by their products' ids, so that any first part is a fair sample.
    fn of(task: &Task, mut pictures: Vec<Kept>, teacher: Option<&Array2<f32>>) -> Result<Self> {
        pictures.sort_by_cached_key(|kept| {
            let product = &task.products[kept.product];
            (task.held_out[kept.product], place(&product.id), kept.number)
        });
        let learned = pictures
            .iter()
            .filter(|kept| !task.held_out[kept.product])
            .count();
        if learned < 2 {
            bail!("{learned} pictures that are not held out can be read; nothing can be learned from them");
        }
        let rows: Vec<usize> = pictures.iter().map(|kept| kept.number).collect();
        let nearest = match teacher {
            Some(teacher) if task.by.contains(&By::Teacher) => nearest(teacher, &rows, learned),
            _ => Vec::new(),
        };
        let products: Vec<usize> = pictures.iter().map(|kept| kept.product).collect();
        let classes: Vec<Option<u8>> = products.iter().map(|&product| task.labels.of[product]).collect();
        let mut larger = Vec::with_capacity(learned);
        let mut new = Vec::with_capacity(pictures.len());
        let mut own = Vec::new();
        for kept in pictures {
            larger.extend(kept.larger);
            new.push(kept.new);
            own.extend(kept.in_use);
        }
        Ok(Self {
            lesson: Lesson {
                pictures: larger,
                labels: classes[..learned].to_vec(),
                groups: task.grouped().then(|| groups(&products[..learned])),
                teacher: teacher.map(|teacher| teacher.select(Axis(0), &rows[..learned])),
            },
            known: Known {
                products,
                classes,
                learned,
                nearest,
            },
            own: (own.len() == new.len()).then_some(own),
            new,
        })
    }
}

/// Products as the numbers of groups.
fn groups(products: &[usize]) -> Vec<u32> {
    let number = |&product: &usize| u32::try_from(product).unwrap_or(u32::MAX);
    products.iter().map(number).collect()
}

/// For each held-out picture, the nearest by the teacher among those that were learned from, after centring.
fn nearest(teacher: &Array2<f32>, rows: &[usize], learned: usize) -> Vec<Vec<usize>> {
    let mut directions = teacher.select(Axis(0), rows);
    if let Some(mean) = directions.slice(ndarray::s![..learned, ..]).mean_axis(Axis(0)) {
        for mut row in directions.outer_iter_mut() {
            row -= &mean;
            let norm = row.dot(&row).sqrt();
            row.mapv_inplace(|value| if norm > 0.0 { value / norm } else { 0.0 });
        }
    }
    let (corpus, queries) = directions.view().split_at(Axis(0), learned);
    let each = |query: ndarray::ArrayView1<'_, f32>| {
        let cosines = corpus.dot(&query);
        let mut order: Vec<usize> = (0..learned).collect();
        order.sort_by(|&a, &b| cosines[b].total_cmp(&cosines[a]));
        order.truncate(NEAREST);
        order
    };
    queries.outer_iter().map(each).collect()
}

/// The file of the new network, which says how it was made and judged.
fn file(
    made: &mut Learned,
    plan: &Plan,
    task: &Task,
    judgements: &[Judgement],
    verdict: Verdict,
    [held_out, learned]: [usize; 2],
    wish: &Wish,
) -> Vec<u8> {
    let start = match made.taken.as_slice() {
        [] => String::new(),
        taken => format!("; {} taken from the network in use before", taken.join(", ")),
    };
    made.snn.network.trained_with = Some(format!(
        "{}; {learned} products of a catalogue, {held_out} others held out; {}{start}; {}",
        wish.command,
        plan.sentence(),
        verdict.sentence(judgements)
    ));
    let conversion = json!({
        "algorithm": "thresholds from trained ceilings, tuned through its time steps",
        "plan": plan,
        "seed": wish.seed,
        "classes": task.labels.classes.len(),
        "training": made.trained,
        "tuning": made.tuned,
        "judgements": judgements,
        "verdict": verdict,
    });
    write_snn(&made.snn, Some(&conversion.to_string()))
}

impl Adapted {
    /// The id of the new network.
    #[must_use]
    pub fn id(&self) -> String {
        hex(&Sha256::digest(&self.file))
    }
}
