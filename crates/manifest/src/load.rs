//! From text to objects: several documents of YAML or JSON, each read for itself, with everything that is wrong
//! in them. Never fails as a whole, never panics.

pub(crate) mod document;
mod local;
pub mod path;
pub mod places;
pub mod position;
mod split;
pub(crate) mod typed;

mod siblings;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::object::{Kind, Object};
use path::Path;
use places::Places;
use position::{Broken, Node, Place};
use split::Part;

/// Largest text, in bytes.
pub const MAX_TEXT: usize = 3 * 512 * 1024;
/// Most documents of one text.
pub const MAX_DOCUMENTS: usize = 100;

/// Of the thread that reads; only what is used of it costs memory.
const STACK: usize = 32 << 20;

/// What the text does not say.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// Namespace of objects that name none.
    pub namespace: String,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { namespace: "default".into() }
    }
}

impl LoadOptions {
    /// With this namespace for objects that name none.
    #[must_use]
    pub fn new(namespace: impl Into<String>) -> Self {
        Self { namespace: namespace.into() }
    }
}

/// What was read.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// The objects that can be used.
    pub objects: Vec<Object>,
    /// What is wrong, in order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

impl Loaded {
    /// Whether something could not be used.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// Reads a text. `file` is what diagnostics call it.
#[must_use]
pub fn load(file: &str, text: &str, options: &LoadOptions) -> Loaded {
    // Reading recurses, and takes up to 50 KiB of stack per level of nesting where nothing is optimised. Callers'
    // stacks are not ours to reckon with.
    let on_own_stack = std::thread::scope(|scope| {
        let reader = std::thread::Builder::new().stack_size(STACK);
        let reader = reader.spawn_scoped(scope, || read_all(file, text, options));
        reader.map(|reader| reader.join())
    });
    match on_own_stack {
        Ok(Ok(loaded)) => loaded,
        failed => {
            let reason = match failed {
                Err(error) => format!("no thread could be started to read it: {error}"),
                Ok(_) => "its reader failed".into(),
            };
            let help = "this is a defect of the reader or of the machine; nothing of it is used".into();
            Loaded { objects: Vec::new(), diagnostics: vec![codes::UNREADABLE.finding(file, reason, help)] }
        }
    }
}

/// Reads the documents of a text for what they are, whatever they say; empty ones are left out.
///
/// # Errors
/// Says where the text cannot be read.
pub fn values(text: &str) -> Result<Vec<Value>, String> {
    if text.len() > MAX_TEXT {
        return Err(format!("the text has {} bytes; {MAX_TEXT} are allowed", text.len()));
    }
    let read = || {
        let mut values = Vec::new();
        for part in split::documents(text) {
            let node = match position::read(part.text) {
                Ok(node) => node,
                Err(broken) => as_json(part.text).filter(|_| !broken.limit).ok_or_else(|| {
                    let line = part.first_line + broken.at.line.saturating_sub(1);
                    format!("line {line}: {}", broken.reason)
                })?,
            };
            if !node.value.is_null() {
                values.push(node.value);
            }
        }
        Ok(values)
    };
    on_own_stack(read)
}

/// As in [`load`], and for the same reason.
fn on_own_stack<T: Send>(read: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let reader = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, read);
        let reader = reader.map_err(|error| format!("no thread could be started to read it: {error}"))?;
        reader.join().unwrap_or_else(|_| Err("its reader failed".into()))
    })
}

fn read_all(file: &str, text: &str, options: &LoadOptions) -> Loaded {
    let mut loaded = Loaded::default();
    if text.len() > MAX_TEXT {
        let message = format!("the text has {} bytes; {MAX_TEXT} are allowed", text.len());
        loaded.diagnostics.push(whole(file, message));
        return loaded;
    }
    let parts = split::documents(text);
    if parts.len() > MAX_DOCUMENTS {
        let message = format!("the text has more than {MAX_DOCUMENTS} documents");
        loaded.diagnostics.push(whole(file, message));
        return loaded;
    }
    for part in parts {
        read_part(file, part, options, &mut loaded);
    }
    declared_twice(&mut loaded);
    loaded
}

fn whole(file: &str, message: String) -> Diagnostic {
    codes::BUDGET.finding(file, message, "split it into several files".into())
}

