//! How each process is, on the bus, so that the API can tell.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tiphys_bus::{Bus, BusError, Publish, streams};
use tiphys_core::Clock;
use tiphys_kit::{CancellationToken, Health};
use tiphys_manifest::Diagnostic;
use tokio::time::Instant;

use super::Findings;

/// It says so at least so often, and looks so often whether something changed.
const BEAT: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(500);
/// One that was not heard for so long is told of.
const SILENT: Duration = Duration::from_secs(15);

/// What a process says of itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Said {
    version: u32,
    role: String,
    instance: String,
    ready: bool,
    parts: BTreeMap<String, Option<String>>,
    diagnostics: Vec<Diagnostic>,
}

/// Says how this process is.
pub(super) struct Beat {
    pub(super) role: &'static str,
    pub(super) instance: String,
    pub(super) bus: Arc<dyn Bus>,
    pub(super) health: Health,
    pub(super) findings: Findings,
}

impl Beat {
    /// Says it until `stop`, and then takes it back.
    pub(super) async fn run(self, stop: CancellationToken) -> Result<(), Infallible> {
        let subject = streams::subject(streams::PARTS, &[self.role, &self.instance]);
        let mut last: Option<(Said, Instant)> = None;
        loop {
            let said = self.said();
            let due = last.as_ref().is_none_or(|(before, at)| *before != said || at.elapsed() >= BEAT);
            // While the bus is away nobody hears it; the next one will do.
            if due
                && let Ok(record) = serde_json::to_vec(&said)
                && self.bus.publish(Publish::new(&subject, record)).await.is_ok()
            {
                last = Some((said, Instant::now()));
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        let taken_back = self.bus.purge(streams::PARTS, &subject, None);
        let _ = tokio::time::timeout(Duration::from_secs(1), taken_back).await;
        Ok(())
    }

    fn said(&self) -> Said {
        Said {
            version: 1,
            role: self.role.into(),
            instance: self.instance.clone(),
            ready: self.health.is_ready(),
            // What is heard of others is theirs to say.
            parts: self.health.parts().into_iter().filter(|(part, _)| !part.starts_with("role/")).collect(),
            diagnostics: (self.findings)(),
        }
    }
}

/// Hears how the others are, and puts it into the API's own health and findings.
#[derive(Debug, Clone, Default)]
pub(super) struct Others(Arc<Mutex<Vec<Diagnostic>>>);

impl Others {
    /// What they found.
    pub(super) fn diagnostics(&self) -> Vec<Diagnostic> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Listens until `stop`.
    pub(super) async fn listen(
        self,
        bus: Arc<dyn Bus>,
        clock: Arc<dyn Clock>,
        health: Health,
        stop: CancellationToken,
    ) -> Result<(), Infallible> {
        loop {
            match bus.read(streams::PARTS, "", 1, 1000).await {
                Ok(heard) => {
                    let now = clock.now();
                    let heard = heard.iter().filter_map(|message| {
                        let said: Said = serde_json::from_slice(&message.payload).ok()?;
                        let age = Duration::try_from(now.duration_since(message.stored)).unwrap_or_default();
                        Some((said, age))
                    });
                    self.tell(heard.collect(), &health);
                }
                Err(BusError::Closed) => return Ok(()),
                Err(_) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(2 * LOOK) => {}
            }
        }
    }

    /// Of a role that has a live process the silent ones are of no interest: they were killed and replaced.
    fn tell(&self, heard: Vec<(Said, Duration)>, health: &Health) {
        let mut roles: BTreeMap<String, Vec<(Said, Duration)>> = BTreeMap::new();
        for (said, age) in heard {
            roles.entry(said.role.clone()).or_default().push((said, age));
        }
        let mut diagnostics: Vec<Diagnostic> = Vec::new();
        for (role, mut processes) in roles {
            let part = format!("role/{role}");
            let youngest = processes.iter().map(|(_, age)| *age).min().unwrap_or_default();
            if youngest > SILENT {
                health.failing(&part, format!("not heard of for {} s", youngest.as_secs()));
                continue;
            }
            processes.retain(|(_, age)| *age <= SILENT);
            let mut wrong = Vec::new();
            for (said, _) in &processes {
                let parts = said.parts.iter().filter_map(|(part, why)| Some((part, why.as_ref()?)));
                wrong.extend(parts.map(|(part, why)| format!("{part}: {why} ({})", said.instance)));
                for finding in &said.diagnostics {
                    if !diagnostics.contains(finding) {
                        diagnostics.push(finding.clone());
                    }
                }
            }
            if wrong.is_empty() {
                health.ready(&part);
            } else {
                health.failing(&part, wrong.join("; "));
            }
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = diagnostics;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(role: &str, why: Option<&str>) -> Said {
        Said {
            role: role.into(),
            instance: "i".into(),
            parts: [("p".to_owned(), why.map(str::to_owned))].into(),
            ..Said::default()
        }
    }

    #[test]
    fn the_living_speak_for_their_role() {
        let (others, health) = (Others::default(), Health::default());
        let second = Duration::from_secs(1);
        others.tell(
            vec![
                (said("sensor", Some("killed long ago")), 60 * second),
                (said("sensor", None), second),
                (said("trigger", None), 60 * second),
                (said("executor", Some("no room")), second),
            ],
            &health,
        );
        let parts = health.parts();
        assert_eq!(parts["role/sensor"], None);
        assert!(parts["role/trigger"].as_ref().unwrap().contains("not heard of for 60 s"));
        assert_eq!(parts["role/executor"].as_ref().unwrap(), "p: no room (i)");
        assert!(health.is_ready(), "others are told, and do not make the API unready");
    }
}
