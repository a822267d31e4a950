//! Pulling, from a registry of the test itself: it speaks no more of the protocol than a pull of one image needs.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use serde_json::json;
use sha2::{Digest, Sha256};
use tiphys_executor::launcher::{Launcher, PodState, PodVerdict, Secrets};

use crate::support::Host;

/// Who may pull: `user:secret`.
const MAY: &str = "Basic dXNlcjpzZWNyZXQ=";
/// A piece of a blob, so that there is progress to be seen.
const PIECE: usize = 64 * 1024;

/// What it has, by the end of the path.
struct Registry {
    files: HashMap<String, (String, Vec<u8>)>,
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// An image of one layer: a shell that compresses badly.
fn image() -> Registry {
    let busybox = std::fs::read("/bin/busybox").unwrap();
    let mut layer = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(busybox.len() as u64);
    layer.append_data(&mut header, "bin/sh", &busybox[..]).unwrap();
    let layer = layer.into_inner().unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&layer).unwrap();
    let packed = packed.finish().unwrap();
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": { "Cmd": ["/bin/sh", "-c", "echo pulled"] },
        "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] },
    });
    let config = serde_json::to_vec(&config).unwrap();
    let part =
        |kind: &str, bytes: &[u8]| json!({ "mediaType": kind, "size": bytes.len(), "digest": digest(bytes) });
    let kind = "application/vnd.docker.distribution.manifest.v2+json";
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": kind,
        "config": part("application/vnd.docker.container.image.v1+json", &config),
        "layers": [part("application/vnd.docker.image.rootfs.diff.tar.gzip", &packed)],
    });
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let blob = "application/octet-stream".to_owned();
    let files = [
        ("/manifests/1".to_owned(), (kind.to_owned(), manifest.clone())),
        (format!("/manifests/{}", digest(&manifest)), (kind.to_owned(), manifest)),
        (format!("/blobs/{}", digest(&config)), (blob.clone(), config)),
        (format!("/blobs/{}", digest(&packed)), (blob, packed)),
    ];
    Registry { files: HashMap::from(files) }
}

impl Registry {
    /// Serves where the engine finds it. Returns its address.
    fn serve(self, host: &Host) -> String {
        let listener = host.engine.within(|| TcpListener::bind("127.0.0.1:0").unwrap());
        let address = listener.local_addr().unwrap().to_string();
        let registry = Arc::new(self);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let registry = Arc::clone(&registry);
                std::thread::spawn(move || registry.answer(stream));
            }
        });
        address
    }

    /// One request. Whoever hangs up is not missed.
    fn answer(&self, mut stream: TcpStream) -> Option<()> {
        let mut lines = BufReader::new(stream.try_clone().ok()?).lines().map_while(Result::ok);
        let request = lines.next()?;
        let mut words = request.split(' ');
        let (method, path) = (words.next()?, words.next()?);
        let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        let known = headers.iter().any(|line| line.split_once(": ").is_some_and(|(_, value)| value == MAY));
        let found = self.files.iter().find(|(name, _)| path.ends_with(*name)).map(|(_, file)| file);
        if !known {
            let refusal = "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"test\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            return stream.write_all(refusal.as_bytes()).ok();
        }
        let empty = (String::new(), Vec::new());
        let (status, (kind, body)) = match found {
            Some(file) => ("200 OK", file),
            None if path == "/v2/" => ("200 OK", &empty),
            None => ("404 No", &empty),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nDocker-Distribution-Api-Version: registry/2.0\r\nContent-Type: {kind}\r\n\
             Docker-Content-Digest: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            digest(body),
            body.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        if method == "HEAD" {
            return Some(());
        }
        for piece in body.chunks(PIECE) {
            stream.write_all(piece).ok()?;
            // The engine tells of progress ten times a second.
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        Some(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pulled_with_what_the_manifest_names() {
    let Some(mut host) = Host::new() else { return };
    host.config.pulls = 1;
    let registry = image().serve(&host);
    let mut run = host.run().await;
    let image = format!("{registry}/team/tool:1");
    let pod = host.pod_of("stranger", json!({ "image": image }));
    let result = run.through(&pod).await;
    assert_eq!(result.verdict, PodVerdict::Error);
    assert!(result.message.starts_with(&format!("ErrImagePull: image {image}: ")), "{result:?}");

    let file = json!({ "auths": { registry.clone(): { "username": "user", "password": "secret" } } });
    let secrets = Secrets { registries: vec![file.to_string().into()], ..Secrets::default() };
    let pod = host.pod_of("friend", json!({ "image": image }));
    run.launcher.start(&pod, secrets.clone()).await.unwrap();
    let mut told = Vec::new();
    let result = run
        .until(&pod.key, |state| match state {
            PodState::Pending { message } => {
                told.push(message);
                None
            }
            PodState::Ended(result) => Some(*result),
            _ => None,
        })
        .await;
    assert_eq!((result.message.as_str(), result.verdict), ("", PodVerdict::Succeeded));
    assert_eq!(run.texts(&pod.key).await, ["pulled"]);
    let progress = told.iter().filter(|message| message.starts_with(&format!("Pulling image {image}: ")));
    assert!(
        progress.clone().count() > 1 && progress.clone().all(|message| message.ends_with('%')),
        "{told:?}"
    );

    // It is here now. Only who wants it anew asks the registry, and is a stranger there.
    let pod = host.pod_of("kept", json!({ "image": image }));
    assert_eq!(run.through(&pod).await.verdict, PodVerdict::Succeeded);
    let pod = host.pod_of("anew", json!({ "image": image, "imagePullPolicy": "Always" }));
    let result = run.through(&pod).await;
    assert!(result.message.starts_with(&format!("ErrImagePull: image {image}: ")), "{result:?}");

    let pod = host.pod_of("other", json!({ "image": format!("{registry}/team/tool:2") }));
    run.launcher.start(&pod, secrets).await.unwrap();
    let result = run.end_of(&pod.key).await;
    assert!(result.message.contains("ErrImagePull") && result.message.contains("tool:2"), "{result:?}");
}
