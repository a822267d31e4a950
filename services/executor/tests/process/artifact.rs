//! Artifacts from step to step.

use serde_json::json;
use tiphys_executor::launcher::{
    Archive, ArtifactSource, ArtifactStore, InputArtifact, Launcher, OutputArtifact, OutputParameter,
    PodResult, PodSpec, PodVerdict,
};

use crate::support::{Host, Run, pod};

/// Runs a step that leaves a folder and two files in the store.
async fn make(run: &mut Run) -> PodResult {
    let output = |name: &str, archive| OutputArtifact {
        name: name.into(),
        path: format!("/tmp/out/{name}"),
        key: format!("wf/make/{name}"),
        archive,
        optional: false,
    };
    let mut make = pod("make", "");
    let place = run.launcher.path_of(&make.key, true, "/tmp/out");
    let script = format!(
        "cd {place}; mkdir -p tree/sub; echo deep > tree/sub/f; echo single > single; echo plain > plain; \
         echo 5 > count; chmod 750 tree/sub/f"
    );
    make.container["args"] = json!([script]);
    make.archive_logs = true;
    make.output_artifacts =
        vec![output("tree", Archive::Tar), output("single", Archive::Tar), output("plain", Archive::None)];
    let parameter = |name: &str, default: Option<&str>| OutputParameter {
        name: name.into(),
        path: run.launcher.path_of(&make.key, true, &format!("/tmp/out/{name}")),
        default: default.map(String::from),
    };
    make.output_parameters = vec![parameter("count", None), parameter("none", Some("0"))];
    let result = run.through(&make).await;
    assert_eq!(result.message, "");
    assert_eq!((result.parameters["count"].as_str(), result.parameters["none"].as_str()), ("5", "0"));
    let names: Vec<_> = result.artifacts.iter().map(|artifact| artifact.key.as_str()).collect();
    assert_eq!(names, ["wf/make/tree", "wf/make/single", "wf/make/plain", "wf/wf-make-1/main.log"]);
    result
}

#[tokio::test]
async fn outputs_go_into_the_store_and_come_back_as_inputs() {
    let host = Host::new();
    let mut run = host.run().await;
    let made = make(&mut run).await;
    for artifact in &made.artifacts {
        let content = run.store.get(&artifact.key).await.unwrap();
        assert_eq!(artifact.size, content.len() as u64);
    }

    let input = |name: &str, path: &str, archive, sub_path: Option<&str>, mode| InputArtifact {
        name: name.into(),
        path: path.into(),
        mode,
        from: ArtifactSource::Stored {
            key: format!("wf/make/{name}"),
            archive,
            sub_path: sub_path.map(String::from),
        },
        optional: false,
    };
    let mut take = pod("take", "");
    let place = run.launcher.path_of(&take.key, true, "/in");
    take.container["args"] = json!([format!(
        "cd {place}; cat t/sub/f s p part raw t/within; stat -c %a t/sub/f s raw; test -x raw"
    )]);
    take.inputs = vec![
        InputArtifact {
            name: "raw".into(),
            path: "/in/raw".into(),
            mode: Some(0o755),
            from: ArtifactSource::Raw("{\"a\": 12345678901234567890}\n".into()),
            optional: false,
        },
        InputArtifact {
            name: "within".into(),
            path: "/in/t/within".into(),
            mode: None,
            from: ArtifactSource::Raw("within\n".into()),
            optional: false,
        },
        input("tree", "/in/t", Archive::Tar, None, None),
        input("single", "/in/s", Archive::Tar, None, Some(0o640)),
        input("plain", "/in/p", Archive::Tar, None, None),
        input("tree", "/in/part", Archive::Tar, Some("sub/f"), None),
    ];
    let result = run.through(&take).await;
    assert_eq!((result.message.as_str(), result.exit_code), ("", Some(0)));
    assert_eq!(
        result.result.as_deref(),
        Some("deep\nsingle\nplain\ndeep\n{\"a\": 12345678901234567890}\nwithin\n750\n640\n755")
    );
}

#[tokio::test]
async fn a_missing_artifact_is_an_error_unless_optional() {
    let host = Host::new();
    let mut run = host.run().await;
    let output = OutputArtifact {
        name: "report".into(),
        path: "/tmp/report".into(),
        key: "k".into(),
        archive: Archive::Tar,
        optional: false,
    };
    let wants = PodSpec { output_artifacts: vec![output.clone()], ..pod("wants", "true") };
    let result = run.through(&wants).await;
    assert_eq!(result.verdict, PodVerdict::Error);
    assert!(
        result.message.contains("output artifact report: /tmp/report: no such file"),
        "{}",
        result.message
    );
    let output = OutputArtifact { optional: true, ..output };
    let may = PodSpec { output_artifacts: vec![output], ..pod("may", "true") };
    assert_eq!(run.through(&may).await.verdict, PodVerdict::Succeeded);
}

#[tokio::test]
async fn each_way_of_packing_brings_a_folder_and_a_file_to_the_next_step() {
    let host = Host::new();
    let mut run = host.run().await;
    let ways = [Archive::Tar, Archive::TarLevel(0), Archive::TarLevel(9), Archive::Zip, Archive::None];
    let mut make = pod("make", "");
    let at = run.launcher.path_of(&make.key, true, "/tmp");
    make.container["args"] =
        json!([format!("cd {at}; mkdir -p tree/sub; echo deep > tree/sub/f; echo single > single")]);
    for (number, archive) in ways.into_iter().enumerate() {
        for name in ["tree", "single"] {
            make.output_artifacts.push(OutputArtifact {
                name: format!("{name}-{number}"),
                path: format!("/tmp/{name}"),
                key: format!("wf/make/{name}-{number}"),
                archive,
                optional: false,
            });
        }
    }
    let made = run.through(&make).await;
    assert_eq!((made.message.as_str(), made.artifacts.len()), ("", 2 * ways.len()));

    let mut take = pod("take", "");
    let mut script = String::new();
    for (number, archive) in ways.into_iter().enumerate() {
        for (name, within) in [("tree", "/sub/f"), ("single", "")] {
            let path = format!("/in/{name}-{number}");
            let own = run.launcher.path_of(&take.key, true, &path);
            script.push_str(&format!("cat {own}{within}; "));
            let key = format!("wf/make/{name}-{number}");
            let from = ArtifactSource::Stored { key, archive, sub_path: None };
            take.inputs.push(InputArtifact { name: name.into(), path, mode: None, from, optional: false });
        }
    }
    take.container["args"] = json!([script]);
    let taken = run.through(&take).await;
    assert_eq!(taken.message, "");
    assert_eq!(taken.result.unwrap(), "deep\nsingle\n".repeat(ways.len()).trim_end());
}

#[tokio::test]
async fn an_optional_input_that_is_in_no_store_is_absent() {
    let host = Host::new();
    let mut run = host.run().await;
    let key = "wf/make/none".to_owned();
    let from = ArtifactSource::Stored { key, archive: Archive::Tar, sub_path: None };
    let input =
        InputArtifact { name: "none".into(), path: "/in/none".into(), mode: None, from, optional: true };
    let mut take = pod("take", "");
    let own = run.launcher.path_of(&take.key, true, "/in/none");
    take.container["args"] = json!([format!("test ! -e {own}")]);
    take.inputs = vec![input];
    let taken = run.through(&take).await;
    assert_eq!((taken.message.as_str(), taken.exit_code), ("", Some(0)));
    assert_eq!(std::fs::read_dir(host.config.root.join(".drafts")).unwrap().count(), 0);
}
