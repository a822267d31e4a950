//! The story of an event, for a tired person.

use serde_json::{Value, json};
use tiphys_core::Timestamp;

use super::get::text;
use super::logs;
use crate::client::Client;
use crate::output::color::Paint;
use crate::output::tree::{self, moment, shorten};

/// Of so many steps of a workflow the last lines are told.
const STEPS: usize = 20;
/// Lines of a step that went well, and of one that did not.
const LINES: (usize, usize) = (3, 10);

/// Adds to each firing the last lines of its workflow's steps, as `logs`. What cannot be read is left out: the
/// story is told all the same.
pub(super) async fn add_logs(story: &mut Value, client: &Client) {
    for firing in story.get_mut("firings").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(workflow) = firing.get("workflow").filter(|workflow| !workflow.is_null()) else { continue };
        let client = client.within(text(workflow, "/metadata/namespace"));
        let name = text(workflow, "/metadata/name");
        let nodes = workflow.pointer("/status/nodes").and_then(Value::as_object);
        let mut pods: Vec<&Value> = nodes.into_iter().flat_map(|nodes| nodes.values()).collect();
        pods.retain(|node| text(node, "/type") == "Pod");
        // What failed first: of many steps it is the last that may be left out.
        pods.sort_by_key(|node| {
            (text(node, "/phase") == "Succeeded", text(node, "/startedAt"), text(node, "/id"))
        });
        let mut told = Vec::new();
        for pod in pods.into_iter().take(STEPS) {
            let tail = if text(pod, "/phase") == "Succeeded" { LINES.0 } else { LINES.1 };
            let Ok(lines) = logs::of_node(&client, name, text(pod, "/id"), Some(tail)).await else {
                continue;
            };
            told.push(
                json!({"node": text(pod, "/id"), "displayName": text(pod, "/displayName"), "lines": lines}),
            );
        }
        if let Some(firing) = firing.as_object_mut() {
            firing.insert("logs".into(), told.into());
        }
    }
}

/// Tells it.
pub(super) fn tell(story: &Value, client: &Client, now: Timestamp, paint: Paint) -> String {
    let mut out = Vec::new();
    receipt(story, paint, &mut out);
    for verdict in list(story, "/verdicts") {
        judged(verdict, paint, &mut out);
    }
    if list(story, "/verdicts").next().is_none() {
        out.push(format!(
            "{} no sensor has judged it: none depends on it, or its sensor has not come to it yet",
            paint.yellow("○")
        ));
    }
    for firing in list(story, "/firings") {
        fired(firing, client, now, paint, &mut out);
    }
    for letter in list(story, "/deadLetters") {
        out.push(format!(
            "{} dead letter {} of {}: {} [{}]; after a fix: {}",
            paint.red("✖"),
            letter.get("sequence").map(ToString::to_string).unwrap_or_default(),
            text(letter, "/stage"),
            shorten(text(letter, "/reason"), 300),
            text(letter, "/code"),
            client.hint(&once_more(letter, story)),
        ));
    }
    out.join("\n") + "\n"
}

/// The command that gives what is dead another chance. What died before it fired has nothing to fire again.
fn once_more(letter: &Value, story: &Value) -> String {
    if text(letter, "/stage") == "sensor" {
        return format!("replay {}", text(story, "/event/id"));
    }
    format!("dlq retry {}", letter.get("sequence").map(ToString::to_string).unwrap_or_default())
}

fn list<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

