//! Whether the server keeps what it acknowledges. A server says little of itself to a client: how it writes to its
//! disk stands only in its monitoring.

use std::net::IpAddr;
use std::time::Duration;

use async_nats::ServerInfo;
use async_nats::jetstream::stream::{
    DiscardPolicy, Info, PeerInfo, PersistenceMode, RetentionPolicy, StorageType,
};
use futures::future::join_all;
use serde::Deserialize;
use serde_json::json;

use super::config::JetStreamConfig;
use super::link::Link;
use crate::finding::{self, Finding};

/// A monitor may take so long.
const PATIENCE: Duration = Duration::from_secs(2);
/// Copies of each message, so that one server may be lost and the rest still agree.
const COPIES: usize = 3;
/// A store that is so full is told of, in hundredths.
const FULL: u64 = 80;
/// A copy that was not seen for so long is away, one with so many operations to do is behind.
const AWAY: Duration = Duration::from_secs(10);
const BEHIND: u64 = 10_000;
/// Of these lines the last faults that lose or give away messages were mended in this version.
const MENDED: [(u64, u64, u64); 2] = [(2, 12, 12), (2, 14, 3)];

/// What the account may use, and uses.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Account {
    storage: u64,
    reserved_storage: u64,
    limits: AccountLimits,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct AccountLimits {
    /// -1: none.
    max_storage: i64,
}

/// What a server's monitoring says.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Monitor {
    server_name: String,
    jetstream: MonitorJetStream,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct MonitorJetStream {
    config: MonitorConfig,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct MonitorConfig {
    max_storage: u64,
    sync_always: bool,
}

/// All that can be seen.
#[derive(Debug, Clone)]
struct Seen {
    server: ServerInfo,
    local: bool,
    encrypted: bool,
    replicas: usize,
    account: Option<Account>,
    streams: Vec<Info>,
    monitors: Vec<(String, Result<Monitor, String>)>,
}

/// Looks, and judges.
pub(super) async fn look(link: &Link, config: &JetStreamConfig, streams: Vec<Info>) -> Vec<Finding> {
    let server = link.client.server_info();
    let asked =
        config.monitors.iter().map(|address| async move { (address.clone(), monitor(address).await) });
    judge(&Seen {
        local: is_local(&config.url),
        encrypted: server.tls_required || config.tls.required || config.url.contains("tls://"),
        replicas: config.replicas,
        account: link.ask::<Account>("INFO", &json!({})).await.ok(),
        monitors: join_all(asked).await,
        server,
        streams,
    })
}

async fn monitor(address: &str) -> Result<Monitor, String> {
    let address = format!("{}/varz", address.trim_end_matches('/'));
    let asking = async { reqwest::get(&address).await?.error_for_status()?.json::<Monitor>().await };
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(answer) => answer.map_err(|error| error.without_url().to_string()),
        Err(_) => Err("no answer".into()),
    }
}

/// Whether every address is this machine's own.
fn is_local(url: &str) -> bool {
    url.split(',').all(|address| {
        let rest = address.trim().split_once("://").map_or(address.trim(), |(_, rest)| rest);
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        let host = match host.strip_prefix('[') {
            Some(ip) => ip.split(']').next().unwrap_or_default(),
            None => host.split([':', '/']).next().unwrap_or_default(),
        };
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    })
}

fn judge(seen: &Seen) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(version(&seen.server.version));
    sync(seen, &mut found);
    if !seen.local && !seen.encrypted {
        found.push(Finding::new(
            finding::ENCRYPTION,
            "the connection to NATS leaves this machine and is not encrypted",
            "give the servers a certificate, and their authority to us",
        ));
    }
    if !seen.local && !seen.server.auth_required {
        found.push(Finding::new(
            finding::OPEN,
            "the NATS server lets in whoever reaches it",
            "give each service a user of its own: `tiphys bus permissions` prints them",
        ));
    }
    replicas(seen, &mut found);
    room(seen, &mut found);
    for stream in &seen.streams {
        found.extend(shape(stream));
    }
    found
}

