//! The live tail: each event as it is stored, and each verdict as it is reached.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event as Sse, KeepAlive, Sse as SseResponse};
use futures::{Stream, StreamExt as _, stream};
use serde_json::{Value, json};
use tiphys_bus::{Message, streams};
use tiphys_core::Verdict;

use super::{Wanted, line, rows};
use crate::body::Params;
use crate::error::ApiError;
use crate::state::Shared;

/// Messages read at once.
const BATCH: usize = 100;
/// At the latest it looks again after this.
const LOOK: Duration = Duration::from_secs(30);

/// Which of the two streams is followed.
#[derive(Debug, Clone, Copy)]
enum What {
    Events,
    Verdicts,
}

impl What {
    const fn stream(self) -> &'static str {
        match self {
            Self::Events => streams::EVENTS,
            Self::Verdicts => streams::VERDICTS,
        }
    }
}

/// `GET /events/stream`: server-sent events `{"result": …}`, a line of the list for each event, and
/// `{"id", "verdicts"}` for each verdict.
///
/// # Errors
/// Fails when the bus does.
pub(crate) async fn tail(
    State(shared): State<Shared>,
    Params(wanted): Params<Wanted>,
) -> Result<SseResponse<impl Stream<Item = Result<Sse, Infallible>>>, ApiError> {
    let verdicts = shared.bus.info(streams::VERDICTS).await?.last;
    let events = match wanted.after {
        Some(after) => after,
        None => shared.bus.info(streams::EVENTS).await?.last,
    };
    let both = stream::select(
        follow(shared.clone(), What::Events, wanted.clone(), events),
        follow(shared, What::Verdicts, wanted, verdicts),
    );
    let both = both.map(|told| Ok(Sse::default().data(json!({"result": told}).to_string())));
    Ok(SseResponse::new(both).keep_alive(KeepAlive::default()))
}

fn follow(shared: Shared, what: What, wanted: Wanted, after: u64) -> impl Stream<Item = Value> {
    let steps = stream::unfold((shared, wanted, after), move |(shared, wanted, after)| async move {
        let bus = &shared.bus;
        let last = bus.wait_for(what.stream(), after, LOOK).await.ok()?;
        let filter = match what {
            What::Events => wanted.filter(),
            What::Verdicts => String::new(),
        };
        let messages = bus.read(what.stream(), &filter, after.saturating_add(1), BATCH).await.ok()?;
        let next = if messages.len() < BATCH { last.max(after) } else { after };
        let next = messages.last().map_or(next, |message| next.max(message.sequence));
        let mut out = Vec::new();
        for message in &messages {
            out.extend(match what {
                What::Events => line(&shared, message).await.ok().flatten().map(|line| json!(line)),
                What::Verdicts => verdict(&shared, message, &wanted).await,
            });
        }
        Some((stream::iter(out), (shared, wanted, next)))
    });
    steps.flatten()
}

/// A verdict on an event that is wanted.
async fn verdict(shared: &Shared, message: &Message, wanted: &Wanted) -> Option<Value> {
    let verdict: Verdict = serde_json::from_slice(&message.payload).ok()?;
    let event = shared.bus.get(streams::EVENTS, verdict.sequence).await.ok()??;
    streams::matches(&wanted.filter(), &event.subject)
        .then(|| json!({"id": verdict.event, "verdicts": rows(&verdict)}))
}
