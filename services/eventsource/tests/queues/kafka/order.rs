//! Each partition in its order, shared by a group.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::producer::FutureRecord;
use tiphys_bus::memory;
use tiphys_eventsource::Config;
use tiphys_servers::kafka;

use super::site::{bodies, group, manifest, numbers, producer, send, topic};
use crate::faulty::Faulty;
use crate::stage::Stage;
use crate::wait::{events, up};

#[tokio::test(flavor = "multi_thread")]
async fn a_group_reads_each_partition_in_order_and_goes_on_where_it_was() {
    let Some(mut server) = kafka() else { return };
    topic(&server, "t", 2).await;
    let sender = producer(&server);
    send(&sender, 0, numbers(0..200)).await;
    let bus = memory();
    let manifest = manifest(&server.url(), &group("g"));
    let stage = Stage::with(&manifest, bus.clone(), Config::default()).await;
    events(&stage, 200).await;
    assert_eq!(bodies(&stage).await, numbers(0..200).collect::<Vec<_>>(), "in the order of the partition");
    stage.end().await;
    send(&sender, 1, numbers(200..300)).await;
    // Another run of the same group, on the same bus.
    let stage = Stage::with(&manifest, bus, Config::default()).await;
    events(&stage, 300).await;
    // The broker dies and comes back; the source finds it by itself.
    server.kill();
    tokio::task::block_in_place(|| server.restart());
    send(&producer(&server), 0, numbers(300..400)).await;
    events(&stage, 400).await;
    assert_eq!(bodies(&stage).await, numbers(0..400).collect::<Vec<_>>(), "each once");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_with_one_key_keep_their_order_over_a_bus_that_fails() {
    let Some(server) = kafka() else { return };
    topic(&server, "t", 1).await;
    let sender = producer(&server);
    for n in 0..60 {
        let (key, body) = (["a", "b", "c"][n % 3], format!("{{\"n\":{n}}}"));
        let record = FutureRecord::to("t").partition(0).key(key).payload(&body);
        sender.send(record, Duration::from_secs(20)).await.unwrap();
    }
    let bus = Faulty::new();
    bus.lose_answers(7);
    bus.refuse(2);
    let config = Config { publish_patience: Duration::from_millis(100), ..Config::default() };
    let stage = Stage::with(&manifest(&server.url(), &group("g")), bus.clone(), config).await;
    events(&stage, 10).await;
    bus.lose_answers(5);
    bus.refuse(5);
    events(&stage, 60).await;
    let all = bodies(&stage).await;
    assert_eq!(all.len(), 60, "each once");
    for key in 0..3 {
        let sent: Vec<String> = (key..60).step_by(3).map(|n| format!("{{\"n\":{n}}}")).collect();
        let stored: Vec<&String> = all.iter().filter(|body| sent.contains(body)).collect();
        assert_eq!(stored, sent.iter().collect::<Vec<_>>(), "key {key}");
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_a_group_share_and_nothing_is_lost_or_doubled_when_one_leaves() {
    let Some(server) = kafka() else { return };
    topic(&server, "t", 4).await;
    let bus = memory();
    let manifest = manifest(&server.url(), &group("g"));
    let one = Stage::with(&manifest, bus.clone(), Config::default()).await;
    up(&one).await;
    let sender = producer(&server);
    let each = async |from: u32| {
        for partition in 0..4_u32 {
            let first = partition * 1000 + from;
            send(&sender, i32::try_from(partition).unwrap(), numbers(first..first + 100)).await;
        }
    };
    each(0).await;
    let two = Stage::with(&manifest, bus.clone(), Config::default()).await;
    each(100).await;
    one.end().await;
    each(200).await;
    events(&two, 1200).await;
    let all = bodies(&two).await;
    assert_eq!((all.len(), all.iter().collect::<BTreeSet<_>>().len()), (1200, 1200));
    two.end().await;
}
