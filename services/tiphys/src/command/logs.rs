//! `logs`: the lines of all steps, each behind the name of its step.

use serde_json::Value;

use super::get::{encode, text};
use super::latest::resolve;
use crate::cli::{Connection, LogsArgs};
use crate::client::Client;
use crate::exit::{Code, Failure};
use crate::output::color::Paint;
use crate::output::tree;

/// `logs`.
pub(super) async fn run(args: &LogsArgs, client: &Client, connection: &Connection) -> Result<(), Failure> {
    let name = resolve(client, &args.name).await?;
    if let Some(node) = &args.node {
        known(client, &name, node).await?;
    }
    let mut path = path(client, &name, args.node.as_deref(), args.follow);
    if let Some(tail) = args.tail {
        path.push_str(&format!("&logOptions.tailLines={tail}"));
    }
    print(client, &path, args.timestamps, Paint::new(connection.color)).await
}

/// Refuses a step that the workflow does not have: no lines would look like a step that said nothing.
async fn known(client: &Client, name: &str, node: &str) -> Result<(), Failure> {
    let workflow = client.get(&format!("/api/v1/workflows/{}/{name}", client.namespace)).await?;
    let mut pods = tree::in_order(&workflow);
    pods.retain(|of| text(of, "/type") == "Pod");
    if pods.is_empty() || pods.iter().any(|pod| means(node, pod)) {
        return Ok(());
    }
    let names: Vec<&str> = pods.iter().map(|pod| text(pod, "/displayName")).collect();
    let names = names.join(", ");
    Err(Failure::new(Code::NotFound, format!("workflow `{name}` has no step `{node}`; it has: {names}")))
}

/// Whether a word names a step: by name, display name or id, or by the pod's name, which ends as the id does.
fn means(word: &str, pod: &Value) -> bool {
    let tail = |of: &str| of.rsplit('-').next().map(str::to_owned);
    ["/id", "/name", "/displayName"].iter().any(|key| text(pod, key) == word)
        || tail(word) == tail(text(pod, "/id"))
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
    let content = printable(text(entry, "/content"));
    format!("{}: {time}{content}", paint.dim(text(entry, "/displayName")))
}

/// A line without what could move the cursor or colour the rest of the terminal.
pub(super) fn printable(line: &str) -> String {
    line.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}
