//! Several launchers as one: an engine that is away holds up no step of the host, and is opened once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use tiphys_core::PodKey;
use tiphys_executor::launcher::several::{Opener, Places, Several};
use tiphys_executor::launcher::{LaunchError, Launcher, PodState};
use tiphys_kit::CancellationToken;

use crate::stage::Fake;

/// Refuses so often, then opens; slowly, so that many come meanwhile.
struct Door(Arc<AtomicU32>, u32);

#[async_trait]
impl Opener for Door {
    async fn open(&self) -> Result<Option<Arc<dyn Launcher>>, LaunchError> {
        tokio::task::yield_now().await;
        if self.0.fetch_add(1, Ordering::SeqCst) < self.1 {
            return Err(LaunchError::Unavailable("away".into()));
        }
        Ok(Some(Fake::new(false)))
    }
}

async fn several(asked: &Arc<AtomicU32>, refusals: u32) -> (Arc<Fake>, Several) {
    let host = Fake::new(false);
    let door: Box<dyn Opener> = Box::new(Door(asked.clone(), refusals));
    let places =
        Places { host: Some(host.clone()), all_on_host: false, contained: Some(door), resource: None };
    (host, Several::open(places, CancellationToken::new()).await)
}

#[tokio::test]
async fn an_engine_that_is_away_holds_up_no_process() {
    let (host, several) = several(&Arc::default(), u32::MAX).await;
    let key = PodKey("a".into());
    host.end(&key, 0).await;
    assert!(matches!(several.observe(&key).await, Ok(PodState::Ended(_))));
    assert!(several.logs(&key, 0, 1).await.is_ok());
    // What the host does not know may be a container: nobody says that it is gone.
    let other = several.observe(&PodKey("b".into())).await;
    assert!(matches!(other, Err(LaunchError::Unavailable(_))), "{other:?}");
}

#[tokio::test]
async fn an_engine_is_opened_once_however_many_ask() {
    let asked = Arc::default();
    let (_, several) = several(&asked, 1).await;
    let keys: Vec<PodKey> = (0..20).map(|number| PodKey(number.to_string())).collect();
    let looked = futures::future::join_all(keys.iter().map(|key| several.observe(key))).await;
    assert!(looked.iter().all(|state| *state == Ok(PodState::Unknown)), "{looked:?}");
    assert_eq!(asked.load(Ordering::SeqCst), 2, "refused at the start, opened since");
}
