//! `submit` and `resubmit`.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use reqwest::Method;
use serde_json::{Map, Value, json};
use tiphys_manifest::{Object, codes};

use super::get::{kind_of, text};
use super::latest::resolve;
use super::{logs, watch};
use crate::cli::{Connection, ResubmitArgs, SubmitArgs};
use crate::client::Client;
use crate::exit::{Code, Failure};
use crate::output::color::Paint;

/// What happens after a submission.
struct After {
    watch: bool,
    wait: bool,
    log: bool,
}

/// `submit`.
pub(super) async fn submit(
    args: &SubmitArgs,
    client: &Client,
    connection: &Connection,
) -> Result<(), Failure> {
    let mut requests = requests(args, client)?;
    // Of several none is stored where one is refused.
    if requests.len() > 1 {
        for (path, body) in &mut requests {
            body["submitOptions"]["dryRun"] = json!(true);
            client.send(Method::POST, path, body).await?;
            body["submitOptions"]["dryRun"] = json!(false);
        }
    }
    let mut submitted = Vec::new();
    for (path, body) in &requests {
        submitted.push(client.send(Method::POST, path, body).await?);
    }
    after(&submitted, client, connection, &After { watch: args.watch, wait: args.wait, log: args.log }).await
}

/// The requests that submit what is asked for: path and body of each.
fn requests(args: &SubmitArgs, client: &Client) -> Result<Vec<(String, Value)>, Failure> {
    let options = options(args)?;
    let namespace = &client.namespace;
    let mut requests = Vec::new();
    if let Some(from) = &args.from {
        let Some((kind, name)) = from.split_once('/') else {
            return Err(Failure::new(Code::Usage, format!("`{from}` is not of the form KIND/NAME")));
        };
        let kind = kind_of(kind).ok_or_else(|| Failure::new(Code::Usage, format!("`{kind}` is no kind")))?;
        let body = json!({"namespace": namespace, "resourceKind": kind, "resourceName": name, "submitOptions": options});
        requests.push((format!("/api/v1/workflows/{namespace}/submit"), body));
    }
    for file in &args.files {
        for workflow in workflows(file, namespace, args.entrypoint.is_some())? {
            let body = json!({"namespace": namespace, "workflow": workflow, "submitOptions": options});
            requests.push((format!("/api/v1/workflows/{namespace}"), body));
        }
    }
    if requests.is_empty() {
        let told = "nothing to submit: give a FILE with a Workflow, or --from KIND/NAME";
        return Err(Failure::new(Code::Usage, told));
    }
    Ok(requests)
}

/// `resubmit`.
pub(super) async fn resubmit(
    args: &ResubmitArgs,
    client: &Client,
    connection: &Connection,
) -> Result<(), Failure> {
    let name = resolve(client, &args.name).await?;
    let path = format!("/api/v1/workflows/{}/{name}/resubmit", client.namespace);
    let body = json!({"parameters": args.parameters, "onlyKnownParameters": true});
    let workflow = client.send(Method::PUT, &path, &body).await?;
    after(&[workflow], client, connection, &After { watch: args.watch, wait: args.wait, log: false }).await
}

/// Shows one workflow that was just started.
pub(super) async fn started(
    workflow: Value,
    client: &Client,
    connection: &Connection,
    (watch, wait): (bool, bool),
) -> Result<(), Failure> {
    after(&[workflow], client, connection, &After { watch, wait, log: false }).await
}

async fn after(
    submitted: &[Value],
    client: &Client,
    connection: &Connection,
    wanted: &After,
) -> Result<(), Failure> {
    use crate::cli::Format;
    let mut outcome = Ok(());
    for workflow in submitted {
        let name = text(workflow, "/metadata/name");
        match connection.output {
            Some(Format::Json) => crate::output::json(workflow)?,
            Some(Format::Yaml) => crate::output::yaml(workflow)?,
            Some(Format::Name) => println!("workflow/{name}"),
            _ => println!("workflow {name} submitted"),
        }
        if wanted.log {
            logs::follow(client, name, Paint::new(connection.color)).await?;
        }
        let ended = if wanted.watch {
            watch::watch(name, client, connection).await
        } else if wanted.wait || wanted.log {
            watch::wait_one(client, name, connection).await
        } else {
            Ok(())
        };
        outcome = outcome.and(ended);
    }
    outcome
}

/// Argo's submit options.
fn options(args: &SubmitArgs) -> Result<Value, Failure> {
    let mut parameters = args.parameters.clone();
    if let Some(file) = &args.parameter_file {
        parameters.extend(from_file(file)?);
    }
    let mut options = Map::new();
    options.insert("parameters".into(), json!(parameters));
    // Argo takes any; a name that is misspelt is not to be lost in silence.
    options.insert("onlyKnownParameters".into(), json!(true));
    let mut put = |key: &str, value: &Option<String>| {
        if let Some(value) = value {
            options.insert(key.into(), json!(value));
        }
    };
    put("name", &args.name);
    put("generateName", &args.generate_name);
    put("entryPoint", &args.entrypoint);
    put("serviceAccount", &args.service_account);
    if !args.labels.is_empty() {
        options.insert("labels".into(), json!(args.labels.join(",")));
    }
    Ok(Value::Object(options))
}

fn from_file(file: &Path) -> Result<Vec<String>, Failure> {
    let content = read(file)?;
    let map: Map<String, Value> = serde_saphyr::from_str(&content)
        .map_err(|error| Failure::new(Code::Validation, format!("{}: {error}", file.display())))?;
    let plain = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(map.into_iter().map(|(name, value)| format!("{name}={}", plain(value))).collect())
}

/// The Workflow documents of a file, checked here as `lint` does, so that findings carry its lines. What they refer to may be
/// with the server, which checks again.
fn workflows(file: &Path, namespace: &str, other_entrypoint: bool) -> Result<Vec<Value>, Failure> {
    let name = file.display().to_string();
    let options = tiphys_manifest::load::LoadOptions { namespace: namespace.to_owned() };
    let loaded = tiphys_manifest::load::load(&name, &read(file)?, &options);
    let objects: Vec<Arc<Object>> = loaded.objects.into_iter().map(Arc::new).collect();
    let mut findings = loaded.diagnostics;
    findings.extend(super::lint::across(&objects));
    findings.retain(|finding| !(other_entrypoint && finding.path == "spec.entrypoint"));
    super::lint::refuse_errors(&findings)?;
    for finding in findings.iter().filter(|finding| finding.code == codes::NOT_ON_PROCESSES.id) {
        eprintln!("{}", tiphys_manifest::diagnostic::short(finding));
    }
    let found: Vec<Value> = objects
        .iter()
        .filter(|object| object.kind == tiphys_manifest::Kind::Workflow)
        .map(|object| object.document.clone())
        .collect();
    if found.is_empty() {
        return Err(Failure::new(
            Code::Validation,
            format!("{name} holds no Workflow; use `tiphys apply` for other kinds"),
        ));
    }
    Ok(found)
}

/// A file, or standard input for `-`.
pub(super) fn read(file: &Path) -> Result<String, Failure> {
    let mut content = String::new();
    let outcome = if file.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut content).map(|_| content)
    } else {
        std::fs::read_to_string(file)
    };
    outcome.map_err(|error| Failure::new(Code::NotFound, format!("{}: {error}", file.display())))
}