fn receipt(story: &Value, paint: Paint, out: &mut Vec<String>) {
    let event = story.get("event").unwrap_or(&Value::Null);
    out.push(paint.bold(&format!("event {}", text(event, "/id"))));
    out.push(format!(
        "{} received {} as {} {}/{} in namespace {}",
        paint.green("✔"),
        moment(text(event, "/received")),
        text(event, "/kind"),
        text(event, "/source"),
        text(event, "/event"),
        text(event, "/namespace"),
    ));
    for (name, value) in event.get("attributes").and_then(Value::as_object).into_iter().flatten() {
        let name = match name.as_str() {
            "nativeid" => "the sender's own id",
            "conflictswith" => "has the same id as another body, of event",
            // How the bytes as sent are kept says nothing about what happened.
            name if name.starts_with("raw") => continue,
            name => name,
        };
        out.push(paint.dim(&format!("    {name}: {}", shorten(value.as_str().unwrap_or_default(), 80))));
    }
    out.push(format!(
        "{} stored {} as {} {}, before the sender was answered",
        paint.green("✔"),
        moment(text(event, "/stored/at")),
        text(event, "/stored/stream"),
        event.pointer("/stored/sequence").map(ToString::to_string).unwrap_or_default(),
    ));
}

fn judged(verdict: &Value, paint: Paint, out: &mut Vec<String>) {
    let replay = match verdict.get("replay").and_then(Value::as_u64) {
        None | Some(0) => String::new(),
        Some(generation) => format!(", replay {generation}"),
    };
    for row in list(verdict, "/triggers") {
        let who = format!(
            "sensor {}, trigger {}, dependency {}",
            text(verdict, "/sensor"),
            text(row, "/trigger"),
            text(row, "/dependency")
        );
        let (mark, what) = outcome(row, paint);
        out.push(format!("{mark} {who}: {what} ({}{replay})", moment(text(verdict, "/at"))));
        for clause in list(row, "/clauses") {
            let passed = clause.get("passed").and_then(Value::as_bool).unwrap_or_default();
            let mark = if passed { paint.green("✔") } else { paint.red("✖") };
            out.push(format!(
                "    {mark} {}: {}",
                text(clause, "/filter"),
                shorten(text(clause, "/detail"), 300)
            ));
        }
    }
    for reset in list(verdict, "/reset") {
        out.push(format!("{} condition reset dropped {reset}", paint.yellow("○")));
    }
}

fn outcome(row: &Value, paint: Paint) -> (String, String) {
    match text(row, "/outcome") {
        "fired" => (paint.green("✔"), format!("fired {}", text(row, "/firing"))),
        "filtered" => (paint.dim("○"), "filtered: the trigger does not act on it".into()),
        "waiting" => {
            let missing: Vec<&str> = list(row, "/missing").filter_map(Value::as_str).collect();
            let displaced = match text(row, "/superseded") {
                "" => String::new(),
                event => format!("; it took the place of event {event}"),
            };
            (paint.yellow("◷"), format!("waits for {}{displaced}", missing.join(", ")))
        }
        "suppressed" => (paint.dim("○"), format!("suppressed: {}", text(row, "/reason"))),
        "dead" => (
            paint.red("✖"),
            format!("could not be judged: {} [{}]", text(row, "/reason"), text(row, "/code")),
        ),
        other => (paint.yellow("○"), other.to_owned()),
    }
}

fn fired(firing: &Value, client: &Client, now: Timestamp, paint: Paint, out: &mut Vec<String>) {
    let head = format!("firing {} of trigger {}", text(firing, "/id"), text(firing, "/trigger"));
    match firing.get("ledger").filter(|ledger| !ledger.is_null()) {
        None => out.push(format!("{} {head}: on its way", paint.yellow("◷"))),
        Some(ledger) => {
            let mark = match text(ledger, "/state") {
                "done" => paint.green("✔"),
                "dead" => paint.red("✖"),
                _ => paint.yellow("◷"),
            };
            out.push(format!(
                "{mark} {head}: {} {}{}",
                text(ledger, "/state"),
                moment(text(ledger, "/at")),
                effect(ledger)
            ));
            for attempt in list(ledger, "/errors") {
                out.push(format!(
                    "    {} attempt at {}: {} [{}]",
                    paint.red("✖"),
                    moment(text(attempt, "/at")),
                    shorten(text(attempt, "/message"), 300),
                    text(attempt, "/code")
                ));
            }
        }
    }
    if let Some(workflow) = firing.get("workflow").filter(|workflow| !workflow.is_null()) {
        let mut said = tree::Notes::new();
        for step in list(firing, "/logs") {
            let lines = list(step, "/lines").filter_map(Value::as_str);
            let lines = lines.map(|line| paint.dim(&shorten(&logs::printable(line), 200))).collect();
            said.insert(text(step, "/node"), lines);
        }
        let drawn = tree::draw_with(workflow, &said, now, paint);
        out.extend(drawn.lines().map(|line| format!("    {line}")));
        // Its namespace may be another than the event's.
        let client = client.within(text(workflow, "/metadata/namespace"));
        let logs = client.hint(&format!("logs {}", text(workflow, "/metadata/name")));
        out.push(paint.dim(&format!("    all of its logs: {logs}")));
    }
}

