//! Follows a path through objects and arrays in one forward scan.

use std::borrow::Cow;
use std::ops::ControlFlow;

use super::encode::unescape;
use super::paths::{Key, Next, next_at, split_pipe};
use super::query::{Query, matches_pattern};
use super::scan::{found, next_key, next_value, slice, value_end};
use super::{Found, Scope, Step, Type, evaluate};

/// Either the search is over, with or without a value, or it goes on at an index.
type Flow<'a> = ControlFlow<Option<Found<'a>>, usize>;

struct Walk<'a, 'p, 'w> {
    json: &'a str,
    /// Where the path goes on once the value is found.
    pipe: Option<&'p str>,
    scope: Scope<'w>,
}

/// Applies a path up to its first pipe.
pub(super) fn step<'a, 'p>(json: &'a str, path: &'p str, scope: Scope<'_>) -> Step<'a, 'p> {
    let mut walk = Walk { json, pipe: None, scope };
    let flow = match path.strip_prefix("..") {
        Some(path) => walk.array(0, path),
        None => walk.value(path),
    };
    Step { found: flow.break_value().flatten(), rest: walk.pipe }
}

impl<'a, 'p> Walk<'a, 'p, '_> {
    fn value(&mut self, path: &'p str) -> Flow<'a> {
        let bytes = self.json.as_bytes();
        let start = bytes.iter().position(|byte| *byte > b' ');
        match start.map(|start| (start, bytes.get(start))) {
            Some((start, Some(b'{'))) => self.object(start + 1, path),
            Some((start, Some(b'['))) => self.array(start + 1, path),
            _ => ControlFlow::Break(None),
        }
    }

    /// Goes into the container at `start`, one level deeper.
    fn descend(&mut self, start: usize, path: &'p str) -> Flow<'a> {
        let outer = self.scope;
        let Some(scope) = outer.deeper() else {
            return ControlFlow::Break(None);
        };
        self.scope = scope;
        let flow = match self.json.as_bytes().get(start) {
            Some(b'{') => self.object(start + 1, path),
            _ => self.array(start + 1, path),
        };
        self.scope = outer;
        flow
    }

    fn take_pipe(&mut self, next: Next<'p>) {
        if let Next::Pipe(pipe) = next {
            self.pipe = Some(pipe);
        }
    }

    fn object(&mut self, mut at: usize, path: &'p str) -> Flow<'a> {
        let bytes = self.json.as_bytes();
        let key = Key::parse(path);
        self.take_pipe(key.next);
        loop {
            let (start, end) = match next_key(bytes, at) {
                Ok(borders) => borders,
                Err(end) => return ControlFlow::Continue(end),
            };
            let name = slice(self.json, start + 1, end.saturating_sub(1));
            let fits = key_fits(&key, name);
            let (start, kind) = match next_value(bytes, end) {
                Ok(value) => value,
                Err(end) => return ControlFlow::Continue(end),
            };
            at = match (fits, key.next) {
                (true, Next::Path(rest)) if kind == Type::Json => self.descend(start, rest)?,
                (true, Next::End | Next::Pipe(_)) => return self.hit(start, kind),
                _ => value_end(bytes, start, kind),
            };
        }
    }

    fn hit(&self, start: usize, kind: Type) -> Flow<'a> {
        let end = value_end(self.json.as_bytes(), start, kind);
        ControlFlow::Break(Some(found(self.json, start, end, kind)))
    }

    fn array(&mut self, at: usize, path: &'p str) -> Flow<'a> {
        match path.as_bytes() {
            [b'#'] => self.count(at, Next::End),
            [b'#', b'|', ..] => self.count(at, next_at(path, 1)),
            [b'#', b'.', ..] => self.each(at, slice(path, 2, path.len())),
            [b'#', b'(' | b'[', ..] => match Query::parse(path) {
                Some(query) => self.query(at, &query),
                None => ControlFlow::Break(None),
            },
            _ => self.index(at, path),
        }
    }

    fn count(&mut self, mut at: usize, next: Next<'p>) -> Flow<'a> {
        self.take_pipe(next);
        let bytes = self.json.as_bytes();
        let mut count = 0_usize;
        while let Ok((start, kind)) = next_value(bytes, at) {
            at = value_end(bytes, start, kind);
            count += 1;
        }
        ControlFlow::Break(Some(Found { kind: Type::Number, raw: Cow::Owned(count.to_string()) }))
    }

    fn index(&mut self, mut at: usize, path: &'p str) -> Flow<'a> {
        let bytes = self.json.as_bytes();
        let end = path.find(['.', '|']).unwrap_or(path.len());
        let next = next_at(path, end);
        self.take_pipe(next);
        let digits = slice(path, 0, end);
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        let wanted = is_number.then(|| digits.parse::<usize>().ok()).flatten();
        for position in 0.. {
            let (start, kind) = match next_value(bytes, at) {
                Ok(value) => value,
                Err(end) => return ControlFlow::Continue(end),
            };
            at = match next {
                _ if wanted != Some(position) => value_end(bytes, start, kind),
                Next::Path(rest) if kind == Type::Json => self.descend(start, rest)?,
                Next::Path(_) => value_end(bytes, start, kind),
                Next::End | Next::Pipe(_) => return self.hit(start, kind),
            };
        }
        ControlFlow::Break(None)
    }

    /// `#.path`: the path in each element.
    fn each(&mut self, mut at: usize, path: &'p str) -> Flow<'a> {
        let (path, pipe) = split_pipe(path);
        self.pipe = pipe;
        let bytes = self.json.as_bytes();
        let mut list = List::new();
        while let Ok((start, kind)) = next_value(bytes, at) {
            at = value_end(bytes, start, kind);
            if let Some(value) = evaluate(slice(self.json, start, at), path, self.scope) {
                list.push(&value.raw);
            }
        }
        ControlFlow::Break(list.finish(self.scope))
    }

    fn query(&mut self, mut at: usize, query: &Query<'p>) -> Flow<'a> {
        self.take_pipe(query.next);
        let bytes = self.json.as_bytes();
        let mut list = List::new();
        loop {
            let (start, kind) = match next_value(bytes, at) {
                Ok(value) => value,
                Err(_) if query.all => return ControlFlow::Break(list.finish(self.scope)),
                Err(end) => return ControlFlow::Continue(end),
            };
            at = value_end(bytes, start, kind);
            let element = found(self.json, start, at, kind);
            if !self.passes(query, &element) {
                continue;
            }
            let value = match query.next {
                Next::Path(rest) => {
                    let (rest, pipe) = split_pipe(rest);
                    self.pipe = pipe.or(self.pipe);
                    evaluate(slice(self.json, start, at), rest, self.scope)
                }
                Next::End | Next::Pipe(_) => Some(element),
            };
            if !query.all {
                return ControlFlow::Break(value);
            }
            if let Some(value) = value {
                list.push(&value.raw);
            }
        }
    }

    fn passes(&self, query: &Query<'_>, element: &Found<'_>) -> bool {
        if element.kind == Type::Json {
            let value = evaluate(&element.raw, query.path, self.scope);
            query.matches(value.as_ref())
        } else {
            query.path.is_empty() && query.matches(Some(element))
        }
    }
}

fn key_fits(key: &Key<'_>, name: &str) -> bool {
    if key.wild {
        matches_pattern(&unescape(name), &key.name)
    } else {
        name == key.name || (name.contains('\\') && unescape(name) == key.name)
    }
}

/// A JSON array in the making.
pub(super) struct List(String);

impl List {
    pub(super) fn new() -> Self {
        Self(String::from("["))
    }

    pub(super) fn push(&mut self, raw: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push_str(raw);
    }

    pub(super) fn into_text(mut self) -> String {
        self.0.push(']');
        self.0
    }

    fn finish(self, scope: Scope<'_>) -> Option<Found<'static>> {
        scope.charge(self.0.len())?;
        Some(Found::json(self.into_text()))
    }
}
