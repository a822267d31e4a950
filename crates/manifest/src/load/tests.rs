//! Tests of the loader as a whole.

use std::fmt::Write as _;

use secrecy::ExposeSecret as _;

use super::*;
use crate::diagnostic::{render, short};
use crate::object::Spec;

fn read(text: &str) -> Loaded {
    load("a.yaml", text, &LoadOptions::default())
}

fn shorts(text: &str) -> Vec<String> {
    read(text).diagnostics.iter().map(short).collect()
}

fn codes_of(loaded: &Loaded) -> Vec<&str> {
    loaded.diagnostics.iter().map(|d| d.code.as_str()).collect()
}

const WORKFLOW: &str =
    "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata:\n  name: hello\nspec: {}\n";

const SENSOR: &str = "apiVersion: argoproj.io/v1alpha1
kind: Sensor
metadata:
  name: alerts
spec:
  dependencies:
  - name: alert
    eventSourceName: falco
    eventName: alert
  triggers:
  - template:
      name: respond
      log: {}
";

#[test]
fn a_bad_document_does_not_spoil_the_others() {
    let text = format!("{WORKFLOW}---\na: [1\n---\n{}", WORKFLOW.replace("hello", "two"));
    let loaded = read(&text);
    assert_eq!(codes_of(&loaded), ["TIP-MAN-001"]);
    let names: Vec<_> = loaded.objects.iter().map(|o| o.name.as_str()).collect();
    assert_eq!(names, ["hello", "two"]);
    assert_eq!(loaded.objects[1].line, 10);
    assert_eq!(loaded.objects[0].namespace, "default");
}

#[test]
fn text_that_is_no_yaml() {
    let cases = [
        ("a:\n\tb: 1\n", "2:2 TIP-MAN-015"),
        ("a: [1\nb: 2\n", "2:2 TIP-MAN-001"),
        ("a:\n   b: 1\n  c: 2\n", "3:3 TIP-MAN-001"),
        ("a: {{x.y}}\n", "1:5 TIP-MAN-014"),
        ("a:\n- {{x.y}}/z\n", "2:4 TIP-MAN-014"),
        ("a: b: c\n", "1:5 TIP-MAN-001"),
        ("a: \"b\nc: d\n", "1:4 TIP-MAN-001"),
        ("a: *nothing\n", "1:4 TIP-MAN-001"),
        ("{\"a\": [1,}", "1:7 TIP-MAN-001"),
    ];
    for (text, expected) in cases {
        let loaded = read(text);
        assert_eq!(loaded.diagnostics.len(), 1, "{text:?}");
        let found = &loaded.diagnostics[0];
        let seen = format!("{}:{} {}", found.line, found.column, found.code);
        assert_eq!(seen, expected, "{text:?}: {}", found.message);
        assert!(!found.source.is_empty() && !found.help.is_empty());
    }
}

#[test]
fn typical_mistakes_are_shown_with_their_place() {
    let text = SENSOR
        .replace("eventSourceName", "eventSourcName")
        .replace("name: respond", "name: respond\n      atLeastOnce: true");
    let mut shown = String::new();
    for finding in read(&text).diagnostics {
        let _ = writeln!(shown, "{}", render(&finding, false));
    }
    assert_eq!(
        shown,
        "\
warning[TIP-MAN-008]: there is no field `eventSourcName` here, so it has no effect
 --> a.yaml:8:5 (Sensor/alerts: spec.dependencies[0].eventSourcName)
  |
8 |     eventSourcName: falco
  |     ^
  = help: did you mean `eventSourceName`?

warning[TIP-MAN-008]: there is no field `atLeastOnce` here, so it has no effect
  --> a.yaml:13:7 (Sensor/alerts: spec.triggers[0].template.atLeastOnce)
   |
13 |       atLeastOnce: true
   |       ^
   = help: `atLeastOnce` belongs to `spec.triggers[0]`

"
    );
}

#[test]
fn each_wrong_type_is_reported() {
    let text = "apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata:
  name: w
  labels: {version: 1.5}
spec:
  parallelism: many
  entrypoint: [a]
  templates:
    name: x
";
    assert_eq!(
        shorts(text),
        [
            "a.yaml:5:21: error[TIP-MAN-009]: `version` takes text, not number `1.5` (at metadata.labels.version); \
             put the value in quotes",
            "a.yaml:7:16: error[TIP-MAN-009]: `parallelism` takes a whole number, not text \"many\" (at \
             spec.parallelism); give it a whole number",
            "a.yaml:8:15: error[TIP-MAN-009]: `entrypoint` takes text, not a list (at spec.entrypoint); give it text",
            "a.yaml:10:5: error[TIP-MAN-009]: `templates` takes a list, not a mapping (at spec.templates); write each \
             item on a line of its own that begins with `- `",
        ]
    );
    assert!(read(text).objects.is_empty());
}

