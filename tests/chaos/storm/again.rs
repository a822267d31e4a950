//! Everything comes again: of a stretch of the events each record is put on the bus ten times more, in any order; first
//! as an event, for the sensor, and then as the firing that was made of it, for the trigger. A bus that has forgotten
//! which ids it knew, or that hands out again what was acked long ago, would do the same.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use tiphys_bus::{Message, Publish, streams};
use tiphys_core::Event;

use super::{Run, number, patiently};
use crate::draw;
use crate::outside::Outside;

/// So often each comes again.
pub(super) const COPIES: usize = 10;
/// The bus forgets ids of events after this time; the manifests say so.
pub(super) const WINDOW: Duration = Duration::from_secs(2);

/// Puts events and firings of the stretch on the bus again.
pub(super) fn storm(outside: &Outside, run: &Run) {
    run.wait_for(run.stretch.end + 16);
    let events = patiently(|| {
        let all = outside.all(streams::EVENTS).into_iter().filter_map(|message| {
            let event = Event::decode(&message.payload).ok()?;
            let native = event.attributes.get("nativeid")?;
            run.stretch.contains(&number(native)).then_some((event.id.0, message))
        });
        let all: Vec<(String, Message)> = all.collect();
        if all.len() >= run.stretch.len() { Ok(all) } else { Err(format!("{} of the stretch", all.len())) }
    });
    let ids: BTreeSet<String> = events.iter().map(|(id, _)| id.clone()).collect();
    eprintln!("storm: {} events come {COPIES} times again, after {:?}", events.len(), run.began.elapsed());
    let copies: Vec<Publish> = events.into_iter().map(|(id, message)| copy(message).id(id)).collect();
    for _ in 0..COPIES {
        // Within the window the bus knows them.
        std::thread::sleep(WINDOW);
        insist(outside, &copies);
    }
    let firings: Vec<Publish> = patiently(|| {
        let all = outside.all(streams::FIRINGS).into_iter().filter(|message| is_of(message, &ids));
        let all: Vec<Publish> = all.map(copy).collect();
        if all.len() >= ids.len() { Ok(all) } else { Err(format!("{} firings of the stretch", all.len())) }
    });
    eprintln!("storm: {} firings come {COPIES} times again, after {:?}", firings.len(), run.began.elapsed());
    // Without an id the bus takes them for new ones, and only the ledger of effects knows them.
    for _ in 0..COPIES {
        insist(outside, &firings);
    }
}

fn is_of(firing: &Message, events: &BTreeSet<String>) -> bool {
    let firing: Value = serde_json::from_slice(&firing.payload).unwrap();
    firing["events"][0]["id"].as_str().is_some_and(|id| events.contains(id))
}

fn copy(message: Message) -> Publish {
    Publish { headers: message.headers, ..Publish::new(message.subject, message.payload) }
}

/// Stores each at least once more, in any order, however often the bus is away or knows them meanwhile.
fn insist(outside: &Outside, copies: &[Publish]) {
    let mut left = copies.to_vec();
    for at in (1..left.len()).rev() {
        left.swap(at, usize::try_from(draw(at as u64 + 1)).unwrap());
    }
    patiently(|| {
        outside.publish(&mut left);
        if left.is_empty() { Ok(()) } else { Err(format!("{} copies are not taken", left.len())) }
    });
}
