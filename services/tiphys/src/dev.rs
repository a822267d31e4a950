//! `tiphys dev DIR`: the production wiring with every role in one process and the embedded adapters.
//!
//! The order matters. The port is bound before any work. Consumers exist before the first webhook is answered,
//! so that an event right after the start finds its sensor. Stopping goes with the data: sources first, then
//! sensors, triggers, the executor, the API, the bus. Steps go on; the next start takes them up.

mod banner;

mod roles;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use tiphys_bus::{Bus, streams};
use tiphys_core::{Clock, SystemClock};
use tiphys_kit::telemetry;
use tokio::net::TcpListener;

use crate::cli::{Connection, DevArgs, LogFormat};
use crate::data::DataFolder;
use crate::exit::{Code, Failure};
use roles::Roles;

/// Of the storage below the bus, and of clients, only what is wrong is logged, unless `TIPHYS_LOG` names it.
/// What goes wrong with a request to a cluster, whoever asked tells with its reason.
const QUIET: &str =
    "fjall=warn,lsm_tree=warn,async_nats=warn,aws_config=error,aws_smithy_runtime=warn,kube_client=off";

/// Runs until a signal.
pub(crate) fn run(args: &DevArgs, connection: &Connection) -> Result<(), Failure> {
    log(args.log_format);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(args, connection))
}

/// Logs in this form, filtered by `TIPHYS_LOG`.
pub(crate) fn log(format: LogFormat) {
    let format = match format {
        LogFormat::Text => telemetry::LogFormat::Text,
        LogFormat::Json => telemetry::LogFormat::Json,
    };
    let filter = std::env::var("TIPHYS_LOG").unwrap_or_else(|_| "info".into());
    let color =
        std::env::var_os("NO_COLOR").is_none() && std::io::IsTerminal::is_terminal(&std::io::stderr());
    telemetry::install(format, QUIET, &filter, color);
}

async fn serve(args: &DevArgs, connection: &Connection) -> Result<(), Failure> {
    let of_cluster = args.objects.of_cluster();
    if let (Some(dir), true) = (&args.dir, of_cluster) {
        let told = format!(
            "with --catalog kubernetes manifests are objects of the cluster, and the folder `{}` would not be read; leave \
             it out, or leave out --catalog",
            dir.display()
        );
        return Err(Failure::new(Code::Usage, told));
    }
    args.launch.check()?;
    let dir = folder(args.dir.as_deref().unwrap_or(Path::new(".")))?;
    let data = DataFolder::open(connection.data.clone().unwrap_or_else(|| data_folder(&dir, of_cluster)))?;
    let listener = bind(args).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    tiphys_kit::trace::install("dev", &crate::role::instance()?, |name| std::env::var(name).ok());
    let bus = open_bus(args, &data, &clock)?;
    for stream in streams::all() {
        bus.ensure_stream(&stream).await.context("the streams")?;
    }
    let roles = Roles {
        dir,
        data,
        only: connection.namespace.clone(),
        namespace: connection.namespace.clone().unwrap_or_else(|| "default".into()),
        address: listener.local_addr()?,
        launch: args.launch.clone(),
        objects: args.objects.of_cluster().then_some(args.objects.argo_too),
        artifact_identity: args.artifact_identity,
        memory: args.memory,
        bus: bus.clone(),
        clock,
    };
    let outcome = roles.run(listener).await;
    bus.close().await;
    tiphys_kit::trace::flush().await;
    Ok(outcome?)
}

/// The folder of manifests, before anything is made for it.
fn folder(given: &Path) -> Result<PathBuf, Failure> {
    let help = "give the folder that holds your manifests, as in `tiphys dev examples`";
    let problem = |code, what: String| Failure::new(code, format!("`{}` {what}; {help}", given.display()));
    match given.canonicalize() {
        Ok(dir) if dir.is_dir() => Ok(dir),
        Ok(_) => Err(problem(Code::Usage, "is no folder".into())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(problem(Code::NotFound, "does not exist".into()))
        }
        Err(error) => Err(problem(Code::Failed, format!("cannot be read: {error}"))),
    }
}

/// The usual data folder: `.tiphys` beside the folder of manifests, however that is spelled; where manifests are objects of a
/// cluster, in the current folder.
pub(crate) fn data_folder(manifests: &Path, of_cluster: bool) -> PathBuf {
    if of_cluster {
        return ".tiphys".into();
    }
    let whole = manifests.canonicalize().unwrap_or_else(|_| manifests.to_owned());
    whole.parent().unwrap_or(&whole).join(".tiphys")
}

async fn bind(args: &DevArgs) -> Result<TcpListener, Failure> {
    let address = (args.host.as_str(), args.port);
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => Failure::new(
            Code::Conflict,
            format!(
                "port {} is in use, perhaps by another `tiphys dev`; stop it, or choose another with --port (0 picks one)",
                args.port
            ),
        ),
        _ => Failure::new(
            Code::Failed,
            format!("cannot listen on {}:{}: {error}; is --host an address of this machine?", args.host, args.port),
        ),
    })
}

fn open_bus(args: &DevArgs, data: &DataFolder, clock: &Arc<dyn Clock>) -> Result<Arc<dyn Bus>, Failure> {
    let options = tiphys_bus::Options { clock: clock.clone(), ..tiphys_bus::Options::default() };
    if args.memory {
        return Ok(tiphys_bus::memory_with(options));
    }
    tiphys_bus::embedded::open(&data.bus(), options).map_err(|error| {
        let code = tiphys_core::Classify::code(&error);
        let (exit, help) = match error {
            tiphys_bus::BusError::Locked { .. } => {
                (Code::Conflict, "; stop the other one, or use another folder with --data")
            }
            tiphys_bus::BusError::Format { .. } => {
                (Code::Conflict, "; use the newer version, or another folder with --data")
            }
            _ => (Code::Failed, ""),
        };
        Failure::new(exit, format!("{}{help} [{code}]", tiphys_core::chain(&error)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_folder_lies_beside_the_manifests_however_they_are_spelled() {
        let place = std::env::temp_dir().join(format!("tiphys-beside-{}", std::process::id()));
        let manifests = place.join("manifests");
        std::fs::create_dir_all(manifests.join("within")).unwrap();
        let here = place.canonicalize().unwrap().join(".tiphys");
        for spelling in
            ["manifests", "manifests/", "manifests/.", "manifests/within/..", "./manifests/../manifests"]
        {
            assert_eq!(data_folder(&place.join(spelling), false), here, "{spelling}");
        }
        let current = std::env::current_dir().unwrap();
        assert_eq!(data_folder(Path::new("."), false), current.parent().unwrap().join(".tiphys"));
        assert_eq!(data_folder(Path::new("/"), false), Path::new("/.tiphys"));
        assert_eq!(data_folder(&manifests, true), Path::new(".tiphys"));
        std::fs::remove_dir_all(place).unwrap();
    }
}
