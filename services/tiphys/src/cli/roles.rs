//! What each service takes.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{CatalogArgs, LaunchArgs, LogFormat, TriggerCommand};

/// One service as a process of its own, on a NATS server with JetStream.
///
/// Who it is to the server stands in the environment: NATS_USER and NATS_PASSWORD, NATS_TOKEN, NATS_NKEY (a seed) or
/// NATS_CREDS (a file); NATS_CA is a file of certificates to trust, NATS_CERT and NATS_KEY are files of our own.
/// With --namespace the installation's streams are those of this namespace alone, with limits of their own.
#[derive(Debug, Args)]
pub(crate) struct RoleArgs {
    /// Folder of manifests, unless they are objects of a cluster (--catalog)
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub(crate) manifests: PathBuf,
    /// Addresses of NATS servers, joined by commas; if absent that of the EventBus `default`, else
    /// nats://127.0.0.1:4222
    #[arg(long, env = "NATS_URL", value_name = "URL", hide_env_values = true)]
    pub(crate) nats: Option<String>,
    /// Addresses of the servers' monitoring, joined by commas: it alone tells whether they sync what they store
    #[arg(long = "nats-monitor", env = "NATS_MONITOR", value_delimiter = ',', value_name = "URL")]
    pub(crate) monitors: Vec<String>,
    /// Name of this installation, with which its streams begin; one NATS serves many
    #[arg(long, default_value = "tiphys")]
    pub(crate) prefix: String,
    /// On so many servers each message is stored, 1, 3 or 5; if absent as the EventBus says, else 1
    #[arg(long)]
    pub(crate) replicas: Option<usize>,
    /// Address of probes and metrics; port 0 picks one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "HOST:PORT")]
    pub(crate) admin: SocketAddr,
    /// Where the webhooks (eventsource) or the API (server) listen
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) host: String,
    /// Their port; 0 picks one
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    /// Address of the event source's webhooks, which the API's port passes on and steps may call; found in the data
    /// folder if absent
    #[arg(long, value_name = "URL")]
    pub(crate) webhooks: Option<String>,
    /// Address under which others reach the API (server), or steps do (executor); found in the data folder if absent
    #[arg(long, value_name = "URL")]
    pub(crate) api: Option<String>,
    #[command(flatten)]
    pub(crate) objects: CatalogArgs,
    #[command(flatten)]
    pub(crate) launch: LaunchArgs,
    /// Artifact stores that name no Secret are opened with this machine's own identity (executor, server): whoever writes
    /// workflows may then do there what it may
    #[arg(long)]
    pub(crate) artifact_identity: bool,
    /// Answer webhooks only when the bus has the event (eventsource)
    #[arg(long)]
    pub(crate) no_spool: bool,
    /// How log lines look
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) log_format: LogFormat,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct TriggerArgs {
    #[command(subcommand)]
    pub(crate) command: Option<TriggerCommand>,
    #[command(flatten)]
    pub(crate) role: RoleArgs,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct BusArgs {
    #[command(subcommand)]
    pub(crate) command: Option<BusCommand>,
    #[command(flatten)]
    pub(crate) role: RoleArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BusCommand {
    /// Print a user for each service, with what it may do, as NATS servers read it
    Permissions {
        /// Name of the installation
        #[arg(long, default_value = "tiphys")]
        prefix: String,
    },
}
