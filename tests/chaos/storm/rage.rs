//! Faults at random, spread over the time of sending.

use std::time::Duration;

use rustix::process::Signal;

use super::Run;
use super::scene::{ROLES, Scene};
use crate::draw;

#[derive(Debug, Clone, Copy)]
enum Fault {
    /// `kill -9`, and it is revived.
    Kill,
    /// Its network is cut for a while.
    Cut,
    /// It is stopped for a while, and goes on.
    Stop,
}

/// How often each happens.
const FAULTS: [(Fault, usize); 3] = [(Fault::Kill, 20), (Fault::Cut, 3), (Fault::Stop, 2)];

fn below(most: usize) -> usize {
    usize::try_from(draw(most as u64)).unwrap()
}

/// All faults, in any order.
fn faults() -> Vec<Fault> {
    let mut all = Vec::new();
    for (fault, times) in FAULTS {
        for _ in 0..times {
            all.insert(below(all.len() + 1), fault);
        }
    }
    all
}

/// Does all of it, one after another. The bus, too, is killed and stopped.
pub(super) fn rage(scene: &Scene, run: &Run) {
    let faults = faults();
    for (turn, fault) in faults.iter().enumerate() {
        run.wait_for(run.events * (turn + 1) / (faults.len() + 1));
        let networks = ROLES.len() + usize::from(!matches!(fault, Fault::Cut));
        let role = ROLES.get(below(networks)).copied().unwrap_or("nats");
        // Longer than a message that was taken is waited for, so that it comes again.
        let time = Duration::from_millis(5000 + draw(4000));
        eprintln!("storm: {fault:?} {role} after {} events and {:?}", run.done(), run.began.elapsed());
        match fault {
            Fault::Kill => {
                scene.kill(role);
                std::thread::sleep(Duration::from_millis(draw(300)));
                scene.up();
            }
            Fault::Cut => scene.cut(role, time),
            Fault::Stop => {
                scene.signal(role, Signal::STOP);
                std::thread::sleep(time);
                scene.signal(role, Signal::CONT);
            }
        }
    }
}
