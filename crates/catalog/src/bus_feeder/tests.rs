//! Tests of the objects given by the API.

use tiphys_core::Timestamp;
use tiphys_manifest::{Kind, Spec};
use tokio::task::JoinHandle;

use super::*;
use crate::handle::{Catalog, Snapshot};

const PATIENCE: Duration = Duration::from_secs(60);
const CANARY: &str = "c4n4ry-s3cr3t";

fn caller() -> Caller<'static> {
    Caller { by: "me", reason: "a test", at: Timestamp::UNIX_EPOCH }
}

async fn bus() -> Arc<dyn Bus> {
    let bus = tiphys_bus::memory();
    for config in streams::all() {
        bus.ensure_stream(&config).await.expect("a stream");
    }
    bus
}

fn config_map(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{key: \"{value}\"}}\n")
}

async fn actions(bus: &Arc<dyn Bus>, text: &str) -> Vec<&'static str> {
    let outcome = apply(&**bus, text, "default", false, &caller()).await.expect("applied");
    outcome.applied.iter().map(|applied| applied.action.as_str()).collect()
}

async fn audited(bus: &Arc<dyn Bus>) -> Vec<String> {
    let messages = bus.read(streams::AUDIT, "", 1, 100).await.expect("readable");
    let texts = messages.iter().map(|m| String::from_utf8_lossy(&m.payload).into_owned());
    texts.collect()
}

struct Following {
    catalog: Catalog,
    health: Health,
    stop: CancellationToken,
    task: JoinHandle<Result<(), CatalogError>>,
}

impl Following {
    #[expect(clippy::disallowed_methods, reason = "the test joins it")]
    async fn start(bus: &Arc<dyn Bus>) -> Self {
        let (catalog, health) = (Catalog::new(), Health::default());
        let opened = BusFeeder::open(bus.clone(), catalog.feeder(), health.clone()).await;
        let stop = CancellationToken::new();
        let task = tokio::spawn(opened.expect("readable").follow(stop.clone()));
        Self { catalog, health, stop, task }
    }

    async fn until(&self, what: &str, holds: impl Fn(&Snapshot) -> bool) {
        let mut changed = self.catalog.changed();
        let waited = tokio::time::timeout(PATIENCE, changed.wait_for(|now| holds(now))).await;
        assert!(waited.is_ok(), "{what}");
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.expect("no panic").expect("no failure");
    }
}

fn value(snapshot: &Snapshot, name: &str) -> Option<String> {
    let object = snapshot.get(Kind::ConfigMap, "default", name)?;
    match &object.spec {
        Spec::ConfigMap(map) => map.data.get("key").cloned(),
        _ => None,
    }
}

#[tokio::test]
async fn what_is_applied_is_seen_and_survives() {
    let bus = bus().await;
    let both = format!("{}---\n{}", config_map("a", "1"), config_map("b", "1"));
    assert_eq!(actions(&bus, &both).await, ["created", "created"]);
    let following = Following::start(&bus).await;
    assert_eq!(value(&following.catalog.snapshot(), "a").as_deref(), Some("1"));
    assert!(following.health.problems().is_empty());

    let changed = format!("{}---\n{}", config_map("a", "2"), config_map("b", "1"));
    assert_eq!(actions(&bus, &changed).await, ["configured", "unchanged"]);
    following.until("the new value is seen", |now| value(now, "a").as_deref() == Some("2")).await;
    let gone = delete(&*bus, Kind::ConfigMap, "default", "a", &caller()).await.expect("deleted");
    assert!(gone);
    following.until("it is gone", |now| value(now, "a").is_none()).await;
    let again = delete(&*bus, Kind::ConfigMap, "default", "a", &caller()).await.expect("no failure");
    assert!(!again, "a second delete finds nothing");
    following.end().await;

    let restarted = Following::start(&bus).await;
    let snapshot = restarted.catalog.snapshot();
    assert_eq!(value(&snapshot, "b").as_deref(), Some("1"));
    assert_eq!(snapshot.objects.len(), 1);
    assert_eq!(actions(&bus, &config_map("a", "3")).await, ["created"]);
    restarted.until("it is back", |now| value(now, "a").as_deref() == Some("3")).await;
    restarted.end().await;
    let audited = audited(&bus).await;
    assert_eq!(audited.len(), 5, "created twice, configured, deleted, created");
    assert!(audited[3].contains("\"action\":\"delete\"") && audited[3].contains("a test"));
}

#[tokio::test]
async fn a_bus_that_is_back_is_told_of_without_news() {
    let bus = bus().await;
    let (catalog, health) = (Catalog::new(), Health::default());
    let opened = BusFeeder::open(bus.clone(), catalog.feeder(), health.clone()).await;
    let mut feeder = opened.expect("readable");
    health.failing(PART, "the bus was away");
    let step = tokio::time::timeout(WAIT / 2, feeder.step(true)).await;
    step.expect("no wait for news").expect("no failure");
    assert!(health.problems().is_empty());
}

