//! The event sources: webhooks on a port of their own, behind the spool.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use tiphys_bus::spool::{self, Spool, SpoolConfig};
use tiphys_bus::{Bus, Options};
use tiphys_catalog::Catalog;
use tiphys_eventsource::Ingress;
use tiphys_kit::Group;
use tokio::net::TcpListener;

use super::{Findings, Service};

impl Service<'_> {
    pub(super) async fn eventsource(
        &self,
        rooms: &mut Group,
        bus: &Arc<dyn Bus>,
        catalog: &Catalog,
    ) -> anyhow::Result<(SocketAddr, Findings)> {
        let listener = TcpListener::bind((self.args.host.as_str(), self.args.port)).await;
        let listener = listener.with_context(|| format!("{}:{}", self.args.host, self.args.port))?;
        let address = listener.local_addr()?;
        let config =
            tiphys_eventsource::Config { host: address.ip(), ..tiphys_eventsource::Config::default() };
        let ingress = Ingress::new(config.clone());
        let deps = tiphys_eventsource::Deps {
            bus: bus.clone(),
            spool: self.spool(bus).await?,
            catalog: catalog.clone(),
            clock: self.clock.clone(),
            health: self.health.clone(),
        };
        let (door, router) = (ingress.clone(), ingress.router());
        self.health.expect("eventsource");
        rooms.spawn("eventsource", move |stop| tiphys_eventsource::run(config, deps, door, stop));
        rooms.spawn("http", move |stop| crate::http::serve(listener, router, stop));
        Ok((address, Arc::new(move || ingress.diagnostics())))
    }

    async fn spool(&self, bus: &Arc<dyn Bus>) -> anyhow::Result<Option<Arc<Spool>>> {
        if self.args.no_spool {
            return Ok(None);
        }
        let local = tiphys_bus::embedded::open(&self.data.spool(), Options::default())
            .context("the spool; another event source may use this data folder")?;
        Ok(Some(spool::open(local, bus.clone(), SpoolConfig::default()).await?))
    }
}
