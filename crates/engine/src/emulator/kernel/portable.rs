//! Plain Rust: the reference for the other kernels, and what runs on CPUs without them.

use super::position::{
    Arrivals, Drive, FARTHEST, LANES, Layer, Line, Run, Target, gather, list, look_up, positions, wide,
};

/// Runs all time steps of a layer.
pub fn run(layer: &Layer<'_>, target: &mut Target<'_>) {
    positions(layer, target, gather, list, |block, arrivals, run| {
        match block.lines {
            1 => steps::<1>(&block.drive, arrivals, run),
            2 => steps::<2>(&block.drive, arrivals, run),
            3 => steps::<3>(&block.drive, arrivals, run),
            _ => steps::<4>(&block.drive, arrivals, run),
        }
    });
}

/// Plain loops over `Z` lines.
fn steps<const Z: usize>(drive: &Drive, arrivals: &Arrivals<'_>, run: &mut Run<'_>) {
    let membranes: &mut [[i32; LANES]; Z] = (&mut *run.membranes).try_into().expect("a block's lines");
    for step in 0..run.steps {
        match drive {
            Drive::Table { rows, sums } => {
                let mut drive = [Line([0; LANES]); Z];
                look_up::<Z>(*rows, sums, arrivals.rows, step, |sums| {
                    for (drive, sums) in drive.iter_mut().zip(sums) {
                        add_line(drive, sums);
                    }
                });
                for (membranes, drive) in membranes.iter_mut().zip(&drive) {
                    add(membranes, drive);
                }
            }
            Drive::Narrow { bias, weights } => {
                let weights = weights.as_chunks::<Z>().0;
                // Line by line: the sums of one fit the registers of any CPU.
                for (line, (membranes, bias)) in membranes.iter_mut().zip(bias).enumerate() {
                    let mut drive = *bias;
                    for &row in arrivals.of(step).as_flattened() {
                        add_line(&mut drive, &weights[usize::from(row)][line]);
                    }
                    add(membranes, &drive);
                }
            }
            Drive::Wide { bias, weights, most } => {
                for (membrane, bias) in membranes.as_flattened_mut().iter_mut().zip(bias.as_flattened()) {
                    *membrane += bias;
                }
                let weights = weights.as_chunks::<Z>().0;
                for rows in arrivals.of(step).chunks(*most) {
                    for (line, membranes) in membranes.iter_mut().enumerate() {
                        let mut part = Line([0; LANES]);
                        for &row in rows.as_flattened() {
                            add_line(&mut part, &weights[usize::from(row)][line]);
                        }
                        add(membranes, &part);
                    }
                }
            }
        }
        if run.watched {
            let beyond = membranes.as_flattened().iter();
            *run.saturated += wide(beyond.filter(|membrane| membrane.abs() > FARTHEST).count());
        }
        for (word, membranes) in membranes.chunks_mut(2).enumerate() {
            let mut fired = 0u64;
            for (lane, membrane) in membranes.as_flattened_mut().iter_mut().enumerate() {
                let spikes = *membrane >= run.threshold;
                *membrane -= run.threshold * i32::from(spikes);
                fired |= u64::from(spikes) << lane;
            }
            run.fired[word * run.stride + step] = fired;
        }
    }
}

#[inline(always)]
fn add_line(drive: &mut Line, sums: &Line) {
    for (drive, sum) in drive.0.iter_mut().zip(&sums.0) {
        *drive += sum;
    }
}

#[inline(always)]
fn add(membranes: &mut [i32; LANES], drive: &Line) {
    for (membrane, &drive) in membranes.iter_mut().zip(&drive.0) {
        *membrane += i32::from(drive);
    }
}
