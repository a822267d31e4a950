//! Rules of claims.

use std::time::Duration;

use futures::future::join_all;

use crate::kit::{Rig, claims};

const MINUTE: Duration = Duration::from_secs(60);

pub(crate) async fn one_holds_it(rig: &Rig) {
    let mut t = rig.with(claims()).await;
    let mine = t.bus.claim("a/b.c", "me", MINUTE).await.unwrap().unwrap();
    assert_eq!((mine.key.as_str(), mine.owner.as_str()), ("a/b.c", "me"));
    t.reopen().await;
    assert_eq!(t.bus.claim("a/b.c", "you", MINUTE).await.unwrap(), None);
    assert!(t.bus.claim("other", "you", MINUTE).await.unwrap().is_some());
    t.advance(MINUTE / 2);
    assert_eq!(t.bus.claim("a/b.c", "you", MINUTE).await.unwrap(), None);
    t.advance(MINUTE);
    assert!(t.bus.claim("a/b.c", "you", MINUTE).await.unwrap().is_some());
    assert_eq!(t.bus.claim("a/b.c", "me", MINUTE).await.unwrap(), None);
}

pub(crate) async fn tokens_grow(rig: &Rig) {
    let mut t = rig.with(claims()).await;
    let mut last = 0;
    for round in 0..6 {
        let owner = format!("owner{}", round % 2);
        let claim = t.bus.claim("k", &owner, MINUTE).await.unwrap().unwrap();
        assert!(claim.token > last, "{} after {last}", claim.token);
        last = claim.token;
        if round % 3 == 0 {
            t.bus.release(&claim).await.unwrap();
        }
        t.advance(MINUTE * 2);
        t.reopen().await;
    }
}

pub(crate) async fn renewal_keeps_the_token(rig: &Rig) {
    let t = rig.with(claims()).await;
    let first = t.bus.claim("k", "me", MINUTE).await.unwrap().unwrap();
    for _ in 0..3 {
        t.advance(MINUTE / 2);
        let renewed = t.bus.claim("k", "me", MINUTE).await.unwrap().unwrap();
        assert_eq!(renewed.token, first.token);
        assert!(renewed.until > first.until);
    }
    assert_eq!(t.bus.claim("k", "you", MINUTE).await.unwrap(), None);
}

pub(crate) async fn release_frees_it(rig: &Rig) {
    let t = rig.with(claims()).await;
    let mine = t.bus.claim("k", "me", MINUTE).await.unwrap().unwrap();
    let mine = t.bus.claim("k", "me", MINUTE).await.unwrap().unwrap_or(mine);
    t.bus.release(&mine).await.unwrap();
    t.bus.release(&mine).await.unwrap();
    let yours = t.bus.claim("k", "you", MINUTE).await.unwrap().unwrap();
    assert!(yours.token > mine.token);
}

pub(crate) async fn an_old_claim_cannot_release(rig: &Rig) {
    let t = rig.with(claims()).await;
    let old = t.bus.claim("k", "me", MINUTE).await.unwrap().unwrap();
    t.advance(MINUTE * 2);
    let new = t.bus.claim("k", "you", MINUTE).await.unwrap().unwrap();
    t.bus.release(&old).await.unwrap();
    assert_eq!(t.bus.claim("k", "me", MINUTE).await.unwrap(), None);
    t.bus.release(&new).await.unwrap();
    let mine = t.bus.claim("k", "me", MINUTE).await.unwrap().unwrap();
    // The same owner, and not the same claim.
    t.bus.release(&old).await.unwrap();
    assert_eq!(t.bus.claim("k", "you", MINUTE).await.unwrap(), None);
    assert!(mine.token > old.token);
}

pub(crate) async fn racing_claims(rig: &Rig) {
    let t = rig.with(claims()).await;
    for round in 0..10 {
        let key = format!("k{round}");
        let owners: Vec<String> = (0..12).map(|n| format!("owner{n}")).collect();
        let racers = owners.iter().map(|owner| t.bus.claim(&key, owner, MINUTE));
        let won = join_all(racers).await;
        assert_eq!(won.iter().filter(|c| c.as_ref().unwrap().is_some()).count(), 1);
    }
}
