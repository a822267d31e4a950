//! When it is time to stop.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Cancels `stop` at the first SIGINT or SIGTERM, and ends the process at the second with code 130. Returns once
/// `until` is cancelled: then nothing is left to be hurried.
///
/// # Errors
/// Fails when the handlers cannot be installed.
pub async fn watch(stop: CancellationToken, until: CancellationToken) -> Result<(), std::io::Error> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut seen = 0;
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = until.cancelled() => return Ok(()),
        }
        seen += 1;
        if seen == 1 {
            info!("stopping: new work is refused, what is under way is finished; again to exit at once");
            stop.cancel();
        } else {
            warn!("exiting at once; what was under way is taken up at the next start");
            std::process::exit(130);
        }
    }
}
