//! `tool aws-inventory`: assets from an AWS-compatible API, or from answers that were recorded.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use roxmltree::{Document, Node};
use serde_json::{Map, Value, json};
use tiphys_core::Timestamp;

use super::failed;
use super::sign::{Credentials, Request, headers};
use crate::exit::Failure;

/// Pages of one listing; more is taken for an endless loop.
const PAGES: usize = 1000;

/// The flags.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// Region
    #[arg(long, default_value = "us-east-1")]
    region: String,
    /// Address of an AWS-compatible API, instead of AWS
    #[arg(long)]
    endpoint: Option<String>,
    /// Folder of recorded answers, instead of any API
    #[arg(long, conflicts_with = "endpoint")]
    recorded: Option<PathBuf>,
    /// Record the answers into this folder
    #[arg(long, conflicts_with = "recorded")]
    save: Option<PathBuf>,
}

/// One question.
struct Question<'a> {
    service: &'a str,
    action: &'a str,
    version: &'a str,
    parameters: Vec<(&'a str, String)>,
}

/// Prints a JSON array of rows.
pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let api = Api::new(args)?;
    let mut rows = Vec::new();
    for text in api.pages("ec2", "DescribeInstances", "2016-11-15", "nextToken").await? {
        collect(&text, "instancesSet", "instance", "instanceId", &args.region, &mut rows)?;
    }
    for text in api.pages("ec2", "DescribeSecurityGroups", "2016-11-15", "nextToken").await? {
        collect(&text, "securityGroupInfo", "security-group", "groupId", &args.region, &mut rows)?;
    }
    let buckets = Question { service: "s3", action: "ListBuckets", version: "", parameters: Vec::new() };
    collect(&api.ask(&buckets).await?, "Buckets", "bucket", "Name", "global", &mut rows)?;
    for text in api.pages("iam", "ListUsers", "2010-05-08", "Marker").await? {
        let before = rows.len();
        collect(&text, "Users", "iam-user", "Arn", "global", &mut rows)?;
        let users: Vec<String> = rows
            .iter()
            .skip(before)
            .filter_map(|row| row["data"]["UserName"].as_str().map(str::to_owned))
            .collect();
        for user in users {
            let keys = Question {
                service: "iam",
                action: "ListAccessKeys",
                version: "2010-05-08",
                parameters: vec![("UserName", user)],
            };
            collect(
                &api.ask(&keys).await?,
                "AccessKeyMetadata",
                "access-key",
                "AccessKeyId",
                "global",
                &mut rows,
            )?;
        }
    }
    let text = serde_json::to_string_pretty(&rows).map_err(|error| failed(error.to_string()))?;
    println!("{text}");
    Ok(())
}

struct Api<'a> {
    args: &'a Args,
    client: reqwest::Client,
    credentials: Credentials,
}

impl<'a> Api<'a> {
    fn new(args: &'a Args) -> Result<Self, Failure> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let needed = |name: &str| match (variable(name), &args.recorded) {
            (Some(value), _) => Ok(value),
            (None, Some(_)) => Ok(String::new()),
            (None, None) => Err(failed(format!("the variable {name} is not set"))),
        };
        let client = reqwest::Client::builder()
            .timeout(std::time::Duration::from_secs(60))
            .build()
            .map_err(|error| failed(format!("http client: {error}")))?;
        let credentials = Credentials {
            key: needed("AWS_ACCESS_KEY_ID")?,
            secret: needed("AWS_SECRET_ACCESS_KEY")?,
            session: variable("AWS_SESSION_TOKEN"),
        };
        Ok(Self { args, client, credentials })
    }

    /// All pages of a listing; `token` is the name of what leads to the next, in question and answer.
    async fn pages(
        &self,
        service: &str,
        action: &str,
        version: &str,
        token: &str,
    ) -> Result<Vec<String>, Failure> {
        let mut pages = Vec::new();
        let mut next: Option<String> = None;
        while pages.len() < PAGES {
            let name = if service == "ec2" { "NextToken" } else { token };
            let parameters = next.take().map(|value| (name, value)).into_iter().collect();
            let text = self.ask(&Question { service, action, version, parameters }).await?;
            next = parse(&text)?
                .descendants()
                .find(|n| n.has_tag_name_ignoring(token))
                .and_then(|n| n.text())
                .map(str::to_owned);
            pages.push(text);
            if next.as_ref().is_none_or(String::is_empty) {
                return Ok(pages);
            }
        }
        Err(failed(format!("{action} has more than {PAGES} pages")))
    }

    async fn ask(&self, question: &Question<'_>) -> Result<String, Failure> {
        let name = file_name(question);
        if let Some(folder) = &self.args.recorded {
            let file = folder.join(&name);
            return std::fs::read_to_string(&file)
                .map_err(|error| failed(format!("{}: {error}", file.display())));
        }
        let text = self.call(question).await?;
        if let Some(folder) = &self.args.save {
            std::fs::create_dir_all(folder)?;
            std::fs::write(folder.join(name), &text)?;
        }
        Ok(text)
    }

    async fn call(&self, question: &Question<'_>) -> Result<String, Failure> {
        let region = if question.service == "iam" { "us-east-1" } else { &self.args.region };
        let base = match &self.args.endpoint {
            Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
            None if question.service == "iam" => "https://iam.amazonaws.com".into(),
            None => format!("https://{}.{region}.amazonaws.com", question.service),
        };
        let host = base.split_once("://").map_or(base.as_str(), |(_, host)| host).to_owned();
        let (method, body) = if question.service == "s3" {
            ("GET", String::new())
        } else {
            let own = [("Action", question.action.to_owned()), ("Version", question.version.to_owned())];
            let all = own.iter().chain(&question.parameters);
            (
                "POST",
                all.map(|(name, value)| format!("{name}={}", encode(value))).collect::<Vec<_>>().join("&"),
            )
        };
        let signed =
            Request { method, host: &host, path: "/", body: &body, service: question.service, region };
        let mut request = if method == "GET" {
            self.client.get(format!("{base}/"))
        } else {
            let form = "application/x-www-form-urlencoded";
            self.client.post(format!("{base}/")).header("content-type", form).body(body.clone())
        };
        for (name, value) in headers(&signed, &self.credentials, Timestamp::now()) {
            if name != "host" {
                request = request.header(name, value);
            }
        }
        let answer = request.send().await.map_err(|error| failed(tiphys_core::chain(&error)))?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| failed(tiphys_core::chain(&error)))?;
        if status.is_success() {
            return Ok(text);
        }
        let why = parse(&text)
            .ok()
            .and_then(|d| d.descendants().find(|n| n.has_tag_name("Message"))?.text().map(str::to_owned));
        Err(failed(format!("{} was answered {status}: {}", question.action, why.unwrap_or_default())))
    }
}

