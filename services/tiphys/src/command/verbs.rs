//! Verbs on workflows and triggers that only ask for something.

use reqwest::Method;
use serde_json::{Value, json};

use super::latest::resolve;
use crate::cli::{NameArgs, ResumeArgs, RetryArgs, StopArgs, TriggerCommand};
use crate::client::Client;
use crate::exit::{Code, Failure};

/// `suspend`.
pub(super) async fn suspend(args: &NameArgs, client: &Client) -> Result<(), Failure> {
    put(client, &args.name, "suspend", "suspended", &json!({})).await
}

/// `resume`.
pub(super) async fn resume(args: &ResumeArgs, client: &Client) -> Result<(), Failure> {
    let body = json!({"nodeFieldSelector": args.node_field_selector});
    put(client, &args.name, "resume", "resumed", &body).await
}

/// `stop`.
pub(super) async fn stop(args: &StopArgs, client: &Client) -> Result<(), Failure> {
    put(client, &args.name, "stop", "stopped", &json!({"message": args.message})).await
}

/// `terminate`.
pub(super) async fn terminate(args: &NameArgs, client: &Client) -> Result<(), Failure> {
    put(client, &args.name, "terminate", "terminated", &json!({})).await
}

/// `retry`.
pub(super) async fn retry(args: &RetryArgs, client: &Client) -> Result<(), Failure> {
    let body = json!({
        "restartSuccessful": args.restart_successful,
        "nodeFieldSelector": args.node_field_selector,
    });
    put(client, &args.name, "retry", "retried", &body).await
}

async fn put(client: &Client, name: &str, verb: &str, done: &str, body: &Value) -> Result<(), Failure> {
    let name = resolve(client, name).await?;
    let path = format!("/api/v1/workflows/{}/{name}/{verb}", client.namespace);
    client.send(Method::PUT, &path, body).await?;
    println!("workflow {name} {done}");
    Ok(())
}

/// `trigger pause|resume`.
pub(super) async fn trigger(command: &TriggerCommand, client: &Client) -> Result<(), Failure> {
    let (verb, done, trigger) = match command {
        TriggerCommand::Pause { trigger } => ("pause", "paused; its firings wait", trigger),
        TriggerCommand::Resume { trigger } => ("resume", "resumed", trigger),
    };
    let Some((sensor, name)) = trigger.split_once('/') else {
        return Err(Failure::new(Code::Usage, format!("`{trigger}` is not of the form SENSOR/TRIGGER")));
    };
    let path = format!("/api/tiphys/v1/triggers/{}/{sensor}/{name}/{verb}", client.namespace);
    client.send(Method::POST, &path, &json!({})).await?;
    println!("trigger {trigger} {done}");
    Ok(())
}
