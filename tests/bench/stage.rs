//! What the benches stand on: a bus in a temporary folder, a catalog, rooms that run.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use tiphys_bus::{Bus, embedded, streams};
use tiphys_catalog::{Catalog, Feeder};
use tiphys_core::{Clock, SystemClock};
use tiphys_kit::{CancellationToken, Group, Health};
use tiphys_manifest::{LoadOptions, Object, load};

/// A condition that has not come about by then never will.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// A process without its command line.
pub(crate) struct Stage {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) catalog: Catalog,
    pub(crate) health: Health,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) group: Group,
    stop: CancellationToken,
    _feeder: Feeder,
}

impl Stage {
    /// A stage on this bus, with these manifests.
    pub(crate) async fn open(bus: Arc<dyn Bus>, manifests: &str) -> anyhow::Result<Self> {
        make_streams(&bus).await?;
        let catalog = Catalog::new();
        let feeder = catalog.feeder();
        let stop = CancellationToken::new();
        let objects = objects(manifests)?.into_iter().map(Arc::new).collect();
        feeder.replace(objects, Vec::new());
        Ok(Self {
            bus,
            catalog,
            health: Health::default(),
            clock: Arc::new(SystemClock),
            group: Group::new(stop.clone()),
            stop,
            _feeder: feeder,
        })
    }

    /// Is cancelled when the rooms are to stop.
    pub(crate) fn stop(&self) -> CancellationToken {
        self.stop.child_token()
    }

    /// Waits until this part, and all that it started, are ready.
    pub(crate) async fn ready(&self, part: &str) -> anyhow::Result<()> {
        let health = &self.health;
        let ready = || health.problems().is_empty() && health.parts().contains_key(part);
        until(&format!("{part} is ready"), || ready().then_some(())).await
    }

    /// Stops the rooms, then the bus.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        self.group.stop();
        let joined = self.group.join(DEADLINE).await;
        self.bus.close().await;
        joined.map_err(|reason| anyhow!(reason))
    }
}

/// Makes what is missing of the streams.
pub(crate) async fn make_streams(bus: &Arc<dyn Bus>) -> anyhow::Result<()> {
    for stream in streams::all() {
        bus.ensure_stream(&stream).await?;
    }
    Ok(())
}

/// The embedded bus in a folder.
pub(crate) fn durable(folder: &Path) -> anyhow::Result<Arc<dyn Bus>> {
    embedded::open(folder, tiphys_bus::Options::default()).context("the embedded bus")
}

/// The objects of a text of manifests.
pub(crate) fn objects(manifests: &str) -> anyhow::Result<Vec<Object>> {
    let loaded = load("bench.yaml", manifests, &LoadOptions::default());
    if loaded.has_errors() {
        bail!("the bench's manifest is wrong: {:?}", loaded.diagnostics);
    }
    Ok(loaded.objects)
}

/// A runtime as the binary has it.
pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Ok(builder.enable_all().build()?)
}

/// Waits until there is something.
pub(crate) async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> anyhow::Result<T> {
    let waiting = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    within(what, waiting).await
}

/// Waits for something, but not for ever.
pub(crate) async fn within<T>(what: &str, waiting: impl Future<Output = T>) -> anyhow::Result<T> {
    let waited = tokio::time::timeout(DEADLINE, waiting).await;
    waited.map_err(|_| anyhow!("never came about: {what}"))
}

/// A payload of 2 KiB as Falco sends it, with this number in it.
pub(crate) fn alert(number: usize) -> String {
    let mut body = format!(
        concat!(
            r#"{{"hostname":"node-7","output":"Shell in a container","output_fields":{{"#,
            r#""container.id":"3f2a1b9c8d7e","evt.time.iso8601":1795348800123456789,"#,
            r#""proc.cmdline":"sh -c \u003e /dev/null","proc.pid":{number},"user.name":"root"}},"#,
            r#""priority":"Critical","rule":"Terminal shell in container","source":"syscall","#,
            r#""tags":["container","shell","mitre_execution"],"time":"2026-03-01T12:00:00Z","#,
            r#""uuid":"{number}","#,
        ),
        number = number
    );
    const SIZE: usize = 2048;
    let mut field = 0;
    while body.len() + 64 < SIZE {
        body.push_str(&format!(r#""field{field}":"value number {field} of it","#));
        field += 1;
    }
    let rest = SIZE.saturating_sub(body.len() + r#""rest":""}"#.len());
    body.push_str(&format!(r#""rest":"{}"}}"#, "x".repeat(rest)));
    body
}
