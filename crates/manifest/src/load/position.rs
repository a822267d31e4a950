//! A document as values and, beside them, where each stands in the text. The only place that knows the YAML
//! reader.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{NonFiniteFloatPolicy, Spanned};

use super::path::{Path, Segment};

/// Deepest nesting. Real manifests stay below 30.
const MAX_DEPTH: usize = 64;
/// Most values of a document, after aliases are expanded.
const MAX_NODES: usize = 50_000;

/// Line and column, both from 1; 0 when unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct At {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

/// Where a value stands, and what is below it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place {
    /// Of a mapping's value: where its key stands.
    key: At,
    value: At,
    below: Below,
    /// Keys that were given again later.
    twice: Vec<(String, At)>,
}

#[derive(Debug, Clone, Default)]
enum Below {
    #[default]
    Nothing,
    Map(Vec<(String, Place)>),
    List(Vec<Place>),
}

/// What reading gives.
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) place: Place,
}

/// Why reading stopped.
pub(crate) struct Broken {
    pub(crate) at: At,
    pub(crate) reason: String,
    /// A limit was reached; else the text is wrong.
    pub(crate) limit: bool,
}

/// Reads one document as Argo's reader does: YAML 1.1 booleans and octals, merge keys, last of double keys.
pub(crate) fn read(text: &str) -> Result<Node, Broken> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_documents: 2,
            max_depth: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: 3 * MAX_NODES,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_merge_keys: 1_000,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_NODES,
            max_replay_stack_depth: 32,
        },
        emit_comments: false,
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        legacy_octal_numbers: true,
        null_as_string: true,
        ignore_binary_tag_for_string: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Spanned<Node>>(text, options) {
        Ok(root) => Ok(settle(root)),
        Err(error) => Err(broken(&error)),
    }
}

fn broken(error: &serde_saphyr::Error) -> Broken {
    use serde_saphyr::Error as E;
    let mut error = error.without_snippet();
    while let E::AliasError { error: inner, .. } = error {
        error = inner.without_snippet();
    }
    let at = error.location().map_or_else(At::default, at);
    let text = error.render_with_formatter(&serde_saphyr::DefaultMessageFormatter);
    let reason = text.lines().next().unwrap_or_default();
    let limit = matches!(
        error,
        E::Budget { .. }
            | E::AliasReplayLimitExceeded { .. }
            | E::AliasExpansionLimitExceeded { .. }
            | E::AliasReplayStackDepthExceeded { .. }
            | E::AliasReplayCounterOverflow { .. }
    ) || reason.contains("recursion limit");
    // The position is shown by us, in its own place.
    let reason = reason.split(" at line ").next().unwrap_or(reason);
    Broken { at, reason: reason.trim_end_matches(['.', ',', ' ']).to_owned(), limit }
}

fn at(location: serde_saphyr::Location) -> At {
    let number = |n: u64| usize::try_from(n).unwrap_or(0);
    At { line: number(location.line()), column: number(location.column()) }
}

/// Where a value is used, not where its anchor stands: that is the line its author looks at.
fn settle(spanned: Spanned<Node>) -> Node {
    let mut node = spanned.value;
    node.place.value = at(spanned.referenced);
    node
}

impl Place {
    /// The place of what a path names. Of a mapping's value, its key; of what does not exist, the nearest
    /// that holds it.
    pub(crate) fn find(&self, path: &Path) -> At {
        let (place, _) = self.walk(path);
        if place.key == At::default() { place.value } else { place.key }
    }

    /// As [`Self::find`], but of a mapping's value the value itself.
    pub(crate) fn find_value(&self, path: &Path) -> At {
        match self.walk(path) {
            (place, true) => place.value,
            (place, false) if place.key != At::default() => place.key,
            (place, false) => place.value,
        }
    }

    fn walk(&self, path: &Path) -> (&Self, bool) {
        let mut here = self;
        for segment in &path.0 {
            let next = match (segment, &here.below) {
                (Segment::Key(key), Below::Map(map)) => {
                    map.iter().find(|(name, _)| name == key).map(|(_, p)| p)
                }
                (Segment::Index(index), Below::List(list)) => list.get(*index),
                _ => None,
            };
            match next {
                Some(next) => here = next,
                None => return (here, false),
            }
        }
        (here, true)
    }

    /// The keys that have no effect since the same key comes again, with their paths.
    pub(crate) fn twice(&self, path: &Path, found: &mut Vec<(Path, At)>) {
        for (key, at) in &self.twice {
            found.push((path.key(key), *at));
        }
        match &self.below {
            Below::Nothing => {}
            Below::Map(map) => {
                for (key, place) in map {
                    place.twice(&path.key(key), found);
                }
            }
            Below::List(list) => {
                for (index, place) in list.iter().enumerate() {
                    place.twice(&path.index(index), found);
                }
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl NodeVisitor {
    #[expect(clippy::unnecessary_wraps, reason = "shape of the visitor's answers")]
    fn scalar<E>(value: Value) -> Result<Node, E> {
        Ok(Node { value, place: Place::default() })
    }

    fn float<E>(value: f64) -> Result<Node, E> {
        Self::scalar(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }
}

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Self::scalar(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Self::scalar(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Self::scalar(value.into())
    }

    #[expect(clippy::cast_precision_loss, reason = "as every reader of JSON numbers does")]
    fn visit_i128<E>(self, value: i128) -> Result<Node, E> {
        Self::float(value as f64)
    }

    #[expect(clippy::cast_precision_loss, reason = "as every reader of JSON numbers does")]
    fn visit_u128<E>(self, value: u128) -> Result<Node, E> {
        Self::float(value as f64)
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Self::float(value)
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Self::scalar(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Self::scalar(Value::String(value))
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Node, E> {
        Self::scalar(Value::String(String::from_utf8_lossy(value).into_owned()))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Self::scalar(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Self::scalar(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Node, D::Error> {
        Node::deserialize(inner)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let (mut values, mut places) = (Vec::new(), Vec::new());
        while let Some(item) = items.next_element::<Spanned<Node>>()? {
            let node = settle(item);
            values.push(node.value);
            places.push(node.place);
        }
        Ok(Node {
            value: Value::Array(values),
            place: Place { below: Below::List(places), ..Place::default() },
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let (mut values, mut places, mut twice) = (Map::new(), Vec::new(), Vec::new());
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            // A key is its text, also where the same text as a value would be a number or a boolean.
            let (name, here) = (key.value, at(key.referenced));
            let mut node = settle(entries.next_value::<Spanned<Node>>()?);
            node.place.key = here;
            if values.insert(name.clone(), node.value).is_some()
                && let Some(index) = places.iter().position(|(n, _)| *n == name)
            {
                let (_, earlier): (String, Place) = places.remove(index);
                twice.push((name.clone(), earlier.key));
            }
            places.push((name, node.place));
        }
        Ok(Node {
            value: Value::Object(values),
            place: Place { below: Below::Map(places), twice, ..Place::default() },
        })
    }
}
