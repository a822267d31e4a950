//! Steps and DAGs as one graph: layers of vertices, each with what it waits for.
//!
//! A DAG has one layer per task, in an order in which nothing comes before what it depends on. Steps have one
//! layer per group, and a layer is entered only when the one before went well.

mod implied;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use tiphys_manifest::workflow::{ContinueOn, DagTask, Template, WorkflowStep};

use crate::depends::{Asked, Depends};

/// Whose tree of nodes the graph makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Groups, one after the other.
    Steps,
    /// Tasks, each when it is ready.
    Dag,
}

/// A graph.
#[derive(Debug)]
pub struct Graph {
    /// Steps or DAG.
    pub style: Style,
    /// The vertices, as written.
    pub vertices: Vec<Vertex>,
    /// Indices of vertices, layer by layer.
    pub layers: Vec<Vec<usize>>,
    /// Vertices that must end for the graph to end; of a DAG.
    pub targets: Vec<usize>,
    /// Of a DAG: the first failed target decides.
    pub fail_fast: bool,
    /// Of a DAG: `target` where it holds tags; known only once the DAG runs.
    pub target: Option<String>,
}

/// A step or task.
#[derive(Debug, Clone)]
pub struct Vertex {
    /// Name.
    pub name: String,
    /// As its author wrote it.
    pub json: Arc<Value>,
    /// Typed.
    pub task: DagTask,
    /// Of steps: the group.
    pub group: usize,
    /// Vertices that must have ended before `depends` is asked.
    pub needs: Vec<usize>,
    /// Whether it may run.
    pub depends: Depends,
    /// Whether its standard output is mentioned.
    pub wants_result: bool,
}

impl Vertex {
    /// Whether it runs once per item.
    #[must_use]
    pub fn is_loop(&self) -> bool {
        !self.task.with_items.is_empty()
            || self.json.get("withItems").is_some_and(Value::is_array)
            || self.task.with_param.is_some()
            || self.task.with_sequence.is_some()
    }

    /// What of its failures is tolerated.
    #[must_use]
    pub fn continue_on(&self) -> ContinueOn {
        self.task.continue_on.unwrap_or_default()
    }
}

impl Graph {
    /// The graph of a template, if it has one.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn of(template: &Template, json: &Value) -> Result<Option<Self>, String> {
        if template.steps.is_some() {
            return Self::steps(template, json).map(Some);
        }
        match &template.dag {
            Some(_) => Self::dag(template, json).map(Some),
            None => Ok(None),
        }
    }

    /// A vertex by name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Vertex> {
        self.vertices.iter().find(|vertex| vertex.name == name)
    }

    fn steps(template: &Template, json: &Value) -> Result<Self, String> {
        let text = json.to_string();
        let mut vertices: Vec<Vertex> = Vec::new();
        let mut layers = Vec::new();
        for (group, steps) in template.steps.iter().flatten().enumerate() {
            let mut layer = Vec::new();
            for (index, step) in steps.0.iter().enumerate() {
                let written = &json["steps"][group];
                let written = written.get(index).unwrap_or(written);
                if step.name.is_empty() {
                    return Err(format!("steps[{group}][{index}] has no name"));
                }
                if vertices.iter().any(|v| v.name == step.name) {
                    return Err(format!("step name '{}' is not unique", step.name));
                }
                layer.push(vertices.len());
                vertices.push(Vertex {
                    name: step.name.clone(),
                    json: Arc::new(written.clone()),
                    wants_result: mentions_result(&text, "steps", &step.name),
                    task: task_of(step),
                    group,
                    needs: Vec::new(),
                    depends: Depends::Always,
                });
            }
            layers.push(layer);
        }
        Ok(Self { style: Style::Steps, vertices, layers, targets: Vec::new(), fail_fast: true, target: None })
    }

    fn dag(template: &Template, json: &Value) -> Result<Self, String> {
        let dag = template.dag.clone().unwrap_or_default();
        let text = json.to_string();
        let mut places = BTreeMap::new();
        for (index, task) in dag.tasks.iter().enumerate() {
            if task.name.is_empty() {
                return Err(format!("dag.tasks[{index}] has no name"));
            }
            if places.insert(task.name.clone(), index).is_some() {
                return Err(format!("task name '{}' is not unique", task.name));
            }
        }
        let mut vertices = Vec::new();
        for (index, task) in dag.tasks.iter().enumerate() {
            let depends = depends_of(task)?;
            let needs = needs_of(task, &depends, &places, &dag.tasks)?;
            vertices.push(Vertex {
                name: task.name.clone(),
                json: Arc::new(json["dag"]["tasks"][index].clone()),
                wants_result: mentions_result(&text, "tasks", &task.name),
                task: task.clone(),
                group: 0,
                needs,
                depends,
            });
        }
        implied::add(&mut vertices);
        let later = dag.target.clone().filter(|target| target.contains("{{"));
        let named = dag.target.as_deref().filter(|_| later.is_none());
        let targets = targets_of(named, &vertices)?;
        let layers = order(&vertices, &targets)?;
        Ok(Self {
            style: Style::Dag,
            vertices,
            layers,
            targets,
            fail_fast: dag.fail_fast.unwrap_or(true),
            target: later,
        })
    }

    /// The same graph, ending in these targets.
    ///
    /// # Errors
    /// Fails where one of them is no task.
    pub fn ending_in(&self, targets: &str) -> Result<Self, String> {
        let targets = targets_of(Some(targets), &self.vertices)?;
        Ok(Self {
            layers: order(&self.vertices, &targets)?,
            vertices: self.vertices.clone(),
            targets,
            target: None,
            ..*self
        })
    }
}

