//! Several members on a bus in memory.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Config, Members, View};
use crate::{Bus, BusError, Publish, streams};

const WITHIN: Duration = Duration::from_secs(2);

struct Process {
    members: Arc<Members>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), BusError>>,
}

async fn bus() -> Arc<dyn Bus> {
    let bus = crate::memory();
    for stream in streams::all() {
        bus.ensure_stream(&stream).await.unwrap();
    }
    bus
}

#[expect(clippy::disallowed_methods, reason = "the test is the owner")]
fn process(bus: &Arc<dyn Bus>, name: &str, group: &str) -> Process {
    let config = Config { work: "w".into(), name: name.into(), group: group.into(), passes_within: WITHIN };
    let members = Arc::new(Members::new(bus.clone(), config));
    let stop = CancellationToken::new();
    let (runner, until) = (members.clone(), stop.clone());
    let task = tokio::spawn(async move { runner.run(&until).await });
    Process { members, stop, task }
}

impl Process {
    /// Waits for such a view.
    async fn sees(&self, wanted: impl Fn(&View) -> bool) -> View {
        let mut views = self.members.watch();
        let waited = tokio::time::timeout(Duration::from_secs(20), views.wait_for(|view| wanted(view)));
        waited.await.expect("it is seen in time").unwrap().clone()
    }

    async fn agree(&self, count: usize) {
        let view = self.sees(|view| view.count() == count).await;
        self.members.let_go(view.turn());
    }

    /// As `kill -9` does.
    fn die(self) {
        self.task.abort();
    }
}

fn pieces() -> Vec<String> {
    (0..300).map(|index| format!("ns/w{index}")).collect()
}

fn mine(view: &View) -> BTreeSet<String> {
    pieces().into_iter().filter(|piece| view.is_mine(piece, None)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_taken_before_the_other_has_let_go() {
    let bus = bus().await;
    let one = process(&bus, "one", "g");
    let alone = one.sees(|view| view.count() == 1).await;
    assert!(alone.is_settled() && mine(&alone).len() == 300 && one.members.holds());
    let two = process(&bus, "two", "g");
    let view = two.sees(|view| view.count() == 2).await;
    two.members.let_go(view.turn());
    let seen = one.sees(|view| view.count() == 2).await;
    assert!(!view.is_settled() && !seen.is_settled(), "one has let go nothing yet");
    one.members.let_go(seen.turn());
    let (one_view, two_view) = (one.sees(View::is_settled).await, two.sees(View::is_settled).await);
    let (first, second) = (mine(&one_view), mine(&two_view));
    assert!(first.is_disjoint(&second) && first.len() + second.len() == 300);
    assert!(first.len() > 90 && second.len() > 90, "{} and {}", first.len(), second.len());
    // Only what was the dead one's moves.
    two.die();
    one.agree(1).await;
    assert_eq!(mine(&one.sees(|view| view.is_settled() && view.count() == 1).await).len(), 300);
    one.stop.cancel();
    one.task.await.unwrap().unwrap();
    one.members.leave().await;
    let next = process(&bus, "three", "g");
    assert_eq!(mine(&next.sees(View::is_settled).await).len(), 300, "nobody is waited for");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_bound_stays_in_its_group() {
    let bus = bus().await;
    let (one, two) = (process(&bus, "one", "host-1"), process(&bus, "two", "host-2"));
    one.agree(2).await;
    two.agree(2).await;
    let view = two.sees(View::is_settled).await;
    for piece in pieces() {
        assert_eq!(view.owner(&piece, Some("host-1")), Some("one"));
        assert_eq!(view.owner(&piece, Some("host-3")), None);
        // Whoever began it is its owner when it is bound.
        let began = view.owner(&piece, None).unwrap();
        let group = if began == "one" { "host-1" } else { "host-2" };
        assert_eq!(view.owner(&piece, Some(group)), Some(began));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_under_the_same_name_has_everything_at_once() {
    let bus = bus().await;
    let one = process(&bus, "one", "g");
    one.sees(View::is_settled).await;
    one.die();
    let again = process(&bus, "one", "g");
    let view = again.sees(View::is_member).await;
    assert!(view.is_settled() && view.count() == 1 && again.members.holds());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_taken_off_the_list_lets_go_before_it_joins_again() {
    let bus = bus().await;
    let one = process(&bus, "one", "g");
    let before = one.sees(View::is_settled).await;
    one.members.let_go(before.turn());
    let subject = streams::subject(streams::CLAIMS, &["members", "w"]);
    loop {
        let last = bus.last(&subject).await.unwrap().unwrap();
        let none = r#"{"version":1,"epoch":5,"members":{}}"#;
        let written = bus.publish(Publish::new(subject.clone(), none).expect_last(last.sequence)).await;
        if written.is_ok() {
            break;
        }
    }
    let lost = one.sees(|view| !view.is_member()).await;
    assert!(mine(&lost).is_empty() && !one.members.holds());
    one.members.let_go(lost.turn());
    let back = one.sees(View::is_settled).await;
    assert!(back.turn() > lost.turn() && mine(&back).len() == 300);
    assert!(one.members.holds());
}
