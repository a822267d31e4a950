//! Argo's `{{…}}` tags. A text is parsed once into a tree and rendered once: what is inserted is never
//! scanned again.

use std::ops::Range;

use serde_json::Value;

use crate::LangError;

#[cfg(test)]
mod tests;

/// One piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// As written.
    Literal(String),
    /// `{{name}}`, trimmed.
    Tag(String),
    /// `{{=expression}}`.
    Expression(String),
    /// `{{a.{{b}}.c}}`: the name is a text of its own, which is rendered first and then looked up.
    Nested(Text),
}

/// A parsed text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Text {
    /// The pieces in order.
    pub pieces: Vec<Piece>,
    /// What each piece was written as, for those that stay.
    written: Vec<String>,
}

/// Tags within tags within tags beyond this are literal text.
const DEEPEST: usize = 8;

impl Text {
    /// Parses. An unclosed `{{` is literal text.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut parser = Parser { text, open: vec![Frame::default()] };
        parser.run();
        parser.finish()
    }

    /// Whether there is a tag or an expression in it.
    #[must_use]
    pub fn has_tags(&self) -> bool {
        self.pieces.iter().any(|piece| !matches!(piece, Piece::Literal(_)))
    }

    /// The names in plain tags, also in those that stand within others, in order.
    #[must_use]
    pub fn tags(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.visit(&mut |piece| {
            if let Piece::Tag(name) = piece {
                names.push(name.as_str());
            }
        });
        names
    }

    /// The texts of its expressions, in order.
    #[must_use]
    pub fn expressions(&self) -> Vec<&str> {
        let mut expressions = Vec::new();
        self.visit(&mut |piece| {
            if let Piece::Expression(expression) = piece {
                expressions.push(expression.as_str());
            }
        });
        expressions
    }

    fn visit<'t>(&'t self, visitor: &mut dyn FnMut(&'t Piece)) {
        for piece in &self.pieces {
            visitor(piece);
            if let Piece::Nested(name) = piece {
                name.visit(visitor);
            }
        }
    }

    /// Renders. `look_up` gives the text of a tag or expression; `Ok(None)` leaves it as written. It sees
    /// [`Piece::Tag`] and [`Piece::Expression`] only: of nested tags the inner ones first, then the name that
    /// they make up.
    ///
    /// # Errors
    /// What `look_up` fails with.
    pub fn render(
        &self,
        look_up: &mut dyn FnMut(&Piece) -> Result<Option<String>, LangError>,
    ) -> Result<String, LangError> {
        let mut out = String::new();
        self.render_into(&mut out, look_up)?;
        Ok(out)
    }

    /// Whether every tag had a value.
    fn render_into(
        &self,
        out: &mut String,
        look_up: &mut dyn FnMut(&Piece) -> Result<Option<String>, LangError>,
    ) -> Result<bool, LangError> {
        let mut complete = true;
        for (piece, written) in self.pieces.iter().zip(&self.written) {
            let value = match piece {
                Piece::Literal(literal) => {
                    out.push_str(literal);
                    continue;
                }
                Piece::Tag(_) | Piece::Expression(_) => look_up(piece)?,
                Piece::Nested(inner) => {
                    let mut name = String::new();
                    if inner.render_into(&mut name, look_up)? {
                        let found = look_up(&Piece::Tag(name.trim().to_owned()))?;
                        // Argo resolves the inner tags even where the outer one stays.
                        complete &= found.is_some();
                        Some(found.unwrap_or_else(|| format!("{{{{{name}}}}}")))
                    } else {
                        None
                    }
                }
            };
            complete &= value.is_some();
            out.push_str(value.as_deref().unwrap_or(written));
        }
        Ok(complete)
    }
}

/// Applies `map` to each string of a JSON tree; keys stay as they are.
///
/// # Errors
/// What `map` fails with.
pub fn map_strings(
    value: &Value,
    map: &mut dyn FnMut(&str) -> Result<String, LangError>,
) -> Result<Value, LangError> {
    Ok(match value {
        Value::String(text) => Value::String(map(text)?),
        Value::Array(items) => {
            let items = items.iter().map(|item| map_strings(item, map));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        Value::Object(members) => {
            let members = members.iter().map(|(key, member)| Ok((key.clone(), map_strings(member, map)?)));
            Value::Object(members.collect::<Result<_, _>>()?)
        }
        scalar => scalar.clone(),
    })
}

/// A tag that is not closed yet; the outermost frame is the text itself.
#[derive(Default)]
struct Frame {
    /// Where its `{{` stands.
    start: usize,
    pieces: Vec<(Piece, Range<usize>)>,
    /// Where the literal text began that is not a piece yet.
    literal: usize,
}

struct Parser<'t> {
    text: &'t str,
    open: Vec<Frame>,
}

