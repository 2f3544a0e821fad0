//! Pictures through a float network, and on emulated chips.

use std::sync::Arc;

use anyhow::Result;
use indicatif::ProgressBar;
use ndarray::{Array2, Axis};

use crate::ann::Ann;
use crate::files;
use engine::chip::report::Emulation;
use engine::embedding::stopping::Length;
use engine::embedding::{Embedding, Prediction};
use engine::emulator::Emulator;
use engine::model::Model;
use engine::network::Probe;
use engine::parallel::in_parallel;
use engine::picture::Picture;

/// Pictures embedded at a time, which bounds the memory for what is not kept.
pub const BATCH: usize = 2000;

/// The result of one picture on the emulated chip, by probe.
#[derive(Debug)]
pub struct Seen {
    pub embeddings: Vec<Vec<i32>>,
    pub class: usize,
    pub emulation: Emulation,
}

/// The float network's embeddings, each with norm 1 or 0, and its classes.
#[must_use]
pub fn float_embeddings(ann: &Ann, pictures: &[Picture], bar: &ProgressBar) -> (Array2<f32>, Vec<usize>) {
    let mut matrix = Array2::zeros((pictures.len(), ann.network.embedding_dimensions()));
    let mut classes = Vec::with_capacity(pictures.len());
    let batches = pictures
        .chunks(BATCH)
        .zip(matrix.axis_chunks_iter_mut(Axis(0), BATCH));
    for (batch, mut rows) in batches {
        let each = |(): &mut (), index: usize| {
            bar.inc(1);
            ann.forward(&batch[index])
        };
        for (mut row, found) in
            rows.outer_iter_mut()
                .zip(in_parallel(files::threads(), batch.len(), || (), each))
        {
            classes.push(found.class());
            let norm = found.embedding.dot(&found.embedding).sqrt();
            row.assign(&(found.embedding / if norm == 0.0 { 1.0 } else { norm }));
        }
    }
    (matrix, classes)
}

/// Runs pictures on emulated chips, one per CPU.
///
/// # Errors
/// If a picture cannot be run or its embedding cannot be read.
pub fn run(
    model: &Model,
    pictures: &[Picture],
    time_steps: Length,
    probes: &[Probe],
    bar: &ProgressBar,
) -> Result<Vec<Seen>> {
    let snn = &model.snn;
    let tilings = model.placement.tilings();
    let make = || Emulator::new(Arc::clone(snn), &tilings);
    let found = in_parallel(
        files::threads(),
        pictures.len(),
        make,
        |emulator, index| -> Result<Seen> {
            bar.inc(1);
            let picture = &pictures[index];
            let steps = time_steps.of(emulator, picture)?;
            let outcome = emulator.run(picture, steps)?;
            let embeddings = probes.iter().map(|&probe| {
                let embedding = Embedding::read(snn, outcome, probe, steps)?;
                Ok(embedding.values)
            });
            Ok(Seen {
                embeddings: embeddings.collect::<Result<_>>()?,
                class: Prediction::read(snn, outcome).class,
                emulation: Emulation::of(&snn.network, &outcome.events, &model.placement, model.cost_model),
            })
        },
    );
    found.into_iter().collect()
}
