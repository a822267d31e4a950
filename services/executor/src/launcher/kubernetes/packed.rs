//! The runner without an image of its own: its program is laid down in ConfigMaps, and an init container of a common image
//! puts it together. So a cluster needs nothing but what a kubeconfig gives.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write as _};
use std::sync::{Arc, Mutex};

use flate2::Compression;
use flate2::write::GzEncoder;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tiphys_core::Timestamp;
use tiphys_runner::pod::PROGRAM;
use tokio::sync::Semaphore;

use super::ask::Kind;
use super::{Shared, lock};
use crate::launcher::LaunchError;

/// Names of the ConfigMaps begin so, and the label that they carry; its value tells which program it is.
const NAME: &str = "tiphys-runner";
const LABEL: &str = "tiphys.dev/runner-program";
/// The key of a ConfigMap under which a piece is.
const PIECE: &str = "piece";
/// A ConfigMap takes 1 MiB.
const LONGEST: usize = 900 << 10;
/// Digits of the sum that stand in names.
const DIGITS: usize = 12;
/// They are looked after again when so much time went by: somebody may have tidied.
const AGAIN: i64 = 600;

/// Puts the pieces together in the order of their names, and lets nothing else through than what was packed: whoever may
/// write ConfigMaps does not thereby choose what runs.
const UNPACK: &str = "set -e; cat \"$1\"/* | gzip -dc > \"$2.part\"; echo \"$3  $2.part\" | sha256sum -c > /dev/null; \
                      chmod 755 \"$2.part\"; mv \"$2.part\" \"$2\"";

/// The runner in pieces.
#[derive(Debug, Clone)]
pub struct PackedRunner {
    /// An image with `sh`, `cat`, `gzip`, `sha256sum`, `chmod` and `mv`, for the init container.
    pub image: String,
    /// The program, compressed.
    pieces: Arc<[ByteString]>,
    /// SHA-256 of the program, in hexadecimal digits.
    sum: String,
}

impl PackedRunner {
    /// Packs a program that runs in any image.
    ///
    /// # Errors
    /// When it cannot be compressed, which is not to be expected.
    pub fn new(program: &[u8], image: String) -> io::Result<Self> {
        // Done at each start: a third piece costs less than the time that better compression takes.
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(program)?;
        let packed = packed.finish()?;
        let pieces = packed.chunks(LONGEST).map(|piece| ByteString(piece.to_vec())).collect();
        Ok(Self { image, pieces, sum: hex::encode(Sha256::digest(program)) })
    }

    fn mark(&self) -> &str {
        self.sum.get(..DIGITS).unwrap_or_default()
    }

    fn name(&self, place: usize) -> String {
        format!("{NAME}-{}-{place}", self.mark())
    }

    /// What lies in the cluster, in a namespace.
    fn maps(&self) -> impl Iterator<Item = ConfigMap> {
        self.pieces.iter().enumerate().map(|(place, piece)| ConfigMap {
            metadata: ObjectMeta {
                name: Some(self.name(place)),
                labels: Some(BTreeMap::from([(LABEL.to_owned(), self.mark().to_owned())])),
                ..ObjectMeta::default()
            },
            binary_data: Some(BTreeMap::from([(PIECE.to_owned(), piece.clone())])),
            // The kubelet need not look whether it changes.
            immutable: Some(true),
            ..ConfigMap::default()
        })
    }

    /// The volume of all pieces.
    pub(super) fn volume(&self, name: &str) -> Value {
        let sources = (0..self.pieces.len()).map(|place| {
            json!({"configMap": {"name": self.name(place), "items": [{"key": PIECE, "path": format!("{place:04}")}]}})
        });
        json!({"name": name, "projected": {"sources": sources.collect::<Vec<_>>()}})
    }

    /// What puts the pieces in `from` together, in the folder `to`.
    pub(super) fn command(&self, from: &str, to: &str) -> Value {
        json!(["sh", "-c", UNPACK, "sh", from, format!("{to}/{PROGRAM}"), self.sum])
    }
}

/// Where the runner lies.
pub(super) struct Laid {
    /// Namespaces, and since when.
    since: Mutex<HashMap<String, Timestamp>>,
    /// Of the many pods that begin together one lays it down, and the others wait.
    turn: Semaphore,
}