impl Parser<'_> {
    fn run(&mut self) {
        let mut at = 0;
        while let Some(found) = self.next_brace(at) {
            let rest = self.text.get(found..).unwrap_or_default();
            at = if rest.starts_with("{{=") {
                self.expression(found).unwrap_or(found + 2)
            } else if rest.starts_with("{{") {
                if self.open.len() <= DEEPEST {
                    self.open.push(Frame { start: found, pieces: Vec::new(), literal: found + 2 });
                }
                found + 2
            } else {
                self.close(found);
                found + 2
            };
        }
    }

    /// The next `{{` or `}}`.
    fn next_brace(&self, from: usize) -> Option<usize> {
        let bytes = self.text.as_bytes().get(from..)?;
        let at = bytes.windows(2).position(|pair| pair == b"{{" || pair == b"}}")?;
        Some(from + at)
    }

    /// Takes an expression whole; gives the index behind it, if it is closed.
    fn expression(&mut self, start: usize) -> Option<usize> {
        let body = self.text.get(start + 3..)?;
        let length = expression_length(body).or_else(|| body.find("}}"))?;
        let source = body.get(..length)?.trim().to_owned();
        let end = start + 3 + length + 2;
        self.piece(Piece::Expression(source), start..end);
        Some(end)
    }

    fn piece(&mut self, piece: Piece, range: Range<usize>) {
        let literal = self.open.last().map_or(range.start, |frame| frame.literal);
        let before = literal..range.start;
        if let Some(frame) = self.open.last_mut() {
            if let Some(text) = self.text.get(before.clone()).filter(|text| !text.is_empty()) {
                frame.pieces.push((Piece::Literal(text.to_owned()), before));
            }
            frame.literal = range.end;
            frame.pieces.push((piece, range));
        }
    }

    /// Closes the innermost tag at a `}}`, which is literal text where none is open.
    fn close(&mut self, at: usize) {
        if self.open.len() < 2 {
            return;
        }
        let Some(frame) = self.open.pop() else { return };
        let range = frame.start..at + 2;
        let piece = if frame.pieces.is_empty() {
            let name = self.text.get(frame.literal..at).unwrap_or_default();
            Piece::Tag(name.trim().to_owned())
        } else {
            Piece::Nested(self.text_of(frame, at))
        };
        self.piece(piece, range);
    }

    fn text_of(&self, frame: Frame, end: usize) -> Text {
        let mut text = Text::default();
        for (piece, range) in frame.pieces {
            text.written.push(self.text.get(range).unwrap_or_default().to_owned());
            text.pieces.push(piece);
        }
        let tail = self.text.get(frame.literal..end).unwrap_or_default();
        if !tail.is_empty() {
            text.written.push(tail.to_owned());
            text.pieces.push(Piece::Literal(tail.to_owned()));
        }
        text
    }

    /// Tags that were never closed become literal text, with the pieces in them kept.
    fn finish(mut self) -> Text {
        while self.open.len() > 1 {
            let Some(frame) = self.open.pop() else { break };
            for (piece, range) in frame.pieces {
                if !matches!(piece, Piece::Literal(_)) {
                    self.piece(piece, range);
                }
            }
        }
        let end = self.text.len();
        match self.open.pop() {
            Some(frame) => self.text_of(frame, end),
            None => Text::default(),
        }
    }
}

/// The length of an expression up to the `}}` that closes it: not one in a string literal or at the end of a
/// nested map, where Argo stops too early.
fn expression_length(body: &str) -> Option<usize> {
    let bytes = body.as_bytes();
    let mut depth = 0_usize;
    let mut quote = None;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match (quote, byte) {
            (Some(b'"' | b'\''), b'\\') => at += 1,
            (Some(open), byte) if open == *byte => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'' | b'`') => quote = Some(*byte),
            (None, b'{') => depth += 1,
            (None, b'}') if depth > 0 => depth -= 1,
            (None, b'}') if bytes.get(at + 1) == Some(&b'}') => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}
