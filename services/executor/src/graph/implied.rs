//! Dependencies that nobody wrote down: a task that takes the outputs of another waits for it.
//!
//! Argo refuses a DAG in which a task uses the outputs of one that does not come before it. Such files are
//! published all the same, and what they mean is plain.

use std::collections::HashSet;

use super::Vertex;
use crate::depends::{Asked, Depends};

/// Lets each task wait for those whose outputs it takes, where it does not already come after them.
pub(super) fn add(vertices: &mut [Vertex]) {
    let names: Vec<String> = vertices.iter().map(|vertex| vertex.name.clone()).collect();
    for index in 0..vertices.len() {
        let text = vertices[index].json.to_string();
        for (other, name) in names.iter().enumerate() {
            // One that comes after cannot come before; the reference is then reported when it is resolved.
            if !takes_outputs(&text, name)
                || comes_after(vertices, index, other)
                || comes_after(vertices, other, index)
            {
                continue;
            }
            let vertex = &mut vertices[index];
            let asked = Depends::Task(name.clone(), Asked::Plain);
            vertex.depends = match std::mem::replace(&mut vertex.depends, Depends::Always) {
                Depends::Always => asked,
                written => Depends::And(Box::new(written), Box::new(asked)),
            };
            vertex.needs.push(other);
        }
    }
}

/// Whether a tag of the text names an output of the task.
fn takes_outputs(text: &str, name: &str) -> bool {
    let wanted = format!("tasks.{name}.outputs.");
    text.split("{{").skip(1).any(|tag| tag.trim_start().starts_with(&wanted))
}

/// Whether `late` is `early`, or waits for it in the end.
fn comes_after(vertices: &[Vertex], late: usize, early: usize) -> bool {
    let (mut open, mut seen) = (vec![late], HashSet::new());
    while let Some(index) = open.pop() {
        if index == early {
            return true;
        }
        if seen.insert(index) {
            open.extend(vertices.get(index).into_iter().flat_map(|vertex| &vertex.needs));
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use serde::Deserialize as _;
    use serde_json::{Value, json};
    use tiphys_manifest::workflow::Template;

    use crate::graph::Graph;

    fn needs(tasks: Value) -> Vec<Vec<usize>> {
        let json = json!({"name": "t", "dag": {"tasks": tasks}});
        let template = Template::deserialize(&json).unwrap();
        let graph = Graph::of(&template, &json).unwrap().unwrap();
        graph.vertices.into_iter().map(|vertex| vertex.needs).collect()
    }

    fn taking(name: &str, from: &str) -> Value {
        json!({"name": name, "arguments": {"artifacts": [
            {"name": "x", "from": format!("{{{{tasks.{from}.outputs.artifacts.x}}}}")}]}})
    }

    #[test]
    fn a_task_waits_for_those_whose_outputs_it_takes() {
        let none: Vec<usize> = Vec::new();
        assert_eq!(needs(json!([{"name": "a"}, taking("b", "a")])), [none.clone(), vec![0]]);
        let mut third = taking("c", "b");
        third["depends"] = "a".into();
        assert_eq!(needs(json!([{"name": "a"}, {"name": "b"}, third])), [none.clone(), none, vec![0, 1]]);
    }

    #[test]
    fn what_was_written_stays() {
        let mut last = taking("c", "a");
        last["depends"] = "b.Failed".into();
        let tasks = json!([{"name": "a"}, {"name": "b", "depends": "a"}, last]);
        assert_eq!(needs(tasks), [vec![], vec![0], vec![1]], "a comes before c already");
        let circle = json!([taking("a", "b"), taking("b", "a")]);
        assert_eq!(needs(circle), [vec![1], vec![]], "no circle is made");
    }
}
