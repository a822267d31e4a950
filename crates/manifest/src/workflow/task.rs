//! Steps and DAG tasks: who calls which template, when, with what, how often.
#![expect(missing_docs, reason = "the fields are Argo's words, and its reference describes them")]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::argument::Arguments;
use super::lenient::{IntOrString, any_text, nullable};
use super::policy::{ContinueOn, LifecycleHook};
use super::template::Template;

/// `templateRef`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TemplateRef {
    #[serde(deserialize_with = "nullable")]
    pub name: String,
    #[serde(deserialize_with = "nullable")]
    pub template: String,
    #[serde(deserialize_with = "nullable")]
    pub cluster_scope: bool,
}

/// One of `withItems`: any JSON.
pub type Item = Value;

/// `withSequence`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Sequence {
    pub count: Option<IntOrString>,
    pub start: Option<IntOrString>,
    pub end: Option<IntOrString>,
    pub format: Option<String>,
}

/// A step; each element of `steps` is a list of steps that run together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct WorkflowStep {
    #[serde(deserialize_with = "nullable")]
    pub name: String,
    #[serde(deserialize_with = "nullable")]
    pub template: String,
    pub template_ref: Option<TemplateRef>,
    pub inline: Option<Box<Template>>,
    #[serde(deserialize_with = "nullable")]
    pub arguments: Arguments,
    #[serde(deserialize_with = "nullable")]
    pub with_items: Vec<Item>,
    #[serde(deserialize_with = "any_text")]
    pub with_param: Option<String>,
    pub with_sequence: Option<Sequence>,
    #[serde(deserialize_with = "any_text")]
    pub when: Option<String>,
    pub continue_on: Option<ContinueOn>,
    pub on_exit: Option<String>,
    #[serde(deserialize_with = "nullable")]
    pub hooks: BTreeMap<String, LifecycleHook>,
}

/// `dag`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DagTemplate {
    pub target: Option<String>,
    #[serde(deserialize_with = "nullable")]
    pub tasks: Vec<DagTask>,
    pub fail_fast: Option<bool>,
}

/// One of `dag.tasks`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DagTask {
    #[serde(deserialize_with = "nullable")]
    pub name: String,
    #[serde(deserialize_with = "nullable")]
    pub template: String,
    pub template_ref: Option<TemplateRef>,
    pub inline: Option<Box<Template>>,
    #[serde(deserialize_with = "nullable")]
    pub arguments: Arguments,
    #[serde(deserialize_with = "nullable")]
    pub dependencies: Vec<String>,
    pub depends: Option<String>,
    #[serde(deserialize_with = "nullable")]
    pub with_items: Vec<Item>,
    #[serde(deserialize_with = "any_text")]
    pub with_param: Option<String>,
    pub with_sequence: Option<Sequence>,
    #[serde(deserialize_with = "any_text")]
    pub when: Option<String>,
    pub continue_on: Option<ContinueOn>,
    pub on_exit: Option<String>,
    #[serde(deserialize_with = "nullable")]
    pub hooks: BTreeMap<String, LifecycleHook>,
}

/// Steps that run together. Very old manifests write a lone step without its list.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct StepGroup(pub Vec<WorkflowStep>);

impl<'de> Deserialize<'de> for StepGroup {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = StepGroup;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list of steps")
            }

            fn visit_unit<E>(self) -> Result<StepGroup, E> {
                Ok(StepGroup::default())
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, list: A) -> Result<StepGroup, A::Error> {
                let steps = serde::de::value::SeqAccessDeserializer::new(list);
                Vec::deserialize(steps).map(StepGroup)
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, step: A) -> Result<StepGroup, A::Error> {
                let step = serde::de::value::MapAccessDeserializer::new(step);
                WorkflowStep::deserialize(step).map(|step| StepGroup(vec![step]))
            }
        }
        input.deserialize_any(Visitor)
    }
}
