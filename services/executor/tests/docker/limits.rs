//! What a container may take of the machine.

use serde_json::json;
use tiphys_executor::launcher::{LaunchError, PodSpec, PodVerdict};

use crate::support::{Host, IMAGE};

#[tokio::test(flavor = "multi_thread")]
async fn what_the_manifest_asks_for_is_what_the_container_has() {
    let Some(host) = Host::new() else { return };
    let mut run = host.run().await;
    let quota = "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cut -d ' ' -f 1 /sys/fs/cgroup/cpu.max; id -G";
    let mut pod = host.pod("measured", quota);
    pod.container["resources"] = json!({
        "limits": { "cpu": "1500m", "memory": "64Mi", "ephemeral-storage": "1Gi" },
        "requests": { "cpu": "250m", "memory": "1Mi" },
    });
    pod.pod.spec.insert("securityContext".into(), json!({ "supplementalGroups": [7], "fsGroup": 77 }));
    let result = run.through(&pod).await;
    assert_eq!((result.message.as_str(), result.exit_code), ("", Some(0)));
    let texts = run.texts(&pod.key).await;
    assert_eq!(texts[0], "150000", "of each 100 ms");
    let groups: Vec<&str> = texts[1].split(' ').collect();
    assert!(groups.contains(&"7") && groups.contains(&"77"), "{groups:?}");
    let format = "{{.HostConfig.NanoCpus}} {{.HostConfig.CpuShares}} {{.HostConfig.Memory}} {{.HostConfig.MemorySwap}}";
    let told = host.docker(&["inspect", "--format", format, &host.name(&pod)]).unwrap();
    assert_eq!(told, "1500000000 256 67108864 67108864", "no swap beside the memory");
}

#[tokio::test(flavor = "multi_thread")]
async fn amounts_that_mean_nothing_are_named() {
    let Some(host) = Host::new() else { return };
    let run = host.run().await;
    for (name, amount, said) in [
        ("nvidia.com/gpu", "1", "resources.limits.nvidia.com/gpu"),
        ("memory", "a lot", "memory: \"a lot\" is no amount"),
    ] {
        let mut pod = host.pod(&format!("asks-{}", name.replace('/', "-")), "true");
        pod.container["resources"] = json!({ "limits": { name: amount } });
        let error = run.try_start(&pod).await.unwrap_err();
        let known = matches!(&error, LaunchError::NotAllowed(_) | LaunchError::Missing(_));
        assert!(known && error.to_string().contains(said), "{error}");
    }
    assert!(host.containers().is_empty(), "nothing is left of what was refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_does_not_outgrow_its_limit() {
    let Some(mut host) = Host::new() else { return };
    host.config.log_limit = 100_000;
    let mut run = host.run().await;
    let script = "i=0; while [ $i -lt 8000 ]; do echo \"line $i of a long log\"; i=$((i+1)); done";
    for with_runner in [false, true] {
        let pod = PodSpec {
            script: with_runner.then(|| script.to_owned()),
            container: if with_runner {
                json!({ "image": IMAGE, "command": ["sh"] })
            } else {
                json!({ "image": IMAGE, "command": ["sh", "-c", script] })
            },
            ..host.pod(&format!("talks-{with_runner}"), "")
        };
        let result = run.through(&pod).await;
        assert_eq!((result.verdict, result.message.as_str()), (PodVerdict::Succeeded, ""));
        let texts = run.texts(&pod.key).await;
        let size: usize = texts.iter().map(String::len).sum();
        assert!((1..=110_000).contains(&size), "{with_runner}: {size} bytes");
    }
}
