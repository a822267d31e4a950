//! Watching workflows until they end. On a terminal the tree is redrawn in place; elsewhere one line per change.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use serde_json::Value;
use tiphys_core::Timestamp;

use super::get::{encode, text};
use super::latest::resolve;
use crate::cli::{Connection, WaitArgs};
use crate::client::{Client, Lines};
use crate::exit::{Code, Failure};
use crate::output::color::Paint;
use crate::output::tree;

/// Lines of a failed step that are printed without being asked for.
const TAIL: usize = 20;
/// A server that went away while a workflow was watched may take so long to come back.
const PATIENCE: Duration = Duration::from_secs(60);

/// `watch`: draws until the end; the exit code is the workflow's.
pub(super) async fn watch(name: &str, client: &Client, connection: &Connection) -> Result<(), Failure> {
    let name = resolve(client, name).await?;
    let paint = Paint::new(connection.color);
    let mut screen = Screen { lines: 0, terminal: std::io::stdout().is_terminal(), phases: BTreeMap::new() };
    let last = follow(client, &name, |workflow| screen.show(workflow, paint)).await?;
    if !screen.terminal {
        print!("{}", tree::draw(&last, Timestamp::now(), paint));
    }
    finish(client, &last, paint).await
}

/// `wait`: says nothing until the end.
pub(super) async fn wait(args: &WaitArgs, client: &Client) -> Result<(), Failure> {
    let all = async {
        let mut failed = false;
        for name in &args.names {
            let name = resolve(client, name).await?;
            let last = follow(client, &name, |_| {}).await?;
            let phase = text(&last, "/status/phase");
            println!("{name} {phase}");
            failed |= phase != "Succeeded";
        }
        if failed { Err(Failure::silent(Code::Failed)) } else { Ok(()) }
    };
    match args.timeout {
        None => all.await,
        Some(limit) => tokio::time::timeout(limit, all)
            .await
            .unwrap_or_else(|_| Err(Failure::new(Code::TimedOut, format!("not ended within {limit:?}")))),
    }
}

/// Waits for the end of one workflow, quietly; prints what failed.
pub(super) async fn wait_one(client: &Client, name: &str, connection: &Connection) -> Result<(), Failure> {
    let last = follow(client, name, |_| {}).await?;
    println!("{name} {}", text(&last, "/status/phase"));
    finish(client, &last, Paint::new(connection.color)).await
}

/// Calls `seen` with each state of a workflow until it has ended; gives the last.
pub(super) async fn follow(
    client: &Client,
    name: &str,
    mut seen: impl FnMut(&Value),
) -> Result<Value, Failure> {
    let namespace = &client.namespace;
    let path = format!("/api/v1/workflows/{namespace}/{name}");
    let selector = encode(&format!("metadata.name={name}"));
    let events = format!("/api/v1/workflow-events/{namespace}?listOptions.fieldSelector={selector}");
    let mut away = None;
    loop {
        let (mut stream, now) = match look(client, &events, &path).await {
            Ok(found) => found,
            Err(failure) if failure.code == Code::Unreachable && patient(away) => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
            Err(failure) => return Err(failure),
        };
        seen(&now);
        if ended(&now) {
            return Ok(now);
        }
        while let Some(event) = stream.next().await {
            if event.get("type").and_then(Value::as_str) == Some("DELETED") {
                return Err(Failure::new(Code::NotFound, format!("workflow `{name}` was deleted")));
            }
            let Some(workflow) = event.get("object") else { continue };
            seen(workflow);
            if ended(workflow) {
                return Ok(workflow.clone());
            }
        }
        eprintln!("the server went away; waiting for it to come back");
        away = Some(Instant::now());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// The stream first, so that nothing that happens after the look is missed.
async fn look(client: &Client, events: &str, path: &str) -> Result<(Lines, Value), Failure> {
    let stream = client.stream(events).await?;
    Ok((stream, client.get(path).await?))
}

/// Whether a server that was there once, and went away, is still waited for.
fn patient(away: Option<Instant>) -> bool {
    away.is_some_and(|since| since.elapsed() < PATIENCE)
}

fn ended(workflow: &Value) -> bool {
    !text(workflow, "/status/finishedAt").is_empty()
}

/// Prints what a failed workflow leaves to be known, and turns its phase into an exit code.
async fn finish(client: &Client, workflow: &Value, paint: Paint) -> Result<(), Failure> {
    if text(workflow, "/status/phase") == "Succeeded" {
        return Ok(());
    }
    let name = text(workflow, "/metadata/name");
    let failed =
        |node: &&Value| text(node, "/type") == "Pod" && matches!(text(node, "/phase"), "Failed" | "Error");
    for node in tree::in_order(workflow).into_iter().filter(failed) {
        let lines = super::logs::of_node(client, name, text(node, "/id"), Some(TAIL)).await?;
        println!("\n{}", paint.bold(&format!("{}: {}", text(node, "/displayName"), text(node, "/message"))));
        for line in lines {
            println!("  {line}");
        }
    }
    let (logs, retry) = (client.hint(&format!("logs {name}")), client.hint(&format!("retry {name}")));
    eprintln!("\nnext: {logs}    {retry}");
    Err(Failure::silent(Code::Failed))
}

struct Screen {
    lines: usize,
    terminal: bool,
    phases: BTreeMap<String, String>,
}

impl Screen {
    fn show(&mut self, workflow: &Value, paint: Paint) {
        if self.terminal { self.redraw(workflow, paint) } else { self.report(workflow) }
    }

    fn redraw(&mut self, workflow: &Value, paint: Paint) {
        let mut drawn = tree::draw(workflow, Timestamp::now(), paint);
        let mut out = std::io::stdout().lock();
        if self.lines > 0 {
            // Up to where the last drawing began, and clear to the end of the screen.
            let _ = write!(out, "\u{1b}[{}A\u{1b}[J", self.lines);
        }
        self.lines = drawn.lines().count();
        if !ended(workflow) {
            // While it changes it must fit: the way back up is counted in lines, and ends at the top of the screen.
            let rows = rustix::termios::tcgetwinsize(&out).map_or(0, |size| usize::from(size.ws_row));
            let hidden = if rows > 1 { self.lines.saturating_sub(rows - 1) } else { 0 };
            let shown: String = drawn.split_inclusive('\n').skip(hidden).collect();
            self.lines -= hidden;
            drawn = format!("\u{1b}[?7l{shown}\u{1b}[?7h");
        }
        let _ = out.write_all(drawn.as_bytes());
        let _ = out.flush();
    }

    /// One line for each node whose phase is another than before.
    fn report(&mut self, workflow: &Value) {
        for node in tree::in_order(workflow) {
            let (id, phase) = (text(node, "/id"), text(node, "/phase"));
            if self.phases.get(id).map(String::as_str) != Some(phase) {
                self.phases.insert(id.to_owned(), phase.to_owned());
                println!(
                    "{} {phase} {}",
                    text(node, "/displayName"),
                    tree::shorten(text(node, "/message"), 100)
                );
            }
        }
    }
}
