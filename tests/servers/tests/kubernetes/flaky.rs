//! The API server that misbehaves: each fault is what a client of it then meets.

use std::pin::{Pin, pin};
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{AttachParams, ListParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, Client, Error};
use serde_json::json;
use tiphys_servers::kubernetes::{Request, shared};
use tiphys_servers::{Fault, Flaky};
use tokio::io::AsyncReadExt as _;

fn map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}})).expect("a map")
}

/// A namespace of the shared cluster, seen through a proxy.
async fn place() -> Option<(Flaky, Api<ConfigMap>)> {
    let cluster = shared()?;
    let flaky = Flaky::before(cluster);
    let mut config = flaky.config().await;
    config.default_retry = false;
    let client = Client::try_from(config).expect("a client");
    let maps = Api::namespaced(client, &cluster.namespace());
    Some((flaky, maps))
}

fn makes(request: &Request) -> bool {
    request.verb == "create" && request.resource == "configmaps"
}

async fn make(maps: &Api<ConfigMap>, name: &str) -> Result<ConfigMap, Error> {
    maps.create(&PostParams::default(), &map(name)).await
}

#[tokio::test]
async fn requests_are_refused_broken_and_lost_as_often_as_was_said() {
    let Some((flaky, maps)) = place().await else { return };
    flaky.inject(1, Fault::Status(500), makes);
    flaky.inject(1, Fault::TooMany(7), makes);
    flaky.inject(1, Fault::Unheard, makes);
    flaky.inject(1, Fault::Unanswered, makes);
    for code in [500, 429] {
        let refused = make(&maps, "one").await;
        assert!(matches!(&refused, Err(Error::Api(answer)) if answer.code == code), "{refused:?}");
    }
    let unheard = make(&maps, "one").await;
    assert!(matches!(&unheard, Err(error) if !matches!(error, Error::Api(_))), "{unheard:?}");
    assert!(maps.get_opt("one").await.expect("an answer").is_none(), "the server has heard of it");
    let unanswered = make(&maps, "one").await;
    assert!(matches!(&unanswered, Err(error) if !matches!(error, Error::Api(_))), "{unanswered:?}");
    maps.get("one").await.expect("the server has heard of it");
    make(&maps, "two").await.expect("no fault is left");
    let answers: Vec<u16> =
        flaky.seen().iter().filter(|request| makes(request)).map(|asked| asked.status).collect();
    assert_eq!(answers, [500, 429, 0, 0, 201]);

    flaky.inject(usize::MAX, Fault::Late(Duration::from_secs(60)), makes);
    let late = tokio::time::timeout(Duration::from_millis(300), make(&maps, "late")).await;
    assert!(late.is_err(), "it is answered at once: {late:?}");
    flaky.behave();
    make(&maps, "three").await.expect("no fault is left");
}

type Events<'a> = Pin<&'a mut dyn Stream<Item = Result<WatchEvent<ConfigMap>, Error>>>;

/// The next name that a watch tells of; none at its end.
async fn next(events: &mut Events<'_>) -> Option<String> {
    loop {
        match events.next().await?.expect("an event") {
            WatchEvent::Added(map) if map.metadata.name.as_deref() == Some("kube-root-ca.crt") => {}
            WatchEvent::Added(map) => return map.metadata.name,
            WatchEvent::Error(status) => return Some(status.code.to_string()),
            _ => {}
        }
    }
}

#[tokio::test]
async fn watches_are_held_closed_and_expired() {
    let Some((flaky, maps)) = place().await else { return };
    let params = WatchParams::default();
    let mut events = pin!(maps.watch(&params, "0").await.expect("a watch"));
    let mut events: Events<'_> = events.as_mut();
    make(&maps, "one").await.expect("a map");
    assert_eq!(next(&mut events).await.as_deref(), Some("one"));
    flaky.hold_watches();
    make(&maps, "two").await.expect("a map");
    let held = tokio::time::timeout(Duration::from_millis(300), next(&mut events)).await;
    assert!(held.is_err(), "it was told: {held:?}");
    flaky.let_watches_go();
    assert_eq!(next(&mut events).await.as_deref(), Some("two"));
    flaky.close_watches();
    assert_eq!(next(&mut events).await, None);

    let mut again = pin!(maps.watch(&params, "0").await.expect("a watch"));
    let mut again: Events<'_> = again.as_mut();
    assert!(next(&mut again).await.is_some());
    assert!(next(&mut again).await.is_some());
    flaky.expire_watches();
    assert_eq!(next(&mut again).await.as_deref(), Some("410"));
    assert_eq!(next(&mut again).await, None);

    flaky.inject(1, Fault::Gone, |request| request.verb == "watch");
    let mut gone = pin!(maps.watch(&params, "0").await.expect("a watch"));
    let mut gone: Events<'_> = gone.as_mut();
    assert_eq!(next(&mut gone).await.as_deref(), Some("410"));
}

#[tokio::test]
async fn it_goes_away_with_every_connection_and_comes_back() {
    let Some((flaky, maps)) = place().await else { return };
    let params = WatchParams::default();
    let mut events = pin!(maps.watch(&params, "0").await.expect("a watch"));
    flaky.go_away();
    while let Some(Ok(_)) = events.next().await {}
    maps.list(&ListParams::default()).await.expect_err("nobody listens");
    flaky.come_back();
    for _ in 0..100 {
        if maps.list(&ListParams::default()).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it does not come back");
}

#[tokio::test]
async fn commands_in_pods_pass() {
    let Some(cluster) = shared() else { return };
    let flaky = Flaky::before(cluster);
    let pods = Api::<Pod>::namespaced(flaky.client().await, &cluster.namespace());
    let spec = json!({"restartPolicy": "Never", "containers": [{
        "name": "main", "image": "busybox:1", "command": ["sleep", "1000"],
    }]});
    let pod = serde_json::from_value(json!({"metadata": {"name": "long"}, "spec": spec})).expect("a pod");
    pods.create(&PostParams::default(), &pod).await.expect("a pod");
    for _ in 0..600 {
        let status = json!(pods.get("long").await.expect("a pod").status);
        if status["phase"] == "Running" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut inside =
        pods.exec("long", ["echo", "from inside"], &AttachParams::default()).await.expect("a session");
    let mut said = String::new();
    inside.stdout().expect("an output").read_to_string(&mut said).await.expect("an output");
    assert_eq!(said, "from inside\n");
}
