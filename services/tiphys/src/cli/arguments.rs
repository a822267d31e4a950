//! What each command takes.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{CatalogArgs, LaunchArgs, LogFormat};

#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// Folder of manifests; if absent the current one, unless they are objects of a cluster (--catalog)
    pub(crate) dir: Option<PathBuf>,
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) host: String,
    /// Port of API, webhooks and probes; 0 picks one
    #[arg(long, default_value_t = 2746)]
    pub(crate) port: u16,
    /// Keep nothing on disk but logs and steps
    #[arg(long)]
    pub(crate) memory: bool,
    /// How log lines look
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) log_format: LogFormat,
    #[command(flatten)]
    pub(crate) objects: CatalogArgs,
    #[command(flatten)]
    pub(crate) launch: LaunchArgs,
    /// Artifact stores that name no Secret are opened with your own identity on this machine
    #[arg(long)]
    pub(crate) artifact_identity: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LintArgs {
    /// Files and folders; `-` is standard input
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// Warnings are errors
    #[arg(long)]
    pub(crate) strict: bool,
    /// One line per finding
    #[arg(long)]
    pub(crate) short: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// Files and folders; `-` is standard input
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    pub(crate) filename: Vec<PathBuf>,
    /// See --filename
    pub(crate) paths: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// A workflow's name; or a kind (sensor, es, wf, wftmpl, cwf, secret …), KIND/NAME, or KIND NAME
    pub(crate) what: String,
    /// Name, where the first word is a kind
    pub(crate) name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Kind; workflows if absent
    pub(crate) kind: Option<String>,
    /// Only these phases, comma-separated
    #[arg(long, value_delimiter = ',')]
    pub(crate) status: Vec<String>,
    /// Only with these labels, such as events.argoproj.io/sensor=x
    #[arg(short = 'l', long = "selector")]
    pub(crate) selector: Option<String>,
    /// All namespaces
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SubmitArgs {
    /// Files; `-` is standard input
    pub(crate) files: Vec<PathBuf>,
    /// Submit from an object that exists: workflowtemplate/NAME, clusterworkflowtemplate/NAME, cronwf/NAME
    #[arg(long, value_name = "KIND/NAME")]
    pub(crate) from: Option<String>,
    /// Parameter, name=value
    #[arg(short, long = "parameter", value_name = "NAME=VALUE")]
    pub(crate) parameters: Vec<String>,
    /// File of parameters, YAML or JSON
    #[arg(short = 'f', long, value_name = "FILE")]
    pub(crate) parameter_file: Option<PathBuf>,
    /// Name of the workflow
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Prefix of the name of the workflow
    #[arg(long)]
    pub(crate) generate_name: Option<String>,
    /// Entrypoint
    #[arg(long)]
    pub(crate) entrypoint: Option<String>,
    /// Service account
    #[arg(long, visible_alias = "serviceaccount")]
    pub(crate) service_account: Option<String>,
    /// Labels, name=value, comma-separated
    #[arg(short, long, value_delimiter = ',')]
    pub(crate) labels: Vec<String>,
    /// Draw the workflow until it ends
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// Wait until it ends
    #[arg(long)]
    pub(crate) wait: bool,
    /// Print its logs until it ends
    #[arg(long)]
    pub(crate) log: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Workflow; `@latest` is the newest, after a moment's wait for what the newest event starts
    pub(crate) name: String,
    /// Only this node: id, name, display name or pod name
    pub(crate) node: Option<String>,
    /// Go on until the workflow ends
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only the last lines of each node
    #[arg(long)]
    pub(crate) tail: Option<usize>,
    /// Print the time of each line
    #[arg(long)]
    pub(crate) timestamps: bool,
}

#[derive(Debug, Args)]
pub(crate) struct NameArgs {
    /// Workflow; `@latest` is the newest
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Workflows; `@latest` is the newest
    #[arg(required = true)]
    pub(crate) names: Vec<String>,
    /// Give up after so long, such as 30s or 5m
    #[arg(long, value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// Workflow
    pub(crate) name: String,
    /// Only these nodes, such as displayName=approve
    #[arg(long, default_value = "")]
    pub(crate) node_field_selector: String,
}

#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    /// Workflow
    pub(crate) name: String,
    /// Shown on the workflow
    #[arg(long, default_value = "")]
    pub(crate) message: String,
}

#[derive(Debug, Args)]
pub(crate) struct RetryArgs {
    /// Workflow
    pub(crate) name: String,
    /// Also nodes that succeeded and match --node-field-selector
    #[arg(long)]
    pub(crate) restart_successful: bool,
    /// Which nodes
    #[arg(long, default_value = "")]
    pub(crate) node_field_selector: String,
}

#[derive(Debug, Args)]
pub(crate) struct ResubmitArgs {
    /// Workflow
    pub(crate) name: String,
    /// Parameter, name=value
    #[arg(short, long = "parameter", value_name = "NAME=VALUE")]
    pub(crate) parameters: Vec<String>,
    /// Draw the workflow until it ends
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// Wait until it ends
    #[arg(long)]
    pub(crate) wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// Workflows, or KIND/NAME of other objects
    pub(crate) names: Vec<String>,
    /// Objects named in these files
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    pub(crate) filename: Vec<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EventsCommand {
    /// Print events as they are stored
    Tail(EventFilter),
    /// List the newest events
    List(EventFilter),
    /// Show one event
    Get {
        /// Id, or the beginning of one: at least four characters
        id: String,
        /// Tell its whole story
        #[arg(long)]
        trace: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct EventFilter {
    /// SOURCE or SOURCE/EVENT
    pub(crate) source: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 50)]
    pub(crate) limit: usize,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CronCommand {
    /// List CronWorkflows with their next time
    List,
    /// Show the next times of one
    Next {
        /// CronWorkflow
        name: String,
        /// How many
        #[arg(short = 'c', long, default_value_t = 5)]
        count: usize,
    },
    /// Run one now
    Run {
        /// CronWorkflow
        name: String,
        /// Draw the workflow until it ends
        #[arg(short, long)]
        watch: bool,
        /// Wait until it ends
        #[arg(long)]
        wait: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DlqCommand {
    /// List dead letters
    List,
    /// Show one
    Show {
        /// Its number
        number: u64,
    },
    /// Fire it again
    Retry {
        /// Its number
        number: u64,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TriggerCommand {
    /// Hold the firings of a trigger; they wait, none is lost
    Pause {
        /// SENSOR/TRIGGER
        trigger: String,
    },
    /// Let them go
    Resume {
        /// SENSOR/TRIGGER
        trigger: String,
    },
}

/// Go's form, or a bare number of seconds.
fn duration(text: &str) -> Result<Duration, String> {
    tiphys_executor::time::duration(text)
}
