//! sjson paths: writes into a JSON value.
//!
//! Segments are parted by dots. In an array a number is an index (what lies between is filled with null) and
//! `-1` appends; a `:` before a segment makes it a key in any case; a backslash takes the next character as
//! it is. Missing parents are made, and a scalar in the way gives way to one.

use serde_json::{Map, Value};

use crate::{LangError, gjson};

#[cfg(test)]
mod tests;

const LANGUAGE: &str = "sjson";
/// A path could otherwise ask for any amount of nulls.
const HIGHEST_INDEX: usize = 100_000;
const DEEPEST: usize = 128;

/// Sets `path` to `value`; missing parents are made, `-1` appends, a `:` before a number forces a key.
///
/// # Errors
/// Fails on an empty path, or one with a query or wildcard; and where it names no place in an array.
pub fn set(document: &mut Value, path: &str, value: Value) -> Result<(), LangError> {
    let mut place = document;
    for segment in parse(path)? {
        place = segment.make(place)?;
    }
    *place = value;
    Ok(())
}

/// On which side of what is there a text is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Before it.
    Before,
    /// After it.
    After,
}

/// Adds to what stands at `path`, as text: the result is a text whatever both were. Where nothing stands, this is
/// a plain set.
///
/// # Errors
/// As [`set`].
pub fn join(document: &mut Value, path: &str, added: Value, side: Side) -> Result<(), LangError> {
    let there = gjson::get(&document.to_string(), path).map(|there| there.text());
    let Some(there) = there else {
        return set(document, path, added);
    };
    let added = match added {
        Value::String(text) => text,
        other => other.to_string(),
    };
    let joined = match side {
        Side::Before => added + &there,
        Side::After => there + &added,
    };
    set(document, path, Value::String(joined))
}

/// Deletes what stands at `path` (`-1` is the last element of an array); whether there was something.
///
/// # Errors
/// Fails on an empty path, or one with a query or wildcard.
pub fn delete(document: &mut Value, path: &str) -> Result<bool, LangError> {
    let mut segments = parse(path)?;
    let Some(last) = segments.pop() else {
        return Ok(false);
    };
    let mut place = document;
    for segment in segments {
        match segment.find(place) {
            Some(next) => place = next,
            None => return Ok(false),
        }
    }
    Ok(match place {
        Value::Object(members) => members.shift_remove(&last.name).is_some(),
        Value::Array(items) => match last.position(items.len()) {
            Some(index) if index < items.len() => {
                items.remove(index);
                true
            }
            _ => false,
        },
        _ => false,
    })
}

struct Segment {
    name: String,
    /// Written with a colon: a key, even if it looks like an index.
    is_key: bool,
    /// Where it begins in the path, in characters.
    offset: usize,
}

impl Segment {
    fn index(&self) -> Option<usize> {
        let digits = !self.is_key && self.name.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| self.name.parse().ok()).flatten()
    }

    fn appends(&self) -> bool {
        !self.is_key && self.name == "-1"
    }

    /// The index of an existing element.
    fn position(&self, length: usize) -> Option<usize> {
        if self.appends() {
            return length.checked_sub(1);
        }
        self.name.parse().ok()
    }

    fn find<'v>(&self, place: &'v mut Value) -> Option<&'v mut Value> {
        match place {
            Value::Object(members) => members.get_mut(&self.name),
            Value::Array(items) => {
                let index = self.position(items.len())?;
                items.get_mut(index)
            }
            _ => None,
        }
    }

    /// The place that it names, made if need be.
    fn make<'v>(&self, place: &'v mut Value) -> Result<&'v mut Value, LangError> {
        if !(place.is_object() || place.is_array()) {
            let is_list = self.index().is_some() || self.appends();
            *place = if is_list { Value::Array(Vec::new()) } else { Value::Object(Map::new()) };
        }
        match place {
            Value::Array(items) => self.make_element(items),
            Value::Object(members) => Ok(members.entry(self.name.as_str()).or_insert(Value::Null)),
            _ => Err(self.syntax("a value in the way could not be replaced")),
        }
    }

    fn make_element<'v>(&self, items: &'v mut Vec<Value>) -> Result<&'v mut Value, LangError> {
        // A forced key still names an element that is there.
        let present = || self.position(items.len()).filter(|index| *index < items.len());
        let index = match self.index().or_else(present) {
            _ if self.appends() => items.len(),
            Some(index) => index,
            None => {
                let message = format!("`{}` is no index, but there is an array here", self.name);
                return Err(self.syntax(&message));
            }
        };
        if index > HIGHEST_INDEX {
            return Err(LangError::Limit { language: LANGUAGE, limit: "array indexes" });
        }
        if index >= items.len() {
            items.resize(index + 1, Value::Null);
        }
        items.get_mut(index).ok_or_else(|| self.syntax("the element could not be made"))
    }

    fn syntax(&self, message: &str) -> LangError {
        LangError::Syntax { language: LANGUAGE, message: message.to_owned(), offset: self.offset }
    }
}

fn parse(path: &str) -> Result<Vec<Segment>, LangError> {
    if path.is_empty() {
        return Err(LangError::Syntax {
            language: LANGUAGE,
            message: "the path is empty".to_owned(),
            offset: 0,
        });
    }
    let mut segments = Vec::new();
    let mut characters = path.chars().enumerate().peekable();
    loop {
        let offset = characters.peek().map_or(0, |(offset, _)| *offset);
        let is_key = characters.next_if(|(_, character)| *character == ':').is_some();
        let mut name = String::new();
        let mut more = false;
        while let Some((offset, character)) = characters.next() {
            match character {
                '.' => {
                    more = true;
                    break;
                }
                '\\' => name.extend(characters.next().map(|(_, character)| character)),
                '|' | '#' | '@' | '*' | '?' => {
                    return Err(LangError::Syntax {
                        language: LANGUAGE,
                        message: format!(
                            "a path to write to names one place, so there are no queries, wildcards or modifiers; \
                             write `\\{character}` if it belongs to the key"
                        ),
                        offset,
                    });
                }
                other => name.push(other),
            }
        }
        // An empty segment is the key "", never an index.
        let is_key = is_key || name.is_empty();
        segments.push(Segment { name, is_key, offset });
        if segments.len() > DEEPEST {
            return Err(LangError::Limit { language: LANGUAGE, limit: "path segments" });
        }
        if !more {
            return Ok(segments);
        }
    }
}
