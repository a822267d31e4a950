//! Whose a sensor is: of several instances one judges its events.

use std::sync::Arc;
use std::time::Duration;

use tiphys_bus::members::{Members, View};
use tokio::sync::watch;

/// An instance that was cut off from the others asks so often whether it may go on.
const ASK: Duration = Duration::from_millis(50);

/// One worker's place.
pub(super) struct Seat {
    members: Arc<Members>,
    views: watch::Receiver<View>,
    piece: String,
    /// The sensor is this instance's, and the one before has let it go.
    mine: bool,
    turn: u64,
    noted: watch::Sender<u64>,
}

impl Seat {
    pub(super) fn new(members: &Arc<Members>, namespace: &str, sensor: &str) -> Self {
        Self {
            members: members.clone(),
            views: members.watch(),
            piece: format!("{namespace}/{sensor}"),
            mine: false,
            turn: 0,
            noted: watch::Sender::new(0),
        }
    }

    /// Tells which views the worker has taken note of.
    pub(super) fn noted(&self) -> watch::Receiver<u64> {
        self.noted.subscribe()
    }

    /// Whether the worker may work now. If not, it lets go, and then calls [`Seat::note`].
    pub(super) fn is_mine(&mut self) -> bool {
        let view = self.views.borrow_and_update();
        // What was mine and is still mine goes on while others change places.
        self.mine = view.is_mine(&self.piece, None) && (self.mine || view.is_settled());
        self.turn = view.turn();
        drop(view);
        self.mine && self.members.holds()
    }

    /// What the last view asked for is done.
    pub(super) fn note(&self) {
        self.noted.send_if_modified(|noted| std::mem::replace(noted, self.turn) != self.turn);
    }

    /// Returns once it is worth asking again.
    pub(super) async fn changed(&mut self) {
        if self.mine {
            return tokio::time::sleep(ASK).await;
        }
        if self.views.changed().await.is_err() {
            std::future::pending().await
        }
    }
}
