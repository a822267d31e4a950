//! `workflow.…`.

use serde_json::{Value, json};
use tiphys_core::Timestamp;

use super::{Found, Scope, parameters_json};
use crate::journal::State;
use crate::names;
use crate::node::Phase;
use crate::status::time_text;

impl Scope<'_> {
    /// A name below `workflow.`.
    pub(super) fn workflow(&self, rest: &str) -> Found {
        let state = self.state;
        let (first, below) = rest.split_once('.').unwrap_or((rest, ""));
        match (first, below) {
            ("name", "") => Found::Text(state.submission.name.clone()),
            ("namespace", "") => Found::Text(state.submission.namespace.clone()),
            ("uid", "") => Found::Text(state.submission.uid.clone()),
            ("serviceAccountName", "") => Found::Text(state.service_account()),
            ("mainEntrypoint", "") => Found::Text(state.entrypoint().to_owned()),
            ("priority", "") => Found::Text(
                state.definition.as_ref().and_then(|d| d.spec.priority).unwrap_or_default().to_string(),
            ),
            ("duration", "") => Found::Text(state.duration_text(self.now)),
            ("status", "") => Found::Text(state.outcome().as_str().into()),
            ("failures", "") => Found::Text(state.failures_text()),
            ("scheduledTime", "") => match state.annotation(crate::cron::SCHEDULED_TIME) {
                Some(time) => Found::Text(time),
                None => Found::Wrong("`workflow.scheduledTime` is known to cron's runs only".into()),
            },
            ("parameters", "" | "json") => {
                let all = state.parameters.iter();
                Found::Text(parameters_json(all.map(|p| (&*p.name, p.value.as_deref()))))
            }
            ("parameters", name) => {
                let found = state.parameters.iter().find(|p| p.name == name);
                found.and_then(|p| p.value.clone()).map_or_else(|| wrong(rest), Found::Text)
            }
            ("labels", "" | "json") => Found::Text(json!(state.all_labels()).to_string()),
            ("annotations", "" | "json") => Found::Text(json!(state.all_annotations()).to_string()),
            ("labels", name) => state.label(name).map_or_else(|| wrong(rest), Found::Text),
            ("annotations", name) => state.annotation(name).map_or_else(|| wrong(rest), Found::Text),
            ("creationTimestamp", form) => {
                time_part(state.submission.at, form).map_or_else(|| wrong(rest), Found::Text)
            }
            ("outputs", name) => match name.strip_prefix("parameters.") {
                Some(name) => match state.outputs.parameter(name) {
                    Some(parameter) => parameter.value.clone().map_or(Found::Absent, Found::Text),
                    None => Found::Absent,
                },
                None => wrong(rest),
            },
            _ => wrong(rest),
        }
    }
}

fn wrong(rest: &str) -> Found {
    Found::Wrong(format!("`workflow.{rest}` is not known"))
}

/// A moment, whole or a part of it by strftime's letter.
fn time_part(time: Timestamp, form: &str) -> Option<String> {
    match form {
        "" | "RFC3339" => Some(time_text(time)),
        "s" => Some(time.as_second().to_string()),
        letter if letter.chars().count() == 1 => {
            let utc = time.to_zoned(jiff::tz::TimeZone::UTC);
            jiff::fmt::strtime::format(format!("%{letter}"), &utc).ok()
        }
        _ => None,
    }
}

impl State {
    /// Name of the template that the workflow begins with.
    pub(crate) fn entrypoint(&self) -> &str {
        self.definition.as_ref().map_or("", |definition| &definition.spec.entrypoint)
    }

    fn service_account(&self) -> String {
        let named =
            (self.definition.as_ref()).and_then(|definition| definition.spec.service_account_name.clone());
        named.unwrap_or_else(|| "default".into())
    }

    fn metadata(&self, table: &str, name: &str) -> Option<String> {
        let value = self.object().get("metadata")?.get(table)?.get(name)?;
        Some(names::item_text(value))
    }

    /// A label of the workflow.
    pub(crate) fn label(&self, name: &str) -> Option<String> {
        self.metadata("labels", name).or_else(|| self.labels.get(name).cloned())
    }

    /// An annotation of the workflow.
    pub(crate) fn annotation(&self, name: &str) -> Option<String> {
        self.metadata("annotations", name).or_else(|| self.annotations.get(name).cloned())
    }

    pub(crate) fn all_labels(&self) -> serde_json::Map<String, Value> {
        self.table("labels", &self.labels)
    }

    pub(crate) fn all_annotations(&self) -> serde_json::Map<String, Value> {
        self.table("annotations", &self.annotations)
    }

    fn table(
        &self,
        name: &str,
        added: &std::collections::BTreeMap<String, String>,
    ) -> serde_json::Map<String, Value> {
        let written = self.object().get("metadata").and_then(|m| m.get(name));
        let mut all: serde_json::Map<String, Value> =
            added.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        for (key, value) in written.and_then(Value::as_object).into_iter().flatten() {
            all.insert(key.clone(), json!(names::item_text(value)));
        }
        all
    }

    /// How the workflow stands without its exit handler.
    pub(crate) fn outcome(&self) -> Phase {
        let entry = self.named(&self.submission.name);
        match entry.map(|node| node.phase) {
            Some(Phase::Failed) => Phase::Failed,
            Some(Phase::Error) => Phase::Error,
            Some(phase) if phase.fulfilled() => match self.shutdown {
                Some(_) => Phase::Failed,
                None => Phase::Succeeded,
            },
            _ => Phase::Running,
        }
    }

    /// Seconds since it began, as Argo prints them.
    fn duration_text(&self, now: Timestamp) -> String {
        let began = self.started.unwrap_or(now);
        let millis = (now.as_millisecond() - began.as_millisecond()).max(0);
        format!("{}.{:06}", millis / 1000, (millis % 1000) * 1000)
    }

    /// The failed nodes as a quoted JSON text, to be decoded twice, as in Argo.
    fn failures_text(&self) -> String {
        let mut failed: Vec<_> = self.nodes.values().filter(|node| node.phase.bad() && !node.exit).collect();
        failed.sort_by(|a, b| a.name.cmp(&b.name));
        let list: Vec<Value> = failed
            .into_iter()
            .map(|node| {
                json!({
                    "displayName": node.display_name,
                    "message": node.message,
                    "templateName": node.target.template,
                    "phase": node.phase.as_str(),
                    "podName": node.pod_name.clone().unwrap_or_else(|| node.id.clone()),
                    "finishedAt": node.finished.map(time_text),
                })
            })
            .collect();
        let text = if list.is_empty() { "null".to_owned() } else { Value::Array(list).to_string() };
        Value::String(text).to_string()
    }
}
