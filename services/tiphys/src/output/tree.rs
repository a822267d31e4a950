//! A workflow as a tree of its nodes, drawn from the Workflow object.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tiphys_core::Timestamp;

use super::color::Paint;
use super::table::Table;

/// One node, as far as it is drawn.
struct Node<'a> {
    id: &'a str,
    value: &'a Value,
}

impl<'a> Node<'a> {
    fn text(&self, key: &str) -> &'a str {
        self.value.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    fn children(&self) -> impl Iterator<Item = &'a str> {
        self.value.get("children").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }

    /// Whether its children belong below it: attempts of a retry, members of a loop.
    fn gathers(&self) -> bool {
        matches!(self.text("type"), "Retry" | "TaskGroup")
    }
}

/// Lines that stand under nodes, by their ids.
pub(crate) type Notes<'a> = BTreeMap<&'a str, Vec<String>>;

/// Draws head and tree.
pub(crate) fn draw(workflow: &Value, now: Timestamp, paint: Paint) -> String {
    draw_with(workflow, &Notes::new(), now, paint)
}

/// Draws head and tree, with lines under the nodes.
pub(crate) fn draw_with(workflow: &Value, notes: &Notes<'_>, now: Timestamp, paint: Paint) -> String {
    head(workflow, now, paint) + &nodes(workflow, notes, now, paint)
}

/// The head: name, phase, times, message, parameters.
fn head(workflow: &Value, now: Timestamp, paint: Paint) -> String {
    let text = |pointer: &str| workflow.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let phase = match text("/status/phase") {
        "" => "Pending",
        phase => phase,
    };
    let mut lines = vec![
        ("Name", text("/metadata/name").to_owned()),
        ("Namespace", text("/metadata/namespace").to_owned()),
        ("Status", paint.phase(phase)),
        ("Message", text("/status/message").to_owned()),
        ("Created", text("/metadata/creationTimestamp").to_owned()),
        ("Duration", lasted(workflow.get("status").unwrap_or(&Value::Null), now)),
        ("Progress", text("/status/progress").to_owned()),
        ("Sensor", text("/metadata/labels/events.argoproj.io~1sensor").to_owned()),
    ];
    for parameter in
        workflow.pointer("/spec/arguments/parameters").and_then(Value::as_array).into_iter().flatten()
    {
        let name = parameter.get("name").and_then(Value::as_str).unwrap_or_default();
        let value = parameter.get("value").and_then(Value::as_str).unwrap_or_default();
        lines.push(("Parameter", format!("{name}={}", shorten(value, 60))));
    }
    for parameter in
        workflow.pointer("/status/outputs/parameters").and_then(Value::as_array).into_iter().flatten()
    {
        let name = parameter.get("name").and_then(Value::as_str).unwrap_or_default();
        let value = parameter.get("value").and_then(Value::as_str).unwrap_or_default();
        lines.push(("Output", format!("{name}={}", shorten(value, 60))));
    }
    lines
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{:<12}{value}\n", format!("{name}:")))
        .collect()
}

fn nodes(workflow: &Value, notes: &Notes<'_>, now: Timestamp, paint: Paint) -> String {
    let Some(map) = workflow.pointer("/status/nodes").and_then(Value::as_object) else {
        return String::new();
    };
    let nodes: BTreeMap<&str, Node<'_>> =
        map.iter().map(|(id, value)| (id.as_str(), Node { id, value })).collect();
    let gathered: BTreeSet<&str> =
        nodes.values().filter(|node| node.gathers()).flat_map(Node::children).collect();
    let mut table = Table::new(&["STEP", "TEMPLATE", "DURATION", "MESSAGE"]);
    let mut roots: Vec<&Node<'_>> = nodes
        .values()
        .filter(|node| node.text("boundaryID").is_empty() && !gathered.contains(node.id))
        .collect();
    roots.sort_by_key(|node| (node.text("startedAt"), node.text("name")));
    let order = order(&nodes, &roots);
    let drawing = Drawing { nodes: &nodes, gathered: &gathered, order: &order, notes, now, paint };
    for root in roots {
        drawing.node(root, "", "", &mut table);
    }
    if table.is_empty() { String::new() } else { format!("\n{}", table.render()) }
}

/// The nodes in the order in which they follow each other, for those that began in the same second.
fn order<'a>(nodes: &BTreeMap<&'a str, Node<'a>>, roots: &[&Node<'a>]) -> BTreeMap<&'a str, usize> {
    let mut order = BTreeMap::new();
    let mut waiting: std::collections::VecDeque<&'a str> = roots.iter().map(|root| root.id).collect();
    while let Some(id) = waiting.pop_front() {
        if order.contains_key(id) {
            continue;
        }
        order.insert(id, order.len());
        if let Some(node) = nodes.get(id) {
            waiting.extend(node.children());
        }
    }
    order
}

struct Drawing<'a> {
    nodes: &'a BTreeMap<&'a str, Node<'a>>,
    gathered: &'a BTreeSet<&'a str>,
    order: &'a BTreeMap<&'a str, usize>,
    notes: &'a Notes<'a>,
    now: Timestamp,
    paint: Paint,
}