#[test]
fn null_is_a_field_that_was_not_given() {
    let text = WORKFLOW.replace(
        "spec: {}",
        "  labels:\n  creationTimestamp: null\nspec:\n  parallelism:\n  templates: ~\n  priority: null",
    );
    let loaded = read(&text);
    assert_eq!(shorts(&text), Vec::<String>::new());
    assert!(loaded.objects[0].document["spec"].as_object().is_some_and(|s| s.len() == 3));
}

#[test]
fn what_stands_at_the_top() {
    let cases = [
        ("a: 1\n", "TIP-MAN-004"),
        ("- a\n", "TIP-MAN-004"),
        ("kind: Sensor\n", "TIP-MAN-006"),
        ("apiVersion: v1\nkind: Service\n", "TIP-MAN-005"),
        ("apiVersion: argoproj.io/v1alpha1\nkind: Sensr\n", "TIP-MAN-005"),
        ("apiVersion: argoproj.io/v1\nkind: Sensor\n", "TIP-MAN-006"),
        ("apiVersion: apps/v1\nkind: Secret\n", "TIP-MAN-005"),
        ("apiVersion: v1\nkind: ConfigMap\n", "TIP-MAN-007"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a_b}\n", "TIP-MAN-007"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndatta: {}\n", "TIP-MAN-008"),
        ("apiVersion: argoproj.io/v1alpha1\nkind: Sensor\nmetadata: {name: a}\n", "TIP-MAN-013"),
        ("apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nspec: {}\n", "TIP-MAN-016"),
    ];
    for (text, code) in cases {
        assert_eq!(codes_of(&read(text)), [code], "{text:?}");
    }
    // A misspelt kind of ours is an error; a kind of others is none.
    assert!(read("apiVersion: argoproj.io/v1alpha1\nkind: Sensr\n").has_errors());
    assert!(!read("apiVersion: argoproj.io/v1alpha1\nkind: Rollout\n").has_errors());
    assert!(
        shorts("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndatta: {}\n")[0].contains("`data`")
    );
}

#[test]
fn legacy_fields_are_accepted() {
    let text = SENSOR.replace(
        "log: {}",
        "argoWorkflow: {group: argoproj.io, version: v1alpha1, resource: workflows, operation: submit}",
    );
    let loaded = read(&text);
    assert_eq!(codes_of(&loaded), ["TIP-MAN-010"; 3]);
    assert_eq!(loaded.objects.len(), 1);
}

#[test]
fn lists_doubles_and_two_of_a_name() {
    let item = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {k: v}}";
    let text = format!("apiVersion: v1\nkind: List\nitems:\n- {item}\n- {item}\n- {{kind: x}}\n");
    let loaded = read(&text);
    assert_eq!(loaded.objects.len(), 1);
    assert_eq!(
        shorts(&text),
        [
            "a.yaml:6:3: warning[TIP-MAN-004]: the document has no `apiVersion`, so it is skipped; an object begins \
             with `apiVersion:` and `kind:`",
            "a.yaml:5:54: warning[TIP-MAN-011]: ConfigMap/a is declared above already (at metadata.name); the first \
             one is used: rename or remove one of them",
        ]
    );
    let twice = read(&WORKFLOW.replace("spec: {}", "spec: {priority: 1}\nspec: {priority: 2}"));
    assert_eq!((twice.diagnostics[0].line, codes_of(&twice)), (5, vec!["TIP-MAN-003"]));
    assert_eq!(twice.objects[0].document["spec"]["priority"], 2);
}

#[test]
fn yaml_as_argo_reads_it() {
    let text = "mode: 0755\non: on\nno: No\nbig: 1795451516746609046\nf: 1.5\nn: ~\ns: '1'\nt: 2026-01-01\n\
                base: &b {x: 1, y: 2}\nm:\n  <<: *b\n  y: 3\n1: one\ntrue: t\nnan: .nan\nu: \"\\u00e9\"\n";
    let node = position::read(text).map_err(|broken| broken.reason).expect("valid");
    let expected = serde_json::json!({
        "mode": 493, "on": true, "no": false, "big": 1_795_451_516_746_609_046_i64, "f": 1.5, "n": null, "s": "1",
        "t": "2026-01-01", "base": {"x": 1, "y": 2}, "m": {"y": 3, "x": 1}, "1": "one", "true": "t", "nan": ".nan",
        "u": "é",
    });
    assert_eq!(node.value, expected);
}

