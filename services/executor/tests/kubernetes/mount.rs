//! How the runner gets into a pod: as a volume where the node can mount an image, else by an init container.

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use serde_json::json;
use tiphys_executor::launcher::kubernetes::ImageVolume;
use tiphys_executor::launcher::{Archive, Launcher, PodSpec, PodVerdict, Secrets};
use tiphys_servers::kubernetes::NODE;

use crate::output::{artifact, everything};
use crate::support::Stage;

/// What the node runs its containers with, such as `containerd://1.6.20`.
async fn runtime(stage: &Stage) -> String {
    let node = Api::<Node>::all(stage.client.clone()).get(NODE).await.unwrap();
    node.status.unwrap().node_info.unwrap().container_runtime_version
}

fn has_image_volumes(runtime: &str) -> bool {
    let version = runtime.strip_prefix("containerd://").unwrap();
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or_default());
    (numbers.next(), numbers.next()) >= (Some(2), Some(1))
}

fn mounts_an_image(pod: &Pod) -> bool {
    let volumes = pod.spec.as_ref().unwrap().volumes.as_deref().unwrap_or_default();
    volumes.iter().any(|volume| volume.image.is_some())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runner_is_a_volume_where_the_node_has_image_volumes() {
    let Some(mut stage) = Stage::new().await else { return };
    let runtime = runtime(&stage).await;
    stage.image().volume = ImageVolume::Auto;
    let mut run = stage.run().await;
    everything(&stage, &mut run).await;
    let pod = stage.pods().get("wf-everything-1").await.unwrap();
    let mounted = mounts_an_image(&pod);
    eprintln!(
        "{runtime}: the runner is {}",
        if mounted { "a volume" } else { "copied by an init container" }
    );
    assert_eq!(mounted, has_image_volumes(&runtime), "{runtime}");
    let others = pod.spec.unwrap().init_containers.unwrap_or_default();
    assert_eq!(others.is_empty(), mounted, "one of both brings it");
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_with_other_settings_finds_the_runner_of_a_pod() {
    let Some(mut stage) = Stage::new().await else { return };
    let run = stage.run().await;
    let pod = PodSpec {
        script: Some("echo made > /tmp/made".into()),
        output_artifacts: vec![artifact("made", "/tmp/made", Archive::None)],
        ..stage.pod_of("other", json!({"image": "busybox:1", "command": ["sh"]}))
    };
    run.launcher.start(&pod, Secrets::default()).await.unwrap();
    run.end().await;
    // What it made is fetched through the program that its pod has, and not the one that its pods would have now.
    stage.image().volume = ImageVolume::Always;
    let mut run = stage.run().await;
    let result = run.end_of(&pod.key).await;
    assert_eq!(result.verdict, PodVerdict::Succeeded, "{}", result.message);
    assert_eq!(run.store.get("out/made").await.unwrap(), "made\n");
    run.end().await;
}
