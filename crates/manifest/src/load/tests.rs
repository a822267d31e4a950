//! Tests of the loader as a whole.

use super::*;

fn read(text: &str) -> Loaded {
    load("a.yaml", text, &LoadOptions::default())
}

fn codes_of(loaded: &Loaded) -> Vec<&str> {
    loaded.diagnostics.iter().map(|d| d.code.as_str()).collect()
}

const WORKFLOW: &str =
    "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata:\n  name: hello\nspec: {}\n";

#[test]
fn a_bad_document_does_not_spoil_the_others() {
    let text = format!(
        "{WORKFLOW}---\na: [1\n---\n{}",
        WORKFLOW.replace("hello", "two")
    );
    let loaded = read(&text);
    assert_eq!(codes_of(&loaded), ["TIP-MAN-001"]);
    let names: Vec<_> = loaded.objects.iter().map(|o| o.name.as_str()).collect();
    assert_eq!(names, ["hello", "two"]);
    assert_eq!(loaded.objects[1].line, 10);
    assert_eq!(loaded.objects[0].namespace, "default");
}

#[test]
fn typical_mistakes_are_named_with_their_place() {
    let cases = [
        ("tab", "a:\n\tb: 1\n"),
        ("open", "a: [1\nb: 2\n"),
        ("indent", "a:\n   b: 1\n  c: 2\n"),
        ("tag", "a: {{x.y}}\n"),
        ("tag2", "a:\n- {{x.y}}/z\n"),
        ("colon", "a: b: c\n"),
        ("quote", "a: \"b\nc: d\n"),
        ("alias", "a: *nothing\n"),
        ("dup", "a: 1\na: 2\n"),
        ("null", "? :\n"),
    ];
    for (name, text) in cases {
        for diagnostic in read(text).diagnostics {
            println!("{name}\n{}", crate::diagnostic::render(&diagnostic, false));
        }
    }
}

#[test]
fn yaml_of_argo() {
    let node = position::read(
        "mode: 0755\nyes: on\noff: off\nbig: 1795451516746609046\nf: 1.5\nn: ~\ns: '1'\nbase: &b {x: 1, y: 2}\nm:\n  <<: *b\n  y: 3\n1: one\ntrue: t\nhuge: 99999999999999999999999\nnan: .nan\n",
    );
    match node {
        Ok(n) => {
            println!("{}", n.value);
        }
        Err(b) => println!("{} {:?}", b.reason, b.at),
    }
}
