//! Watches the engine: what ended is known at once, also what ended while nobody looked.

use std::sync::Arc;
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, EventMessage};
use bollard::query_parameters::{EventsOptions, ListContainersOptions, StopContainerOptions};
use futures::StreamExt;
use tiphys_core::{PodKey, Timestamp};
use tiphys_kit::Backoff;

use super::claim::UNSURE;
use super::end::State;
use super::engine::{Trouble, told};
use super::{LaunchError, PART, Pod, PodResult, PodState, PodVerdict, Shared, error, labels, part, ready};

/// What is told while the engine is away.
fn away(host: &str, why: &str) -> String {
    format!(
        "the Docker engine at {host} does not answer: {why}. Containers are started, and their ends are read, once it does"
    )
}

/// Exit codes of a sidecar that was ended.
const ENDED: [i64; 3] = [0, 137, 143];

impl Shared {
    /// Watches until all is over. The keys of what is found at first are announced.
    pub(super) async fn watch(self: Arc<Self>) {
        let stop = self.tasks.stop().clone();
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
        let mut at_first = true;
        loop {
            let why = tokio::select! {
                () = stop.cancelled() => return,
                why = self.follow(&mut at_first, &mut backoff) => why,
            };
            tracing::warn!(why, "the Docker engine's events are lost; trying again");
            if backoff.attempts() > 0 {
                self.config.health.only_tell(PART);
                self.config.health.failing(PART, away(&self.config.host, &why));
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(backoff.next_wait()) => {}
            }
        }
    }

    /// Reads events until they end. Says why they did.
    async fn follow(self: &Arc<Self>, at_first: &mut bool, backoff: &mut Backoff) -> String {
        // By the engine's clock. What happens from then on is an event, what was before is in the list.
        let since = match self.docker.info().await {
            Ok(info) => info.system_time.and_then(|time| time.parse::<Timestamp>().ok()),
            Err(error) => return told(&error),
        };
        let mut filters = labels::filter(&self.config, &[(labels::ROLE, labels::MAIN)]);
        filters.insert("type".into(), vec!["container".into()]);
        filters.insert("event".into(), vec!["die".into(), "destroy".into()]);
        let since = since.map(|since| since.as_second().to_string());
        let options = EventsOptions { since, until: None, filters: Some(filters) };
        let mut events = Box::pin(self.docker.events(Some(options)));
        if let Err(trouble) = self.look_at_all(*at_first).await {
            return trouble.text().to_owned();
        }
        *at_first = false;
        backoff.reset();
        self.config.health.ready(PART);
        loop {
            match events.next().await {
                Some(Ok(event)) => self.happened(event),
                Some(Err(error)) => return told(&error),
                None => return "the stream ended".to_owned(),
            }
        }
    }

    /// Lists all main containers. Those that are known are looked at; at first all are announced.
    async fn look_at_all(self: &Arc<Self>, announce: bool) -> Result<(), Trouble> {
        let filters = labels::filter(&self.config, &[(labels::ROLE, labels::MAIN)]);
        let options =
            ListContainersOptions { all: true, filters: Some(filters), ..ListContainersOptions::default() };
        let found = self.docker.list_containers(Some(options)).await?;
        let of = |name: &str| {
            let all = found.iter().filter_map(|container| container.labels.as_ref()?.get(name).cloned());
            all.map(PodKey).collect::<Vec<_>>()
        };
        if announce {
            for key in of(labels::POD) {
                self.announce(&key).await;
            }
        }
        let running: Vec<PodKey> = {
            let pods = self.pods();
            let running = pods.iter().filter(|(_, pod)| matches!(pod, Pod::Running { .. }));
            running.map(|(key, _)| key.clone()).collect()
        };
        for key in running {
            self.settle_later(key);
        }
        Ok(())
    }

    fn happened(self: &Arc<Self>, event: EventMessage) {
        let attributes = event.actor.and_then(|actor| actor.attributes).unwrap_or_default();
        let Some(key) = attributes.get(labels::POD).cloned().map(PodKey) else { return };
        if matches!(self.pod(&key), Some(Pod::Running { .. } | Pod::Pending { .. })) {
            self.settle_later(key);
        }
    }

