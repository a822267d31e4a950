//! Rooms, each on a bus of its own, as separate services have it.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use tiphys_bus::Bus;
use tiphys_eventsource::Ingress;

use crate::stage::Stage;

/// A webhook that can be posted to.
pub(crate) struct Door {
    pub(crate) address: SocketAddr,
    pub(crate) stage: Stage,
}

/// An event source service; it has begun, and may not be ready.
pub(crate) async fn eventsource(bus: Arc<dyn Bus>, manifests: &str) -> anyhow::Result<(Stage, Ingress)> {
    let mut stage = Stage::open(bus, manifests).await?;
    let config = tiphys_eventsource::Config::default();
    let ingress = Ingress::new(config.clone());
    let deps = tiphys_eventsource::Deps {
        spool: None,
        bus: stage.bus.clone(),
        catalog: stage.catalog.clone(),
        clock: stage.clock.clone(),
        health: stage.health.clone(),
    };
    let door = ingress.clone();
    stage.group.spawn("eventsource", move |stop| tiphys_eventsource::run(config, deps, door, stop));
    Ok((stage, ingress))
}

/// A sensor service; it has begun, and may not be ready.
pub(crate) async fn sensor(bus: Arc<dyn Bus>, manifests: &str) -> anyhow::Result<Stage> {
    let mut stage = Stage::open(bus, manifests).await?;
    let deps = tiphys_sensor::Deps {
        bus: stage.bus.clone(),
        catalog: stage.catalog.clone(),
        clock: stage.clock.clone(),
        health: stage.health.clone(),
    };
    stage.group.spawn("sensor", move |stop| tiphys_sensor::run(tiphys_sensor::Config::default(), deps, stop));
    Ok(stage)
}

/// A trigger service; it has begun, and may not be ready.
pub(crate) async fn trigger(bus: Arc<dyn Bus>, manifests: &str) -> anyhow::Result<Stage> {
    let mut stage = Stage::open(bus, manifests).await?;
    let deps = tiphys_trigger::Deps {
        bus: stage.bus.clone(),
        catalog: stage.catalog.clone(),
        clock: stage.clock.clone(),
        health: stage.health.clone(),
        cluster: None,
    };
    stage
        .group
        .spawn("trigger", move |stop| tiphys_trigger::run(tiphys_trigger::Config::default(), deps, stop));
    Ok(stage)
}

impl Door {
    /// A webhook `/alerts` of the event `bench`/`alerts`, ready.
    pub(crate) async fn open(bus: Arc<dyn Bus>) -> anyhow::Result<Self> {
        let port = tiphys_tests::others::free_port();
        let manifest = format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: EventSource\nmetadata: {{name: bench}}\n\
             spec:\n  webhook:\n    alerts: {{port: \"{port}\", endpoint: /alerts, method: POST}}\n"
        );
        let (stage, ingress) = eventsource(bus, &manifest).await?;
        stage.ready("eventsource").await?;
        let open = ingress.listeners().into_iter().next();
        let (_, address) = open.with_context(|| format!("{:?}", ingress.diagnostics()))?;
        Ok(Self { address, stage })
    }
}
