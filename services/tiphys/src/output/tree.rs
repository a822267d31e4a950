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
    let shape = Shape::of(workflow);
    let mut table = Table::new(&["STEP", "TEMPLATE", "DURATION", "MESSAGE"]);
    let drawing = Drawing { shape: &shape, notes, now, paint };
    for root in shape.roots() {
        drawing.node(root, "", "", &mut table);
    }
    if table.is_empty() { String::new() } else { format!("\n{}", table.render()) }
}

/// The nodes of a workflow in the order in which its tree shows them; behind them those that it leaves out.
pub(crate) fn in_order(workflow: &Value) -> Vec<&Value> {
    let shape = Shape::of(workflow);
    let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
    let mut waiting: Vec<&Node<'_>> = shape.roots();
    waiting.reverse();
    waiting.splice(0..0, shape.nodes.values().rev());
    while let Some(node) = waiting.pop() {
        if seen.insert(node.id) {
            found.push(node.value);
            waiting.extend(shape.below(node).into_iter().rev());
        }
    }
    found
}

/// Which node stands below which.
struct Shape<'a> {
    nodes: BTreeMap<&'a str, Node<'a>>,
    /// Those that stand below one that gathers them.
    gathered: BTreeSet<&'a str>,
    /// Ids by the node whose scope they are in.
    within: BTreeMap<&'a str, Vec<&'a str>>,
    order: BTreeMap<&'a str, usize>,
}

impl<'a> Shape<'a> {
    fn of(workflow: &'a Value) -> Self {
        let map = workflow.pointer("/status/nodes").and_then(Value::as_object);
        let nodes: BTreeMap<&str, Node<'_>> =
            map.into_iter().flatten().map(|(id, value)| (id.as_str(), Node { id, value })).collect();
        let gathered = nodes.values().filter(|node| node.gathers()).flat_map(Node::children).collect();
        let mut within: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for node in nodes.values() {
            within.entry(node.text("boundaryID")).or_default().push(node.id);
        }
        let mut shape = Self { nodes, gathered, within, order: BTreeMap::new() };
        shape.order = order(&shape.nodes, &shape.roots());
        shape
    }

    fn roots(&self) -> Vec<&Node<'a>> {
        let root = |node: &&Node<'_>| node.text("boundaryID").is_empty() && !self.gathered.contains(node.id);
        let mut roots: Vec<&Node<'_>> = self.nodes.values().filter(root).collect();
        roots.sort_by_key(|node| (node.text("startedAt"), node.text("name")));
        roots
    }

    fn below(&self, node: &Node<'_>) -> Vec<&Node<'a>> {
        let known = |id: &&str| self.nodes.get(*id);
        let mut found: Vec<&Node<'_>> = if node.gathers() {
            let gathered = node.children().filter(|id| self.gathered.contains(id));
            gathered.filter_map(|id| known(&id)).collect()
        } else {
            let within = self.within.get(node.id).into_iter().flatten().filter_map(known);
            within.filter(|n| n.text("type") != "StepGroup" && !self.gathered.contains(n.id)).collect()
        };
        let place = |node: &Node<'_>| self.order.get(node.id).copied().unwrap_or(usize::MAX);
        found.sort_by_key(|node| (node.text("startedAt"), place(node), node.text("name")));
        found
    }
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
    shape: &'a Shape<'a>,
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
        let children = self.shape.below(node);
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
    fn what_is_told_of_nodes_follows_the_tree() {
        let node = |name: &str, kind: &str, within: &str, children: Value| {
            json!({"displayName": name, "name": name, "type": kind, "boundaryID": within, "children": children,
                "startedAt": "2026-01-01T00:00:00Z"})
        };
        // By their ids they would come the other way round; the group of steps is not drawn.
        let nodes = json!({"z": node("w", "Steps", "", json!(["y"])), "y": node("[0]", "StepGroup", "z", json!(["x"])),
            "x": node("one", "Pod", "z", json!(["b"])), "b": node("[1]", "StepGroup", "z", json!(["a"])),
            "a": node("two", "Pod", "z", json!([]))});
        let workflow = json!({"metadata": {"name": "w"}, "status": {"nodes": nodes}});
        let told = in_order(&workflow);
        let names: Vec<&str> = told.iter().filter_map(|node| node["displayName"].as_str()).collect();
        assert_eq!(names, ["w", "one", "two", "[1]", "[0]"]);
        let drawn = draw(&workflow, Timestamp::UNIX_EPOCH, Paint(false));
        assert!(drawn.find("one").unwrap() < drawn.find("two").unwrap(), "{drawn}");
        assert_eq!(in_order(&json!({})), Vec::<&Value>::new());
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