    /// Looks at a container that may have ended, and says so when it has.
    fn settle_later(self: &Arc<Self>, key: PodKey) {
        let shared = Arc::clone(self);
        self.tasks.spawn("settle pod", async move {
            let stop = shared.tasks.stop().clone();
            let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(10));
            loop {
                let settled = tokio::select! {
                    () = stop.cancelled() => return,
                    settled = shared.settle(&key) => settled,
                };
                match settled {
                    Ok(true) => return shared.announce(&key).await,
                    Ok(false) => return,
                    Err(error) => {
                        tracing::warn!(%key, %error, "the end of a step could not be read; trying again")
                    }
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(backoff.next_wait()) => {}
                }
            }
        });
    }

    /// Says whether a pod has ended just now.
    async fn settle(self: &Arc<Self>, key: &PodKey) -> Result<bool, LaunchError> {
        let _permit = self.tidies.acquire().await.ok();
        let running = match self.pod(key) {
            Some(Pod::Running { started, .. }) => Some(started),
            Some(Pod::Pending { .. }) => None,
            _ => return Ok(false),
        };
        let container = match self.inspect(&part::main_name(&self.config, key)).await {
            Ok(container) => container,
            Err(Trouble::Absent(_)) if running.is_some() => {
                let message = "its container was removed, and not by Tiphys".to_owned();
                self.ended(key, error(running, self.clock.now(), message), true);
                return Ok(true);
            }
            Err(Trouble::Absent(_)) => return Ok(false),
            Err(trouble) => return Err(trouble.into()),
        };
        let state = State::of(&container);
        if state.is_running || !state.was_started() {
            return Ok(false);
        }
        self.end_of(key, &container, &state).await?;
        Ok(true)
    }

    /// Makes the result of a main container that has ended, and keeps it.
    async fn end_of(
        self: &Arc<Self>,
        key: &PodKey,
        container: &ContainerInspectResponse,
        state: &State,
    ) -> Result<(), LaunchError> {
        let id = container.id.as_deref().unwrap_or_default();
        let mut result = self.result(id, state).await?;
        let parts = state.has(labels::PARTS);
        if parts {
            self.end_sidecars(key, &mut result).await?;
        }
        self.ended(key, result, parts);
        Ok(())
    }

    /// Ends the sidecars. One that has failed before makes the pod fail, as in Argo.
    async fn end_sidecars(self: &Arc<Self>, key: &PodKey, result: &mut PodResult) -> Result<(), LaunchError> {
        let wanted = [(labels::POD, key.0.as_str()), (labels::ROLE, labels::SIDECAR)];
        let filters = Some(labels::filter(&self.config, &wanted));
        let options = ListContainersOptions { all: true, filters, ..ListContainersOptions::default() };
        for sidecar in self.docker.list_containers(Some(options)).await.map_err(Trouble::from)? {
            let id = sidecar.id.unwrap_or_default();
            let state = match self.inspect(&id).await {
                Ok(inspected) => State::of(&inspected),
                Err(Trouble::Absent(_)) => continue,
                Err(trouble) => return Err(trouble.into()),
            };
            if state.is_running {
                let docker = self.docker.clone();
                self.tasks.spawn("end sidecar", async move {
                    let _ = docker.stop_container(&id, None::<StopContainerOptions>).await;
                });
            } else if !ENDED.contains(&state.code) && result.verdict == PodVerdict::Succeeded {
                let names = sidecar.names.unwrap_or_default();
                let prefix = format!("/{}-", part::main_name(&self.config, key));
                let name = names.iter().find_map(|name| name.strip_prefix(&prefix)).unwrap_or("sidecar");
                result.verdict = PodVerdict::Failed;
                result.message = format!("{name}: Error (exit code {})", state.code);
            }
        }
        Ok(())
    }

    pub(super) fn ended(&self, key: &PodKey, result: PodResult, parts: bool) {
        self.pods().insert(key.clone(), Pod::Ended { result: Arc::new(result), parts });
    }

    /// What is known of a pod, from memory or from its container; what runs is known from then on.
    pub(super) async fn resolve(self: &Arc<Self>, key: &PodKey) -> Result<PodState, LaunchError> {
        if let Some(pod) = self.pod(key) {
            return Ok(pod.state());
        }
        let container = match self.inspect(&part::main_name(&self.config, key)).await {
            Ok(container) => container,
            Err(Trouble::Absent(_)) => return Ok(PodState::Unknown),
            Err(trouble) => return Err(LaunchError::Unavailable(trouble.text().to_owned())),
        };
        let state = State::of(&container);
        if !state.is_of(&self.config, key) {
            return Ok(PodState::Unknown);
        }
        if !state.was_started() {
            // Whoever starts it waits from now on.
            self.is_leftover(&container);
            return Ok(PodState::Unknown);
        }
        self.take_over(key, &container, state).await?;
        Ok(self.pod(key).map_or(PodState::Unknown, |pod| pod.state()))
    }

    /// Takes note of a container that another process started, or this one before it ended.
    pub(super) async fn take_over(
        self: &Arc<Self>,
        key: &PodKey,
        container: &ContainerInspectResponse,
        state: State,
    ) -> Result<(), LaunchError> {
        if !state.is_running {
            return self.end_of(key, container, &state).await;
        }
        let Some(started) = state.started else {
            // An engine that was killed in between knows no more of it, and would not tell its end either. What runs goes with
            // its container.
            self.ended(key, error(None, self.clock.now(), UNSURE.to_owned()), state.has(labels::PARTS));
            return Ok(());
        };
        let probe = ready::of(&state);
        let address = match state.has(labels::DAEMON) {
            true => self.address_of(container).await?,
            false => None,
        };
        self.pods().insert(key.clone(), Pod::Running { started, ready: probe.is_none(), address });
        // It may have ended before it was known here.
        self.settle_later(key.clone());
        if let Some(deadline) = state.time(labels::DEADLINE) {
            self.stop_at(key, deadline);
        }
        if let Some(probe) = probe {
            self.probe(key, probe);
        }
        Ok(())
    }
}