#[tokio::test]
async fn a_text_with_errors_is_refused_as_a_whole() {
    let bus = bus().await;
    let text = format!("{}---\napiVersion: v1\nkind: ConfigMap\n", config_map("a", "1"));
    let refused = apply(&*bus, &text, "default", false, &caller()).await;
    let Err(CatalogError::Invalid(findings)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!((findings[0].code.as_str(), findings[0].file.as_str()), ("TIP-MAN-007", "api"));
    let twice = format!("{}extra: 1\n", config_map("a", "1"));
    let refused = apply(&*bus, &twice, "default", true, &caller()).await;
    assert!(matches!(refused, Err(CatalogError::Invalid(_))));
    let workflow = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {name: w}\nspec: {}\n";
    let refused = apply(&*bus, workflow, "default", false, &caller()).await;
    assert!(matches!(refused, Err(CatalogError::NotKept { .. })));
    let nameless = workflow.replace("name: w", "generateName: w-");
    let refused =
        apply(&*bus, &nameless, "default", false, &caller()).await.expect_err("no workflow is kept");
    assert_eq!(refused.to_string(), "a Workflow is run, not kept: use `submit` for it");
    let template = nameless.replace("kind: Workflow", "kind: WorkflowTemplate");
    let refused = apply(&*bus, &template, "default", false, &caller()).await.expect_err("it has no name");
    assert!(refused.to_string().contains("give it `metadata.name`"), "{refused}");
    let refused = apply(&*bus, "a: 1\n", "default", false, &caller()).await;
    assert!(matches!(refused, Err(CatalogError::Empty)));
    assert_eq!(bus.info(streams::CATALOG).await.expect("info").messages, 0);
    assert!(audited(&bus).await.is_empty(), "what is not done is not recorded as done");
}

#[tokio::test]
async fn a_secret_is_stored_and_never_shown() {
    let bus = bus().await;
    let text = format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\n  annotations:\n    \
         kubectl.kubernetes.io/last-applied-configuration: '{CANARY}'\nstringData: {{password: {CANARY}}}\n"
    );
    assert_eq!(actions(&bus, &text).await, ["created"]);
    assert_eq!(actions(&bus, &text).await, ["unchanged"]);
    assert!(audited(&bus).await.iter().all(|record| !record.contains(CANARY)));
    let following = Following::start(&bus).await;
    let snapshot = following.catalog.snapshot();
    assert!(!format!("{snapshot:?}").contains(CANARY));
    let object = snapshot.get(Kind::Secret, "default", "s").expect("the Secret");
    let Spec::Secret(secret) = &object.spec else {
        panic!("not a Secret");
    };
    let password = secret.data.get("password").expect("the key");
    assert_eq!(secrecy::ExposeSecret::expose_secret(password), CANARY);
    let changed = text.replace("{password", "{user: x, password");
    assert_eq!(actions(&bus, &changed).await, ["configured"]);
    following.end().await;
}

#[tokio::test]
async fn a_record_that_cannot_be_read_leaves_the_rest_in_force() {
    let bus = bus().await;
    actions(&bus, &config_map("a", "1")).await;
    let subject = streams::subject(streams::CATALOG, &["ConfigMap", "default", "b"]);
    for payload in
        ["{", "{\"version\": 9, \"namespace\": \"x\", \"by\": \"y\", \"at\": \"2026-01-01T00:00:00Z\"}"]
    {
        let bad = tiphys_bus::Publish::new(subject.clone(), payload);
        bus.publish(bad).await.expect("stored");
    }
    let following = Following::start(&bus).await;
    assert_eq!(value(&following.catalog.snapshot(), "a").as_deref(), Some("1"));
    actions(&bus, &config_map("c", "1")).await;
    following.until("it goes on", |now| value(now, "c").is_some()).await;
    following.end().await;
}

#[tokio::test]
async fn cluster_wide_kinds_have_no_namespace() {
    let bus = bus().await;
    let text =
        "apiVersion: argoproj.io/v1alpha1\nkind: ClusterWorkflowTemplate\nmetadata: {name: t}\nspec: {}\n";
    apply(&*bus, text, "one", false, &caller()).await.expect("applied");
    let outcome = apply(&*bus, text, "two", false, &caller()).await.expect("applied");
    assert_eq!(outcome.applied[0].action, ApplyAction::Unchanged);
    let following = Following::start(&bus).await;
    let snapshot = following.catalog.snapshot();
    assert!(snapshot.get(Kind::ClusterWorkflowTemplate, "any", "t").is_some());
    following.end().await;
}

#[tokio::test]
async fn many_writers_of_one_object_all_succeed_or_are_told() {
    let bus = bus().await;
    let writes = (0..20).map(|number| {
        let bus = bus.clone();
        async move {
            let text = config_map("a", &number.to_string());
            apply(&*bus, &text, "default", false, &caller()).await.map(|_| ())
        }
    });
    let mut set = tokio::task::JoinSet::new();
    for write in writes {
        set.spawn(write);
    }
    let mut stored = 0;
    while let Some(done) = set.join_next().await {
        match done.expect("no panic") {
            Ok(()) => stored += 1,
            Err(CatalogError::Contended { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(bus.info(streams::CATALOG).await.expect("info").last, stored);
}
