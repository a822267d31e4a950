//! `tool delete-pod`: deletes the pod that an alert of Falco names, if it is the one that raised it.
//!
//! It takes the event as a sensor hands it over (`{"context": …, "data": BASE64}`), as a webhook receives it
//! (`{"header": …, "body": …}`), or the alert itself; and acts with the rights of whoever runs it: of a pod's service
//! account, or of a kubeconfig.

use base64::Engine as _;
use clap::Args as ClapArgs;
use serde_json::{Value, json};
use tiphys_kit::kubernetes::{Cluster, Deletion, PRECONDITION_CONTAINER, Precondition, Removal, Settings};

use super::{failed, read};
use crate::exit::{Code, Failure};

/// The flags.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The event: text, or @FILE (@- is standard input)
    #[arg(long, env = "BODY", value_name = "EVENT", hide_env_values = true)]
    event: String,
    /// Namespaces whose pods are never deleted
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "NAMESPACE",
        default_value = "kube-system,kube-public,kube-node-lease,falco"
    )]
    protect: Vec<String>,
    /// Delete it whatever its containers are, if the alert names none
    #[arg(long)]
    any_container: bool,
}

/// What an alert says of a pod.
#[derive(Debug, PartialEq)]
struct Offender {
    namespace: String,
    pod: String,
    container: Option<String>,
}

/// Deletes the pod. One that is gone is a success; one that is another is not.
pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let text = match args.event.strip_prefix('@') {
        Some(file) => String::from_utf8_lossy(&read(file)?).into_owned(),
        None => args.event.clone(),
    };
    let offender = offender(&text).map_err(|why| Failure::new(Code::Validation, why))?;
    let named = format!("pod {}/{}", offender.namespace, offender.pod);
    if args.protect.contains(&offender.namespace) {
        return Err(failed(format!("{named} is in a protected namespace; nothing was deleted")));
    }
    let annotation = match (&offender.container, args.any_container) {
        (None, true) => Value::Null,
        (container, _) => json!(container.clone().unwrap_or_default()),
    };
    let meant = Precondition::of(&json!({"metadata": {"annotations": {PRECONDITION_CONTAINER: annotation}}}));
    let told = |failure: tiphys_kit::kubernetes::Failure| failed(failure.to_string());
    let cluster = Cluster::open(Settings::default()).await.map_err(told)?;
    let pods = cluster.resource("v1", "Pod").await.map_err(told)?;
    let objects = cluster.objects(&pods, &offender.namespace);
    match objects.delete_meant(&offender.pod, &meant, &Removal::default()).await.map_err(told)? {
        Deletion::Deleted(uid) => println!("{named} (uid {uid}) is deleted"),
        Deletion::Absent => println!("{named} is gone already"),
        Deletion::Another(why) => return Err(failed(format!("not deleted: {why}"))),
    }
    Ok(())
}

/// Finds the alert in what was given, and in it the pod.
fn offender(text: &str) -> Result<Offender, String> {
    let mut value: Value =
        serde_json::from_str(text).map_err(|error| format!("the event is no JSON: {error}"))?;
    if let Some(data) = value.get("data").and_then(Value::as_str) {
        let bytes = base64::engine::general_purpose::STANDARD.decode(data);
        let bytes = bytes.map_err(|_| "the event's data is no base64".to_owned())?;
        value = serde_json::from_slice(&bytes)
            .map_err(|error| format!("the event's data is no JSON: {error}"))?;
    }
    if let Some(body) = value.get_mut("body") {
        value = body.take();
    }
    let field = |name: &str| {
        let text = value["output_fields"][name].as_str().unwrap_or_default();
        (!matches!(text, "" | "<NA>")).then(|| text.to_owned())
    };
    match (field("k8s.ns.name"), field("k8s.pod.name")) {
        (Some(namespace), Some(pod)) => Ok(Offender { namespace, pod, container: field("container.id") }),
        _ => Err("the alert names no pod: output_fields needs k8s.ns.name and k8s.pod.name".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pod_in_an_event_of_any_wrapping() {
        let alert = json!({"rule": "r", "output_fields": {
            "k8s.ns.name": "shop", "k8s.pod.name": "web-0", "container.id": "ac7c5359a04b", "evt.time": 1_795_348_800_123_456_789_u64,
        }});
        let body = json!({"header": {"X": ["y"]}, "body": alert});
        let data = base64::engine::general_purpose::STANDARD.encode(body.to_string());
        let expected = Offender {
            namespace: "shop".into(),
            pod: "web-0".into(),
            container: Some("ac7c5359a04b".into()),
        };
        for event in [alert.clone(), body, json!({"context": {"id": "1"}, "data": data})] {
            assert_eq!(offender(&event.to_string()).as_ref(), Ok(&expected), "{event}");
        }
        let host =
            json!({"output_fields": {"k8s.ns.name": "<NA>", "k8s.pod.name": null, "container.id": "host"}});
        assert!(offender(&host.to_string()).unwrap_err().contains("names no pod"));
        for wrong in ["", "{}", "[1]", r#"{"data":"?"}"#, r#"{"data":"e30="}"#] {
            assert!(offender(wrong).is_err(), "{wrong}");
        }
    }
}