impl Drawing<'_> {
    /// One line, then those below it. `lead` stands before this node's line, `below` before its children's.
    fn node(&self, node: &Node<'_>, lead: &str, below: &str, table: &mut Table) {
        let template = match node.value.pointer("/templateRef/template").and_then(Value::as_str) {
            Some(template) => {
                let of = node.value.pointer("/templateRef/name").and_then(Value::as_str).unwrap_or_default();
                format!("{of}/{template}")
            }
            None => node.text("templateName").to_owned(),
        };
        table.row([
            format!("{lead}{} {}", self.mark(node), node.text("displayName")),
            template,
            lasted(node.value, self.now),
            shorten(node.text("message"), 100),
        ]);
        let children = self.below(node);
        let rail = if children.is_empty() { "  " } else { "│ " };
        for note in self.notes.get(node.id).into_iter().flatten() {
            table.note(format!("{below}{rail}  {note}"));
        }
        for (index, child) in children.iter().enumerate() {
            let last = index + 1 == children.len();
            let (lead, deeper) = if last { ("└─", "  ") } else { ("├─", "│ ") };
            self.node(child, &format!("{below}{lead}"), &format!("{below}{deeper}"), table);
        }
    }

    fn below(&self, node: &Node<'_>) -> Vec<&Node<'_>> {
        let mut found: Vec<&Node<'_>> = if node.gathers() {
            node.children()
                .filter_map(|id| self.nodes.get(id))
                .filter(|n| self.gathered.contains(n.id))
                .collect()
        } else {
            let inside = |other: &&Node<'_>| {
                other.text("boundaryID") == node.id
                    && other.text("type") != "StepGroup"
                    && !self.gathered.contains(other.id)
            };
            self.nodes.values().filter(inside).collect()
        };
        let place = |node: &Node<'_>| self.order.get(node.id).copied().unwrap_or(usize::MAX);
        found.sort_by_key(|node| (node.text("startedAt"), place(node), node.text("name")));
        found
    }

    fn mark(&self, node: &Node<'_>) -> String {
        match node.text("phase") {
            "Succeeded" => self.paint.green("✔"),
            "Failed" => self.paint.red("✖"),
            "Error" => self.paint.red("⚠"),
            "Running" if node.text("type") == "Suspend" => self.paint.yellow("⏸"),
            "Running" => self.paint.yellow("●"),
            "Skipped" | "Omitted" => self.paint.dim("○"),
            _ => self.paint.yellow("◷"),
        }
    }
}

/// How long something took, or has been running.
pub(crate) fn lasted(of: &Value, now: Timestamp) -> String {
    let time = |key: &str| of.get(key).and_then(Value::as_str).and_then(|t| t.parse::<Timestamp>().ok());
    match (time("startedAt"), time("finishedAt")) {
        // Argo's times have whole seconds.
        (Some(from), Some(to)) if from == to => "<1s".into(),
        (Some(from), to) => span(to.unwrap_or(now).as_millisecond() - from.as_millisecond()),
        _ => String::new(),
    }
}

/// A span of milliseconds for people: `120ms`, `3.4s`, `2m10s`, `3h5m`, `2d4h`.
pub(crate) fn span(milliseconds: i64) -> String {
    let milliseconds = milliseconds.max(0);
    let seconds = milliseconds / 1000;
    match seconds {
        0 => format!("{milliseconds}ms"),
        1..=9 => format!("{seconds}.{}s", milliseconds % 1000 / 100),
        10..=59 => format!("{seconds}s"),
        60..=3599 => format!("{}m{}s", seconds / 60, seconds % 60),
        3600..=86399 => format!("{}h{}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{}h", seconds / 86400, seconds / 3600 % 24),
    }
}

/// A time for people: to the millisecond.
pub(crate) fn moment(time: &str) -> String {
    match time.parse::<Timestamp>() {
        Ok(time) => format!("{time:.3}"),
        Err(_) => time.to_owned(),
    }
}

/// One line of at most `most` characters, nothing in it that moves the cursor.
pub(crate) fn shorten(text: &str, most: usize) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(most + 1).collect();
    if line.chars().count() > most { line.chars().take(most - 1).chain(['…']).collect() } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_dag_with_a_retry() {
        let workflow = json!({
            "metadata": {"name": "w", "namespace": "default"},
            "status": {"phase": "Failed", "nodes": {
                "w": {"id": "w", "name": "w", "displayName": "w", "type": "DAG", "phase": "Failed", "templateName": "main",
                      "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:01:05Z", "children": ["w-1"]},
                "w-1": {"id": "w-1", "name": "w.a", "displayName": "a", "type": "Retry", "phase": "Failed", "boundaryID": "w",
                        "startedAt": "2026-01-01T00:00:00Z", "children": ["w-2", "w-3"], "message": "No more retries left"},
                "w-2": {"id": "w-2", "name": "w.a(0)", "displayName": "a(0)", "type": "Pod", "phase": "Failed", "boundaryID": "w",
                        "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:00.12Z"},
                "w-3": {"id": "w-3", "name": "w.b", "displayName": "b", "type": "Skipped", "phase": "Omitted", "boundaryID": "w",
                        "startedAt": "2026-01-01T00:00:01Z"}}},
        });
        let now = "2026-01-01T00:02:00Z".parse().unwrap();
        let drawn = draw(&workflow, now, Paint(false));
        let tree: Vec<&str> = drawn.lines().skip_while(|line| !line.starts_with("STEP")).skip(1).collect();
        assert_eq!(tree[0].trim_end(), "✖ w          main       1m5s");
        assert!(tree[1].starts_with("└─✖ a"), "{drawn}");
        assert!(tree[2].starts_with("  ├─✖ a(0)"), "{drawn}");
        assert!(tree[2].contains("120ms"), "{drawn}");
    }

    #[test]
    fn times_have_milliseconds() {
        assert_eq!(moment("2026-11-25T03:37:05.636907107Z"), "2026-11-25T03:37:05.636Z");
        assert_eq!(moment(""), "");
    }

    #[test]
    fn text_from_outside_stays_on_its_line() {
        assert_eq!(shorten("a\u{1b}[2J\nb", 20), "a [2J b");
        assert_eq!(shorten("abcdef", 4), "abc…");
    }
}
