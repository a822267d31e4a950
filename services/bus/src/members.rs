//! Members: processes that share a work, and agree on whose each piece of it is.
//!
//! One record of the CLAIMS stream lists them, changed by compare-and-set. Whose a piece is follows from the list
//! alone ([`View::owner`]), so that nothing is written per piece. A change of the list is an epoch: each member
//! first lets go what is another's now and says so; only when all have ([`View::is_settled`]) does anybody
//! take what has become its own. A member that is silent is taken off the list by any other; it may act only while
//! [`Members::holds`], which ends before the others can lose patience. Silence is measured by the
//! observer's own clock, so that clocks need not agree.
//!
//! This keeps two from working on one piece in ordinary times. What a process may still do that was stopped
//! between the question and the deed has to be fenced by compare-and-set where it writes.

mod table;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::error::BusError;
use crate::port::{Bus, Publish};
use crate::streams::{self, CLAIMS};
use table::{Silence, Table};

/// While the bus refuses, it is said once in so long.
const COMPLAIN: Duration = Duration::from_secs(10);
/// A member that was cut off asks so often whether it may go on.
const ASK: Duration = Duration::from_millis(50);
/// A departure gives up after so many lost races; the others notice the silence.
const RACES: usize = 20;

/// How a work is shared.
#[derive(Debug, Clone)]
pub struct Config {
    /// The work, such as `executor`.
    pub work: String,
    /// This process. Two that run at once must have different names; one that starts again under its name has
    /// its pieces at once.
    pub name: String,
    /// Some pieces can pass only within a group; see [`View::owner`].
    pub group: String,
    /// What a member had that died passes on within this time.
    pub passes_within: Duration,
}

/// Who the members are, as this one knows it.
#[derive(Debug, Clone, Default)]
pub struct View {
    turn: u64,
    epoch: u64,
    settled: bool,
    me: Option<Arc<str>>,
    groups: Arc<BTreeMap<String, String>>,
}

impl View {
    /// Whose a piece is: any member's, or one of `group`'s. `None`: no such member is there.
    #[must_use]
    pub fn owner(&self, piece: &str, group: Option<&str>) -> Option<&str> {
        let able = self.groups.iter().filter(|(_, own)| group.is_none_or(|group| *own == group));
        // The highest hash wins, so that a change of members moves only what it must.
        let best = able.max_by_key(|(name, _)| {
            let text = format!("{name}\n{piece}");
            (xxhash_rust::xxh3::xxh3_64(text.as_bytes()), *name)
        });
        best.map(|(name, _)| name.as_str())
    }

    /// Whether a piece is this member's.
    #[must_use]
    pub fn is_mine(&self, piece: &str, group: Option<&str>) -> bool {
        self.me.as_deref().is_some_and(|me| self.owner(piece, group) == Some(me))
    }

    /// Whether everybody has let go what is another's: what is mine may be taken.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        self.settled
    }

    /// Whether this process is on the list.
    #[must_use]
    pub const fn is_member(&self) -> bool {
        self.me.is_some()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.groups.len()
    }

    /// Which view it is, for [`Members::let_go`].
    #[must_use]
    pub const fn turn(&self) -> u64 {
        self.turn
    }
}

/// This process's place among the members.
pub struct Members {
    bus: Arc<dyn Bus>,
    config: Config,
    subject: String,
    view: watch::Sender<View>,
    /// Latest view of which everything foreign was let go.
    let_go: AtomicU64,
    nudge: Notify,
    begun: Instant,
    /// Milliseconds since `begun` until which this member may act.
    until: AtomicU64,
    joined: Mutex<Option<u64>>,
}

/// What one member remembers between two looks.
#[derive(Default)]
struct Seat {
    silence: Silence,
    /// It was on the list once: an entry of its name may be another process's.
    seated: bool,
    beaten: Option<Instant>,
    complained: Option<Instant>,
}

