//! What can be said of workflows before they run, and takes more than their manifests' text: schedules that never
//! strike, tasks that wait for what is not there.

use std::sync::Arc;

use jiff::tz::TimeZone;
use serde::Deserialize as _;
use serde_json::Value;
use tiphys_lang::cron::Schedule;
use tiphys_manifest::load::path::Path;
use tiphys_manifest::workflow::Template;
use tiphys_manifest::{Diagnostic, Kind, Object, Spec, codes};

use crate::graph::Graph;

/// Checks the schedules and graphs of these objects.
#[must_use]
pub fn check(objects: &[Arc<Object>]) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    for object in objects {
        let spec = Path::root().key("spec");
        match object.kind {
            Kind::CronWorkflow => {
                schedules(object, &spec, &mut findings);
                graphs(object, &spec.key("workflowSpec"), "/spec/workflowSpec", &mut findings);
            }
            Kind::Workflow | Kind::WorkflowTemplate | Kind::ClusterWorkflowTemplate => {
                graphs(object, &spec, "/spec", &mut findings);
            }
            _ => {}
        }
    }
    findings
}

fn schedules(object: &Object, path: &Path, findings: &mut Vec<Diagnostic>) {
    let Spec::CronWorkflow(spec) = &object.spec else { return };
    let mut report = |path: &Path, message: String, help: &str| {
        findings.push(object.places.at_value(codes::SCHEDULE, path, message, help.to_owned()));
    };
    let zone = spec.timezone.as_deref().filter(|zone| !zone.is_empty());
    let zone = zone.map_or(Ok(TimeZone::UTC), |name| TimeZone::get(name).map_err(|_| name));
    if let Err(name) = zone {
        let help = "use a name of the IANA list, such as Europe/Paris or Etc/GMT";
        report(&path.key("timezone"), format!("there is no timezone `{name}`"), help);
    }
    let zone = zone.unwrap_or(TimeZone::UTC);
    let written = object.document.get("spec").unwrap_or(&Value::Null);
    let one = written.get("schedule").map(|schedule| (path.key("schedule"), schedule));
    let many = written.get("schedules").and_then(Value::as_array).into_iter().flatten().enumerate();
    let many = many.map(|(index, schedule)| (path.key("schedules").index(index), schedule));
    let help = "five fields (minute hour day month weekday) as in `1 6 * * *`, or @daily, @every 1h";
    for (path, schedule) in one.into_iter().chain(many) {
        let Some(text) = schedule.as_str().filter(|text| !text.is_empty()) else { continue };
        if let Err(wrong) = Schedule::parse(text, &zone) {
            report(&path, format!("the schedule `{text}` cannot be read: {wrong}"), help);
        }
    }
    if spec.all_schedules().next().is_none() {
        report(path, "the CronWorkflow has no schedule, so it never runs by itself".into(), help);
    }
}

fn graphs(object: &Object, path: &Path, pointer: &str, findings: &mut Vec<Diagnostic>) {
    let templates = object.document.pointer(pointer).and_then(|spec| spec.get("templates"));
    for (index, json) in templates.and_then(Value::as_array).into_iter().flatten().enumerate() {
        let Ok(template) = Template::deserialize(json) else { continue };
        let Err(wrong) = Graph::of(&template, json) else { continue };
        let path = place(json, &wrong, &path.key("templates").index(index));
        let help = "correct the name, or add the task or step".to_owned();
        findings.push(object.places.at_value(codes::GRAPH, &path, wrong, help));
    }
}

/// Where the task stands that a message is about, else its template.
fn place(template: &Value, message: &str, path: &Path) -> Path {
    let name = message.strip_prefix("task '").and_then(|rest| rest.split('\'').next());
    let tasks = template.pointer("/dag/tasks").and_then(Value::as_array);
    let index = tasks.into_iter().flatten().position(|task| task["name"].as_str() == name && name.is_some());
    let path = path.key("dag");
    match index {
        Some(index) => {
            let written = tasks.and_then(|tasks| tasks.get(index));
            let path = path.key("tasks").index(index);
            let key = ["depends", "dependencies"]
                .into_iter()
                .find(|key| written.is_some_and(|t| t.get(key).is_some()));
            key.map_or(path.clone(), |key| path.key(key))
        }
        None if template.get("dag").is_some() => path,
        None => path.parent(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let loaded = tiphys_manifest::load("f.yaml", text, &tiphys_manifest::LoadOptions::default());
        let objects: Vec<Arc<Object>> = loaded.objects.into_iter().map(Arc::new).collect();
        let line = |d: Diagnostic| format!("{}:{} {} {}", d.line, d.column, d.code, d.message);
        check(&objects).into_iter().map(line).collect()
    }

    #[test]
    fn schedules_and_zones_that_are_none() {
        let cron = |zone: &str, schedule: &str| {
            let head = "apiVersion: argoproj.io/v1alpha1\nkind: CronWorkflow\nmetadata: {name: c}\nspec:\n";
            found(&format!("{head}  timezone: {zone}\n  {schedule}\n  workflowSpec: {{}}\n"))
        };
        assert_eq!(cron("Etc/GMT", "schedule: 01 06 * * *"), Vec::<String>::new());
        let zone = cron("Mars/Base", "schedule: 01 06 * * *");
        assert!(zone.len() == 1 && zone[0].starts_with("5:13 TIP-MAN-032 there is no timezone"), "{zone:?}");
        let one = cron("Etc/GMT", "schedule: 61 06 * * *");
        assert!(one.len() == 1 && one[0].starts_with("6:13 TIP-MAN-032"), "{one:?}");
        let many = cron("Etc/GMT", "schedules: ['@daily', 'every monday']");
        assert!(many.len() == 1 && many[0].contains("every monday"), "{many:?}");
        assert_eq!(cron("Etc/GMT", "suspend: false").len(), 1);
    }

    #[test]
    fn tasks_that_wait_for_what_is_not_there() {
        let text = "
apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: t}
spec:
  templates:
    - name: main
      dag:
        tasks:
          - {name: a, template: x}
          - name: b
            depends: a.Succeeded && nope
            template: x
    - name: x
      container: {image: i}
";
        let all = found(text);
        assert!(
            all.len() == 1 && all[0].starts_with("12:22 TIP-MAN-033 task 'b' depends on 'nope'"),
            "{all:?}"
        );
        assert_eq!(found(&text.replace(" && nope", "")), Vec::<String>::new());
    }
}
