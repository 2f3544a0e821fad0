//! Plain Rust: the reference for the other kernels, and what runs on CPUs without them.

use super::position::{Drive, FARTHEST, Position, Target, gather, list, looked_up, wide};

/// Runs all time steps of one position.
pub fn run(position: &Position<'_>, target: &mut Target<'_>) {
    match position.block.vectors {
        1 => steps::<16>(position, target),
        2 => steps::<32>(position, target),
        _ => steps::<64>(position, target),
    }
}

/// Plain loops over `B` lanes.
fn steps<const B: usize>(position: &Position<'_>, target: &mut Target<'_>) {
    let block = position.block;
    let weights = block.weights.as_chunks::<B>().0;
    let membranes: &mut [i32; B] = target.membranes.try_into().expect("a block's lanes");
    membranes.copy_from_slice(position.initial);
    let steps = target.arrived.len();
    gather(position, steps, target.scratch);
    for step in 0..steps {
        match &block.drive {
            Drive::Table(sums) => {
                let sums = looked_up::<B>(sums, target.scratch, step, &mut target.arrived[step]);
                add(membranes, sums);
            }
            Drive::Narrow(bias) => {
                let count = list(target.scratch, step, steps);
                target.arrived[step] += wide(count);
                let mut drive: [i16; B] = bias.as_slice().try_into().expect("a block's lanes");
                for &row in &target.scratch.active[..count] {
                    for (sum, weight) in drive.iter_mut().zip(&weights[usize::from(row)]) {
                        *sum += weight;
                    }
                }
                add(membranes, &drive);
            }
            Drive::Wide(bias) => {
                let count = list(target.scratch, step, steps);
                target.arrived[step] += wide(count);
                for (membrane, bias) in membranes.iter_mut().zip(bias) {
                    *membrane += bias;
                }
                for &row in &target.scratch.active[..count] {
                    add(membranes, &weights[usize::from(row)]);
                }
            }
        }
        if position.watched {
            let beyond = membranes.iter().filter(|membrane| membrane.abs() > FARTHEST);
            *target.saturated += wide(beyond.count());
        }
        let mut fired = 0u64;
        for (lane, membrane) in membranes.iter_mut().enumerate() {
            let spikes = *membrane >= position.threshold;
            *membrane -= position.threshold * i32::from(spikes);
            fired |= u64::from(spikes) << lane;
        }
        target.fired[step * target.stride + target.word] = fired;
        target.spikes[step] += u64::from(fired.count_ones());
    }
}

#[inline(always)]
fn add<const B: usize>(membranes: &mut [i32; B], drive: &[i16; B]) {
    for (membrane, &drive) in membranes.iter_mut().zip(drive) {
        *membrane += i32::from(drive);
    }
}
