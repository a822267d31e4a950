//! Workflows as pods on a real API server. A stub kubelet ends each pod at once, and a scheduler is not there: what remains
//! is what the executor and its requests cost. The bare client meets the same server and the same stub.

mod bare;
mod gaps;
pub(crate) mod memory;
mod objects;
mod plant;
pub(crate) mod role;

use std::time::Duration;

use anyhow::ensure;
use tiphys_servers::Stub;

use crate::effort::Effort;
use crate::line::{Better, Pairs, Words, in_turn, percentile};
use crate::stage::{self, within};
use crate::{processor, program};
use plant::Plant;

/// Workflows that are submitted together.
const AT_ONCE: usize = 300;
/// Pods of a chain.
const CHAIN: usize = 3;
/// Chains one after another, of which the median counts.
const CHAINS: usize = 20;
/// The audit log is written in the order of the answers; the last requests of a workflow are on their way at its end.
const SETTLED: Duration = Duration::from_secs(1);

/// Workflows of one pod, many at once.
pub(crate) fn pods(effort: Effort) -> anyhow::Result<()> {
    let Some(mut plant) = Plant::open(false)? else { return Ok(()) };
    let count = effort.count(AT_ONCE);
    plant.through(1, count.div_ceil(10))?;
    let idle = program::resident(std::process::id())?;
    let measured = in_turn(
        effort.rounds,
        &mut plant,
        |plant| Cost::of(count, || plant.through(1, count)),
        |plant| Cost::of(count, || plant.bare_at_once(count)),
    )?;
    let held = program::resident(std::process::id())?;
    plant.close()?;
    let words = Words {
        name: "workflows of one pod, 300 at once",
        unit: "workflows/min",
        aim: "2,100 (Argo on another machine: 894)",
        against: "a bare client that creates as many pods, watches and marks them",
        better: Better::Higher,
    };
    Pairs::pick(&measured, |cost| cost.per_minute).print(words)?;
    Pairs::pick(&measured, |cost| cost.processor).print(Words {
        name: "processor time of an executor and its bus for a workflow of one pod, 300 at once",
        unit: "ms",
        aim: "",
        better: Better::Lower,
        ..words
    })?;
    Pairs::of(held, idle).print(Words {
        name: "memory of an executor and its bus at the end of all rounds of 300",
        unit: "MiB",
        aim: "",
        against: "the same process, which is the bench's, after its first 30",
        better: Better::Lower,
    })
}

/// What so many workflows cost.
struct Cost {
    per_minute: f64,
    /// Milliseconds of a processor for each, without what the stub kubelet takes.
    processor: f64,
}

impl Cost {
    fn of(count: usize, act: impl FnOnce() -> anyhow::Result<f64>) -> anyhow::Result<Self> {
        let time = || anyhow::Ok(processor::of_process() - processor::of_threads(Stub::THREAD)?);
        let before = time()?;
        let seconds = act()?;
        let processor = (time()? - before) * 1000.0 / count as f64;
        Ok(Self { per_minute: count as f64 / seconds * 60.0, processor })
    }
}

/// Workflows of three pods, one after another.
pub(crate) fn chain(effort: Effort) -> anyhow::Result<()> {
    let Some(mut plant) = Plant::open(false)? else { return Ok(()) };
    let count = effort.count(CHAINS);
    plant.chains(CHAIN, 1)?;
    let measured = in_turn(
        effort.rounds,
        &mut plant,
        |plant| plant.chains(CHAIN, count),
        |plant| plant.bare_chains(CHAIN, count),
    )?;
    plant.close()?;
    let words = Words {
        name: "a workflow of three pods in a chain, median",
        unit: "s",
        aim: "ratio <= 1.5, and below 0.2",
        against: "a bare client that creates, watches and deletes three pods",
        better: Better::Lower,
    };
    Pairs::pick(&measured, |chains| percentile(&mut chains.times.clone(), 50)).print(words)?;
    for (name, hundredths, aim) in [
        ("from the end of a pod to the next one, as a watch tells, p50", 50, "< 10"),
        ("from the end of a pod to the next one, as a watch tells, p99", 99, "< 100"),
    ] {
        Pairs::pick(&measured, |chains| percentile(&mut chains.gaps.clone(), hundredths)).print(Words {
            name,
            unit: "ms",
            aim,
            ..words
        })?;
    }
    Ok(())
}

/// Requests to the API server.
pub(crate) fn requests(effort: Effort) -> anyhow::Result<()> {
    let Some(mut plant) = Plant::open(true)? else { return Ok(()) };
    let count = effort.count(100);
    for (steps, name, aim) in [
        (1, "requests to the API server for a workflow of one pod", "<= 3 (Argo: 11)"),
        (3, "requests to the API server for a workflow of three pods", "<= 7 (Argo: 29)"),
    ] {
        let ours = plant.counted(plant::EXECUTOR, |plant| plant.through(steps, count).map(drop))?;
        let bare = plant.counted(plant::BARE, |plant| plant.bare_chains(steps, count).map(drop))?;
        Pairs::of(ours as f64 / count as f64, bare as f64 / count as f64).print(Words {
            name,
            unit: "requests",
            aim,
            against: "a bare client that creates, watches and deletes as many pods",
            better: Better::Lower,
        })?;
    }
    objects::print(&mut plant, count)?;
    plant.close()
}

impl Plant {
    /// How many requests of a user, besides watches, come of this.
    fn counted(
        &mut self,
        user: &str,
        act: impl FnOnce(&mut Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<usize> {
        let settled = |plant: &Self| {
            std::thread::sleep(SETTLED);
            let requests = plant.cluster.requests();
            requests.iter().filter(|request| request.user == user && request.verb != "watch").count()
        };
        let before = settled(self);
        act(self)?;
        let after = settled(self);
        ensure!(after > before, "nothing was asked as {user}");
        Ok(after - before)
    }

    /// Runs workflows one after another.
    fn chains(&mut self, steps: usize, count: usize) -> anyhow::Result<Chains> {
        self.gapped(count, |plant| plant.through(steps, 1))
    }

    /// Makes pods by hand, one chain after another.
    fn bare_chains(&mut self, steps: usize, count: usize) -> anyhow::Result<Chains> {
        self.gapped(count, |plant| {
            let name = format!("bare-{}", plant.next());
            let work = bare::chain(&plant.bare, &name, steps);
            plant.runtime.block_on(within("the end of a bare chain", work))?
        })
    }

    /// Does something several times, while a watch takes the time between pods.
    fn gapped(
        &mut self,
        count: usize,
        act: impl Fn(&mut Self) -> anyhow::Result<f64>,
    ) -> anyhow::Result<Chains> {
        let gaps = self.runtime.block_on(gaps::Gaps::start(&self.onlooker))?;
        let times = (0..count).map(|_| act(self)).collect::<anyhow::Result<Vec<f64>>>()?;
        let gaps = self.runtime.block_on(gaps.stop())?;
        Ok(Chains { times, gaps })
    }

    /// As many pods by a bare client; gives seconds.
    fn bare_at_once(&mut self, count: usize) -> anyhow::Result<f64> {
        let name = format!("bare-{}", self.next());
        let work = bare::at_once(&self.bare, &name, count);
        self.runtime.block_on(stage::within("the end of all bare pods", work))?
    }
}

/// What was measured of chains: seconds each took, and milliseconds from pod to pod.
struct Chains {
    times: Vec<f64>,
    gaps: Vec<f64>,
}
