//! The words of the command line. Argo's verbs and kubectl's flags, where they have them.

mod arguments;
mod launch;
mod roles;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use arguments::*;
pub(crate) use launch::{CatalogArgs, LaunchArgs, LauncherChoice, Reach};
pub(crate) use roles::*;

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
    /// Triggers: pause, resume; without a word, run the trigger service
    Trigger(TriggerArgs),
    /// Run the bus service, which makes the streams and watches over the server; or print users for that
    Bus(BusArgs),
    /// Run the event sources
    Eventsource(RoleArgs),
    /// Run the sensors
    Sensor(RoleArgs),
    /// Run the executor of workflows
    Executor(RoleArgs),
    /// Run the API
    Server(RoleArgs),
    /// How the server is, and what became of the events of each trigger
    Status,
    /// Print the definitions of the kinds, for a cluster that has not Argo's
    Crds {
        /// Only this one, such as workflows
        plural: Option<String>,
    },
    /// Explain an error code, such as TIP-MAN-001 or TIP-BUS-002
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

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};
    use serde_json::Value;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn the_compose_file_says_what_the_command_line_takes() {
        let text = include_str!("../../../docker-compose.yml");
        let compose: Value = serde_saphyr::from_str(text).unwrap();
        for role in ["bus", "eventsource", "sensor", "trigger", "executor", "server"] {
            let command = compose["services"][role]["command"].as_array().unwrap();
            assert_eq!(command[0], role);
            let words = ["tiphys"].into_iter().chain(command.iter().filter_map(Value::as_str));
            super::Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{role}: {error}"));
        }
    }
}