fn file_name(question: &Question<'_>) -> String {
    let more: String = question.parameters.iter().map(|(_, value)| format!("-{value}")).collect();
    let plain: String = more.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).collect();
    format!("{}-{}{plain}.xml", question.service, question.action)
}

fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn parse(text: &str) -> Result<Document<'_>, Failure> {
    Document::parse(text).map_err(|error| failed(format!("the answer is no XML: {error}")))
}

trait IgnoringCase {
    fn has_tag_name_ignoring(&self, name: &str) -> bool;
}

impl IgnoringCase for Node<'_, '_> {
    fn has_tag_name_ignoring(&self, name: &str) -> bool {
        self.tag_name().name().eq_ignore_ascii_case(name)
    }
}

/// Makes a row of each member of every list `set`.
fn collect(
    text: &str,
    set: &str,
    kind: &str,
    id: &str,
    region: &str,
    rows: &mut Vec<Value>,
) -> Result<(), Failure> {
    let document = parse(text)?;
    for list in document.descendants().filter(|node| node.has_tag_name_ignoring(set)) {
        for item in list.children().filter(Node::is_element) {
            let data = value(item);
            let Some(key) = data.get(id).and_then(Value::as_str) else { continue };
            let name = tag(item, "Name")
                .or_else(|| {
                    ["UserName", "groupName", "Name"]
                        .iter()
                        .find_map(|n| data.get(*n)?.as_str().map(str::to_owned))
                })
                .unwrap_or_else(|| key.to_owned());
            rows.push(json!({"id": format!("{kind}/{region}/{key}"), "kind": kind, "region": region, "name": name, "data": data}));
        }
    }
    Ok(())
}

/// The value of a tag of EC2.
fn tag(item: Node<'_, '_>, wanted: &str) -> Option<String> {
    let text = |node: Node<'_, '_>, name: &str| {
        node.children().find(|n| n.has_tag_name_ignoring(name)).and_then(|n| n.text()).map(str::to_owned)
    };
    let set = item.children().find(|node| node.has_tag_name_ignoring("tagSet"))?;
    let found = set.children().find(|node| text(*node, "key").as_deref() == Some(wanted))?;
    text(found, "value")
}

/// XML as JSON: lists of `item` or `member` become arrays, leaves text.
fn value(node: Node<'_, '_>) -> Value {
    let children: Vec<Node<'_, '_>> = node.children().filter(Node::is_element).collect();
    if children.is_empty() {
        return node.text().unwrap_or_default().into();
    }
    let listed = |child: &Node<'_, '_>| matches!(child.tag_name().name(), "item" | "member");
    if children.iter().all(listed) {
        return children.into_iter().map(value).collect();
    }
    let mut map = Map::new();
    for child in children {
        map.insert(child.tag_name().name().to_owned(), value(child));
    }
    Value::Object(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_become_rows() {
        let text = "<R xmlns='urn:x'><reservationSet><item><instancesSet><item><instanceId>i-1</instanceId>\
            <tagSet><item><key>Name</key><value>web</value></item></tagSet></item></instancesSet></item></reservationSet></R>";
        let mut rows = Vec::new();
        collect(text, "instancesSet", "instance", "instanceId", "eu-west-1", &mut rows).unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0]["id"], "instance/eu-west-1/i-1");
        assert_eq!(rows[0]["name"], "web");
        assert_eq!(rows[0]["data"]["tagSet"][0]["key"], "Name");
    }
}
