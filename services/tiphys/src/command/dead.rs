//! `dlq list|show|retry`.

use reqwest::Method;
use serde_json::{Value, json};

use super::get::text;
use crate::cli::{Connection, DlqCommand, Format};
use crate::client::Client;
use crate::exit::Failure;
use crate::output::table::Table;
use crate::output::tree::{moment, shorten};

/// Runs one of them.
pub(super) async fn run(
    command: &DlqCommand,
    client: &Client,
    connection: &Connection,
) -> Result<(), Failure> {
    match command {
        DlqCommand::List => {
            let answer = client.get("/api/tiphys/v1/dead-letters").await?;
            let number = |item: &Value| item.get("sequence").map(ToString::to_string).unwrap_or_default();
            if crate::output::data(&answer, connection.output, number)? {
                return Ok(());
            }
            let mut table = Table::new(&["NUMBER", "AT", "STATE", "SENSOR/TRIGGER", "CODE", "REASON"]);
            for item in answer.get("items").and_then(Value::as_array).into_iter().flatten() {
                table.row([
                    number(item),
                    moment(text(item, "/at")),
                    text(item, "/state").to_owned(),
                    format!("{}/{}", text(item, "/sensor"), text(item, "/trigger")),
                    text(item, "/code").to_owned(),
                    shorten(text(item, "/reason"), 100),
                ]);
            }
            if table.is_empty() {
                eprintln!("no dead letters");
            } else {
                print!("{}", table.render());
            }
            Ok(())
        }
        DlqCommand::Show { number } => {
            let letter = client.get(&format!("/api/tiphys/v1/dead-letters/{number}")).await?;
            match connection.output {
                Some(Format::Json) => crate::output::json(&letter),
                _ => crate::output::yaml(&letter),
            }
        }
        DlqCommand::Retry { number } => {
            let path = format!("/api/tiphys/v1/dead-letters/{number}/retry");
            client.send(Method::POST, &path, &json!({})).await?;
            println!("dead letter {number} is fired again");
            Ok(())
        }
    }
}