/// A step is a task that waits for its group.
fn task_of(step: &WorkflowStep) -> DagTask {
    DagTask {
        name: step.name.clone(),
        template: step.template.clone(),
        template_ref: step.template_ref.clone(),
        inline: None,
        arguments: step.arguments.clone(),
        dependencies: Vec::new(),
        depends: None,
        with_items: step.with_items.clone(),
        with_param: step.with_param.clone(),
        with_sequence: step.with_sequence.clone(),
        when: step.when.clone(),
        continue_on: step.continue_on,
        on_exit: step.on_exit.clone(),
        hooks: step.hooks.clone(),
    }
}

fn depends_of(task: &DagTask) -> Result<Depends, String> {
    match task.depends.as_deref().filter(|text| !text.trim().is_empty()) {
        None => Ok(Depends::all(&task.dependencies)),
        Some(_) if !task.dependencies.is_empty() => {
            Err(format!("task '{}' has both 'depends' and 'dependencies'; keep one", task.name))
        }
        Some(text) => Depends::parse(text).map_err(|why| format!("task '{}': {why}", task.name)),
    }
}

fn needs_of(
    task: &DagTask,
    depends: &Depends,
    places: &BTreeMap<String, usize>,
    tasks: &[DagTask],
) -> Result<Vec<usize>, String> {
    let mut needs = Vec::new();
    let mut wrong = None;
    depends.visit(&mut |name, asked| match places.get(name) {
        None => {
            wrong.get_or_insert(format!(
                "task '{}' depends on '{name}', which is no task of this dag",
                task.name
            ));
        }
        Some(&place) => {
            let looped = tasks.get(place).is_some_and(|t| {
                !t.with_items.is_empty() || t.with_param.is_some() || t.with_sequence.is_some()
            });
            if matches!(asked, Asked::AnySucceeded | Asked::AllFailed) && !looped {
                wrong.get_or_insert(format!(
                    "task '{}' asks for AnySucceeded or AllFailed of '{name}', which is no loop",
                    task.name
                ));
            }
            if !needs.contains(&place) {
                needs.push(place);
            }
        }
    });
    match wrong {
        Some(wrong) => Err(wrong),
        None => Ok(needs),
    }
}

