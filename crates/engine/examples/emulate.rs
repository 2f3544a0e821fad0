//! A picture in, spikes and energy out: the engine as a library, without a server.
//!
//! ```sh
//! cargo run -p spikelens-engine --example emulate -- shoe.png models/fashion-mnist.snn.safetensors
//! ```

use std::error::Error;

use engine::chip::cost::CostModel;
use engine::chip::report::Emulation;
use engine::embedding::{Embedding, Prediction};
use engine::emulator::Emulator;
use engine::model::Model;
use engine::picture::{DecodeLimits, Mode, decode, prepare};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(picture), Some(model)) = (arguments.next(), arguments.next()) else {
        return Err("usage: emulate PICTURE MODEL.snn.safetensors".into());
    };

    // The network, placed on the chip: this fails if the file is invalid or the network does not fit.
    let model = Model::read(&std::fs::read(model)?, CostModel::Loihi1Paper)?;
    let network = &model.snn.network;
    println!("{} on {} cores", network.name, model.placement.cores());

    // Any PNG, JPEG, WebP, GIF or BMP file becomes the pixels that the input layer reads.
    let decoded = decode(&std::fs::read(picture)?, &DecodeLimits::default())?;
    let prepared = prepare(&decoded, network.input, network.recipe, Mode::Auto)?;

    // An emulator keeps its buffers, so that it is made once and run for many pictures.
    let mut emulator = Emulator::new(model.snn.clone(), &model.placement.tilings());
    let time_steps = network.time_steps();
    let outcome = emulator.run(&prepared, time_steps)?;

    let embedding = Embedding::read(&model.snn, outcome, network.probe(), time_steps)?;
    println!("embedding ({}): {:?}", network.probe(), embedding.values);
    let prediction = Prediction::read(&model.snn, outcome);
    println!("prediction: {}", prediction.label);

    // What the chip would have spent, modelled from the events that were counted.
    let emulation = Emulation::of(network, &outcome.events, &model.placement, model.cost_model);
    println!(
        "{} spikes and {} synaptic operations in {time_steps} time steps",
        emulation.spikes, emulation.synaptic_operations
    );
    println!(
        "modelled: {:.3} mJ in {:.3} ms",
        emulation.energy_mj.total, emulation.latency_ms
    );
    Ok(())
}
