//! Kills and partitions at random, spread over the time of sending.

use std::time::Duration;

use super::Run;
use super::scene::{ROLES, Scene};
use crate::draw;

/// Kills of random services, the bus among them.
const KILLS: usize = 20;
/// Services that are cut off from the bus for a while.
const PARTITIONS: usize = 3;

fn one_of<'a>(names: &[&'a str]) -> &'a str {
    names[usize::try_from(draw(names.len() as u64)).unwrap()]
}

/// Which of the faults, in their order, are partitions.
fn partitions() -> Vec<bool> {
    let mut all = vec![false; KILLS];
    for _ in 0..PARTITIONS {
        all.insert(usize::try_from(draw(all.len() as u64 + 1)).unwrap(), true);
    }
    all
}

/// Does all of it, one after another, and revives whom it killed.
pub(super) fn rage(scene: &Scene, run: &Run) {
    let faults = partitions();
    for (fault, partition) in faults.iter().enumerate() {
        run.wait_for(run.events * (fault + 1) / (faults.len() + 1));
        if *partition {
            let role = one_of(&ROLES);
            // Longer than a taken message is waited for, so that it comes again.
            let time = Duration::from_millis(5000 + draw(4000));
            eprintln!("storm: {role} is cut off for {time:?} after {} events", run.done());
            scene.cut(role, time);
            continue;
        }
        let role = one_of(&[ROLES.as_slice(), &["nats"]].concat());
        eprintln!("storm: kill -9 of {role} after {} events", run.done());
        scene.kill(role);
        std::thread::sleep(Duration::from_millis(draw(300)));
        scene.up();
    }
}