impl Default for Laid {
    fn default() -> Self {
        Self { since: Mutex::default(), turn: Semaphore::new(1) }
    }
}

impl Laid {
    fn lies(&self, namespace: &str, now: Timestamp) -> bool {
        let since = lock(&self.since).get(namespace).copied();
        since.is_some_and(|since| now.duration_since(since).as_secs() < AGAIN)
    }
}

impl Shared {
    /// Lays the runner down in a namespace, unless that was done.
    pub(super) async fn lay(&self, packed: &PackedRunner, namespace: &str) -> Result<(), LaunchError> {
        let now = self.clock.now();
        if self.laid.lies(namespace, now) {
            return Ok(());
        }
        let _turn = self.laid.turn.acquire().await;
        if self.laid.lies(namespace, now) {
            return Ok(());
        }
        let api = Api::<ConfigMap>::namespaced(self.client.clone(), namespace);
        let params = PostParams::default();
        for map in packed.maps() {
            let name = map.metadata.name.clone().unwrap_or_default();
            match self.insist(&format!("create ConfigMap {name}"), || api.create(&params, &map)).await {
                Ok(_) => continue,
                Err(failure) if failure.kind == Kind::Conflict => {}
                Err(failure) if failure.kind == Kind::Later => {
                    return Err(LaunchError::Unavailable(failure.text));
                }
                Err(failure) => {
                    return Err(LaunchError::NotAllowed(format!(
                        "the runner cannot be laid down in namespace {namespace}: {}; give the account that right, or \
                         name an image that holds the runner (`--runner-image`)",
                        failure.text
                    )));
                }
            }
            let found = self.insist(&format!("get ConfigMap {name}"), || api.get(&name)).await;
            let found = found.map_err(|failure| LaunchError::Unavailable(failure.text))?;
            if found.binary_data != map.binary_data {
                return Err(LaunchError::NotAllowed(format!(
                    "ConfigMap {name} in namespace {namespace} is not what Tiphys laid down; find out who wrote it, and \
                     delete it"
                )));
            }
        }
        lock(&self.laid.since).insert(namespace.to_owned(), now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// What two compressions in a row cannot make smaller.
    fn noise(length: usize) -> Vec<u8> {
        let mut seed = 1u64;
        let next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 56) as u8
        };
        std::iter::repeat_with(next).take(length).collect()
    }

    #[test]
    fn pieces_fit_and_are_put_together() {
        let mut program = b"#!/bin/sh\necho unpacked; exit\n".to_vec();
        program.extend(noise(2 << 20));
        let packed = PackedRunner::new(&program, "busybox:1".into()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("pieces"), folder.path().join("to"));
        std::fs::create_dir(&from).unwrap();
        std::fs::create_dir(&to).unwrap();
        let volume = packed.volume("pieces");
        let sources = volume["projected"]["sources"].as_array().unwrap();
        let maps: Vec<_> = packed.maps().collect();
        assert_eq!((maps.len(), sources.len()), (3, 3));
        for (map, source) in maps.iter().zip(sources) {
            assert_eq!(source["configMap"]["name"].as_str(), map.metadata.name.as_deref());
            let piece = &map.binary_data.as_ref().unwrap()[PIECE];
            assert!(piece.0.len() <= LONGEST);
            std::fs::write(from.join(source["configMap"]["items"][0]["path"].as_str().unwrap()), &piece.0)
                .unwrap();
        }
        let command = packed.command(from.to_str().unwrap(), to.to_str().unwrap());
        let words: Vec<&str> =
            command.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        let unpack = || Command::new(words[0]).args(&words[1..]).output().unwrap();
        assert!(unpack().status.success());
        assert_eq!(std::fs::read(to.join(PROGRAM)).unwrap(), program);
        let ran = Command::new(to.join(PROGRAM)).output().unwrap();
        assert_eq!(ran.stdout, b"unpacked\n");
        // What somebody else wrote is not run.
        std::fs::remove_file(to.join(PROGRAM)).unwrap();
        let other = PackedRunner::new(b"#!/bin/sh\necho other\n", "busybox:1".into()).unwrap();
        std::fs::remove_dir_all(&from).unwrap();
        std::fs::create_dir(&from).unwrap();
        std::fs::write(from.join("0000"), &other.pieces[0].0).unwrap();
        assert!(!unpack().status.success());
        assert!(!to.join(PROGRAM).exists());
    }
}
