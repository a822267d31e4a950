//! `get` and `list`.

use serde_json::Value;
use tiphys_core::Timestamp;
use tiphys_manifest::Kind;

use super::latest::resolve;
use crate::cli::{Connection, Format, GetArgs, ListArgs};
use crate::client::Client;
use crate::exit::{Code, Failure};
use crate::output::color::Paint;
use crate::output::table::Table;
use crate::output::tree::{self, lasted, span};
use crate::output::{json, yaml};

/// The phases of a workflow.
const PHASES: [&str; 5] = ["Pending", "Running", "Succeeded", "Failed", "Error"];

/// The kind that a word names.
pub(super) fn kind_of(word: &str) -> Option<&'static str> {
    Kind::named(word).map(Kind::as_str)
}

/// All workflows of a namespace, or of all.
pub(super) async fn workflows(
    client: &Client,
    namespace: Option<&str>,
    selector: Option<&str>,
) -> Result<Vec<Value>, Failure> {
    let mut path = format!("/api/v1/workflows/{}", namespace.unwrap_or_default());
    if let Some(selector) = selector {
        path.push_str(&format!("?listOptions.labelSelector={}", encode(selector)));
    }
    let mut answer = client.get(&path).await?;
    Ok(match answer.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    })
}

/// Percent-encodes a query value.
pub(super) fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// `get`.
pub(super) async fn get(args: &GetArgs, client: &Client, connection: &Connection) -> Result<(), Failure> {
    let (kind, name) = match (args.what.split_once('/'), &args.name) {
        (Some((kind, name)), None) => (kind, Some(name.to_owned())),
        (None, Some(name)) => (args.what.as_str(), Some(name.clone())),
        (None, None) if kind_of(&args.what).is_some() => (args.what.as_str(), None),
        (None, None) => ("workflow", Some(args.what.clone())),
        (Some(_), Some(_)) => {
            return Err(Failure::new(Code::Usage, "give KIND/NAME or KIND NAME, not both"));
        }
    };
    let Some(kind) = kind_of(kind) else {
        return Err(Failure::new(
            Code::Usage,
            format!("`{kind}` is no kind; try workflow, sensor, es, wftmpl, cwf …"),
        ));
    };
    let Some(name) = name else {
        return list_kind(kind, client, connection).await;
    };
    if kind != "Workflow" {
        let object =
            client.get(&format!("/api/tiphys/v1/objects/{kind}/{}/{name}", client.namespace)).await?;
        return match connection.output {
            Some(Format::Json) => json(&object),
            Some(Format::Name) => name_line(kind, &object),
            _ => yaml(&object),
        };
    }
    let name = resolve(client, &name).await?;
    let workflow = client.get(&format!("/api/v1/workflows/{}/{name}", client.namespace)).await?;
    match connection.output {
        Some(Format::Json) => json(&workflow),
        Some(Format::Yaml) => yaml(&workflow),
        Some(Format::Name) => name_line(kind, &workflow),
        _ => {
            print!("{}", tree::draw(&workflow, Timestamp::now(), Paint::new(connection.color)));
            Ok(())
        }
    }
}

fn name_line(kind: &str, object: &Value) -> Result<(), Failure> {
    println!("{}/{}", kind.to_ascii_lowercase(), text(object, "/metadata/name"));
    Ok(())
}

/// `list`.
pub(super) async fn list(args: &ListArgs, client: &Client, connection: &Connection) -> Result<(), Failure> {
    let word = args.kind.as_deref().unwrap_or("workflow");
    let Some(kind) = kind_of(word) else {
        return Err(Failure::new(Code::Usage, format!("`{word}` is no kind")));
    };
    if kind != "Workflow" {
        return list_kind(kind, client, connection).await;
    }
    if let Some(wrong) = args.status.iter().find(|wanted| !PHASES.contains(&wanted.as_str())) {
        let known = PHASES.join(", ");
        return Err(Failure::new(Code::Usage, format!("`{wrong}` is no phase; there are {known}")));
    }
    let namespace = if args.all_namespaces { None } else { Some(client.namespace.as_str()) };
    let mut items = workflows(client, namespace, args.selector.as_deref()).await?;
    if !args.status.is_empty() {
        items.retain(|item| args.status.iter().any(|wanted| wanted == phase(item)));
    }
    print_list(kind, items, connection)
}

async fn list_kind(kind: &'static str, client: &Client, connection: &Connection) -> Result<(), Failure> {
    let items = if kind == "Workflow" {
        workflows(client, Some(&client.namespace), None).await?
    } else {
        let mut answer =
            client.get(&format!("/api/tiphys/v1/objects/{kind}?namespace={}", client.namespace)).await?;
        match answer.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        }
    };
    print_list(kind, items, connection)
}

fn print_list(kind: &str, items: Vec<Value>, connection: &Connection) -> Result<(), Failure> {
    match connection.output {
        Some(Format::Json) => json(&list_object(items)),
        Some(Format::Yaml) => yaml(&list_object(items)),
        Some(Format::Name) => items.iter().try_for_each(|item| name_line(kind, item)),
        _ if items.is_empty() => {
            eprintln!("no {} found", kind.to_ascii_lowercase());
            Ok(())
        }
        format => {
            let wide = format == Some(Format::Wide);
            let table = if kind == "Workflow" {
                workflow_table(&items, wide, Paint::new(connection.color))
            } else {
                object_table(&items)
            };
            print!("{}", table.render());
            Ok(())
        }
    }
}

fn list_object(items: Vec<Value>) -> Value {
    serde_json::json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items})
}

fn workflow_table(items: &[Value], wide: bool, paint: Paint) -> Table {
    let now = Timestamp::now();
    let mut headings = vec!["NAME", "STATUS", "AGE", "DURATION", "PROGRESS", "MESSAGE"];
    if wide {
        headings.insert(0, "NAMESPACE");
        headings.push("SENSOR");
    }
    let mut table = Table::new(&headings);
    for item in items {
        let phase = phase(item);
        let mut row = vec![
            text(item, "/metadata/name").to_owned(),
            paint.phase(phase),
            age(item, now),
            lasted(item.get("status").unwrap_or(&Value::Null), now),
            text(item, "/status/progress").to_owned(),
            tree::shorten(text(item, "/status/message"), 60),
        ];
        if wide {
            row.insert(0, text(item, "/metadata/namespace").to_owned());
            row.push(text(item, "/metadata/labels/events.argoproj.io~1sensor").to_owned());
        }
        table.row(row);
    }
    table
}

/// The phase of a workflow; one that nobody has looked at is pending.
fn phase(item: &Value) -> &str {
    match text(item, "/status/phase") {
        "" => "Pending",
        phase => phase,
    }
}

fn age(item: &Value, now: Timestamp) -> String {
    let created = text(item, "/metadata/creationTimestamp").parse::<Timestamp>();
    created.map(|created| span(now.as_millisecond() - created.as_millisecond())).unwrap_or_default()
}

fn object_table(items: &[Value]) -> Table {
    let mut table = Table::new(&["NAME", "FROM"]);
    for item in items {
        let from = text(item, "/metadata/annotations/tiphys.dev~1source");
        table.row([text(item, "/metadata/name").to_owned(), from.to_owned()]);
    }
    table
}