#[test]
fn json_is_read_too() {
    let text = "{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"ConfigMap\",\n\t\"metadata\": {\"name\": \"a\", \"nam\": 1},\n\t\
                \"data\": {\"k\": \"\\ud83d\\ude00 \\/ a\"}}";
    let loaded = read(text);
    let Spec::ConfigMap(map) = &loaded.objects[0].spec else {
        panic!("not a ConfigMap");
    };
    assert_eq!(map.data["k"], "😀 / a");
    assert_eq!(codes_of(&loaded), ["TIP-MAN-008"]);
}

const CANARY: &str = "c4n4ry";

#[test]
fn a_secret_is_read_and_not_shown() {
    let text = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\ndata: {{a: aGVsbG8K}}\nstringData: {{b: {CANARY}}}\n"
    );
    let loaded = read(&text);
    let object = &loaded.objects[0];
    let Spec::Secret(secret) = &object.spec else {
        panic!("not a Secret");
    };
    assert_eq!(secret.data["a"].expose_secret(), "hello\n");
    assert_eq!(secret.data["b"].expose_secret(), CANARY);
    assert!(!format!("{object:?}").contains(CANARY));
    assert!(!object.document.to_string().contains("aGVsbG8K"));

    // Nor where it is wrong, in whichever way.
    let wrong = [
        format!("data: {{a: '{CANARY}!'}}"),
        format!("data: {{a: [{CANARY}]}}"),
        format!("data: {CANARY}"),
        format!("stringData: {{a: {{b: {CANARY}}}}}"),
        format!("stringData: [{CANARY}\nx: 1"),
        format!("stringData: {{a: {CANARY}, a: {CANARY}}}\nunknown: {CANARY}"),
        format!("stringData: {{a: \t{{{{{CANARY}"),
    ];
    for body in wrong {
        let text = format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\n{body}\n");
        let loaded = read(&text);
        assert!(!loaded.diagnostics.is_empty(), "{body}");
        assert!(!format!("{loaded:?}").contains(CANARY), "{body}: {:?}", loaded.diagnostics);
    }
}

#[test]
fn identity_follows_what_was_written() {
    let one = &read(WORKFLOW).objects[0];
    let machine = WORKFLOW.replace("name: hello", "name: hello\n  resourceVersion: '7'\n  generation: 3")
        + "status: {phase: Running}\n";
    let reordered = "spec: {}\nmetadata: {name: hello}\nkind: Workflow\napiVersion: argoproj.io/v1alpha1\n";
    for same in [machine.as_str(), reordered] {
        let other = &read(same).objects[0];
        assert_eq!((&other.revision, &other.uid), (&one.revision, &one.uid));
    }
    let other = &read(&WORKFLOW.replace("{}", "{priority: 1}")).objects[0];
    assert_ne!(other.revision, one.revision);
    assert_eq!(other.uid, one.uid);
    assert_ne!(read(&WORKFLOW.replace("hello", "two")).objects[0].uid, one.uid);
    let shape: Vec<usize> = one.uid.split('-').map(str::len).collect();
    assert_eq!(shape, [8, 4, 4, 4, 12]);
    let given = read(&WORKFLOW.replace("name: hello", "name: hello\n  uid: mine"));
    assert_eq!(given.objects[0].uid, "mine");
}

#[test]
fn hostile_text_ends_quickly() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..10 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        let _ = writeln!(bomb, "a{level}: &a{level} [{aliases}]");
    }
    let hostile = [
        bomb,
        "[".repeat(1_000_000),
        "- ".repeat(700_000),
        "{a: ".repeat(300_000),
        "x: 1\n---\n".repeat(150_000),
        "x".repeat(MAX_TEXT + 1),
        format!("[{}]", "1,".repeat(200_000)),
    ];
    for text in hostile {
        assert_eq!(codes_of(&read(&text)), ["TIP-MAN-002"], "{:?}", text.get(..20));
    }
    assert!(read("a: &a\n  <<: *a\n").has_errors());
}

#[test]
fn deep_text_is_read_on_a_small_stack() {
    let deep = format!("{}1{}", "{a: [".repeat(24), "]}".repeat(24));
    let text = SENSOR.replace("log: {}", &format!("k8s: {{source: {{resource: {deep}}}}}"));
    let small = std::thread::Builder::new().stack_size(256 << 10);
    let reader = small.spawn(move || read(&text)).expect("a thread");
    let loaded = reader.join().expect("no panic");
    assert_eq!(codes_of(&loaded), Vec::<&str>::new());
    assert_eq!(loaded.objects.len(), 1);
}

#[test]
fn any_text_is_read_without_a_panic() {
    let text = format!("{SENSOR}---\n{WORKFLOW}");
    for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
        let _ = read(text.get(..end).unwrap_or_default());
        let mut garbled = text.clone();
        garbled.replace_range(end..=end, "\u{feff}{\t");
        let _ = read(&garbled);
    }
}