fn read_part(file: &str, part: Part<'_>, options: &LoadOptions, loaded: &mut Loaded) {
    let node = match position::read(part.text) {
        Ok(node) => node,
        // Escapes of JSON that YAML lacks, such as surrogate pairs.
        Err(broken) => match as_json(part.text) {
            Some(node) if !broken.limit => node,
            _ => {
                loaded.diagnostics.push(syntax(file, part, broken));
                return;
            }
        },
    };
    if node.value.is_null() {
        return;
    }
    let mut places = Places::new(file, part.text, part.first_line, node.place);
    if holds_secret(&node.value) {
        places = places.hide();
    }
    for (path, at) in places.twice() {
        let key = path.last_key().unwrap_or_default();
        loaded.diagnostics.push(places.at(
            codes::DUPLICATE_KEY,
            at,
            &path,
            format!("`{key}` comes again below, so this one has no effect"),
            "remove one of the two".into(),
        ));
    }
    read_value(node.value, &places, options, loaded);
}

fn as_json(text: &str) -> Option<Node> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let value = serde_json::from_str(text).ok()?;
    Some(Node { value, place: Place::default() })
}

fn holds_secret(value: &Value) -> bool {
    let kind = value.get("kind").and_then(Value::as_str);
    let items = value.get("items").and_then(Value::as_array);
    kind == Some(Kind::Secret.as_str()) || items.is_some_and(|i| i.iter().any(holds_secret))
}

/// One object, or each object of a list.
fn read_value(value: Value, places: &Places, options: &LoadOptions, loaded: &mut Loaded) {
    let is_list = value.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
    match value {
        Value::Object(mut map) if is_list && map.get("items").is_some_and(Value::is_array) => {
            let Some(Value::Array(items)) = map.shift_remove("items") else {
                return;
            };
            for (index, item) in items.into_iter().enumerate() {
                let below = places.below(&Path::root().key("items").index(index));
                read_value(item, &below, options, loaded);
            }
        }
        value => {
            let object = document::read(value, places, options, &mut loaded.diagnostics);
            loaded.objects.extend(object);
        }
    }
}

fn syntax(file: &str, part: Part<'_>, broken: Broken) -> Diagnostic {
    let secret = part.text.lines().any(|line| {
        let line = line.trim().trim_start_matches("- ");
        line.starts_with("kind:") && line.contains("Secret")
    }) || part.text.contains("\"Secret\"");
    let mut places = Places::new(file, part.text, part.first_line, Place::default());
    let line = part.text.lines().nth(broken.at.line.saturating_sub(1)).unwrap_or_default().to_owned();
    if secret {
        places = places.hide();
    }
    let (code, message, help) = if broken.limit {
        (
            codes::BUDGET,
            format!("the document is larger than a manifest may be: {}", broken.reason),
            "split it, or write out what its aliases repeat".to_owned(),
        )
    } else if indented_by_tab(part.text, broken.at.line) {
        (codes::TAB, "the line is indented with a tab".to_owned(), "indent with spaces".to_owned())
    } else if unquoted_tag(&line) {
        (
            codes::UNQUOTED_TAG,
            "a value that begins with `{{` has no quotes".to_owned(),
            "put the whole value in double quotes: \"{{…}}\"".to_owned(),
        )
    } else {
        (
            codes::SYNTAX,
            format!("this cannot be read as YAML: {}", broken.reason),
            syntax_help(&line).to_owned(),
        )
    };
    places.at(code, broken.at, &Path::root(), message, help)
}

fn indented_by_tab(text: &str, line: usize) -> bool {
    let starts_with_tab = |line: &str| {
        let indent: String = line.chars().take_while(|c| c.is_whitespace()).collect();
        indent.contains('\t')
    };
    let near = line.saturating_sub(2);
    text.lines().skip(near).take(2).any(starts_with_tab)
}

fn unquoted_tag(line: &str) -> bool {
    let value = line.split_once(": ").map_or(line, |(_, value)| value);
    let value = value.trim_start_matches([' ', '-']);
    value.starts_with("{{")
}

fn syntax_help(line: &str) -> &'static str {
    let value = line.split_once(": ").map_or("", |(_, value)| value).trim();
    if value.contains(": ") && !value.starts_with(['"', '\'', '{', '[']) {
        "a value that holds `: ` needs quotes"
    } else {
        "look here and on the lines before: indentation, quotes and brackets must match"
    }
}

fn declared_twice(loaded: &mut Loaded) {
    let mut seen = BTreeSet::new();
    let diagnostics = &mut loaded.diagnostics;
    loaded.objects.retain(|object| {
        let key = (object.kind, object.namespace.clone(), object.name.clone());
        if object.name.is_empty() || seen.insert(key) {
            return true;
        }
        let path = Path::root().key("metadata").key("name");
        diagnostics.push(object.places.at_value(
            codes::DECLARED_TWICE,
            &path,
            format!("{}/{} is declared above already", object.kind, object.name),
            "the first one is used: rename or remove one of them".into(),
        ));
        false
    });
}

#[cfg(test)]
mod tests;
