//! The words of the command line. Argo's verbs and kubectl's flags, where they have them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Event-driven security automation: events in, workflows out, nothing lost, every decision explained.
#[derive(Debug, Parser)]
#[command(name = "tiphys", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How the server is found.
#[derive(Debug, Clone, Args)]
pub(crate) struct Connection {
    /// Data folder of a server on this machine (else $TIPHYS_DATA, else a `.tiphys` folder here or above)
    #[arg(long, global = true, value_name = "DIR", env = "TIPHYS_DATA")]
    pub(crate) data: Option<PathBuf>,
    /// Address of the server, such as http://127.0.0.1:2746 (else $TIPHYS_SERVER; the token is $TIPHYS_TOKEN)
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// Namespace
    #[arg(short, long, global = true, value_name = "NS")]
    pub(crate) namespace: Option<String>,
    /// Output format of lists and objects
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
    /// When to use colour
    #[arg(long, global = true, value_enum, default_value = "auto", value_name = "WHEN")]
    pub(crate) color: ColorWhen,
    /// Why, for the audit record of a change
    #[arg(long, global = true, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

/// How lists and objects are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Wide,
    Json,
    Yaml,
    Name,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorWhen {
    Auto,
    Always,
    Never,
}

/// How log lines of a server look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// Where steps may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LauncherChoice {
    /// On the host only where a manifest opts in by the annotation `tiphys.dev/launcher: process`
    Auto,
    /// Everything on the host
    Process,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything in one process on the manifests of a folder
    Dev(DevArgs),
    /// Check manifests
    Lint(LintArgs),
    /// Give manifests to the server
    Apply(ApplyArgs),
    /// Show one object, or all of a kind
    Get(GetArgs),
    /// List workflows
    List(ListArgs),
    /// Submit a workflow
    Submit(SubmitArgs),
    /// Show the logs of a workflow
    Logs(LogsArgs),
    /// Watch a workflow until it ends
    Watch(NameArgs),
    /// Wait until workflows end
    Wait(WaitArgs),
    /// Suspend a workflow
    Suspend(NameArgs),
    /// Resume a suspended workflow
    Resume(ResumeArgs),
    /// Stop a workflow; exit handlers run
    Stop(StopArgs),
    /// Terminate a workflow at once; exit handlers do not run
    Terminate(NameArgs),
    /// Run again what failed in a workflow
    Retry(RetryArgs),
    /// Submit a workflow once more
    Resubmit(ResubmitArgs),
    /// Delete objects
    Delete(DeleteArgs),
    /// Events: tail, list, get
    #[command(subcommand)]
    Events(EventsCommand),
    /// Send a stored event through the sensors once more
    Replay {
        /// Id of the event, or the beginning of one
        id: String,
    },
    /// CronWorkflows: list, next, run
    #[command(subcommand)]
    Cron(CronCommand),
    /// Dead letters: list, show, retry
    #[command(subcommand)]
    Dlq(DlqCommand),
    /// Triggers: pause, resume
    #[command(subcommand)]
    Trigger(TriggerCommand),
    /// How the server is, and what became of the events of each trigger
    Status,
    /// Explain an error code, such as TIP-MAN-001
    Explain {
        /// The code
        code: String,
    },
    /// Print a completion script for a shell
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Small tools that steps use, so that they need nothing installed
    #[command(subcommand)]
    Tool(crate::toolbox::Tool),
    /// Run one step (used by the process launcher)
    #[command(hide = true)]
    Runner {
        /// Folder of the step
        dir: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// Folder of manifests
    #[arg(default_value = ".")]
    pub(crate) dir: PathBuf,
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
    /// Where steps may run
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) launcher: LauncherChoice,
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
    /// Workflow; `@latest` is the newest
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
        /// Id, or the beginning of one
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

/// `90`, `30s`, `5m`, `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number: u64 = number.parse().map_err(|_| format!("`{text}` is no duration, such as 30s or 5m"))?;
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(format!("`{unit}` is no unit of time; use s, m or h")),
    };
    Ok(Duration::from_secs(number.saturating_mul(seconds)))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
