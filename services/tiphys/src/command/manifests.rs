//! `apply` and `delete`.

use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Value, json};

use super::get::{kind_of, text};
use super::submit::read;
use crate::cli::{ApplyArgs, Connection, DeleteArgs, Format};
use crate::client::Client;
use crate::exit::{Code, Failure};

/// `apply`: the server's answer names each object and what became of it.
pub(super) async fn apply(args: &ApplyArgs, client: &Client, connection: &Connection) -> Result<(), Failure> {
    let files = expand(args.filename.iter().chain(&args.paths))?;
    if files.is_empty() {
        return Err(Failure::new(Code::Usage, "nothing to apply: give files or folders"));
    }
    let mut all = json!({"items": [], "diagnostics": []});
    for file in files {
        let content = read(&file)?;
        let name = super::get::encode(&file.display().to_string());
        let path = format!("/api/tiphys/v1/objects?namespace={}&file={name}", client.namespace);
        let answer = client.post_text(&path, content).await?;
        let given = |key: &str| answer.get(key).and_then(Value::as_array).into_iter().flatten();
        if matches!(connection.output, None | Some(Format::Table | Format::Wide)) {
            given("items").for_each(|object| println!("{} {}", named(object), text(object, "/change")));
        }
        for finding in given("diagnostics") {
            if let Ok(finding) = serde_json::from_value::<tiphys_manifest::Diagnostic>(finding.clone()) {
                eprintln!("{}", tiphys_manifest::diagnostic::short(&finding));
            }
        }
        for (key, list) in all.as_object_mut().into_iter().flatten() {
            list.as_array_mut().into_iter().for_each(|list| list.extend(given(key).cloned()));
        }
    }
    crate::output::data(&all, connection.output, named)?;
    Ok(())
}

fn named(object: &Value) -> String {
    format!("{}/{}", text(object, "/kind").to_lowercase(), text(object, "/name"))
}

/// `delete`.
pub(super) async fn delete(args: &DeleteArgs, client: &Client) -> Result<(), Failure> {
    // Kind, namespace, name.
    let mut targets: Vec<(String, String, String)> = Vec::new();
    for name in &args.names {
        let (kind, name) = name.split_once('/').unwrap_or(("workflow", name));
        let kind = kind_of(kind).ok_or_else(|| Failure::new(Code::Usage, format!("`{kind}` is no kind")))?;
        targets.push((kind.to_owned(), client.namespace.clone(), name.to_owned()));
    }
    for file in expand(args.filename.iter())? {
        let options = tiphys_manifest::load::LoadOptions { namespace: client.namespace.clone() };
        let loaded = tiphys_manifest::load::load(&file.display().to_string(), &read(&file)?, &options);
        super::lint::refuse_errors(&loaded.diagnostics)?;
        let objects = loaded.objects.into_iter();
        targets.extend(objects.map(|object| (object.kind.to_string(), object.namespace, object.name)));
    }
    if targets.is_empty() {
        return Err(Failure::new(Code::Usage, "nothing to delete: give names or files"));
    }
    for (kind, mut namespace, mut name) in targets {
        if namespace.is_empty() {
            // Of a kind that has none; the address wants one all the same.
            namespace.clone_from(&client.namespace);
        }
        let path = if kind == "Workflow" {
            name = super::latest::resolve(client, &name).await?;
            format!("/api/v1/workflows/{namespace}/{name}")
        } else {
            format!("/api/tiphys/v1/objects/{kind}/{namespace}/{name}")
        };
        client.send(Method::DELETE, &path, &json!({})).await?;
        println!("{}/{name} deleted", kind.to_lowercase());
    }
    Ok(())
}

/// Files as given; of folders, the manifests in them, sorted.
pub(super) fn expand<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() { walk(path, &mut files)? } else { files.push(path.clone()) }
    }
    Ok(files)
}

/// JSON that lies beside manifests and is none, as `dev` sees it too.
fn is_data(file: &Path) -> bool {
    let json = file.extension().is_some_and(|end| end == "json");
    json && std::fs::read_to_string(file).is_ok_and(|text| !text.contains("apiVersion"))
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)?
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .map(|entry| entry.path())
        .collect();
    entries.sort();
    for entry in entries {
        let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let manifest = [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end));
        if entry.is_dir() && !name.starts_with('.') {
            walk(&entry, files)?;
        } else if manifest && !name.starts_with('.') && !is_data(&entry) {
            files.push(entry);
        }
    }
    Ok(())
}
