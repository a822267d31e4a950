//! What is unsafe about the place where messages are kept.

/// The server may lose what it acknowledged when the power goes, or that cannot be known.
pub const SYNC: &str = "TIP-BUS-010";
/// The server has faults that later ones have not.
pub const VERSION: &str = "TIP-BUS-011";
/// Fewer servers than three keep each message.
pub const REPLICAS: &str = "TIP-BUS-012";
/// A server that should keep a copy is away or behind.
pub const BEHIND: &str = "TIP-BUS-013";
/// What is sent over a network can be read.
pub const ENCRYPTION: &str = "TIP-BUS-014";
/// Whoever reaches the server may do all.
pub const OPEN: &str = "TIP-BUS-015";
/// There is less room than the streams may need.
pub const ROOM: &str = "TIP-BUS-016";
/// Somebody made a stream otherwise than it must be.
pub const STREAM: &str = "TIP-BUS-017";

/// A finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Stable; one of those above.
    pub code: &'static str,
    /// What is unsafe, in one sentence.
    pub message: String,
    /// What to do.
    pub help: &'static str,
}

#[cfg(feature = "jetstream")]
impl Finding {
    pub(crate) fn new(code: &'static str, message: impl Into<String>, help: &'static str) -> Self {
        Self { code, message: message.into(), help }
    }
}
