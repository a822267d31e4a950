//! Names and ids of nodes and pods, as Argo gives them.

use serde_json::Value;

/// A pod's name may be so long.
const POD_NAME_MAX: usize = 253;
/// The digits of a 32-bit number.
const HASH_DIGITS: usize = 10;

/// 32-bit FNV-1a.
#[must_use]
pub fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Id of the node `name` of a workflow.
#[must_use]
pub fn node_id(workflow: &str, name: &str) -> String {
    if name == workflow { workflow.to_owned() } else { format!("{workflow}-{}", hash(name)) }
}

/// Name of the pod of a node.
#[must_use]
pub fn pod_name(workflow: &str, node: &str, template: &str) -> String {
    if node == workflow {
        return workflow.to_owned();
    }
    let prefix = if template.is_empty() { workflow.to_owned() } else { format!("{workflow}-{template}") };
    let room = POD_NAME_MAX - HASH_DIGITS - 1;
    let cut: String = prefix.chars().take(room).collect();
    format!("{cut}-{}", hash(node))
}

/// The node's name without its boundary's.
#[must_use]
pub fn display_name(name: &str, boundary: Option<&str>) -> String {
    let Some(rest) = boundary.and_then(|boundary| name.strip_prefix(boundary)) else {
        return name.to_owned();
    };
    let rest = match rest.strip_prefix('[').and_then(|r| r.split_once("].")) {
        Some((index, step)) if index.bytes().all(|b| b.is_ascii_digit()) => step,
        _ => rest.strip_prefix('.').unwrap_or(rest),
    };
    rest.to_owned()
}

/// What the step or task behind a node is called where it is called: its own name, without the retry's attempt.
#[must_use]
pub fn called(name: &str) -> &str {
    // A loop's value may hold anything; the part before it is a name, or ends in one.
    let (plain, _) = name.split_once('(').unwrap_or((name, ""));
    let from = plain.rfind('.').map_or(0, |at| at + 1);
    let own = name.get(from..).unwrap_or(name);
    let attempt = own.strip_suffix(')').and_then(|own| own.rsplit_once('('));
    match attempt {
        Some((before, number)) if number.bytes().all(|b| b.is_ascii_digit()) => before,
        _ => own,
    }
}

/// Name of child `index` of a loop.
#[must_use]
pub fn loop_child(name: &str, index: usize, item: &Value) -> String {
    let printed: String = printed(item).replace(['(', ')'], "");
    format!("{name}({index}:{printed})")
}

/// The part of a name that all children of a loop begin with.
#[must_use]
pub fn loop_prefix(name: &str) -> String {
    format!("{name}(")
}

/// The index of a loop's child, from its name.
#[must_use]
pub fn loop_index(child: &str, name: &str) -> Option<usize> {
    let rest = child.strip_prefix(name)?.strip_prefix('(')?;
    rest.split_once(':')?.0.parse().ok()
}

/// A loop's value as Argo prints it in a name.
fn printed(item: &Value) -> String {
    match item {
        Value::Object(map) => {
            let mut pairs: Vec<String> =
                map.iter().map(|(key, value)| format!("{key}:{}", item_text(value))).collect();
            pairs.sort();
            pairs.join(",")
        }
        Value::Array(list) => {
            let items: Vec<String> = list.iter().map(item_text).collect();
            format!("[{}]", items.join(" "))
        }
        other => item_text(other),
    }
}

/// A loop's value as text: text as it is, everything else as JSON.
#[must_use]
pub fn item_text(item: &Value) -> String {
    match item {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ids_are_fnv() {
        // Known values of 32-bit FNV-1a.
        assert_eq!(hash(""), 2_166_136_261);
        assert_eq!(hash("a"), 0xe40c_292c);
        assert_eq!(hash("foobar"), 0xbf9c_f968);
        assert_eq!(node_id("wf", "wf"), "wf");
        assert_eq!(node_id("wf", "foobar"), format!("wf-{}", 0xbf9c_f968_u32));
    }

    #[test]
    fn pods_are_named_by_template() {
        assert_eq!(pod_name("wf", "wf", "main"), "wf");
        let name = pod_name("wf", "wf.a", "main");
        assert_eq!(name, format!("wf-main-{}", hash("wf.a")));
        let long = pod_name(&"w".repeat(300), "x", "t");
        assert!(long.len() <= POD_NAME_MAX);
    }

    #[test]
    fn display_names_lose_the_boundary() {
        assert_eq!(display_name("wf[0].a(1:x)", Some("wf")), "a(1:x)");
        assert_eq!(display_name("wf[10]", Some("wf")), "[10]");
        assert_eq!(display_name("wf.b", Some("wf")), "b");
        assert_eq!(display_name("wf.b(0)", Some("wf.b")), "(0)");
        assert_eq!(display_name("wf", None), "wf");
    }

    #[test]
    fn a_step_knows_how_it_is_called() {
        for (node, name) in [
            ("wf[0].a", "a"),
            ("wf.b.c", "c"),
            ("wf.b.c(0)", "c"),
            ("wf", "wf"),
            ("wf[1].a(1:x.y)(2)", "a(1:x.y)"),
        ] {
            assert_eq!(called(node), name, "{node}");
        }
    }

    #[test]
    fn loop_values_in_names() {
        assert_eq!(loop_child("a", 0, &json!("x (y)")), "a(0:x y)");
        assert_eq!(loop_child("a", 1, &json!(7)), "a(1:7)");
        assert_eq!(
            loop_child("a", 2, &json!({"tag": "9.1", "image": "debian"})),
            "a(2:image:debian,tag:9.1)"
        );
        assert_eq!(loop_child("a", 3, &json!([1, "b"])), "a(3:[1 b])");
        assert_eq!(loop_index("a(12:x(3:y)", "a"), Some(12));
    }
}
