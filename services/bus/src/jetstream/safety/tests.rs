use super::*;

fn safe() -> Seen {
    let server: ServerInfo = serde_json::from_value(json!({
        "server_id": "i", "server_name": "n", "host": "h", "port": 4222, "version": "2.15.1", "auth_required": true,
        "tls_required": true, "max_payload": 1_048_576, "proto": 1, "client_id": 1, "go": "", "nonce": "",
        "connect_urls": [], "client_ip": "", "headers": true, "jetstream": true,
    }))
    .unwrap();
    let monitor = Monitor {
        server_name: "n".into(),
        jetstream: MonitorJetStream { config: MonitorConfig { max_storage: 1 << 40, sync_always: true } },
    };
    Seen {
        server,
        local: false,
        encrypted: true,
        replicas: 3,
        account: Some(Account { limits: AccountLimits { max_storage: -1 }, ..Account::default() }),
        streams: vec![stream()],
        monitors: vec![("http://n".into(), Ok(monitor))],
    }
}

fn stream() -> Info {
    let peer = |name: &str| json!({"name": name, "current": true, "active": 1, "lag": 0});
    serde_json::from_value(json!({
        "config": {
            "name": "T", "subjects": ["t"], "retention": "limits", "max_consumers": -1, "max_msgs": -1, "max_bytes": 1000,
            "discard": "new", "max_age": 0, "max_msgs_per_subject": -1, "max_msg_size": -1, "storage": "file",
            "num_replicas": 3, "duplicate_window": 0,
        },
        "created": "2026-03-01T12:00:00Z",
        "state": {
            "messages": 0, "bytes": 0, "first_seq": 0, "first_ts": "2026-03-01T12:00:00Z", "last_seq": 0,
            "last_ts": "2026-03-01T12:00:00Z", "consumer_count": 0,
        },
        "cluster": {"leader": "n", "replicas": [peer("a"), peer("b")]},
    }))
    .unwrap()
}

fn codes(seen: &Seen) -> Vec<&'static str> {
    judge(seen).into_iter().map(|finding| finding.code).collect()
}

#[test]
fn a_safe_one_is_safe() {
    assert_eq!(judge(&safe()), []);
}

#[test]
fn each_danger_has_its_code() {
    type Danger = (&'static str, fn(&mut Seen));
    let dangers: [Danger; 14] = [
        (finding::SYNC, |seen| seen.monitors.clear()),
        (finding::SYNC, |seen| seen.monitors[0].1 = Err("refused".into())),
        (finding::SYNC, |seen| {
            let monitor = seen.monitors[0].1.as_mut().unwrap();
            monitor.jetstream.config.sync_always = false;
        }),
        (finding::VERSION, |seen| seen.server.version = "2.12.3".into()),
        (finding::VERSION, |seen| seen.server.version = "2.14.0".into()),
        (finding::REPLICAS, |seen| seen.streams[0].config.num_replicas = 1),
        (finding::REPLICAS, |seen| (seen.replicas, seen.streams[0].config.num_replicas) = (1, 1)),
        (finding::BEHIND, |seen| seen.streams[0].cluster.as_mut().unwrap().replicas[0].offline = true),
        (finding::ENCRYPTION, |seen| seen.encrypted = false),
        (finding::OPEN, |seen| seen.server.auth_required = false),
        (finding::ROOM, |seen| {
            let account = seen.account.as_mut().unwrap();
            (account.storage, account.limits.max_storage) = (81, 100);
        }),
        (finding::ROOM, |seen| {
            let monitor = seen.monitors[0].1.as_mut().unwrap();
            monitor.jetstream.config.max_storage = 999;
        }),
        (finding::STREAM, |seen| seen.streams[0].config.discard = DiscardPolicy::Old),
        (finding::STREAM, |seen| seen.streams[0].config.storage = StorageType::Memory),
    ];
    for (number, (code, danger)) in dangers.into_iter().enumerate() {
        let mut seen = safe();
        danger(&mut seen);
        assert_eq!(codes(&seen), [code], "{number}");
    }
}

#[test]
fn copies_are_counted_in_words() {
    for (have, words) in
        [(1, "kept by one server alone"), (2, "kept by 2 servers: while one of them is away")]
    {
        let mut seen = safe();
        (seen.replicas, seen.streams[0].config.num_replicas) = (have, have);
        let found = judge(&seen);
        assert!(found[0].message.contains(words), "{found:?}");
    }
    let mut seen = safe();
    seen.streams[0].config.num_replicas = 1;
    assert!(judge(&seen)[0].message.contains("3 copies of each message are asked for, and there is one"));
}

#[test]
fn versions() {
    for good in ["2.12.12", "2.14.3", "2.15.0", "3.0.0", "2.15.0-RC.1"] {
        assert!(version(good).is_none(), "{good}");
    }
    for bad in ["2.12.0", "2.14.2"] {
        assert!(version(bad).is_some(), "{bad}");
    }
}

#[test]
fn one_address_of_another_machine_is_enough() {
    for local in ["nats://127.0.0.1:1", "localhost:1,nats://[::1]:1", "tls://u:p@127.1.2.3"] {
        assert!(is_local(local), "{local}");
    }
    for far in ["nats://10.0.0.1:1", "nats://127.0.0.1:1,nats://there:1", "nats://u:p@host", "[fe80::1]:4222"]
    {
        assert!(!is_local(far), "{far}");
    }
}
