//! Rules of claims.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tiphys_bus::members::{Config, Members};
use tokio_util::sync::CancellationToken;

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

pub(crate) async fn members_share_and_take_over(rig: &Rig) {
    let t = rig.with(claims()).await;
    let member = |name: &str| {
        let config = Config {
            work: "w".into(),
            name: name.into(),
            group: String::new(),
            passes_within: Duration::from_secs(3),
        };
        Arc::new(Members::new(t.bus.clone(), config))
    };
    let (one, two) = (member("one"), member("two"));
    let stop = CancellationToken::new();
    // What is let go at once: nothing is held.
    let agreeing = async |member: &Arc<Members>| {
        let mut views = member.watch();
        views.mark_changed();
        while views.changed().await.is_ok() {
            let turn = views.borrow_and_update().turn();
            member.let_go(turn);
        }
    };
    let sees = async |member: &Arc<Members>, count: usize| {
        let mut views = member.watch();
        let seen = views.wait_for(|view| view.is_settled() && view.count() == count);
        tokio::time::timeout(MINUTE, seen).await.unwrap().unwrap().clone()
    };
    let story = async {
        sees(&one, 1).await;
        let second = async {
            let view = sees(&two, 2).await;
            assert_ne!(view.is_mine("p", None), sees(&one, 2).await.is_mine("p", None));
        };
        tokio::select! {
            ended = two.run(&stop) => ended.unwrap(),
            () = agreeing(&two) => {}
            () = second => {}
        }
        // The second died; its piece passes on.
        assert!(sees(&one, 1).await.is_mine("p", None) && one.holds());
    };
    tokio::select! {
        ended = one.run(&stop) => ended.unwrap(),
        () = agreeing(&one) => {}
        () = story => {}
    }
}
