//! Amounts as Kubernetes writes them, and the limits of a container.

use std::collections::BTreeMap;

use bollard::models::HostConfig;
use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::{Config, LaunchError};

/// What one part in a thousand of the processor's attention is called by the kernel.
const SHARES: f64 = 1024.0;
/// The engine takes no less memory than this, in bytes.
const LEAST_MEMORY: i64 = 6 << 20;

/// An amount as a number; nothing where it is none.
pub(super) fn amount(text: &str) -> Option<f64> {
    let text = text.trim();
    let digits =
        text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-'))).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let factor = match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024_f64.powi(2),
        "Gi" => 1024_f64.powi(3),
        "Ti" => 1024_f64.powi(4),
        "Pi" => 1024_f64.powi(5),
        "Ei" => 1024_f64.powi(6),
        _ => return text.parse().ok().filter(|number: &f64| number.is_finite()),
    };
    number.parse::<f64>().ok().map(|number| number * factor)
}

/// As whole units, rounded up.
#[expect(clippy::cast_possible_truncation, reason = "a cast of a float stops at the ends of the range")]
pub(super) const fn whole(number: f64) -> i64 {
    number.ceil() as i64
}

/// Puts the limits into a container's settings.
pub(super) fn put(
    config: &Config,
    resources: Option<&ResourceRequirements>,
    host: &mut HostConfig,
) -> Result<(), LaunchError> {
    host.pids_limit = (config.pids > 0).then_some(config.pids);
    let Some(resources) = resources else { return Ok(()) };
    if resources.claims.as_ref().is_some_and(|claims| !claims.is_empty()) {
        return Err(LaunchError::NotAllowed(super::refused("resources.claims")));
    }
    for (name, amount) in numbers(resources.limits.as_ref())? {
        match name {
            "memory" => {
                let bytes = whole(amount).max(LEAST_MEMORY);
                host.memory = Some(bytes);
                // The same for both: no swap, as in a cluster.
                host.memory_swap = Some(bytes);
            }
            "cpu" => host.nano_cpus = Some(whole(amount * 1e9)),
            // A node would evict the pod; nothing here counts what it writes.
            "ephemeral-storage" => {}
            other => {
                return Err(LaunchError::NotAllowed(super::refused(&format!("resources.limits.{other}"))));
            }
        }
    }
    for (name, amount) in numbers(resources.requests.as_ref())? {
        if name == "cpu" {
            host.cpu_shares = Some(whole(amount * SHARES).max(2));
        }
    }
    Ok(())
}

fn numbers(amounts: Option<&BTreeMap<String, Quantity>>) -> Result<Vec<(&str, f64)>, LaunchError> {
    let all = amounts.into_iter().flatten().map(|(name, quantity)| {
        let wrong = || LaunchError::Missing(format!("resources: {name}: {:?} is no amount", quantity.0));
        Ok((name.as_str(), amount(&quantity.0).ok_or_else(wrong)?))
    });
    all.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_as_kubernetes_writes_them() {
        for (text, expected) in [
            ("1", Some(1.0)),
            ("0.5", Some(0.5)),
            ("100m", Some(0.1)),
            ("64Mi", Some(67_108_864.0)),
            ("1.5Gi", Some(1_610_612_736.0)),
            ("2k", Some(2000.0)),
            ("1e3", Some(1000.0)),
            ("12E", Some(12e18)),
            ("many", None),
            ("", None),
            ("5 apples", None),
        ] {
            assert_eq!(amount(text), expected, "{text}");
        }
        assert_eq!(whole(0.1), 1);
    }
}
