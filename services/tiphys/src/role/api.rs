//! The API, and the webhooks' addresses on its port, which it passes on to the event source.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use tiphys_bus::Bus;
use tiphys_catalog::Catalog;
use tiphys_executor::launcher::{ArtifactStore, Launcher};
use tiphys_kit::{Group, Health};
use tiphys_server::{Guard, Parts, Shared};
use tokio::net::TcpListener;

use super::beat::Others;
use super::{Service, passage};
use crate::assembly::objects::shown_by;
use crate::assembly::{self, RunnerRoutes, Surroundings};
use crate::client::ServerFile;

/// An answer of the event source may take so long.
const PATIENCE: Duration = Duration::from_secs(60);

impl Service<'_> {
    pub(super) async fn api(
        &self,
        rooms: &mut Group,
        bus: &Arc<dyn Bus>,
        catalog: &Catalog,
    ) -> anyhow::Result<SocketAddr> {
        let listener = TcpListener::bind((self.args.host.as_str(), self.args.port)).await;
        let listener = listener.with_context(|| format!("{}:{}", self.args.host, self.args.port))?;
        let address = listener.local_addr()?;
        let (others, metrics) = (Others::default(), self.metrics.clone());
        let heard = others.clone();
        let store = assembly::artifacts(&self.data, catalog, self.args.artifact_identity)?;
        let (shared, followers) = Shared::open(Parts {
            bus: bus.clone(),
            catalog: catalog.clone(),
            clock: self.clock.clone(),
            health: self.health.clone(),
            launcher: self.log_reader(store.clone()).await?,
            logs: assembly::kept_logs(&self.data, store)?,
            metrics: Arc::new(move || metrics.render()),
            diagnostics: Arc::new(move || heard.diagnostics()),
            namespace: self.namespace.clone(),
        })
        .await?;
        shared.follow(followers, rooms);
        if let Some(objects) = &self.objects {
            let (shown, owner) = (shown_by(&shared), self.instance.clone());
            let work = objects.workflows(bus.clone(), shown, Some(owner));
            rooms.spawn("workflow-objects", move |stop| work.run(stop));
        }
        let (listening, clock, health) = (bus.clone(), self.clock.clone(), self.health.clone());
        rooms.spawn("others", move |stop| others.listen(listening, clock, health, stop));
        let base = self.args.api.clone().unwrap_or_else(|| crate::http::base(address));
        let named = base.parse::<http::Uri>().with_context(|| format!("--api {base}"))?;
        let hosts = [address.ip().to_string()].into_iter().chain(named.host().map(str::to_owned)).collect();
        let guard = Guard::new(self.data.token()?.into(), hosts);
        let router = tiphys_server::router(shared, guard).merge(self.passing_on()?);
        rooms.spawn("http", move |stop| crate::http::serve(listener, router, stop));
        self.data.announce(&ServerFile { address: base, pid: std::process::id() })?;
        Ok(address)
    }

    /// Where the executor has its steps, as far as it is told here as it is there.
    async fn log_reader(&self, store: Arc<dyn ArtifactStore>) -> anyhow::Result<Arc<dyn Launcher>> {
        let surroundings = Surroundings {
            data: &self.data,
            manifests: &self.args.manifests,
            server: String::new(),
            webhooks: String::new(),
            args: &self.args.launch,
            cluster: self.cluster.as_ref(),
            installation: self.args.prefix.clone(),
            namespace: self.own.as_deref(),
            preferred: None,
            routes: RunnerRoutes::default(),
            // Of an engine of containers the executor tells.
            health: Health::default(),
        };
        surroundings.reader(store, self.clock.clone(), self.stop.clone(), &self.health).await
    }

    fn passing_on(&self) -> anyhow::Result<Router> {
        let (fixed, data) = (self.args.webhooks.clone(), self.data.clone());
        let registered = move || Some(data.role("eventsource")?["address"].as_str()?.to_owned());
        passage::router(move || fixed.clone().or_else(&registered), PATIENCE)
    }
}
