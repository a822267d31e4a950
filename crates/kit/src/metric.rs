//! The metrics recorder of the process. Argo's duration metrics are summaries, so ours are too.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// Installs the recorder once per process.
///
/// # Errors
/// Fails when one is installed already.
pub fn install() -> Result<PrometheusHandle, metrics_exporter_prometheus::BuildError> {
    PrometheusBuilder::new().install_recorder()
}
