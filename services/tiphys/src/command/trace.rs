//! The story of an event, for a tired person.

use serde_json::Value;
use tiphys_core::Timestamp;

use super::get::text;
use crate::output::color::Paint;
use crate::output::tree::{self, shorten};

/// Tells it.
pub(super) fn tell(story: &Value, now: Timestamp, paint: Paint) -> String {
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
        fired(firing, now, paint, &mut out);
    }
    for letter in list(story, "/deadLetters") {
        out.push(format!(
            "{} dead letter {} of {}: {} [{}]; after a fix: tiphys dlq retry {}",
            paint.red("✖"),
            letter.get("sequence").map(ToString::to_string).unwrap_or_default(),
            text(letter, "/stage"),
            shorten(text(letter, "/reason"), 300),
            text(letter, "/code"),
            letter.get("sequence").map(ToString::to_string).unwrap_or_default(),
        ));
    }
    out.join("\n") + "\n"
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
        text(event, "/received"),
        text(event, "/kind"),
        text(event, "/source"),
        text(event, "/event"),
        text(event, "/namespace"),
    ));
    for (name, value) in event.get("attributes").and_then(Value::as_object).into_iter().flatten() {
        out.push(paint.dim(&format!("    {name}: {}", shorten(value.as_str().unwrap_or_default(), 80))));
    }
    out.push(format!(
        "{} stored {} as {} {}, before the sender was answered",
        paint.green("✔"),
        text(event, "/stored/at"),
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
        out.push(format!("{mark} {who}: {what} ({}{replay})", text(verdict, "/at")));
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

fn fired(firing: &Value, now: Timestamp, paint: Paint, out: &mut Vec<String>) {
    let head = format!("firing {} of trigger {}", text(firing, "/id"), text(firing, "/trigger"));
    match firing.get("ledger").filter(|ledger| !ledger.is_null()) {
        None => out.push(format!("{} {head}: on its way", paint.yellow("◷"))),
        Some(ledger) => {
            for attempt in list(ledger, "/errors") {
                out.push(format!(
                    "    {} attempt at {}: {} [{}]",
                    paint.red("✖"),
                    text(attempt, "/at"),
                    shorten(text(attempt, "/message"), 300),
                    text(attempt, "/code")
                ));
            }
            let mark = match text(ledger, "/state") {
                "done" => paint.green("✔"),
                "dead" => paint.red("✖"),
                _ => paint.yellow("◷"),
            };
            out.push(format!(
                "{mark} {head}: {} {}{}",
                text(ledger, "/state"),
                text(ledger, "/at"),
                effect(ledger)
            ));
        }
    }
    if let Some(workflow) = firing.get("workflow").filter(|workflow| !workflow.is_null()) {
        let drawn = tree::draw(workflow, now, paint);
        out.extend(drawn.lines().map(|line| format!("    {line}")));
        out.push(paint.dim(&format!("    its logs: tiphys logs {}", text(workflow, "/metadata/name"))));
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
