//! `cron list|next|run`.

use reqwest::Method;
use serde_json::{Value, json};

use super::get::text;
use super::submit;
use crate::cli::{Connection, CronCommand, Format};
use crate::client::Client;
use crate::exit::Failure;
use crate::output::table::Table;

/// Runs one of them.
pub(super) async fn run(
    command: &CronCommand,
    client: &Client,
    connection: &Connection,
) -> Result<(), Failure> {
    let namespace = &client.namespace;
    match command {
        CronCommand::List => {
            let answer = client.get(&format!("/api/tiphys/v1/cron?namespace={namespace}")).await?;
            if crate::output::data(&answer, connection.output, |item| text(item, "/name").to_owned())? {
                return Ok(());
            }
            let mut table = Table::new(&["NAME", "SCHEDULE", "TIMEZONE", "SUSPENDED", "LAST", "NEXT"]);
            for item in answer.get("items").and_then(Value::as_array).into_iter().flatten() {
                let suspended = item.get("suspended").and_then(Value::as_bool).unwrap_or_default();
                table.row([
                    text(item, "/name").to_owned(),
                    text(item, "/schedule").to_owned(),
                    text(item, "/timezone").to_owned(),
                    suspended.to_string(),
                    text(item, "/last").to_owned(),
                    text(item, "/next").to_owned(),
                ]);
            }
            if table.is_empty() {
                eprintln!("no CronWorkflow in namespace {namespace}");
            } else {
                print!("{}", table.render());
            }
            Ok(())
        }
        CronCommand::Next { name, count } => {
            let answer =
                client.get(&format!("/api/tiphys/v1/cron/{namespace}/{name}/next?count={count}")).await?;
            match connection.output {
                Some(Format::Json) => return crate::output::json(&answer),
                Some(Format::Yaml) => return crate::output::yaml(&answer),
                _ => {}
            }
            for time in answer.get("times").and_then(Value::as_array).into_iter().flatten() {
                println!("{}", time.as_str().unwrap_or_default());
            }
            Ok(())
        }
        CronCommand::Run { name, watch, wait } => {
            let path = format!("/api/tiphys/v1/cron/{namespace}/{name}/run");
            let workflow = client.send(Method::POST, &path, &json!({})).await?;
            submit::started(workflow, client, connection, (*watch, *wait)).await
        }
    }
}
