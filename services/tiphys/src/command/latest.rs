//! `@latest`: the newest workflow of the namespace.
//!
//! A sender is answered when its event is stored, and the workflow that the event starts is made a moment later. Who asks
//! for the newest right after a request means that one: so the newest event, where it is young, is waited for until it
//! has been judged and acted on. Which workflow was taken, and how old it is, is said in any case.

use std::time::{Duration, Instant};

use serde_json::Value;
use tiphys_core::Timestamp;

use super::get::{encode, text};
use crate::client::Client;
use crate::exit::{Code, Failure};
use crate::output::tree::span;

/// What an older event starts is there by now, or waits for more than a moment: milliseconds.
const YOUNG: i64 = 10_000;
/// So long a young one is waited for.
const PATIENCE: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(50);

/// The name of a workflow; for `@latest` that of the newest, which is told on standard error.
pub(super) async fn resolve(client: &Client, name: &str) -> Result<String, Failure> {
    if name != "@latest" {
        return Ok(name.to_owned());
    }
    let waiting = settle(client).await;
    let newest = client.get(&format!("/api/v1/workflows/{}/@latest", client.namespace)).await;
    let newest = newest.map_err(|failure| match (failure.code, &waiting) {
        (Code::NotFound, None) => Failure::new(
            Code::NotFound,
            format!("there is no workflow yet in namespace {}", client.namespace),
        ),
        (Code::NotFound, Some(event)) => {
            let why = client.hint(&format!("events get {event} --trace"));
            Failure::new(
                Code::NotFound,
                format!("there is no workflow yet; what became of the newest event: {why}"),
            )
        }
        _ => failure,
    })?;
    let name = text(&newest, "/metadata/name");
    let made = text(&newest, "/metadata/creationTimestamp").parse::<Timestamp>();
    // Argo's times have whole seconds.
    let age = match made.map(|made| Timestamp::now().as_millisecond() - made.as_millisecond()) {
        Ok(age) if age >= 2000 => format!("made {} ago", span(age)),
        _ => "made a moment ago".to_owned(),
    };
    let late = waiting.map(|event| format!("; event {event} has started none so far")).unwrap_or_default();
    eprintln!("@latest is {name}, {age}{late}");
    Ok(name.to_owned())
}

/// Waits for what the newest event starts, if that is young. Gives the event where it has come to nothing by then. A server
/// that does not tell of events is no hindrance.
async fn settle(client: &Client) -> Option<String> {
    let newest = client.get("/api/tiphys/v1/events?limit=1").await.ok()?;
    let event = newest.pointer("/items/0")?;
    let received = text(event, "/received").parse::<Timestamp>().ok()?;
    if Timestamp::now().as_millisecond() - received.as_millisecond() > YOUNG {
        return None;
    }
    let id = text(event, "/id");
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let story = client.get(&format!("/api/tiphys/v1/events/{}/trace", encode(id))).await.ok();
        if story.is_some_and(|story| is_over(&story)) {
            return None;
        }
        tokio::time::sleep(LOOK).await;
    }
    Some(id.to_owned())
}

/// Whether an event was judged, and everything that it fired was done or given up.
fn is_over(story: &Value) -> bool {
    let list = |key: &str| story.get(key).and_then(Value::as_array).into_iter().flatten();
    let rows =
        list("verdicts").flat_map(|verdict| verdict.get("triggers").and_then(Value::as_array)).flatten();
    let fired = rows.filter(|row| text(row, "/outcome") == "fired").count();
    let acted = list("firings").filter(|firing| matches!(text(firing, "/ledger/state"), "done" | "dead"));
    list("verdicts").next().is_some() && acted.count() >= fired
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_over_when_all_that_it_fired_was_acted_on() {
        let verdict = |outcomes: &[&str]| {
            let rows: Vec<Value> = outcomes.iter().map(|outcome| json!({ "outcome": outcome })).collect();
            json!({ "triggers": rows })
        };
        let firing = |state: &str| json!({"ledger": {"state": state}});
        let fired = json!([verdict(&["fired", "fired"])]);
        for (verdicts, firings, over) in [
            (json!([]), json!([]), false),
            (json!([verdict(&["filtered", "waiting"])]), json!([]), true),
            (fired.clone(), json!([]), false),
            (fired.clone(), json!([firing("done")]), false),
            (fired.clone(), json!([firing("done"), firing("trying")]), false),
            (fired.clone(), json!([firing("done"), json!({"ledger": null})]), false),
            (fired, json!([firing("done"), firing("dead")]), true),
        ] {
            let story = json!({"verdicts": verdicts, "firings": firings});
            assert_eq!(is_over(&story), over, "{story}");
        }
        assert!(!is_over(&json!({})));
    }
}