fn version(version: &str) -> Option<Finding> {
    let mut parts = version.split(['.', '-']).map(|part| part.parse::<u64>().unwrap_or(0));
    let have = (parts.next()?, parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    let line = MENDED.iter().rev().find(|(major, minor, _)| (have.0, have.1) >= (*major, *minor))?;
    (have < *line).then(|| {
        Finding::new(
            finding::VERSION,
            format!("NATS server {version} has faults that are mended since"),
            "use 2.14.3 or later, or 2.12.12 or later of that line",
        )
    })
}

fn sync(seen: &Seen, found: &mut Vec<Finding>) {
    const HELP: &str = "set `sync_interval: always` in `jetstream` of every server";
    if seen.monitors.is_empty() {
        found.push(Finding::new(
            finding::SYNC,
            "whether NATS syncs what it acknowledges is unknown: no address of its monitoring was given",
            "set `sync_interval: always`, and give the addresses of the servers' monitoring (`NATS_MONITOR`)",
        ));
    }
    for (address, monitor) in &seen.monitors {
        match monitor {
            Ok(monitor) if monitor.jetstream.config.sync_always => {}
            Ok(monitor) => found.push(Finding::new(
                finding::SYNC,
                format!(
                    "NATS server `{}` acknowledges before it syncs: a power failure loses what it acknowledged",
                    monitor.server_name
                ),
                HELP,
            )),
            Err(why) => found.push(Finding::new(
                finding::SYNC,
                format!("whether NATS syncs what it acknowledges is unknown: {address}: {why}"),
                "see whether the address is that of the server's monitoring (`http_port`)",
            )),
        }
    }
}

/// What fewer copies than recommended mean. With two of them a server that is away stops everything, and a lost disk leaves one.
fn sparse(have: usize) -> String {
    if have < 2 {
        "each message is kept by one server alone: the loss of its disk loses messages".to_owned()
    } else {
        format!("each message is kept by {have} servers: while one of them is away, nothing is stored")
    }
}

fn replicas(seen: &Seen, found: &mut Vec<Finding>) {
    let fewest = seen.streams.iter().map(|stream| stream.config.num_replicas).min();
    let have = fewest.unwrap_or(seen.replicas);
    if have < seen.replicas {
        found.push(Finding::new(
            finding::REPLICAS,
            format!(
                "{} copies of each message are asked for, and there {}: the server is alone",
                seen.replicas,
                if have == 1 { "is one".to_owned() } else { format!("are {have}") }
            ),
            "run three servers as a cluster",
        ));
    } else if have < COPIES {
        found.push(Finding::new(
            finding::REPLICAS,
            sparse(have),
            "run three servers as a cluster, and ask for 3 replicas",
        ));
    }
    for stream in &seen.streams {
        let Some(cluster) = &stream.cluster else { continue };
        // Under load a copy is a little behind all the time.
        let behind = |peer: &&PeerInfo| {
            peer.offline || !peer.current && (peer.active > AWAY || peer.lag.unwrap_or(0) > BEHIND)
        };
        let away = cluster.replicas.iter().filter(behind);
        let away: Vec<&str> = away.map(|peer| peer.name.as_str()).collect();
        if !away.is_empty() {
            found.push(Finding::new(
                finding::BEHIND,
                format!(
                    "stream `{}` has copies that are away or behind: {}",
                    stream.config.name,
                    away.join(", ")
                ),
                "see to those servers; remove none from the cluster while another is away",
            ));
        }
    }
}

fn room(seen: &Seen, found: &mut Vec<Finding>) {
    if let Some(account) = &seen.account
        && let Ok(limit @ 1..) = u64::try_from(account.limits.max_storage)
        && let used = account.storage.max(account.reserved_storage)
        && used.saturating_mul(100) > limit.saturating_mul(FULL)
    {
        found.push(Finding::new(
            finding::ROOM,
            format!("of {limit} bytes that the account may store, {used} are used or promised"),
            "raise the account's limit, or lower those of the streams",
        ));
    }
    let promised: u64 =
        seen.streams.iter().map(|stream| u64::try_from(stream.config.max_bytes).unwrap_or(0)).sum();
    for monitor in seen.monitors.iter().filter_map(|(_, monitor)| monitor.as_ref().ok()) {
        let most = monitor.jetstream.config.max_storage;
        if most < promised {
            found.push(Finding::new(
                finding::ROOM,
                format!(
                    "NATS server `{}` may store {most} bytes, the streams {promised}",
                    monitor.server_name
                ),
                "raise `max_file_store`, or lower the limits of the streams",
            ));
        }
    }
}

fn shape(stream: &Info) -> Option<Finding> {
    let config = &stream.config;
    let wrong = [
        (config.discard != DiscardPolicy::New, "drops old messages when it is full"),
        (config.retention != RetentionPolicy::Limits, "drops messages that were read"),
        (config.storage != StorageType::File, "is kept in memory"),
        (config.persist_mode == Some(PersistenceMode::Async), "acknowledges before it stores"),
        (config.sealed, "takes no messages any more"),
        (config.mirror.is_some() || config.sources.is_some(), "takes messages from another stream"),
    ];
    let wrong: Vec<&str> = wrong.iter().filter(|(is, _)| *is).map(|(_, what)| *what).collect();
    (!wrong.is_empty()).then(|| {
        Finding::new(
            finding::STREAM,
            format!("stream `{}` {}", config.name, wrong.join(", ")),
            "somebody else changed it; make it anew, or start the bus service, which gives it its limits",
        )
    })
}

#[cfg(test)]
mod tests;
