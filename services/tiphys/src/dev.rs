//! `tiphys dev DIR`: the production wiring with every role in one process and the embedded adapters.
//!
//! The order matters. The port is bound before any work. Consumers exist before the first webhook is answered,
//! so that an event right after the start finds its sensor. Stopping goes with the data: sources first, then
//! sensors, triggers, the executor, the API, the bus. Steps go on; the next start takes them up.

mod banner;
mod data;
mod http;
mod roles;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use tiphys_bus::{Bus, streams};
use tiphys_core::{Clock, SystemClock};
use tiphys_kit::telemetry;
use tokio::net::TcpListener;

use crate::cli::{Connection, DevArgs, LogFormat};
use data::DataFolder;
use roles::Roles;

/// What is logged where `TIPHYS_LOG` says nothing: of the storage below the bus only what is wrong.
const LOG: &str = "info,fjall=warn,lsm_tree=warn";

/// Runs until a signal.
pub(crate) fn run(args: &DevArgs, connection: &Connection) -> anyhow::Result<()> {
    let format = match args.log_format {
        LogFormat::Text => telemetry::LogFormat::Text,
        LogFormat::Json => telemetry::LogFormat::Json,
    };
    let filter = std::env::var("TIPHYS_LOG").unwrap_or_else(|_| LOG.into());
    let color =
        std::env::var_os("NO_COLOR").is_none() && std::io::IsTerminal::is_terminal(&std::io::stderr());
    telemetry::install(format, &filter, color);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(args, connection))
}

async fn serve(args: &DevArgs, connection: &Connection) -> anyhow::Result<()> {
    let dir = args.dir.canonicalize().with_context(|| format!("the folder `{}`", args.dir.display()))?;
    let data = DataFolder::open(connection.data.clone().unwrap_or_else(|| beside(&dir)))?;
    let listener = bind(args).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let bus = open_bus(args, &data, &clock)?;
    for stream in streams::all() {
        bus.ensure_stream(&stream).await?;
    }
    let roles = Roles {
        dir,
        data,
        namespace: connection.namespace.clone().unwrap_or_else(|| "default".into()),
        address: listener.local_addr()?,
        launcher: args.launcher,
        memory: args.memory,
        bus: bus.clone(),
        clock,
    };
    let outcome = roles.run(listener).await;
    bus.close().await;
    outcome
}

/// The `.tiphys` folder beside the folder of manifests.
fn beside(dir: &std::path::Path) -> PathBuf {
    dir.parent().unwrap_or(dir).join(".tiphys")
}

async fn bind(args: &DevArgs) -> anyhow::Result<TcpListener> {
    let address = (args.host.as_str(), args.port);
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => anyhow!(
            "port {} is in use, perhaps by another `tiphys dev`; stop it, or choose another with --port (0 picks one)",
            args.port
        ),
        _ => anyhow!("cannot listen on {}:{}: {error}", args.host, args.port),
    })
}

fn open_bus(args: &DevArgs, data: &DataFolder, clock: &Arc<dyn Clock>) -> anyhow::Result<Arc<dyn Bus>> {
    let options = tiphys_bus::Options { clock: clock.clone(), ..tiphys_bus::Options::default() };
    if args.memory {
        return Ok(tiphys_bus::memory_with(options));
    }
    tiphys_bus::embedded::open(&data.bus(), options).map_err(|error| {
        let code = tiphys_core::Classify::code(&error);
        let help = match error {
            tiphys_bus::BusError::Locked { .. } => "; stop the other one, or use another folder with --data",
            tiphys_bus::BusError::Format { .. } => "; use the newer version, or another folder with --data",
            _ => "",
        };
        anyhow!("{}{help} [{code}]", tiphys_core::chain(&error))
    })
}
