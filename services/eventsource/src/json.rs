//! Checks and compacts one JSON text in one pass, without building a tree.
//!
//! Digits and escapes stay as they were sent. The white space that goes is written down, so that the bytes
//! that were signed can be had again: [`Space`] and [`restore`].

use std::fmt::Write as _;

use serde_json::value::RawValue;

/// How deep arrays and objects may be nested; as deep as every reader behind us can follow.
pub(crate) const MAX_DEPTH: usize = 128;
/// How long the record of white space may get; beyond it the raw bytes are kept instead.
pub(crate) const MAX_SPACE: usize = 16 * 1024;

/// Why a text is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotJson {
    /// There is none.
    #[error("the body is empty; one JSON text is expected")]
    Empty,
    /// It is no JSON.
    #[error("the body is not one JSON text: {0}")]
    Syntax(String),
    /// It is nested too deeply.
    #[error("the body is nested more than {MAX_DEPTH} levels deep")]
    Depth,
    /// Half of a surrogate pair: no reader can make a character of it.
    #[error("the body has half of a surrogate pair in a string")]
    Surrogate,
}

/// What was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Space {
    /// Nothing: the text was compact.
    None,
    /// Each run of white space: after how many more bytes of the compact text, and which characters
    /// (`s` space, `t` tab, `n` line feed, `r` carriage return). `1069n` is a line feed after 1069 bytes.
    Runs(String),
    /// More than is worth writing down in this way.
    Much,
}

/// Appends the compact form of `text` to `out`, and tells what was left out.
///
/// # Errors
/// Fails when `text` is not one JSON text within our bounds; `out` is then of no use.
pub(crate) fn compact(text: &[u8], out: &mut Vec<u8>) -> Result<Space, NotJson> {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(NotJson::Empty);
    }
    // `RawValue` validates without a tree and without recursion.
    let _: &RawValue = serde_json::from_slice(text).map_err(|wrong| NotJson::Syntax(wrong.to_string()))?;
    let mut runs = Runs { text: String::new(), last: out.len() };
    let mut depth = 0_usize;
    let mut rest = text;
    while let Some(&byte) = rest.first() {
        let length = match byte {
            b'"' => string_length(rest)?,
            b' ' | b'\t' | b'\n' | b'\r' => {
                let length = rest.iter().take_while(|b| b.is_ascii_whitespace()).count();
                runs.note(out.len(), &rest[..length]);
                rest = &rest[length..];
                continue;
            }
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(NotJson::Depth);
                }
                1
            }
            b']' | b'}' => {
                depth = depth.saturating_sub(1);
                1
            }
            _ => rest
                .iter()
                .take_while(|b| !matches!(b, b'"' | b' ' | b'\t' | b'\n' | b'\r' | b'[' | b'{' | b']' | b'}'))
                .count(),
        };
        out.extend_from_slice(&rest[..length]);
        rest = &rest[length..];
    }
    Ok(runs.end())
}

/// Length of the string at the beginning of valid JSON, quotes included.
fn string_length(text: &[u8]) -> Result<usize, NotJson> {
    let mut at = 1;
    loop {
        match text.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') if text.get(at + 1) == Some(&b'u') => at += escape_length(&text[at..])?,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
            None => return Err(NotJson::Syntax("a string has no end".into())),
        }
    }
}

/// Length of a `\uXXXX` escape, or of the two that make one character.
fn escape_length(text: &[u8]) -> Result<usize, NotJson> {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    match unit(0) {
        Some(0xD800..=0xDBFF) => match unit(6) {
            Some(0xDC00..=0xDFFF) => Ok(12),
            _ => Err(NotJson::Surrogate),
        },
        Some(0xDC00..=0xDFFF) => Err(NotJson::Surrogate),
        _ => Ok(6),
    }
}

/// Puts back the white space that [`compact`] left out; `None` where the record does not fit the text.
#[must_use]
pub(crate) fn restore(compact: &[u8], runs: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(compact.len() + runs.len());
    let (mut rest, mut gap) = (compact, 0_usize);
    for char in runs.chars() {
        if let Some(digit) = char.to_digit(10) {
            gap = gap.checked_mul(10)?.checked_add(digit as usize)?;
            continue;
        }
        let (text, after) = rest.split_at_checked(gap)?;
        out.extend_from_slice(text);
        (rest, gap) = (after, 0);
        out.push(match char {
            's' => b' ',
            't' => b'\t',
            'n' => b'\n',
            'r' => b'\r',
            _ => return None,
        });
    }
    out.extend_from_slice(rest);
    Some(out)
}

