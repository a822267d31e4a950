//! `status`: parts, findings, and the eight buckets of each trigger and dependency.

use std::collections::BTreeSet;

use serde_json::Value;

use super::get::text;
use crate::cli::{Connection, Format};
use crate::client::Client;
use crate::exit::Failure;
use crate::output::color::Paint;
use crate::output::table::Table;

/// The buckets, in the order of the sum rule.
const BUCKETS: [&str; 8] =
    ["accepted", "fired", "filtered", "superseded", "reset", "suppressed", "deadLettered", "inFlight"];

/// Prints it.
pub(super) async fn run(client: &Client, connection: &Connection) -> Result<(), Failure> {
    let status = client.get("/api/tiphys/v1/status").await?;
    match connection.output {
        Some(Format::Json) => return crate::output::json(&status),
        Some(Format::Yaml) => return crate::output::yaml(&status),
        Some(Format::Name) => {
            let rows = status.get("triggers").and_then(Value::as_array).into_iter().flatten();
            // One row is there for each dependency of a trigger.
            let names: BTreeSet<_> = rows.map(|row| (text(row, "/sensor"), text(row, "/trigger"))).collect();
            names.iter().for_each(|(sensor, trigger)| println!("trigger/{sensor}/{trigger}"));
            return Ok(());
        }
        _ => {}
    }
    let paint = Paint::new(connection.color);
    println!("Version:   {}", text(&status, "/version"));
    let position = status.get("position").map(ToString::to_string).unwrap_or_default();
    println!("Counted:   up to message {position} of the stream EVENTS");
    for (part, why) in status.get("parts").and_then(Value::as_object).into_iter().flatten() {
        match why.as_str() {
            None => println!("{} {part}", paint.green("✔")),
            Some(why) => println!("{} {part}: {why}", paint.red("✖")),
        }
    }
    let mut table = Table::new(&[
        "SENSOR/TRIGGER",
        "DEPENDENCY",
        "ACCEPTED",
        "FIRED",
        "FILTERED",
        "SUPERSEDED",
        "RESET",
        "SUPPRESSED",
        "DEAD",
        "IN FLIGHT",
        "",
    ]);
    for row in status.get("triggers").and_then(Value::as_array).into_iter().flatten() {
        let mut cells = vec![
            format!("{}/{}", text(row, "/sensor"), text(row, "/trigger")),
            text(row, "/dependency").to_owned(),
        ];
        cells.extend(
            BUCKETS.iter().map(|bucket| row.get(bucket).map(ToString::to_string).unwrap_or_default()),
        );
        let paused = row.get("paused").and_then(Value::as_bool).unwrap_or_default();
        cells.push(if paused { paint.yellow("paused") } else { String::new() });
        table.row(cells);
    }
    if !table.is_empty() {
        print!("\n{}", table.render());
    }
    for finding in status.get("diagnostics").and_then(Value::as_array).into_iter().flatten() {
        if let Ok(finding) = serde_json::from_value::<tiphys_manifest::Diagnostic>(finding.clone()) {
            println!("{}", tiphys_manifest::diagnostic::short(&finding));
        }
    }
    Ok(())
}
