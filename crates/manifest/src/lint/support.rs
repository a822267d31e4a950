//! Constructs that are valid and not run yet, in one table. Whoever makes one run deletes its row; codes are never
//! reused.

use serde_json::Value;

use crate::codes::Code;
use crate::diagnostic::{Diagnostic, Severity};
use crate::load::path::Path;
use crate::object::Object;

/// Which mapping a construct is a key of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    /// `spec` of an EventSource.
    EventSource,
    /// A dependency of a Sensor.
    Dependency,
    /// `filters` of a dependency.
    Filters,
    /// `template` of a trigger.
    Trigger,
    /// `source` of a trigger.
    Source,
    /// `policy` of a trigger.
    Policy,
    /// `spec` of a workflow.
    Workflow,
    /// A template.
    Template,
    /// A step or task.
    Call,
    /// An artifact.
    Artifact,
}

struct Row {
    code: &'static str,
    place: Where,
    key: &'static str,
    /// Whether it has no effect and the rest runs; else what uses it fails.
    ignored: bool,
}

macro_rules! rows {
    ($($code:literal $place:ident $key:literal $effect:ident)*) => {
        &[$(Row {
            code: concat!("TIP-MAN-", $code),
            place: Where::$place,
            key: $key,
            ignored: matches!(Effect::$effect, Effect::Ignored),
        }),*]
    };
}

enum Effect {
    Ignored,
    Fails,
}

const TABLE: &[Row] = rows! {
    "101" EventSource "amqp" Fails
    "102" EventSource "azureEventsHub" Fails
    "103" EventSource "azureQueueStorage" Fails
    "104" EventSource "azureServiceBus" Fails
    "105" EventSource "bitbucket" Fails
    "106" EventSource "bitbucketserver" Fails
    "107" EventSource "emitter" Fails
    "108" EventSource "file" Fails
    "110" EventSource "gerrit" Fails
    "111" EventSource "github" Fails
    "112" EventSource "gitlab" Fails
    "113" EventSource "hdfs" Fails
    "115" EventSource "minio" Fails
    "116" EventSource "mns" Fails
    "117" EventSource "mqtt" Fails
    "119" EventSource "nsq" Fails
    "121" EventSource "pulsar" Fails
    "122" EventSource "redis" Fails
    "123" EventSource "redisStream" Fails
    "124" EventSource "resource" Fails
    "125" EventSource "sftp" Fails
    "126" EventSource "slack" Fails
    "127" EventSource "sns" Fails
    "129" EventSource "storageGrid" Fails
    "130" EventSource "stripe" Fails

    "140" Filters "script" Fails
    "141" Dependency "transform" Fails

    "150" Trigger "awsLambda" Fails
    "151" Trigger "azureEventHubs" Fails
    "152" Trigger "azureServiceBus" Fails
    "154" Trigger "email" Fails
    "157" Trigger "openWhisk" Fails
    "158" Trigger "pulsar" Fails
    "159" Trigger "slack" Fails
    "165" Source "s3" Fails
    "166" Source "git" Fails
    "167" Source "file" Fails
    "168" Source "url" Fails
    "169" Policy "k8s" Ignored

    "170" Template "containerSet" Fails
    "172" Template "http" Fails
    "173" Template "plugin" Fails
    "174" Template "data" Fails
    "179" Template "synchronization" Fails
    "180" Template "memoize" Fails
    "181" Template "metrics" Ignored

    "190" Workflow "hooks" Fails
    "191" Workflow "synchronization" Fails
    "194" Workflow "metrics" Ignored
    "200" Workflow "plugins" Fails

    "210" Call "hooks" Fails

    "223" Artifact "oss" Fails
    "224" Artifact "hdfs" Fails
    "227" Artifact "artifactory" Fails
    "228" Artifact "plugin" Fails
};

const EXPLANATION: &str = "The construct is valid, and not run yet: what uses it fails with an error that names it, or, \
    where the message says so, it has no effect. `tiphys lint` names the construct and its place.";

/// The explanation of a code of this table.
#[must_use]
pub fn explain(code: &str) -> Option<&'static str> {
    let known = TABLE.iter().any(|row| row.code.eq_ignore_ascii_case(code));
    known.then_some(EXPLANATION)
}

/// The code of a construct, for the message with which it fails at run time; `None` once it runs.
#[must_use]
pub fn code(place: Where, key: &str) -> Option<&'static str> {
    let mut rows = TABLE.iter();
    rows.find(|row| row.place == place && row.key == key).map(|row| row.code)
}

/// Reports the constructs among the keys of a mapping.
pub(super) fn check(
    place: Where,
    object: &Object,
    holder: &Value,
    path: &Path,
    findings: &mut Vec<Diagnostic>,
) {
    for row in TABLE.iter().filter(|row| row.place == place) {
        let Some(value) = holder.get(row.key).filter(|value| given(value)) else {
            continue;
        };
        // An exit hook is the exit handler, which runs.
        let hooks = value.as_object().filter(|_| row.key == "hooks");
        if hooks.is_some_and(|hooks| hooks.keys().all(|name| name == "exit")) {
            continue;
        }
        let code = Code { id: row.code, severity: Severity::Warning, strict: true, explanation: EXPLANATION };
        let (what, effect) = (name(place, row.key), effect(row));
        findings.push(object.places.at_key(
            code,
            &path.key(row.key),
            format!("{what} is valid, and not run yet: {effect}"),
            "remove it, or run this one elsewhere for now".into(),
        ));
    }
}

const fn effect(row: &Row) -> &'static str {
    match (row.ignored, row.place) {
        (true, _) => "it has no effect",
        (false, Where::EventSource) => "no event comes from it",
        (false, Where::Dependency | Where::Filters) => "no event passes it",
        (false, Where::Trigger | Where::Source) => "its firings become dead letters",
        (false, _) => "what uses it fails",
    }
}

fn name(place: Where, key: &str) -> String {
    let what = match place {
        Where::EventSource => "the event source kind",
        Where::Dependency => "the dependency's",
        Where::Filters => "the filter",
        Where::Trigger => "the trigger kind",
        Where::Source => "the trigger source",
        Where::Policy => "the trigger's policy",
        Where::Workflow => "the workflow's",
        Where::Template => "the template's",
        Where::Call => "the step's",
        Where::Artifact => "the artifact location",
    };
    format!("{what} `{key}`")
}

/// Whether a value says something.
fn given(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::codes::{self, ALL};

    #[test]
    fn codes_are_given_once() {
        let ids: Vec<&str> = TABLE.iter().map(|row| row.code).chain(ALL.iter().map(|code| code.id)).collect();
        let unique: BTreeSet<&str> = ids.iter().copied().collect();
        assert_eq!(unique.len(), ids.len());
        for id in ids {
            assert!(codes::explain(id).is_some_and(|text| text.len() > 40), "{id}");
        }
        assert_eq!(codes::explain("TIP-MAN-999"), None);
    }
}
