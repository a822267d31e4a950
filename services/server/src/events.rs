//! Events: list, one with its payload, its trace, the live tail, replay.

mod tail;

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tiphys_bus::{Message, Publish, streams};
use tiphys_core::{DeadLetter, Event, Firing, Verdict};
use tiphys_trigger::ledger::{Effect, Ledger};

use crate::body::Params;
use crate::error::ApiError;
use crate::state::{Caller, Shared};
use crate::story::Chapters;

pub(crate) use tail::tail;

/// Which events are wanted.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Wanted {
    namespace: Option<String>,
    source: Option<String>,
    event: Option<String>,
    limit: Option<usize>,
    after: Option<u64>,
}

impl Wanted {
    fn filter(&self) -> String {
        let part = |name: &Option<String>| name.as_deref().map_or("*".into(), streams::token);
        format!("events.{}.{}.{}", part(&self.namespace), part(&self.source), part(&self.event))
    }
}

/// One line of a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    id: String,
    sequence: u64,
    namespace: String,
    source: String,
    event: String,
    kind: String,
    received: String,
    stored: String,
    bytes: usize,
    attributes: BTreeMap<String, String>,
    verdicts: Vec<Value>,
}

/// `GET /events`: the newest, at most `limit` (100), oldest first; `after` gives those behind a position.
///
/// # Errors
/// Fails when the bus does.
pub(crate) async fn list(
    State(shared): State<Shared>,
    Params(wanted): Params<Wanted>,
) -> Result<Json<Value>, ApiError> {
    let limit = wanted.limit.unwrap_or(100).clamp(1, 1000);
    let filter = wanted.filter();
    let info = shared.bus.info(streams::EVENTS).await?;
    let messages = match wanted.after {
        Some(after) => shared.bus.read(streams::EVENTS, &filter, after.saturating_add(1), limit).await?,
        None => newest(&shared, &filter, info.first, info.last, limit).await?,
    };
    let mut items = Vec::new();
    for message in &messages {
        if let Some(line) = line(&shared, message).await? {
            items.push(line);
        }
    }
    Ok(Json(json!({"items": items, "position": info.last})))
}

/// The last `limit` messages that match, found by looking further and further back.
async fn newest(
    shared: &Shared,
    filter: &str,
    first: u64,
    last: u64,
    limit: usize,
) -> Result<Vec<Message>, ApiError> {
    let mut span = (limit as u64).max(64);
    loop {
        let from = last.saturating_sub(span).max(first).max(1);
        let mut found = Vec::new();
        let mut next = from;
        loop {
            let batch = shared.bus.read(streams::EVENTS, filter, next, 1000).await?;
            let Some(end) = batch.last() else { break };
            next = end.sequence + 1;
            found.extend(batch);
        }
        if found.len() >= limit || from <= first.max(1) {
            return Ok(found.split_off(found.len().saturating_sub(limit)));
        }
        span = span.saturating_mul(8);
    }
}

async fn line(shared: &Shared, message: &Message) -> Result<Option<Line>, ApiError> {
    let Ok(event) = Event::decode(&message.payload) else { return Ok(None) };
    let mut verdicts = Vec::new();
    if let Some((_, chapters)) = shared.story.find(&event.id.0) {
        for verdict in all::<Verdict>(shared, streams::VERDICTS, &chapters.verdicts).await? {
            verdicts.extend(rows(&verdict));
        }
    }
    Ok(Some(Line {
        id: event.id.0,
        sequence: message.sequence,
        namespace: event.origin.namespace,
        source: event.origin.source,
        event: event.origin.event,
        kind: event.kind,
        received: event.received.to_string(),
        stored: message.stored.to_string(),
        bytes: event.data.len(),
        attributes: event.attributes,
        verdicts,
    }))
}

/// What a verdict says of each trigger, in short.
fn rows(verdict: &Verdict) -> Vec<Value> {
    let short = |row| {
        let mut row = serde_json::to_value(row).unwrap_or_default();
        if let Some(map) = row.as_object_mut() {
            map.remove("clauses");
            map.insert("sensor".into(), verdict.sensor.clone().into());
        }
        row
    };
    verdict.triggers.iter().map(short).collect()
}

/// `GET /events/{id}`: the event with its payload.
///
/// # Errors
/// Fails when there is none of that id.
pub(crate) async fn get(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let (chapters, message, event) = find(&shared, &id).await?;
    Ok(Json(whole(&message, &event, &chapters)))
}

