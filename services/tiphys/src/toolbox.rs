//! Small tools for steps, so that a workflow needs nothing installed but `sh`. Data goes to standard output.

mod aws;
mod findings;
mod hmac;
mod http;
mod json;
mod mask;
mod pod;
mod rows;
mod runner;
mod serve;
mod sign;

use std::io::Read as _;
use std::path::Path;

use clap::Subcommand;

use crate::exit::{Code, Failure};

/// The tools.
#[derive(Debug, Subcommand)]
pub(crate) enum Tool {
    /// Make an HTTP request
    Http(http::Args),
    /// Read a value from JSON by a gjson path
    Json(json::Args),
    /// Serve a folder on loopback, for fixtures
    Serve(serve::Args),
    /// Turn what a scanner printed into findings, with every secret masked
    #[command(subcommand)]
    Findings(findings::Findings),
    /// Put JSON rows into PostgreSQL (DATABASE_URL) or SQLite, each once
    Rows(rows::Args),
    /// Collect assets from an AWS-compatible API
    AwsInventory(aws::Args),
    /// Write the runner for containers into a file, for an image that holds it
    Runner(runner::Args),
    /// Print the HMAC-SHA256 of a file, as webhooks are signed
    Hmac(hmac::Args),
    /// Delete the pod that an alert of Falco names, if it is the one that raised it
    DeletePod(pod::Args),
}

/// Runs a tool.
pub(crate) async fn run(tool: Tool) -> Result<(), Failure> {
    match tool {
        Tool::Http(args) => http::run(&args).await,
        Tool::Json(args) => json::run(&args),
        Tool::Serve(args) => serve::run(&args).await,
        Tool::Findings(args) => findings::run(&args),
        Tool::Rows(args) => rows::run(&args).await,
        Tool::AwsInventory(args) => aws::run(&args).await,
        Tool::Runner(args) => runner::run(&args),
        Tool::Hmac(args) => hmac::run(&args),
        Tool::DeletePod(args) => pod::run(&args).await,
    }
}

/// A file, or standard input for `-`, whole.
fn read(file: &str) -> Result<Vec<u8>, Failure> {
    let mut content = Vec::new();
    let outcome = if file == "-" {
        std::io::stdin().read_to_end(&mut content).map(|_| content)
    } else {
        std::fs::read(Path::new(file))
    };
    outcome.map_err(|error| Failure::new(Code::NotFound, format!("{file}: {error}")))
}

fn failed(message: impl Into<String>) -> Failure {
    Failure::new(Code::Failed, message)
}
