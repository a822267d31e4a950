//! Pods as they are sent. Each file in `golden` holds what is wanted and what comes of it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tiphys_core::PodKey;

use super::super::{Config, ImageCommand, ImageVolume, PackedRunner, RunnerImage, RunnerSource};
use super::*;
use crate::launcher::PodOptions;

const NOW: &str = "2026-11-30T12:00:00Z";

fn config(told: &Value) -> Config {
    let mut config = Config::new("lab".into(), "key".into(), "/nowhere".into());
    config.environment.insert("TIPHYS_SERVER".into(), "http://tiphys:7878/$x".into());
    config.restricted = told["restricted"] == true;
    config.address = told["address"].as_str().map(str::to_owned);
    config.certificate = told["certificate"].as_str().map(str::to_owned);
    let image = RunnerImage {
        image: "registry.example/runner:1".into(),
        program: "/tiphys-runner".into(),
        pull_policy: told["pullPolicy"].as_str().map(str::to_owned),
        volume: if told["volume"] == true { ImageVolume::Always } else { ImageVolume::Never },
    };
    config.runner = Some(match told["unpackImage"].as_str() {
        Some(unpack) => RunnerSource::Packed(PackedRunner::new(b"runner", unpack.into()).unwrap()),
        None => RunnerSource::Image(image),
    });
    let command = ImageCommand { entrypoint: vec!["/entry".into()], arguments: vec!["default".into()] };
    config.images.insert("known:1".into(), command);
    config
}

/// A step, in which `members` are as told.
fn spec(members: &Value) -> PodSpec {
    let spec = PodSpec {
        key: PodKey("0123456789abcdef".into()),
        name: "scan-fetch-123".into(),
        namespace: "team".into(),
        workflow: "scan".into(),
        workflow_uid: "uid-1".into(),
        node_id: "scan-123".into(),
        template: "fetch".into(),
        container: json!({"image": "busybox:1", "command": ["sh", "-c"], "args": ["true"]}),
        pod: PodOptions { node_name: "scan.fetch".into(), ..PodOptions::default() },
        grace: Duration::from_secs(30),
        ..PodSpec::default()
    };
    let mut whole = json!(spec);
    for (name, value) in members.as_object().into_iter().flatten() {
        match (whole.get_mut(name), value) {
            (Some(Value::Object(known)), Value::Object(told)) if name == "pod" => known.extend(told.clone()),
            // A number is a text of that length.
            (_, Value::Number(length)) if name == "script" => {
                whole[name] = "x".repeat(length.as_u64().unwrap() as usize).into();
            }
            _ => whole[name] = value.clone(),
        }
    }
    serde_json::from_value(whole).unwrap()
}

#[test]
fn pods_are_as_they_always_were() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/launcher/kubernetes/pod/golden");
    let (mut count, mut others) = (0, Vec::new());
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let case: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let spec = spec(&case["spec"]);
        let mut made = match build(&spec, &config(&case["config"]), NOW.parse().unwrap()) {
            Ok(built) => {
                // It is a Pod to Kubernetes, too.
                let typed: k8s_openapi::api::core::v1::Pod =
                    serde_json::from_value(built.pod.clone()).unwrap();
                assert_eq!(typed.metadata.name.as_deref(), Some(spec.name.as_str()));
                let (claims, budget) =
                    (claims(&spec, &config(&json!({}))), budget(&spec, &config(&json!({}))));
                json!({"pod": built.pod, "claims": claims, "budget": budget, "stored": built.parcel.is_some()})
            }
            Err(error) => json!({"error": error.to_string()}),
        };
        shorten(&mut made);
        if made != case["made"] {
            others.push(format!(
                "{}
{}
",
                path.display(),
                serde_json::to_string_pretty(&made).unwrap()
            ));
        }
        count += 1;
    }
    assert!(others.is_empty(), "made otherwise:\n{}", others.concat());
    assert!(count > 10, "only {count} cases were found");
}

/// The runner's order as JSON instead of text, tokens and secret places by their length: both are other tests' matter.
fn shorten(made: &mut Value) {
    let hidden = |text: &str| {
        let mut parts: Vec<String> = text.split("token=").map(str::to_owned).collect();
        parts.iter_mut().skip(1).for_each(|part| *part = format!("({} characters)", part.len()));
        let text = parts.join("token=");
        match text.split_once("0123456789abcdef-") {
            Some((before, after)) => {
                format!("{before}0123456789abcdef-(secret){}", after.get(32..).unwrap_or_default())
            }
            None => text,
        }
    };
    match made {
        Value::Array(list) => list.iter_mut().for_each(shorten),
        Value::Object(table) => {
            if table.get("name").is_some_and(|name| name == "TIPHYS_RUNNER")
                && let Some(order) = table.get_mut("value")
            {
                *order = serde_json::from_str(&order.as_str().unwrap().replace("$$", "$")).unwrap();
            }
            table.values_mut().for_each(shorten);
        }
        Value::String(text) => *text = hidden(text),
        _ => {}
    }
}
