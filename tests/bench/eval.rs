//! The decision alone, on one core.

use std::hint::black_box;

use anyhow::{Context as _, anyhow};
use tiphys_core::{Event, Timestamp};
use tiphys_sensor::{Compiled, Input, State, compile, eval};

use crate::alerts::{SENSOR, alert};
use crate::effort::Effort;
use crate::line::{Better, Pairs, Words};
use crate::{processor, stage};

const WORDS: Words = Words {
    name: "sensor eval, one filter, two parameters, 2 KiB",
    unit: "events per core-second",
    aim: "ours >= 100000",
    against: "reading the same payload as a serde_json::Value",
    better: Better::Higher,
};
const EVENTS: usize = 200_000;
/// Different events, so that nothing is decided by having been decided.
const VARIETY: usize = 64;

/// Runs it.
pub(crate) fn run(effort: Effort) -> anyhow::Result<()> {
    let object = stage::objects(SENSOR)?.into_iter().next();
    let object = object.context("the sensor is missing")?;
    let compiled = compile(&object).map_err(|found| anyhow!("{found:?}"))?;
    let events: Vec<Event> = (0..VARIETY).map(|number| alert("alerts", number)).collect();
    let count = effort.count(EVENTS);
    let pairs = Pairs::measure(
        effort.rounds,
        &mut (),
        |()| decided(&compiled, &events, count),
        |()| read(&events, count),
    )?;
    pairs.print(WORDS)
}

/// Events decided per second of this thread's processor time.
fn decided(sensor: &Compiled, events: &[Event], count: usize) -> anyhow::Result<f64> {
    let mut state = State::new();
    let now = Timestamp::now();
    let mut firings = 0;
    let begin = processor::of_thread();
    for (sequence, event) in (1..).zip(events.iter().cycle().take(count)) {
        let input = Input::Event { event: event.clone(), sequence };
        let decision = black_box(eval(sensor, &mut state, now, input));
        firings += decision.firings.len();
    }
    let taken = processor::of_thread() - begin;
    anyhow::ensure!(firings == count, "{firings} firings of {count} events");
    Ok(count as f64 / taken)
}

fn read(events: &[Event], count: usize) -> anyhow::Result<f64> {
    let begin = processor::of_thread();
    for event in events.iter().cycle().take(count) {
        black_box(serde_json::from_slice::<serde_json::Value>(&event.data)?);
    }
    Ok(count as f64 / (processor::of_thread() - begin))
}
