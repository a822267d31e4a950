//! Loops: `withItems`, `withParam`, `withSequence`.

use std::sync::Arc;

use serde_json::Value;
use tiphys_lang::tags::Text;
use tiphys_manifest::workflow::{IntOrString, Sequence};

use super::Pass;
use super::task::{Frame, Start};
use crate::graph::Vertex;
use crate::names;
use crate::node::{Node, NodeKind, Phase};
use crate::scope::Scope;
use crate::substitute;

/// A loop may have so many children.
const ITEMS_MAX: usize = 10_000;

/// What a loop expands to.
pub(super) enum Expanded {
    /// Its items; never empty.
    Items(Vec<Value>),
    /// It does not run, and has a node that says why.
    Instead,
}

impl Pass<'_> {
    /// Expands a loop that has no nodes yet.
    pub(super) fn expand(
        &mut self,
        frame: &Frame,
        vertex: &Vertex,
        name: &str,
        under: &[String],
    ) -> Expanded {
        let scope = self.scope(frame, name, None);
        let asked_once = vertex.task.when.as_deref().filter(|when| !mentions_item(when));
        let wanted = asked_once.map_or(Ok(true), |when| substitute::holds(&scope, when));
        let expanded = wanted.and_then(|wanted| match wanted {
            true => items(&scope, vertex).map(Some),
            false => Ok(None),
        });
        let instead = match expanded {
            Ok(Some(items)) if !items.is_empty() => return Expanded::Items(items),
            Ok(Some(_)) => (Phase::Skipped, "Skipped, empty params".to_owned()),
            Ok(None) => {
                let when = vertex.task.when.as_deref().unwrap_or_default();
                (Phase::Skipped, format!("when '{when}' evaluated false"))
            }
            Err(why) => (Phase::Error, why),
        };
        let id = self.not_run(frame, vertex, name, instead.0, instead.1);
        self.link(under, &id);
        Expanded::Instead
    }

    /// Starts the children of a loop that are not there yet. Says whether all are there.
    pub(super) fn fill(
        &mut self,
        frame: &Frame,
        vertex: &Vertex,
        name: &str,
        items: &[Value],
        group: &str,
    ) -> bool {
        for (index, item) in items.iter().enumerate() {
            let child = names::loop_child(name, index, item);
            if self.state.named(&child).is_some() {
                continue;
            }
            let under = [group.to_owned()];
            if let Start::Held = self.start(frame, vertex, &child, Some(item), &under) {
                return false;
            }
        }
        true
    }

    /// The children of a loop, in the group that holds them.
    pub(super) fn children_of(&self, group: &str, name: &str) -> Vec<Arc<Node>> {
        let Some(group) = self.state.nodes.get(group) else {
            return Vec::new();
        };
        let prefix = names::loop_prefix(name);
        let nodes = group.children.iter().filter_map(|id| self.state.nodes.get(id));
        nodes
            .filter(|node| node.name.starts_with(&prefix) && node.kind != NodeKind::StepGroup)
            .cloned()
            .collect()
    }
}

/// Whether a text refers to the item of a loop.
fn mentions_item(text: &str) -> bool {
    let parsed = Text::parse(text);
    let tag = |name: &&str| *name == "item" || name.starts_with("item.");
    parsed.tags().iter().any(tag) || parsed.expressions().iter().any(|e| e.contains("item"))
}

/// The items of a loop.
pub(super) fn items(scope: &Scope<'_>, vertex: &Vertex) -> Result<Vec<Value>, String> {
    let task = &vertex.task;
    let items = if let Some(param) = &task.with_param {
        let text = substitute::required(scope, param)?;
        let parsed: Value = serde_json::from_str(&text).map_err(|error| {
            format!("withParam value could not be parsed as a JSON list: {error}: {}", short(&text))
        })?;
        match parsed {
            Value::Array(items) => items,
            _ => return Err(format!("withParam value is no JSON list: {}", short(&text))),
        }
    } else if let Some(sequence) = &task.with_sequence {
        sequence_items(scope, sequence)?
    } else {
        let written = Value::Array(task.with_items.clone());
        match substitute::tree(scope, &written)? {
            Value::Array(items) => items,
            _ => Vec::new(),
        }
    };
    if items.len() > ITEMS_MAX {
        return Err(format!("a loop of {} items is longer than {ITEMS_MAX}", items.len()));
    }
    Ok(items)
}

fn sequence_items(scope: &Scope<'_>, sequence: &Sequence) -> Result<Vec<Value>, String> {
    let number = |field: &Option<IntOrString>| -> Result<Option<i64>, String> {
        let Some(field) = field else { return Ok(None) };
        let text = substitute::required(scope, &field.to_string())?;
        let parsed = text.trim().parse();
        parsed.map(Some).map_err(|_| format!("withSequence: `{text}` is no whole number"))
    };
    let start = number(&sequence.start)?.unwrap_or(0);
    let numbers: Vec<i64> = match (number(&sequence.count)?, number(&sequence.end)?) {
        (Some(_), Some(_)) => return Err("withSequence: give count or end, not both".into()),
        (Some(count), None) if count <= 0 => Vec::new(),
        (Some(count), None) => bounded(start, start.saturating_add(count - 1))?,
        (None, Some(end)) => bounded(start, end)?,
        (None, None) => return Err("withSequence: give count or end".into()),
    };
    let format = match &sequence.format {
        Some(format) => substitute::required(scope, format)?,
        None => "%d".into(),
    };
    numbers.into_iter().map(|number| printed(&format, number).map(Value::String)).collect()
}

fn bounded(start: i64, end: i64) -> Result<Vec<i64>, String> {
    let length = start.abs_diff(end);
    if length >= ITEMS_MAX as u64 {
        return Err(format!("withSequence: more than {ITEMS_MAX} items"));
    }
    if start <= end { Ok((start..=end).collect()) } else { Ok((end..=start).rev().collect()) }
}

/// C's printf for one whole number: `%d`, `%x`, `%X`, `%o`, with `0` and a width.
fn printed(format: &str, number: i64) -> Result<String, String> {
    let wrong = || format!("withSequence: format `{format}` is not understood");
    let mut out = String::new();
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let verb = after.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (width, tail) = after.split_at(verb);
        let zero = width.starts_with('0');
        let width: usize = if width.is_empty() { 0 } else { width.parse().map_err(|_| wrong())? };
        if width > 100 {
            return Err(wrong());
        }
        let mut verbs = tail.chars();
        let digits = match verbs.next() {
            Some('d' | 'v') => number.to_string(),
            Some('x') => format!("{number:x}"),
            Some('X') => format!("{number:X}"),
            Some('o') => format!("{number:o}"),
            _ => return Err(wrong()),
        };
        out.push_str(&match zero {
            true => format!("{digits:0>width$}"),
            false => format!("{digits:>width$}"),
        });
        rest = verbs.as_str();
    }
    out.push_str(rest);
    Ok(out)
}

fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        assert_eq!(printed("%d", 7).unwrap(), "7");
        assert_eq!(printed("user%02X%%", 10).unwrap(), "user0A%");
        assert_eq!(printed("%3d|", 5).unwrap(), "  5|");
        assert!(printed("%s", 1).is_err());
        assert!(printed("%", 1).is_err());
    }

    #[test]
    fn sequences_count_down_too() {
        assert_eq!(bounded(3, 1).unwrap(), [3, 2, 1]);
        assert!(bounded(0, 1_000_000).is_err());
        assert!(bounded(i64::MIN, i64::MAX).is_err());
    }
}
