//! A place in a trace, as W3C Trace Context writes it. What follows is the child of what caused it, under an identity
//! that is derived like all others here: done again, it is the same span.

use std::fmt;
use std::str::FromStr;

use crate::id::digest;

/// The attribute of events and firings, the header of requests and messages.
pub const TRACEPARENT: &str = "traceparent";
/// The annotation of a Workflow with what caused it.
pub const ANNOTATION: &str = "tiphys.dev/traceparent";
/// The variable by which a step's own programs go on with the trace.
pub const VARIABLE: &str = "TRACEPARENT";

/// A span of a trace, for those that come after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Trace {
    /// All that belongs together has it.
    pub id: u128,
    /// The span.
    pub span: u64,
    /// Whether somebody records it.
    pub sampled: bool,
}

/// What is no `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no traceparent of W3C Trace Context")]
pub struct NoTrace;

impl Trace {
    /// What this span causes, under the identity `span`.
    #[must_use]
    pub const fn child(self, span: u64) -> Self {
        Self { span, ..self }
    }

    /// Reads a text, where it is one.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.id, self.span, u8::from(self.sampled))
    }
}

impl FromStr for Trace {
    type Err = NoTrace;

    /// A later version than 00 may say more; what version 00 says stands at its beginning.
    fn from_str(text: &str) -> Result<Self, NoTrace> {
        let mut parts = text.split('-');
        let mut field = |length: usize| {
            let field = parts.next().filter(|field| field.len() == length).ok_or(NoTrace)?;
            let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            if !field.bytes().all(lower) {
                return Err(NoTrace);
            }
            u128::from_str_radix(field, 16).map_err(|_| NoTrace)
        };
        let (version, id, span, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
        let more = parts.next().is_some();
        let span = u64::try_from(span).map_err(|_| NoTrace)?;
        if version == 0xff || (version == 0 && more) || id == 0 || span == 0 {
            return Err(NoTrace);
        }
        Ok(Self { id, span, sampled: flags & 1 == 1 })
    }
}

/// The identity of a span, from what it is about.
#[must_use]
pub fn span_id(parts: &[&str]) -> u64 {
    number(&digest(parts, 8))
}

/// The identity of a trace, from what it begins with.
#[must_use]
pub fn trace_id(parts: &[&str]) -> u128 {
    u128::from_str_radix(&digest(parts, 16), 16).unwrap_or_default().max(1)
}

/// The identity of a span that 16 digits of hex are. It is never 0, which none may be.
#[must_use]
pub fn number(hex: &str) -> u64 {
    u64::from_str_radix(hex, 16).unwrap_or_default().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_is_read_is_written_again() {
        let trace = Trace::read(TEXT).unwrap();
        assert_eq!((trace.span, trace.sampled), (0xb7ad_6b71_6920_3331, true));
        assert_eq!(trace.to_string(), TEXT);
        let unsampled = TEXT.replace("-01", "-00");
        assert_eq!(Trace::read(&unsampled).unwrap().to_string(), unsampled);
        // Other flags are not ours to pass on.
        assert_eq!(Trace::read(&TEXT.replace("-01", "-03")), Some(trace));
        assert_eq!(Trace::read(&format!("{}-more", TEXT.replacen("00", "01", 1))), Some(trace));
    }

    #[test]
    fn what_is_none() {
        for wrong in [
            "",
            "00",
            &TEXT.to_uppercase(),
            &TEXT.replacen("00", "ff", 1),
            &format!("{TEXT}-more"),
            &TEXT[..TEXT.len() - 1],
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(Trace::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_child_stays_in_the_trace() {
        let trace = Trace::read(TEXT).unwrap();
        let child = trace.child(span_id(&["firing", "f"]));
        assert_eq!((child.id, child.sampled), (trace.id, true));
        assert_eq!(child, trace.child(span_id(&["firing", "f"])), "the same however often it is derived");
        assert_ne!(child, trace.child(span_id(&["firing", "g"])));
        assert_eq!((number("0000000000000000"), number("00000000000000ff")), (1, 255));
    }
}
