//! `kill -9` of an event source at each point between a message and its ack, on each queue. The ledger is the sender's:
//! which message has which number, by the id that its queue gave it.

mod kafka;
mod pubsub;
mod sqs;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::ops::Range;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tiphys_servers::Process;
use tiphys_tests::{Local, binary, until};

use crate::draw;
use crate::judge::{compare, sums_up};
use crate::outside::Outside;
use crate::sink::Sink;
use crate::tap::{Hit, POINTS, Point, Tap, Trap};
use crate::wire::Wire;

/// Messages of one queue.
const MESSAGES: usize = 1000;
/// Sent before each kill.
const ROUND: usize = MESSAGES / POINTS.len();
/// So long a life may take to its point. A dead member of a consumer group keeps its partitions for 15 s.
const PATIENCE: Duration = Duration::from_secs(60);

/// A queue with a tap before it.
trait Queue {
    /// What stands below `spec` of the event source, with an event `e`.
    fn spec(&self) -> serde_json::Value;
    /// Sends messages with these numbers, `{"n": …}`. Gives the id of each.
    fn send(&mut self, numbers: Range<usize>) -> Vec<String>;
    /// The id of [`Queue::send`], of the event's native id.
    fn id(native: &str) -> String;
    /// How many messages are not acked, where the queue tells.
    fn unacked(&mut self) -> Option<usize>;
}

/// The services, of which the event source is ours to kill.
struct Scene {
    local: Local,
    outside: Outside,
    sink: Sink,
    trap: Arc<Trap>,
    nats: Tap,
    /// Numbers by the ids that the queue gave.
    ledger: BTreeMap<String, usize>,
}

impl Scene {
    fn set(queue: &impl Queue, trap: &Arc<Trap>) -> Option<Self> {
        let (folder, sink) = (tempfile::tempdir().unwrap(), Sink::start());
        std::fs::write(folder.path().join("all.yaml"), manifests(queue, &sink.url)).unwrap();
        let local = Local::start(folder.path())?;
        // From here on it runs behind the taps.
        local.kill("eventsource");
        let port = local.environment("eventsource")[0].1.rsplit(':').next().unwrap().parse().unwrap();
        let nats = Tap::to(port, Wire::Nats, trap);
        let outside = Outside::of(&local);
        trap.sever();
        Some(Self { local, outside, sink, trap: Arc::clone(trap), nats, ledger: BTreeMap::new() })
    }

    /// Starts the event source.
    fn live(&self) -> Process {
        let log = self.local.data().join("run/eventsource.log");
        let log = File::options().create(true).append(true).open(log).unwrap();
        let mut command = Command::new(binary());
        command
            .args(["eventsource", "--manifests"])
            .arg(self.local.manifests())
            .arg("--data")
            .arg(self.local.data().join("source"))
            .envs(self.local.environment("eventsource"))
            .env("NATS_URL", format!("nats://127.0.0.1:{}", self.nats.port))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        Process(command.spawn().unwrap())
    }

    fn send(&mut self, queue: &mut impl Queue, numbers: Range<usize>) {
        let ids = queue.send(numbers.clone());
        assert_eq!(ids.len(), numbers.len(), "each message has an id");
        self.ledger.extend(ids.into_iter().zip(numbers));
    }

    /// Lets an event source live until it is at the point, and kills it there.
    fn kill_at(&mut self, point: Point, queue: &mut impl Queue) {
        let before = queue.unacked();
        let after = match point {
            Point::Received | Point::Publishing => draw(ROUND as u64 / 2),
            // The first ack of a life.
            Point::Published | Point::Acking | Point::Acked => 0,
        };
        self.trap.arm(point, usize::try_from(after).unwrap());
        let mut source = self.live();
        let hit = self.trap.hit(PATIENCE);
        source.kill();
        let hit = hit.unwrap_or_else(|| panic!("{point:?} was not reached\n{}", self.local.logs()));
        eprintln!("kill -9 at {point:?}, {} stored and told in this life", hit.told.len());
        self.prove(point, &hit, before, queue.unacked());
        self.trap.sever();
    }

    /// Asks the two servers whether they stand as this point says.
    fn prove(&self, point: Point, hit: &Hit, before: Option<usize>, after: Option<usize>) {
        let stored: BTreeSet<String> = self.outside.events().into_iter().map(|event| event.native).collect();
        assert!(hit.told.is_subset(&stored), "what the source was told is stored");
        if let Some(held) = &hit.held {
            assert_eq!(stored.contains(held), point == Point::Publishing, "{point:?}: {held}");
            assert!(!hit.told.contains(held));
        }
        let (Some(before), Some(after)) = (before, after) else { return };
        match point {
            Point::Published => assert_eq!(after, before, "nothing is acked"),
            Point::Acking | Point::Acked => assert!(after < before, "{after} of {before} are not acked"),
            Point::Received | Point::Publishing => {}
        }
    }

    /// Waits until all is done, and judges.
    fn judge<Q: Queue>(&self, queue: &mut Q) {
        let row = until("all is counted", || {
            let row = self.local.api("/api/tiphys/v1/status")["triggers"][0].clone();
            assert!(sums_up(&row), "{row}");
            (row["accepted"] == MESSAGES && row["inFlight"] == 0).then_some(row)
        });
        assert_eq!(row["fired"], MESSAGES, "{row}");
        until("all is acked", || queue.unacked().is_none_or(|left| left == 0).then_some(()));
        let promised: BTreeSet<usize> = (0..MESSAGES).collect();
        // A number that nobody sent stands for an event from nowhere.
        let number = |native: &str| self.ledger.get(&Q::id(native)).copied().unwrap_or(usize::MAX);
        let events = self.outside.events();
        let found = events.iter().map(|event| (number(&event.native), (&event.id, event.sequence)));
        let verdict = compare(&promised, found);
        assert!(verdict.is_clean(), "events: {verdict:?}\n{}", self.local.logs());
        let verdict = compare(&promised, self.sink.found());
        assert!(verdict.is_clean(), "firings: {verdict:?}\n{}", self.local.logs());
    }
}

/// An event source for the queue, and a sensor that tells the sink of each event.
fn manifests(queue: &impl Queue, sink: &str) -> String {
    let source = serde_json::json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "EventSource", "metadata": {"name": "q"}, "spec": queue.spec(),
    });
    let sensor = serde_json::json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Sensor", "metadata": {"name": "s"},
        "spec": {
            "dependencies": [{"name": "dep", "eventSourceName": "q", "eventName": "e"}],
            "triggers": [{"template": {"name": "tell", "http": {
                "url": sink, "method": "POST",
                "payload": [{"src": {"dependencyName": "dep", "dataKey": "body.n"}, "dest": "number"}],
            }}}],
        },
    });
    let keys = serde_json::json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "aws"}, "stringData": {"key": "test"},
    });
    format!("{source}\n---\n{sensor}\n---\n{keys}\n")
}

/// A thousand messages, and a kill at each point among them.
fn killed_at_each_point<Q: Queue>(mut queue: Q, trap: &Arc<Trap>) {
    let Some(mut scene) = Scene::set(&queue, trap) else { return };
    for (round, point) in POINTS.into_iter().enumerate() {
        scene.send(&mut queue, round * ROUND..(round + 1) * ROUND);
        scene.kill_at(point, &mut queue);
    }
    let _source = scene.live();
    scene.judge(&mut queue);
}
