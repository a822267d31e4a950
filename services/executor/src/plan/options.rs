//! What a manifest says of a pod besides its main container. Where a template and its workflow say the same thing the
//! template wins, as in Argo; `hostAliases` and `imagePullSecrets` add up.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::collect;
use crate::definition::TemplateDef;
use crate::journal::State;
use crate::launcher::PodOptions;
use crate::scope::Scope;
use crate::substitute;

/// Members that a template and its workflow call the same.
const BOTH: [&str; 8] = [
    "serviceAccountName",
    "automountServiceAccountToken",
    "nodeSelector",
    "affinity",
    "tolerations",
    "schedulerName",
    "securityContext",
    "resourceClaims",
];
/// Members that only a workflow has.
const WHOLE: [&str; 4] = ["imagePullSecrets", "hostNetwork", "dnsPolicy", "dnsConfig"];

/// The options of a node's pod. `main` is its main container, `labels` are those of the pod.
pub(super) fn of(
    scope: &Scope<'_>,
    def: &TemplateDef,
    main: &Value,
    labels: &BTreeMap<String, String>,
) -> Result<PodOptions, String> {
    let state = scope.state;
    let nothing = Value::Null;
    let whole = state.definition.as_ref().map_or(&nothing, |definition| &definition.json);
    let template = &def.json;
    let mut spec = Map::new();
    let mut put = |name: &str, value: Option<&Value>| -> Result<(), String> {
        if let Some(value) = value.filter(|value| said(value)) {
            spec.insert(name.to_owned(), substitute::tree(scope, value)?);
        }
        Ok(())
    };
    for name in BOTH {
        put(name, given(template, name).or_else(|| given(whole, name)))?;
    }
    for name in WHOLE {
        put(name, given(whole, name))?;
    }
    put(
        "priorityClassName",
        given(template, "priorityClassName").or_else(|| given(whole, "podPriorityClassName")),
    )?;
    put("priority", given(template, "priority").or_else(|| given(whole, "podPriority")))?;
    put("resources", given(template, "podResources").or_else(|| given(whole, "podResources")))?;
    let aliases: Vec<Value> =
        [whole, template].into_iter().flat_map(|from| list(from, "hostAliases")).cloned().collect();
    put("hostAliases", Some(&Value::Array(aliases)))?;
    let init = containers(scope, template, "initContainers", main)?;
    let sidecars = containers(scope, template, "sidecars", main)?;
    let named = mounts([main].into_iter().chain(&init).chain(&sidecars));
    let claims: Vec<Value> = list(whole, "volumeClaimTemplates").cloned().collect();
    let volumes = volumes(state, whole, template, &claims, &named)?;
    put("volumes", Some(&Value::Array(volumes)))?;
    let used = claims.into_iter().filter(|claim| named.contains(name_of(claim)));
    let claims = used.map(|claim| substitute::tree(scope, &claim)).collect::<Result<_, _>>()?;
    if !init.is_empty() {
        spec.insert("initContainers".into(), Value::Array(init));
    }
    let (gc, gc_delay) = collect::of_pod(state, labels)?;
    Ok(PodOptions {
        spec,
        sidecars,
        patches: patches(scope, [whole, template])?,
        claims,
        daemon: def.typed.daemon == Some(true),
        gc,
        gc_delay,
        node_name: String::new(),
        disruption_budget: match given(whole, "podDisruptionBudget") {
            Some(budget) => substitute::tree(scope, budget)?.as_object().cloned(),
            None => None,
        },
        avoid: Vec::new(),
    })
}

/// Empty ones say nothing.
fn said(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(list) => !list.is_empty(),
        Value::Object(table) => !table.is_empty(),
        Value::String(text) => !text.is_empty(),
        _ => true,
    }
}

fn given<'v>(from: &'v Value, name: &str) -> Option<&'v Value> {
    from.get(name).filter(|value| said(value))
}

fn list<'v>(from: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    from.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn name_of(value: &Value) -> &str {
    value["name"].as_str().or_else(|| value["metadata"]["name"].as_str()).unwrap_or_default()
}

/// Containers beside the main one, with its mounts where they ask for them (`mirrorVolumeMounts`).
fn containers(scope: &Scope<'_>, template: &Value, member: &str, main: &Value) -> Result<Vec<Value>, String> {
    let all = list(template, member).map(|written| {
        let mut container = super::pod::replaced(scope, written)?;
        let Some(members) = container.as_object_mut() else {
            return Err(format!("an entry of {member} is no container"));
        };
        if members.remove("mirrorVolumeMounts") == Some(json!(true)) {
            let mut mounts: Vec<Value> = list(written, "volumeMounts").cloned().collect();
            mounts.extend(list(main, "volumeMounts").cloned());
            members.insert("volumeMounts".into(), Value::Array(mounts));
        }
        Ok(container)
    });
    all.collect()
}

/// Names of the volumes that are mounted.
fn mounts<'v>(containers: impl Iterator<Item = &'v Value>) -> BTreeSet<String> {
    let all = containers.flat_map(|container| {
        list(container, "volumeMounts").map(name_of).chain(list(container, "volumeDevices").map(name_of))
    });
    all.map(str::to_owned).collect()
}

/// The volumes of the template, and those of the workflow that are mounted; the template's first, then the workflow's,
/// then its claims.
fn volumes(
    state: &State,
    whole: &Value,
    template: &Value,
    claims: &[Value],
    named: &BTreeSet<String>,
) -> Result<Vec<Value>, String> {
    let mut all: Vec<Value> = list(template, "volumes").cloned().collect();
    for name in named {
        if all.iter().any(|volume| name_of(volume) == name) {
            continue;
        }
        if let Some(volume) = list(whole, "volumes").find(|volume| name_of(volume) == name) {
            all.push(volume.clone());
        } else if claims.iter().any(|claim| name_of(claim) == name) {
            let claim = claim_name(&state.submission.name, name);
            all.push(json!({"name": name, "persistentVolumeClaim": {"claimName": claim}}));
        } else {
            return Err(format!("volume '{name}' not found in workflow spec"));
        }
    }
    Ok(all)
}

/// Name of the claim that a workflow makes from one of its `volumeClaimTemplates`.
pub(crate) fn claim_name(workflow: &str, claim: &str) -> String {
    format!("{workflow}-{claim}")
}

/// `podSpecPatch`, JSON or YAML, as JSON.
fn patches(scope: &Scope<'_>, from: [&Value; 2]) -> Result<Vec<Value>, String> {
    let texts = from.into_iter().filter_map(|from| given(from, "podSpecPatch")?.as_str());
    let all = texts.map(|text| {
        let text = substitute::required(scope, text)?;
        let wrong = |why: String| format!("podSpecPatch is neither JSON nor YAML: {why}");
        let patch = tiphys_manifest::load::values(&text).map_err(wrong)?.pop();
        patch.filter(Value::is_object).ok_or_else(|| wrong("it is no table".into()))
    });
    all.collect()
}
