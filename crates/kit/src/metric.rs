//! The metrics recorder of the process. Argo's duration metrics are summaries, so ours are too.

use std::convert::Infallible;
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

/// Samples are gathered this often, so that they do not pile up where nobody reads `/metrics`.
const UPKEEP: Duration = Duration::from_secs(5);

/// Installs the recorder once per process.
///
/// # Errors
/// Fails when one is installed already.
pub fn install() -> Result<PrometheusHandle, metrics_exporter_prometheus::BuildError> {
    PrometheusBuilder::new().install_recorder()
}

/// Gathers samples until `stop`.
///
/// # Errors
/// Never.
pub async fn upkeep(handle: PrometheusHandle, stop: CancellationToken) -> Result<(), Infallible> {
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(UPKEEP) => handle.run_upkeep(),
        }
    }
}