fn whole(message: &Message, event: &Event, chapters: &Chapters) -> Value {
    json!({
        "id": event.id,
        "namespace": event.origin.namespace,
        "source": event.origin.source,
        "event": event.origin.event,
        "kind": event.kind,
        "occurred": event.occurred,
        "received": event.received,
        "stored": {"stream": streams::EVENTS, "sequence": message.sequence, "at": message.stored},
        "replays": chapters.events.len().saturating_sub(1),
        "attributes": event.attributes,
        "context": event.context(),
        "data": serde_json::from_slice::<Value>(&event.data).unwrap_or_default(),
    })
}

/// `GET /events/{id}/trace`: receipt, verdicts, firings, workflows, steps.
///
/// # Errors
/// Fails when there is none of that id.
pub(crate) async fn trace(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let (chapters, message, event) = find(&shared, &id).await?;
    let verdicts = all::<Verdict>(&shared, streams::VERDICTS, &chapters.verdicts).await?;
    let mut firings = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for firing in all::<Firing>(&shared, streams::FIRINGS, &chapters.firings).await? {
        if seen.insert(firing.id.clone()) {
            firings.push(told(&shared, &firing).await?);
        }
    }
    let dead = all::<DeadLetter>(&shared, streams::DEAD, &chapters.dead).await?;
    let dead: Vec<Value> = dead
        .iter()
        .zip(&chapters.dead)
        .map(|(letter, sequence)| {
            json!({"sequence": sequence, "stage": letter.stage, "trigger": letter.trigger, "code": letter.code,
                   "reason": letter.reason, "at": letter.at, "attempts": letter.attempts})
        })
        .collect();
    Ok(Json(json!({
        "event": whole(&message, &event, &chapters),
        "verdicts": verdicts,
        "firings": firings,
        "deadLetters": dead,
    })))
}

/// What became of one firing.
async fn told(shared: &Shared, firing: &Firing) -> Result<Value, ApiError> {
    let (entry, _) = Ledger::new(shared.bus.clone()).read(&firing.id).await?;
    let workflow = match entry.as_ref().and_then(|entry| entry.effect.as_ref()) {
        Some(Effect::Workflow { namespace, name, .. }) => shared.workflows.get(namespace, name),
        _ => None,
    };
    Ok(json!({
        "id": firing.id,
        "namespace": firing.namespace,
        "sensor": firing.sensor,
        "trigger": firing.trigger,
        "decided": firing.decided,
        "replay": firing.replay,
        "events": firing.events,
        "parameters": firing.parameters,
        "ledger": entry,
        "workflow": workflow,
    }))
}

async fn find(shared: &Shared, id: &str) -> Result<(Chapters, Message, Event), ApiError> {
    let absent = || ApiError::missing(format!("event `{id}`"));
    let (_, chapters) = shared.story.find(id).ok_or_else(absent)?;
    for sequence in &chapters.events {
        if let Some(message) = shared.bus.get(streams::EVENTS, *sequence).await?
            && let Ok(event) = Event::decode(&message.payload)
        {
            return Ok((chapters, message, event));
        }
    }
    Err(ApiError::missing(format!("event `{id}` was removed by its stream's limits; it")))
}

async fn all<T: serde::de::DeserializeOwned>(
    shared: &Shared,
    stream: &str,
    sequences: &[u64],
) -> Result<Vec<T>, ApiError> {
    let mut out = Vec::new();
    for sequence in sequences {
        out.extend(shared.record::<T>(stream, *sequence).await?.map(|(_, record)| record));
    }
    Ok(out)
}

/// `POST /events/{id}/replay`: the event goes once more through the sensors, as a new generation.
///
/// # Errors
/// Fails when there is none of that id, or when the bus does.
pub(crate) async fn replay(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<Json<Value>, ApiError> {
    let (chapters, _, mut event) = find(&shared, &id).await?;
    let namespace = event.origin.namespace.clone();
    shared.audit(&caller, &namespace, "replay", &format!("event/{}", event.id)).await?;
    let generation = chapters.events.len();
    event.attributes.insert("replay".into(), generation.to_string());
    event.attributes.insert("replayedby".into(), caller.by);
    let origin = &event.origin;
    let subject = streams::subject(streams::EVENTS, &[&origin.namespace, &origin.source, &origin.event]);
    let payload = event.encode().map_err(|error| ApiError::invalid(error.to_string()))?;
    let publish = Publish::new(subject, payload).id(format!("{}#replay{generation}", event.id));
    let acked = shared.bus.publish(publish).await?;
    Ok(Json(json!({"id": event.id, "replay": generation, "sequence": acked.sequence})))
}
