//! Publishing what was decided, each record under an id of its own, so that doing it again changes nothing.

use std::sync::Arc;

use futures::future::try_join_all;
use serde::Serialize;
use tiphys_bus::{Bus, BusError, Publish, streams};
use tiphys_core::{DeadLetter, Firing, Verdict, id};
use tracing::error;

pub(super) struct Outlet {
    bus: Arc<dyn Bus>,
    uid: String,
}

impl Outlet {
    pub(super) fn new(bus: Arc<dyn Bus>, uid: String) -> Self {
        Self { bus, uid }
    }

    /// Publishes all; durable when it returns. The resets come last: who counts must know by then that these
    /// events waited.
    pub(super) async fn publish(
        &self,
        firings: &[Arc<Firing>],
        verdicts: &[Verdict],
        dead: &[DeadLetter],
        resets: Option<&Verdict>,
    ) -> Result<(), BusError> {
        // Firings first: where the bus takes up what came first at once, they wait for no other sync.
        tokio::try_join!(
            try_join_all(firings.iter().map(|firing| self.firing(firing))),
            try_join_all(verdicts.iter().map(|verdict| self.verdict(verdict))),
            try_join_all(dead.iter().map(|letter| self.letter(letter))),
        )?;
        match resets {
            Some(verdict) => self.verdict(verdict).await,
            None => Ok(()),
        }
    }

    async fn verdict(&self, verdict: &Verdict) -> Result<(), BusError> {
        let subject = streams::subject(streams::VERDICTS, &[&verdict.namespace, &verdict.sensor]);
        let mut parts = vec![self.uid.clone(), verdict.sequence.to_string(), verdict.replay.to_string()];
        parts.extend(verdict.event.as_ref().map(|event| event.0.clone()));
        for (trigger, dependency, event) in &verdict.reset {
            parts.extend([trigger.clone(), dependency.clone(), event.0.clone()]);
        }
        if verdict.sequence == 0 {
            parts.push(verdict.at.to_string());
        }
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let id = format!("verdict-{}", id::digest(&parts, 16));
        match self.store(&subject, &id, verdict).await {
            // The comparisons are what is long; the outcome matters more.
            Err(BusError::TooLarge { .. }) => {
                let mut short = verdict.clone();
                short.triggers.iter_mut().for_each(|row| row.clauses.clear());
                self.store(&subject, &id, &short).await
            }
            other => other,
        }
    }

    async fn firing(&self, firing: &Firing) -> Result<(), BusError> {
        let names = [firing.namespace.as_str(), &firing.sensor, &firing.trigger];
        let subject = streams::subject(streams::FIRINGS, &names);
        match self.store(&subject, &firing.id.0, firing).await {
            Err(BusError::TooLarge { size, limit, .. }) => {
                error!(
                    sensor = firing.sensor, trigger = firing.trigger, firing = %firing.id, size, limit,
                    "a firing is larger than a message may be; see `tiphys dlq list`"
                );
                self.letter(&oversized(firing, size, limit)).await
            }
            other => other,
        }
    }

    async fn letter(&self, letter: &DeadLetter) -> Result<(), BusError> {
        let sensor = letter.sensor.as_deref().unwrap_or_default();
        let trigger = letter.trigger.as_deref().unwrap_or_default();
        let names = [letter.namespace.as_str(), "sensor", sensor, trigger];
        let subject = streams::subject(streams::DEAD, &names);
        let mut parts = vec![self.uid.clone(), trigger.to_owned(), letter.code.clone()];
        parts.extend(letter.raw.clone());
        for event in &letter.events {
            parts.extend([event.dependency.clone(), event.id.0.clone(), event.sequence.to_string()]);
        }
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        self.store(&subject, &format!("dead-{}", id::digest(&parts, 16)), letter).await
    }

    async fn store<T: Serialize>(&self, subject: &str, id: &str, record: &T) -> Result<(), BusError> {
        let record = serde_json::to_vec(record)
            .map_err(|error| BusError::Invalid { reason: format!("record of {subject}: {error}") })?;
        self.bus.publish(Publish::new(subject, record).id(id)).await.map(|_| ())
    }
}

fn oversized(firing: &Firing, size: usize, limit: usize) -> DeadLetter {
    DeadLetter {
        stage: "sensor".into(),
        code: "TIP-SEN-026".into(),
        reason: format!("the firing has {size} bytes and a message at most {limit}"),
        at: firing.decided,
        attempts: 1,
        namespace: firing.namespace.clone(),
        sensor: Some(firing.sensor.clone()),
        trigger: Some(firing.trigger.clone()),
        events: firing.events.clone(),
        firing: None,
        raw: None,
    }
}