/// The tasks named by `dag.target`, else those that nobody depends on.
fn targets_of(target: Option<&str>, vertices: &[Vertex]) -> Result<Vec<usize>, String> {
    let named = target.unwrap_or_default().split_whitespace();
    let mut targets = named
        .map(|name| {
            let missing = || format!("dag.target '{name}' is no task of this dag");
            let place = vertices.iter().position(|vertex| vertex.name == name);
            place.ok_or_else(missing)
        })
        .collect::<Result<Vec<_>, _>>()?;
    if targets.is_empty() {
        targets =
            (0..vertices.len()).filter(|index| !vertices.iter().any(|v| v.needs.contains(index))).collect();
    }
    let name = |index: &usize| vertices.get(*index).map(|v| v.name.clone());
    targets.sort_by_key(name);
    Ok(targets)
}

/// One layer per task that a target leads to, none before what it needs.
fn order(vertices: &[Vertex], targets: &[usize]) -> Result<Vec<Vec<usize>>, String> {
    let mut wanted = vec![false; vertices.len()];
    let mut open = targets.to_vec();
    while let Some(index) = open.pop() {
        if let (Some(seen), Some(vertex)) = (wanted.get_mut(index), vertices.get(index))
            && !std::mem::replace(seen, true)
        {
            open.extend(&vertex.needs);
        }
    }
    if targets.is_empty() && !vertices.is_empty() {
        wanted.fill(true);
    }
    let mut placed = vec![false; vertices.len()];
    let mut layers = Vec::new();
    loop {
        let ready: Vec<usize> = (0..vertices.len())
            .filter(|&i| wanted[i] && !placed[i] && vertices[i].needs.iter().all(|&n| placed[n]))
            .collect();
        if ready.is_empty() {
            break;
        }
        for index in ready {
            placed[index] = true;
            layers.push(vec![index]);
        }
    }
    let stuck: Vec<&str> =
        (0..vertices.len()).filter(|&i| wanted[i] && !placed[i]).map(|i| vertices[i].name.as_str()).collect();
    if stuck.is_empty() {
        Ok(layers)
    } else {
        Err(format!("tasks depend on each other in a circle: {}", stuck.join(", ")))
    }
}

/// Whether a template's text mentions the standard output of one of its steps or tasks.
fn mentions_result(text: &str, word: &str, name: &str) -> bool {
    if !text.contains("outputs.result") {
        return false;
    }
    let forms = [
        format!("{word}.{name}.outputs.result"),
        format!("{word}['{name}'].outputs.result"),
        format!("{word}[\\\"{name}\\\"].outputs.result"),
    ];
    forms.iter().any(|form| text.contains(form))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    fn dag(tasks: Value) -> Result<Graph, String> {
        let json = json!({"name": "t", "dag": {"tasks": tasks}});
        let template = Template::deserialize(&json).unwrap();
        Graph::of(&template, &json).map(Option::unwrap)
    }

    #[test]
    fn nothing_comes_before_its_needs() {
        let graph = dag(json!([
            {"name": "d", "depends": "b && c"}, {"name": "b", "dependencies": ["a"]},
            {"name": "c", "dependencies": ["a"]}, {"name": "a"}]))
        .unwrap();
        let names: Vec<&str> =
            graph.layers.iter().map(|layer| graph.vertices[layer[0]].name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c", "d"]);
        assert_eq!(graph.targets, [0]);
    }

    #[test]
    fn wrong_graphs_are_refused_with_the_reason() {
        let circle = dag(json!([{"name": "a", "depends": "b"}, {"name": "b", "depends": "a"}]));
        assert!(circle.unwrap_err().contains("circle: a, b"));
        let missing = dag(json!([{"name": "a", "depends": "x"}]));
        assert!(missing.unwrap_err().contains("'x'"));
        let both = dag(json!([{"name": "x"}, {"name": "a", "depends": "x", "dependencies": ["x"]}]));
        assert!(both.unwrap_err().contains("keep one"));
    }

    #[test]
    fn a_result_is_wanted_where_it_is_mentioned() {
        let graph = dag(json!([{"name": "a"}, {"name": "b", "depends": "a",
            "when": "{{tasks.a.outputs.result}} == x"}]))
        .unwrap();
        assert!(graph.vertices[0].wants_result);
        assert!(!graph.vertices[1].wants_result);
    }
}
