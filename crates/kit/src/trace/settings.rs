//! What the environment says of traces, as far as the library does not read it itself.

use std::time::Duration;

/// As the specification has it.
const PATIENCE: Duration = Duration::from_secs(10);
/// The one protocol that is spoken.
const PROTOCOL: &str = "http/protobuf";

/// Settings of somebody who wants traces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    /// How long a collector may take to answer.
    pub(super) patience: Duration,
    /// Whether the environment names the service.
    pub(super) is_named: bool,
    /// What is wished for and not there.
    pub(super) warnings: Vec<String>,
}

impl Settings {
    /// Reads them. `None`: nobody wants traces.
    pub(super) fn of(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        // An empty variable is as good as none.
        let set =
            |name: &str| variable(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let of_traces = |name: &str| {
            let own = name.replace("_OTLP_", "_OTLP_TRACES_");
            set(&own).or_else(|| set(name))
        };
        let off = set("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"));
        let exporter = set("OTEL_TRACES_EXPORTER").unwrap_or_else(|| "otlp".into());
        if off || exporter == "none" || of_traces("OTEL_EXPORTER_OTLP_ENDPOINT").is_none() {
            return None;
        }
        let mut warnings = Vec::new();
        if exporter != "otlp" {
            warnings
                .push(format!("OTEL_TRACES_EXPORTER is `{exporter}`; spans are sent by `otlp` all the same"));
        }
        let protocol = of_traces("OTEL_EXPORTER_OTLP_PROTOCOL").unwrap_or_else(|| PROTOCOL.into());
        if protocol != PROTOCOL {
            warnings.push(format!(
                "OTEL_EXPORTER_OTLP_PROTOCOL is `{protocol}`; spans are sent by {PROTOCOL} all the same, for which a \
                 collector's port is 4318"
            ));
        }
        let patience = of_traces("OTEL_EXPORTER_OTLP_TIMEOUT").and_then(|text| text.parse().ok());
        let resource = set("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
        let names_it = |pair: &str| pair.trim_start().starts_with("service.name=");
        Some(Self {
            patience: patience.map_or(PATIENCE, Duration::from_millis),
            is_named: set("OTEL_SERVICE_NAME").is_some() || resource.split(',').any(names_it),
            warnings,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Option<Settings> {
        Settings::of(|name| {
            let found = pairs.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    const THERE: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");

    #[test]
    fn nothing_is_wanted_unless_a_collector_is_named() {
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]), None);
        assert_eq!(of(&[("OTEL_SERVICE_NAME", "x"), ("OTEL_TRACES_SAMPLER", "always_on")]), None);
        assert_eq!(of(&[THERE, ("OTEL_SDK_DISABLED", "True")]), None);
        assert_eq!(of(&[THERE, ("OTEL_TRACES_EXPORTER", "none")]), None);
        assert!(of(&[THERE, ("OTEL_SDK_DISABLED", "false")]).is_some());
        assert!(of(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:4318/v1/traces")]).is_some());
    }

    #[test]
    fn what_is_said_of_traces_alone_comes_first() {
        let (all, own) =
            (("OTEL_EXPORTER_OTLP_TIMEOUT", "2000"), ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "500"));
        assert_eq!(of(&[THERE]).unwrap().patience, PATIENCE);
        assert_eq!(of(&[THERE, all]).unwrap().patience, Duration::from_secs(2));
        assert_eq!(of(&[THERE, all, own]).unwrap().patience, Duration::from_millis(500));
    }

    #[test]
    fn the_service_may_have_a_name() {
        assert!(!of(&[THERE, ("OTEL_RESOURCE_ATTRIBUTES", "service.namespace=a")]).unwrap().is_named);
        assert!(of(&[THERE, ("OTEL_RESOURCE_ATTRIBUTES", "a=b, service.name=c")]).unwrap().is_named);
        assert!(of(&[THERE, ("OTEL_SERVICE_NAME", "c")]).unwrap().is_named);
    }

    #[test]
    fn what_is_not_spoken_is_told() {
        assert!(of(&[THERE, ("OTEL_EXPORTER_OTLP_PROTOCOL", PROTOCOL)]).unwrap().warnings.is_empty());
        let told = of(&[THERE, ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc")]).unwrap().warnings;
        assert!(told.len() == 1 && told[0].contains("grpc"), "{told:?}");
    }
}
