//! A spec, compiled: typed, its graphs built, its defaults merged, so that the planner only looks up.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use tiphys_manifest::workflow::{Template, WorkflowSpec};

use crate::graph::Graph;
use crate::merge;

/// A compiled spec.
#[derive(Debug)]
pub struct Definition {
    /// Typed, without its templates.
    pub spec: WorkflowSpec,
    /// As JSON.
    pub json: Value,
    /// `local/WORKFLOW`.
    pub scope: String,
    defaults: Option<Value>,
    templates: BTreeMap<String, Arc<TemplateDef>>,
}

/// A compiled template.
#[derive(Debug)]
pub struct TemplateDef {
    /// Its name.
    pub name: String,
    /// Where names inside it mean something.
    pub scope: String,
    /// As its author wrote it, defaults merged in.
    pub json: Value,
    /// Typed.
    pub typed: Template,
    /// Of steps and DAGs.
    pub graph: Option<Graph>,
    /// Templates written inside its steps or tasks, by step or task name.
    pub inline: BTreeMap<String, Arc<TemplateDef>>,
}

/// Key of an inline template: no template may have such a name.
const INLINE: char = '/';

impl Definition {
    /// Compiles `spec` of the workflow `name`.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn compile(name: &str, json: &Value) -> Result<Self, String> {
        let mut spec = WorkflowSpec::deserialize(json).map_err(|error| error.to_string())?;
        spec.templates = Vec::new();
        let mut definition = Self {
            spec,
            json: json.clone(),
            scope: format!("local/{name}"),
            defaults: json.get("templateDefaults").filter(|v| v.is_object()).cloned(),
            templates: BTreeMap::new(),
        };
        let templates = json.get("templates").and_then(Value::as_array);
        for (index, template) in templates.into_iter().flatten().enumerate() {
            let name = template["name"].as_str().unwrap_or_default();
            if name.is_empty() {
                return Err(format!("spec.templates[{index}] has no name"));
            }
            if definition.templates.contains_key(name) {
                return Err(format!("template name '{name}' is not unique"));
            }
            let scope = definition.scope.clone();
            let compiled = definition.template(&scope, name, template)?;
            definition.templates.insert(name.to_owned(), Arc::new(compiled));
        }
        Ok(definition)
    }

    /// A template of this spec; `TEMPLATE/STEP` names one written inside a step.
    #[must_use]
    pub fn local(&self, name: &str) -> Option<Arc<TemplateDef>> {
        find(name, |name| self.templates.get(name))
    }

    /// Names of the templates of this spec.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.templates.keys().map(String::as_str)
    }

    /// Compiles a template of another object; `key` is `SCOPE/TEMPLATE`.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn adopt(&self, key: &str, json: &Value) -> Result<TemplateDef, String> {
        let (scope, name) = key.rsplit_once('/').unwrap_or((key, ""));
        self.template(scope, name, json)
    }

    fn template(&self, scope: &str, name: &str, json: &Value) -> Result<TemplateDef, String> {
        let mut json = json.clone();
        if let Some(defaults) = &self.defaults {
            json = merge::over_defaults(defaults, &json);
        }
        let typed = Template::deserialize(&json).map_err(|error| format!("template '{name}': {error}"))?;
        let graph = Graph::of(&typed, &json).map_err(|reason| format!("template '{name}': {reason}"))?;
        let mut inline = BTreeMap::new();
        for vertex in graph.iter().flat_map(|graph| &graph.vertices) {
            if let Some(inner) = vertex.json.get("inline").filter(|v| v.is_object()) {
                let name = format!("{name}{INLINE}{}", vertex.name);
                let compiled = self.template(scope, &name, inner)?;
                inline.insert(vertex.name.clone(), Arc::new(compiled));
            }
        }
        Ok(TemplateDef { name: name.to_owned(), scope: scope.to_owned(), json, typed, graph, inline })
    }
}

/// Looks a template up, also one written inside another's steps.
pub(crate) fn find<'a>(
    name: &str,
    look_up: impl Fn(&str) -> Option<&'a Arc<TemplateDef>>,
) -> Option<Arc<TemplateDef>> {
    let mut parts = name.split(INLINE);
    let mut found = look_up(parts.next()?)?.clone();
    for part in parts {
        let inner = found.inline.get(part)?.clone();
        found = inner;
    }
    Some(found)
}

/// The name by which an inline template is found again.
pub(crate) fn inline_name(template: &str, step: &str) -> String {
    format!("{template}{INLINE}{step}")
}
