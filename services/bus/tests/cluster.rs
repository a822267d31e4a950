//! Three servers under load: one is killed, one is cut off, and so are those who publish and take. Nothing is lost, and
//! nothing is stored twice.
#![cfg(feature = "jetstream")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "clippy knows only functions marked as tests")]

#[path = "cluster/load.rs"]
mod load;

/// Tests are selected by this name.
mod jetstream {
    use std::time::Duration;

    use crate::load::{Load, setting};

    /// So many events make sure that all are at work.
    const SOME: usize = 300;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn killed_leaders_lose_and_double_nothing() {
        let Some(mut cluster) = tiphys_servers::cluster("") else { return };
        let load = Load::start(&cluster).await;
        for _ in 0..3 {
            load.stored(SOME).await;
            let leader = tokio::task::block_in_place(|| cluster.leader("test-T"));
            cluster.kill(leader);
            // Two go on without the third.
            load.stored(SOME).await;
            cluster.revive(leader);
            tokio::task::block_in_place(|| cluster.wait_until_ready());
        }
        load.stored(SOME).await;
        load.end().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_partition_loses_and_doubles_nothing() {
        let Some(cluster) = tiphys_servers::cluster("") else { return };
        let load = Load::start(&cluster).await;
        load.stored(SOME).await;
        let leader = tokio::task::block_in_place(|| cluster.leader("test-T"));
        cluster.isolate(leader);
        // The others choose a new leader, and whoever can reach them goes on. The time is what is tested, not waited for.
        let apart = Duration::from_secs(setting("TIPHYS_TEST_PARTITION", 10));
        tokio::join!(load.stored(SOME), tokio::time::sleep(apart));
        cluster.rejoin(leader);
        tokio::task::block_in_place(|| cluster.wait_until_ready());
        load.stored(SOME).await;
        load.end().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn clients_that_are_cut_off_come_back_by_themselves() {
        let Some(cluster) = tiphys_servers::cluster("") else { return };
        let load = Load::start(&cluster).await;
        load.stored(SOME).await;
        for node in 0..3 {
            cluster.isolate(node);
        }
        let apart = Duration::from_secs(setting("TIPHYS_TEST_PARTITION", 10));
        tokio::time::sleep(apart).await;
        for node in 0..3 {
            cluster.rejoin(node);
        }
        load.stored(SOME).await;
        load.end().await;
    }
}
