//! `events tail|list|get` and `replay`.

use reqwest::Method;
use serde_json::{Value, json};
use tiphys_core::Timestamp;

use super::get::{encode, text};
use super::trace;
use crate::cli::{Connection, EventFilter, EventsCommand, Format};
use crate::client::Client;
use crate::exit::{Code, Failure};
use crate::output::color::Paint;
use crate::output::table::Table;
use crate::output::tree::moment;

/// So many characters of an id the server takes for its beginning.
const SHORTEST: usize = 4;

/// Runs one of them.
pub(super) async fn run(
    command: &EventsCommand,
    client: &Client,
    connection: &Connection,
) -> Result<(), Failure> {
    match command {
        EventsCommand::Tail(filter) => tail(filter, client, connection).await,
        EventsCommand::List(filter) => list(filter, client, connection).await,
        EventsCommand::Get { id, trace: false } => {
            let event = client.get(&format!("/api/tiphys/v1/events/{}", named(id, client)?)).await?;
            match connection.output {
                Some(Format::Json) => crate::output::json(&event),
                _ => crate::output::yaml(&event),
            }
        }
        EventsCommand::Get { id, trace: true } => {
            let mut story =
                client.get(&format!("/api/tiphys/v1/events/{}/trace", named(id, client)?)).await?;
            trace::add_logs(&mut story, client).await;
            match connection.output {
                Some(Format::Json) => crate::output::json(&story),
                Some(Format::Yaml) => crate::output::yaml(&story),
                _ => {
                    let paint = Paint::new(connection.color);
                    print!("{}", trace::tell(&story, client, Timestamp::now(), paint));
                    Ok(())
                }
            }
        }
    }
}

/// An id as a part of an address.
fn named(id: &str, client: &Client) -> Result<String, Failure> {
    if id.len() < SHORTEST {
        let told = format!(
            "`{id}` is no id, and too short for the beginning of one; `{}` shows them",
            client.hint("events list")
        );
        return Err(Failure::new(Code::Usage, told));
    }
    Ok(encode(id))
}

fn query(filter: &EventFilter, client: &Client) -> String {
    let mut query = format!("namespace={}&limit={}", encode(&client.namespace), filter.limit);
    if let Some(source) = &filter.source {
        let (source, event) = source.split_once('/').map_or((source.as_str(), None), |(s, e)| (s, Some(e)));
        query.push_str(&format!("&source={}", encode(source)));
        if let Some(event) = event {
            query.push_str(&format!("&event={}", encode(event)));
        }
    }
    query
}

async fn list(filter: &EventFilter, client: &Client, connection: &Connection) -> Result<(), Failure> {
    let answer = client.get(&format!("/api/tiphys/v1/events?{}", query(filter, client))).await?;
    let items: Vec<&Value> = answer.get("items").and_then(Value::as_array).into_iter().flatten().collect();
    if crate::output::data(&answer, connection.output, |item| text(item, "/id").to_owned())? {
        return Ok(());
    }
    let mut table = Table::new(&["ID", "RECEIVED", "SOURCE/EVENT", "BYTES", "VERDICTS"]);
    for item in items {
        table.row([
            text(item, "/id").to_owned(),
            moment(text(item, "/received")),
            format!("{}/{}", text(item, "/source"), text(item, "/event")),
            item.get("bytes").map(ToString::to_string).unwrap_or_default(),
            verdicts(item, Paint::new(connection.color)),
        ]);
    }
    match &filter.source {
        _ if !table.is_empty() => print!("{}", table.render()),
        Some(source) => eprintln!("no events of `{source}` in namespace {}", client.namespace),
        None => eprintln!("no events yet; post one with the curl line that `tiphys dev` printed"),
    }
    Ok(())
}

async fn tail(filter: &EventFilter, client: &Client, connection: &Connection) -> Result<(), Failure> {
    let mut stream =
        client.stream(&format!("/api/tiphys/v1/events/stream?{}", query(filter, client))).await?;
    let paint = Paint::new(connection.color);
    eprintln!("waiting for events; Ctrl-C ends");
    while let Some(item) = stream.next().await {
        if connection.output == Some(Format::Json) {
            println!("{item}");
            continue;
        }
        if text(&item, "/received").is_empty() {
            println!("  {} {}", paint.bold(text(&item, "/id")), verdicts(&item, paint));
            continue;
        }
        println!(
            "{} {} {}/{} {} bytes {}",
            moment(text(&item, "/received")),
            paint.bold(text(&item, "/id")),
            text(&item, "/source"),
            text(&item, "/event"),
            item.get("bytes").map(ToString::to_string).unwrap_or_default(),
            verdicts(&item, paint),
        );
    }
    Ok(())
}

/// `sensor/trigger fired, sensor/other filtered`.
fn verdicts(item: &Value, paint: Paint) -> String {
    let rows = item.get("verdicts").and_then(Value::as_array).into_iter().flatten();
    let shown = rows.map(|row| {
        let outcome = match text(row, "/outcome") {
            "fired" => paint.green("fired"),
            "dead" => paint.red("dead"),
            other => paint.dim(other),
        };
        format!("{}/{} {outcome}", text(row, "/sensor"), text(row, "/trigger"))
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// `replay`.
pub(super) async fn replay(id: &str, client: &Client) -> Result<(), Failure> {
    let answer = client
        .send(Method::POST, &format!("/api/tiphys/v1/events/{}/replay", named(id, client)?), &json!({}))
        .await?;
    let id = text(&answer, "/id");
    println!(
        "event {id} replayed (generation {}); follow it: {}",
        answer.get("replay").map(ToString::to_string).unwrap_or_default(),
        client.hint(&format!("events get {id} --trace"))
    );
    Ok(())
}
