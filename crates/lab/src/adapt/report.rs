//! An adaptation as a table and as JSON.

use std::fmt::Write;

use serde_json::{Value, json};

use super::learn::{Adapted, InUse};
use super::verdict::{Compared, Judgement};

/// A table for a terminal.
#[must_use]
pub fn text(adapted: &Adapted, in_use: &InUse) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut out, adapted, in_use);
    out
}

fn write(out: &mut String, adapted: &Adapted, in_use: &InUse) -> std::fmt::Result {
    let Adapted {
        products: [held_out, learned],
        pictures: [held_out_pictures, learned_pictures],
        ..
    } = adapted;
    writeln!(
        out,
        "learned from {learned} products ({learned_pictures} pictures); {held_out} others ({held_out_pictures} pictures) \
         held out from training, tuning and every choice"
    )?;
    for judgement in &adapted.judgements {
        let Judgement {
            by,
            products,
            queries,
            corpus,
            ..
        } = judgement;
        writeln!(
            out,
            "\n{}\n{queries} queries of {products} held-out products, among {corpus} pictures",
            by.describe()
        )?;
        writeln!(
            out,
            "{:18} {:>9} {:>9} {:>12} {:>15}",
            "", "in use", "new", "difference", "standard error"
        )?;
        let percent = |compared: Compared| Compared {
            in_use: 100.0 * compared.in_use,
            new: 100.0 * compared.new,
            difference: 100.0 * compared.difference,
            standard_error: 100.0 * compared.standard_error,
        };
        for (name, compared, digits) in [
            ("Top-1 %", percent(judgement.top_1), 1),
            ("Top-3 %", percent(judgement.top_3), 1),
            ("mAP", judgement.map, 4),
        ] {
            writeln!(
                out,
                "{name:18} {:>9.digits$} {:>9.digits$} {:>+12.digits$} {:>15.digits$}",
                compared.in_use, compared.new, compared.difference, compared.standard_error
            )?;
        }
    }
    writeln!(out)?;
    if let (Some([energy, new_energy]), Some([latency, new_latency])) =
        (adapted.energy_mj, adapted.latency_ms)
    {
        writeln!(
            out,
            "a picture on the chip (modelled): in use {energy:.2} mJ, {latency:.2} ms at T = {}; new {new_energy:.2} mJ, \
             {new_latency:.2} ms at T = {}",
            in_use.time_steps, adapted.plan.time_steps
        )?;
    }
    writeln!(
        out,
        "{:.1} minutes: {} epochs of training, {} of tuning",
        adapted.minutes, adapted.plan.float_epochs, adapted.plan.tune_epochs
    )?;
    writeln!(out, "{}", adapted.verdict.sentence(&adapted.judgements))
}

/// The same figures; `written` is the file, if one was written.
#[must_use]
pub fn json(adapted: &Adapted, in_use: &InUse, written: Option<&str>) -> Value {
    let of = |index: usize| {
        json!({
            "energy_mj": adapted.energy_mj.map(|both| both[index]),
            "latency_ms": adapted.latency_ms.map(|both| both[index]),
        })
    };
    let mut used = of(0);
    used["id"] = in_use.model.id.as_str().into();
    used["name"] = in_use.model.snn.network.name.as_str().into();
    used["probe"] = in_use.probe.as_str().into();
    used["time_steps"] = in_use.time_steps.get().into();
    let mut new = of(1);
    new["id"] = adapted.id().into();
    new["name"] = adapted.model.snn.network.name.as_str().into();
    new["probe"] = adapted.model.snn.network.probe().as_str().into();
    new["time_steps"] = adapted.plan.time_steps.into();
    new["cores"] = adapted.model.placement.cores().into();
    json!({
        "verdict": adapted.verdict,
        "written": written,
        "judgements": adapted.judgements,
        "in_use": used,
        "new": new,
        "products": {"held_out": adapted.products[0], "learned": adapted.products[1]},
        "pictures": {"held_out": adapted.pictures[0], "learned": adapted.pictures[1]},
        "plan": adapted.plan,
        "minutes": adapted.minutes,
    })
}