/// The white space seen so far.
struct Runs {
    text: String,
    /// Length of the output at the last run, or where the text began.
    last: usize,
}

impl Runs {
    fn note(&mut self, written: usize, run: &[u8]) {
        if self.text.len() <= MAX_SPACE {
            let _ = write!(self.text, "{}", written - self.last);
            self.text.extend(run.iter().map(|byte| match byte {
                b' ' => 's',
                b'\t' => 't',
                b'\n' => 'n',
                _ => 'r',
            }));
        }
        self.last = written;
    }

    fn end(self) -> Space {
        match self.text.len() {
            0 => Space::None,
            1..=MAX_SPACE => Space::Runs(self.text),
            _ => Space::Much,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn compacted(text: &str) -> Result<(String, Space), NotJson> {
        let mut out = b"before".to_vec();
        let space = compact(text.as_bytes(), &mut out)?;
        Ok((String::from_utf8(out.split_off(6)).unwrap(), space))
    }

    #[test]
    fn what_goes_and_what_stays() {
        let runs = |text: &str| Space::Runs(text.into());
        let cases = [
            (r#"{"a":1}"#, r#"{"a":1}"#, Space::None),
            ("{\"a\":1}\n", r#"{"a":1}"#, runs("7n")),
            ("\r\n [ 1 ,\t2 ]", "[1,2]", runs("0rns1s1s1t1s")),
            (r#"{"s":" a \" b "}"#, r#"{"s":" a \" b "}"#, Space::None),
            ("1795348800123456789", "1795348800123456789", Space::None),
            (r#""\u003c\u00e9\ud83d\ude00""#, r#""\u003c\u00e9\ud83d\ude00""#, Space::None),
            ("1e400 ", "1e400", runs("5s")),
        ];
        for (raw, small, space) in cases {
            assert_eq!(compacted(raw).unwrap(), (small.to_owned(), space), "{raw}");
        }
    }

    #[test]
    fn what_is_refused() {
        let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert!(compacted(&deep(MAX_DEPTH)).is_ok());
        assert_eq!(compacted(&deep(MAX_DEPTH + 1)), Err(NotJson::Depth));
        assert_eq!(compacted(&deep(100_000)), Err(NotJson::Depth));
        assert_eq!(compacted(" \n"), Err(NotJson::Empty));
        for half in [r#""\ud83d""#, r#""\ude00""#, r#""\ud83dx""#, r#""\ud83d\u0041""#] {
            assert_eq!(compacted(half), Err(NotJson::Surrogate), "{half}");
        }
        for bad in ["{", "{}{}", "nul", "'a'", "[1,]", "\u{feff}{}", "\"\u{0}\"", "a=b", "01"] {
            assert!(matches!(compacted(bad), Err(NotJson::Syntax(_))), "{bad:?}");
        }
        let mut out = Vec::new();
        assert!(compact(b"\"\xff\"", &mut out).is_err());
    }

    #[test]
    fn very_much_white_space_is_not_written_down() {
        let text = format!("[1,{}2]", " ".repeat(MAX_SPACE + 1));
        assert_eq!(compacted(&text).unwrap(), ("[1,2]".into(), Space::Much));
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(".*", inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_meaning_stays_and_the_raw_bytes_come_back(value in value(), pretty: bool) {
            let raw = if pretty {
                serde_json::to_string_pretty(&value).unwrap() + "\r\n"
            } else {
                value.to_string()
            };
            let (small, space) = compacted(&raw).unwrap();
            prop_assert_eq!(&small, &value.to_string());
            let back = match space {
                Space::None => Some(small.into_bytes()),
                Space::Runs(runs) => restore(small.as_bytes(), &runs),
                Space::Much => return Ok(()),
            };
            prop_assert_eq!(back, Some(raw.into_bytes()));
        }

        #[test]
        fn arbitrary_bytes_do_no_harm(bytes: Vec<u8>, runs: String) {
            let mut out = Vec::new();
            let accepted = compact(&bytes, &mut out).is_ok();
            if accepted {
                prop_assert!(serde_json::from_slice::<Value>(&out).is_ok());
            }
            let _ = restore(&bytes, &runs);
        }
    }
}
