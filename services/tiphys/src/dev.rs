//! `tiphys dev DIR`: the production wiring with every role in one process and the embedded adapters.
//!
//! The order matters. Ports are bound before any work. Consumers exist before the first webhook is answered,
//! so that an event right after the start finds its sensor. Stopping goes with the data: sources first, then
//! sensors, triggers, the executor, the API, the bus.

mod banner;
mod data;
mod http;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tiphys_bus::{Bus, streams};
use tiphys_catalog::Catalog;
use tiphys_core::{Clock, SystemClock};
use tiphys_executor::launcher::process::{Policy, ProcessConfig, ProcessLauncher};
use tiphys_kit::{CancellationToken, Group, Health};
use tokio::net::TcpListener;
use tracing::info;

use crate::cli::{Connection, DevArgs, LauncherChoice, LogFormat};
use crate::client::ServerFile;
use data::DataFolder;

/// How long each stage may take to drain.
const GRACE: Duration = Duration::from_secs(15);
/// How long the roles may take until they are ready.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Runs until a signal.
pub(crate) fn run(args: DevArgs, connection: &Connection) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(args, connection))
}

async fn serve(args: DevArgs, connection: &Connection) -> anyhow::Result<()> {
    install_logs(args.log_format);
    let metrics = tiphys_kit::metric::install().context("metrics")?;
    let dir = args.dir.canonicalize().with_context(|| format!("`{}`", args.dir.display()))?;
    let data = DataFolder::open(connection.data.clone().unwrap_or_else(|| beside(&dir)))?;
    let listener = bind(&args).await?;
    let address = listener.local_addr()?;
    let base = format!("http://{address}");
    let namespace = connection.namespace.clone().unwrap_or_else(|| "default".into());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let health = Health::default();
    let stop = CancellationToken::new();
    let stages = Stages::new();

    let bus = open_bus(&args, &data, &clock)?;
    for stream in streams::all() {
        bus.ensure_stream(&stream).await?;
    }
    let catalog = Catalog::new();
    let mut background = Group::new(stages.last.clone());
    feed(&mut background, &catalog, &bus, &dir, &namespace, &health).await?;
    let launcher = Arc::new(ProcessLauncher::open(ProcessConfig {
        root: data.steps(),
        policy: match args.launcher {
            LauncherChoice::Auto => Policy::Annotated,
            LauncherChoice::Process => Policy::Everything,
        },
        runner: vec![std::env::current_exe()?.into(), "runner".into()],
        ..data.step_environment(&base)?
    })?);