impl Members {
    /// Nobody yet; [`Members::run`] joins.
    #[must_use]
    pub fn new(bus: Arc<dyn Bus>, config: Config) -> Self {
        Self {
            subject: streams::subject(CLAIMS, &["members", &config.work]),
            bus,
            config,
            view: watch::Sender::default(),
            let_go: AtomicU64::new(0),
            nudge: Notify::new(),
            begun: Instant::now(),
            until: AtomicU64::new(0),
            joined: Mutex::default(),
        }
    }

    /// Who the members are.
    #[must_use]
    pub fn view(&self) -> View {
        self.view.borrow().clone()
    }

    /// Told of each new view.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    /// Whether this member may act on what is its own at this moment.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.now() < self.until.load(Ordering::Acquire)
    }

    /// Returns once this member may act: at once, unless it was stopped or cut off for so long that others may
    /// have taken over. In that case a new view comes first, which tells it to let go.
    pub async fn held(&self) {
        while !self.holds() {
            tokio::time::sleep(ASK).await;
        }
    }

    /// All that is not this member's in the view of `turn` was let go.
    pub fn let_go(&self, turn: u64) {
        self.let_go.fetch_max(turn, Ordering::AcqRel);
        self.nudge.notify_one();
    }

    /// Joins, and stays a member until `stop`; after that call [`Members::leave`] when everything was let go.
    ///
    /// # Errors
    /// Fails when the bus is closed; whatever else it refuses is tried again.
    pub async fn run(&self, stop: &CancellationToken) -> Result<(), BusError> {
        let mut seat = Seat::default();
        loop {
            let looked = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                looked = self.look(&mut seat) => looked,
            };
            let pause = match looked {
                Ok(pause) => pause,
                Err(BusError::Closed) => return Err(BusError::Closed),
                Err(BusError::Conflict { .. }) => Duration::ZERO,
                Err(error) => {
                    self.complain(&mut seat, &error);
                    self.beat()
                }
            };
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = self.nudge.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Goes off the list, so that others need not wait. Best effort: silence says the same.
    pub async fn leave(&self) {
        self.until.store(0, Ordering::Release);
        let Some(joined) = self.joined() else { return };
        for _ in 0..RACES {
            let Ok((mut table, sequence)) = self.read().await else { return };
            if table.members.get(&self.config.name).is_none_or(|member| member.joined != joined) {
                return;
            }
            table.remove(&self.config.name);
            match self.write(&table, sequence).await {
                Err(BusError::Conflict { .. }) => {}
                _ => return,
            }
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn beat(&self) -> Duration {
        self.config.passes_within / 4
    }

    fn silence(&self) -> Duration {
        self.config.passes_within * 7 / 10
    }

    fn joined(&self) -> Option<u64> {
        *self.joined.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_joined(&self, joined: Option<u64>) {
        *self.joined.lock().unwrap_or_else(PoisonError::into_inner) = joined;
    }

    fn has_let_go(&self) -> bool {
        self.let_go.load(Ordering::Acquire) >= self.view.borrow().turn
    }

    fn complain(&self, seat: &mut Seat, error: &BusError) {
        let now = Instant::now();
        if seat.complained.is_none_or(|at| now.duration_since(at) >= COMPLAIN) {
            seat.complained = Some(now);
            warn!(work = self.config.work, %error, "the list of members cannot be used, trying again");
        }
    }

    /// Reads the list, changes what is to be changed, shows it. Says when to look again.
    async fn look(&self, seat: &mut Seat) -> Result<Duration, BusError> {
        let name = &self.config.name;
        let asked = Instant::now();
        let (mut table, sequence) = self.read().await?;
        seat.silence.note(&table, asked, self.silence());
        let standing = table.members.get(name).map(|member| member.joined);
        if self.joined().is_some() && self.joined() != standing {
            warn!(work = self.config.work, name, "taken off the list of members, joining again");
            self.lost();
        }
        let patience = self.config.passes_within / 14;
        let mut changed = false;
        if self.joined().is_none() {
            let taken = standing.is_some() && seat.seated;
            if !self.has_let_go() || taken && !seat.silence.is_silent(name, asked, self.silence()) {
                if taken {
                    warn!(work = self.config.work, name, "another process runs under this name");
                }
                return Ok(patience);
            }
            table.join(name, &self.config.group, sequence);
            changed = true;
        }
        for other in self.silent(&table, seat, asked) {
            info!(work = self.config.work, member = other, "a member is silent, what it had passes on");
            table.remove(&other);
            changed = true;
        }
        let (epoch, has_let_go) = (self.view.borrow().epoch, self.has_let_go());
        if let Some(member) = table.members.get_mut(name) {
            if has_let_go && member.let_go < epoch {
                member.let_go = epoch;
                changed = true;
            }
            changed |= seat.beaten.is_none_or(|at| asked.duration_since(at) >= self.beat());
            member.beat += 1;
        }
        if changed {
            self.change(seat, &table, sequence, asked).await?;
        }
        self.show(&table);
        let alone = table.members.len() == 1 && table.is_settled();
        let next = seat.beaten.map_or(patience, |at| (at + self.beat()).duration_since(Instant::now()));
        Ok(if alone { next } else { next.min(patience) })
    }

    fn silent(&self, table: &Table, seat: &Seat, now: Instant) -> Vec<String> {
        let others = table.members.keys().filter(|name| **name != self.config.name);
        others.filter(|name| seat.silence.is_silent(name, now, self.silence())).cloned().collect()
    }

    async fn change(
        &self,
        seat: &mut Seat,
        table: &Table,
        sequence: u64,
        asked: Instant,
    ) -> Result<(), BusError> {
        let before = self.joined();
        // Should the answer be lost, the entry is known by this.
        self.set_joined(before.or(Some(sequence)));
        match self.write(table, sequence).await {
            Ok(()) => {
                seat.seated = true;
                seat.beaten = Some(asked);
                let until = (asked + self.silence()).duration_since(self.begun).as_millis();
                self.until.store(u64::try_from(until).unwrap_or(u64::MAX), Ordering::Release);
                Ok(())
            }
            Err(error) => {
                if matches!(error, BusError::Conflict { .. }) {
                    self.set_joined(before);
                }
                Err(error)
            }
        }
    }

    fn lost(&self) {
        self.set_joined(None);
        self.until.store(0, Ordering::Release);
        self.view.send_modify(|view| *view = View { turn: view.turn + 1, ..View::default() });
    }

    fn show(&self, table: &Table) {
        let settled = table.is_settled();
        self.view.send_if_modified(|view| {
            let moved = view.epoch != table.epoch || view.me.is_none();
            if moved {
                *view = View {
                    turn: view.turn + 1,
                    epoch: table.epoch,
                    settled,
                    me: Some(self.config.name.as_str().into()),
                    groups: Arc::new(table.groups()),
                };
            }
            let changed = moved || view.settled != settled;
            view.settled = settled;
            changed
        });
    }

    async fn read(&self) -> Result<(Table, u64), BusError> {
        let Some(message) = self.bus.last(&self.subject).await? else {
            return Ok((Table { version: 1, ..Table::default() }, 0));
        };
        let table = serde_json::from_slice(&message.payload).map_err(|error| BusError::Invalid {
            reason: format!("`{}` holds no list of members: {error}", self.subject),
        })?;
        Ok((table, message.sequence))
    }

    async fn write(&self, table: &Table, sequence: u64) -> Result<(), BusError> {
        let record = serde_json::to_vec(table).map_err(|error| BusError::Invalid {
            reason: format!("a list of members cannot be written: {error}"),
        })?;
        let publish = Publish::new(self.subject.clone(), record).expect_last(sequence);
        self.bus.publish(publish).await.map(drop)
    }
}

#[cfg(test)]
mod tests;
