//! Waiting for what a source does.
#![allow(dead_code, reason = "each queue uses a part")]

use std::time::Duration;

use tiphys_bus::streams;
use tiphys_core::{DeadLetter, Event};

use crate::stage::Stage;

/// Starting again takes up to half a minute when a server was away for long.
const DEADLINE: Duration = Duration::from_secs(60);

/// Waits for something.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(DEADLINE, future).await;
    done.unwrap_or_else(|_| panic!("never came about: {what}"))
}

/// Waits until the source receives: nothing is reported of it, and it is ready.
pub(crate) async fn up(stage: &Stage) {
    within("the source receives", async {
        loop {
            let parts = stage.health.parts();
            let mut sources = parts.iter().filter(|(name, _)| name.starts_with("eventsource/"));
            let any = sources.clone().next().is_some();
            if any && sources.all(|(_, why)| why.is_none()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// Waits until the source reports this code; gives the reason.
pub(crate) async fn down(stage: &Stage, code: &str) -> String {
    within(code, async {
        loop {
            let found = stage.ingress.diagnostics().into_iter().find(|found| found.code == code);
            if let Some(found) = found {
                return found.message;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}

/// Waits for so many events.
pub(crate) async fn events(stage: &Stage, count: usize) -> Vec<Event> {
    within(&format!("{count} events"), async {
        loop {
            let seen = stage.bus.info(streams::EVENTS).await.unwrap().last;
            let events = stage.events().await;
            if events.len() >= count {
                return events;
            }
            stage.bus.wait_for(streams::EVENTS, seen, Duration::from_secs(5)).await.unwrap();
        }
    })
    .await
}

/// Waits for so many dead letters.
pub(crate) async fn letters(stage: &Stage, count: usize) -> Vec<DeadLetter> {
    within(&format!("{count} dead letters"), async {
        loop {
            let seen = stage.bus.info(streams::DEAD).await.unwrap().last;
            let letters = stage.bus.read(streams::DEAD, "", 0, 1000).await.unwrap();
            if letters.len() >= count {
                return letters.iter().map(|m| serde_json::from_slice(&m.payload).unwrap()).collect();
            }
            stage.bus.wait_for(streams::DEAD, seen, Duration::from_secs(5)).await.unwrap();
        }
    })
    .await
}

/// Waits until a question is answered with yes.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    within(what, async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}
