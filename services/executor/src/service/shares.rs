//! Whose the workflows are: lets go what is another executor's, takes up what has become this one's.

use std::sync::Arc;

use tiphys_bus::members::View;
use tracing::info;

use super::Service;
use super::driver::Driver;
use super::registry::Taken;

impl Service {
    /// Follows who the executors are.
    pub(super) async fn share(self: &Arc<Self>) {
        let stop = self.tasks.stop().clone();
        let mut views = self.members.watch();
        loop {
            let view = views.borrow_and_update().clone();
            self.let_go(&view).await;
            self.members.let_go(view.turn());
            self.take_up();
            tokio::select! {
                () = stop.cancelled() => return,
                changed = views.changed() => if changed.is_err() {
                    return;
                },
            }
        }
    }

    /// Ends the drivers of what is another's in this view, and waits for their end.
    async fn let_go(&self, view: &View) {
        let foreign = self.registry.foreign(view);
        for (_, inbox) in &foreign {
            inbox.stop.cancel();
        }
        for (key, inbox) in &foreign {
            inbox.over.cancelled().await;
            self.registry.let_go(key, inbox);
        }
        if !foreign.is_empty() {
            info!(count = foreign.len(), executors = view.count(), "workflows pass to other executors");
        }
    }

    /// Starts the drivers of what is this executor's.
    pub(super) fn take_up(self: &Arc<Self>) {
        let taken = self.registry.take_up();
        if !taken.is_empty() {
            info!(count = taken.len(), "takes up workflows");
        }
        for one in taken {
            self.drive(one);
        }
    }

    /// Starts the driver of a workflow.
    pub(super) fn drive(self: &Arc<Self>, taken: Taken) {
        let Taken { key, inbox, state } = taken;
        if let Some(state) = &state {
            inbox.bind(state.launcher.as_ref());
        }
        let driver = Driver::new(self.clone(), key, inbox.clone(), state.map(|state| *state));
        self.tasks.spawn("workflow", async move {
            let _over = inbox.over.clone().drop_guard();
            driver.run().await;
        });
    }

    /// Returns once this executor may act. Whoever waits here is told to let go when others have taken over.
    pub(super) async fn may_act(&self) {
        self.members.held().await;
    }
}
