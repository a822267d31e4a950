//! Logs: text or JSON on standard error, filtered by `TIPHYS_LOG` (as `RUST_LOG`), never payloads at info.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Installs the subscriber; `filter` is a directive list such as `info,tiphys_sensor=debug`, and `quiet` one that
/// stands before it. One that cannot be read is told of, and `info` takes its place. A second call does nothing.
pub fn install(format: LogFormat, quiet: &str, filter: &str, color: bool) {
    let wanted = EnvFilter::try_new(format!("{quiet},{filter}"));
    let wrong = wanted.as_ref().err().map(ToString::to_string);
    let filter_used = wanted.unwrap_or_else(|_| EnvFilter::new(format!("{quiet},info")));
    let registry = tracing_subscriber::registry().with(filter_used);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let _ = match format {
        LogFormat::Text => registry.with(layer.with_target(false).with_ansi(color)).try_init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    };
    if let Some(wrong) = wrong {
        tracing::warn!("the log filter `{filter}` cannot be read ({wrong}); `info` is used, see TIPHYS_LOG");
    }
}