fn effect(ledger: &Value) -> String {
    let effect = ledger.get("effect").unwrap_or(&Value::Null);
    match text(effect, "/effect") {
        "workflow" => format!(", workflow {}/{}", text(effect, "/namespace"), text(effect, "/name")),
        "command" => format!(", {} workflow {}", text(effect, "/verb"), text(effect, "/name")),
        "http" => format!(
            ", {} answered {}",
            text(effect, "/request"),
            effect.get("status").map(ToString::to_string).unwrap_or_default()
        ),
        "skipped" => format!(", nothing to do: {}", text(effect, "/reason")),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::json;

    use super::*;

    fn told(story: &Value) -> String {
        let cli = crate::cli::Cli::try_parse_from(["tiphys", "status", "--server", "http://here:1"]).unwrap();
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = Client::find(&cli.connection).unwrap();
        tell(story, &client, Timestamp::UNIX_EPOCH, Paint::new(crate::cli::ColorWhen::Never))
    }

    #[test]
    fn a_story_ends_in_what_the_steps_said() {
        let nodes = json!({"w": {"displayName": "w", "phase": "Failed"},
            "w-1": {"displayName": "one", "boundaryID": "w", "phase": "Succeeded", "startedAt": "1"},
            "w-2": {"displayName": "two", "boundaryID": "w", "phase": "Failed", "startedAt": "2"}});
        let story = json!({"firings": [{"id": "f",
            "workflow": {"metadata": {"name": "w", "namespace": "argo"}, "status": {"nodes": nodes}},
            "logs": [{"node": "w-2", "lines": ["it broke"]}, {"node": "w-1", "lines": ["stopped", "\u{1b}[2J"]}]}]});
        let told = told(&story);
        let tree = "    ├─✔ one\n    │     stopped\n    │     \u{fffd}[2J\n    └─✖ two\n          it broke\n";
        assert!(told.contains(tree), "{told}");
        assert!(told.contains("all of its logs: tiphys logs w -n argo --server http://here:1\n"), "{told}");
        assert!(!told.contains('\u{1b}'), "{told}");
    }

    #[test]
    fn a_story_says_what_to_do_next_and_nothing_of_how_bytes_are_kept() {
        let letter = |stage: &str| json!({"sequence": 7, "stage": stage, "reason": "r", "code": "C"});
        let story = json!({
            "event": {"id": "e1", "received": "2026-01-01T00:00:00.123456789Z",
                      "attributes": {"nativeid": "n", "rawspace": "652n"}},
            "deadLetters": [letter("sensor"), letter("trigger")],
        });
        let told = told(&story);
        assert!(told.contains("received 2026-01-01T00:00:00.123Z"), "{told}");
        assert!(told.contains("the sender's own id: n"), "{told}");
        assert!(!told.contains("rawspace"), "{told}");
        assert!(told.contains("after a fix: tiphys replay e1 --server http://here:1\n"), "{told}");
        assert!(told.contains("after a fix: tiphys dlq retry 7 --server http://here:1\n"), "{told}");
    }
}
