//! `logs`: the lines of all steps, each behind the name of its step.

use serde_json::Value;

use super::get::{encode, resolve, text};
use crate::cli::{Connection, LogsArgs};
use crate::client::Client;
use crate::exit::Failure;
use crate::output::color::Paint;

/// `logs`.
pub(super) async fn run(args: &LogsArgs, client: &Client, connection: &Connection) -> Result<(), Failure> {
    let name = resolve(client, &args.name).await?;
    let mut path = path(client, &name, args.node.as_deref(), args.follow);
    if let Some(tail) = args.tail {
        path.push_str(&format!("&logOptions.tailLines={tail}"));
    }
    print(client, &path, args.timestamps, Paint::new(connection.color)).await
}

/// Follows all logs of a workflow until it ends.
pub(super) async fn follow(client: &Client, name: &str, paint: Paint) -> Result<(), Failure> {
    print(client, &path(client, name, None, true), false, paint).await
}

/// The last lines of one node.
pub(super) async fn of_node(
    client: &Client,
    name: &str,
    node: &str,
    tail: Option<usize>,
) -> Result<Vec<String>, Failure> {
    let mut path = path(client, name, Some(node), false);
    if let Some(tail) = tail {
        path.push_str(&format!("&logOptions.tailLines={tail}"));
    }
    let mut stream = client.stream(&path).await?;
    let mut lines = Vec::new();
    while let Some(entry) = stream.next().await {
        lines.push(text(&entry, "/content").to_owned());
    }
    Ok(lines)
}

fn path(client: &Client, name: &str, node: Option<&str>, follow: bool) -> String {
    let node = encode(node.unwrap_or_default());
    format!(
        "/api/v1/workflows/{}/{name}/log?logOptions.container=main&logOptions.follow={follow}&podName={node}",
        client.namespace
    )
}

async fn print(client: &Client, path: &str, times: bool, paint: Paint) -> Result<(), Failure> {
    let mut stream = client.stream(path).await?;
    while let Some(entry) = stream.next().await {
        println!("{}", line(&entry, times, paint));
    }
    Ok(())
}

fn line(entry: &Value, times: bool, paint: Paint) -> String {
    let time = if times { format!("{} ", text(entry, "/time")) } else { String::new() };
    // What could move the cursor or colour the rest of the terminal is not passed on.
    let content: String = text(entry, "/content")
        .chars()
        .map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c })
        .collect();
    format!("{}: {time}{content}", paint.dim(text(entry, "/displayName")))
}
