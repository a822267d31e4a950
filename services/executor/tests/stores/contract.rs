//! What every store of objects does, and the executor's own folder.

use std::path::Path;

use tiphys_executor::launcher::{ArtifactStore, Fetched, LaunchError};
use tiphys_runner::archive::{Limits, unpack};

use crate::support::{Host, listing};

/// `locate` makes a reference of a key.
pub(crate) async fn hold(host: &Host, locate: impl Fn(&str) -> String) {
    files(host, &locate).await;
    large(host, &locate("deep/er/large")).await;
    folders(host, &locate).await;
    for key in ["", "/", "../x", "a/../b"] {
        let file = host.file("any", "x");
        assert!(matches!(host.stores.put(&locate(key), file).await, Err(LaunchError::Missing(_))), "{key}");
    }
    assert_eq!(in_passing(host), 0);
}

/// What is left of things on their way.
fn in_passing(host: &Host) -> usize {
    std::fs::read_dir(host.path("store/.passing")).unwrap().count()
}

async fn files(host: &Host, locate: &impl Fn(&str) -> String) {
    let sha = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let key = locate("wf/pod/a.txt");
    let stored = host.stores.put(&key, host.file("one", "abc")).await.unwrap();
    assert_eq!(stored, (3, sha.to_owned()));
    assert_eq!(host.text(&key).await.unwrap(), "abc");
    host.stores.put(&key, host.file("two", "later")).await.unwrap();
    assert_eq!(host.text(&key).await.unwrap(), "later");
    assert_eq!(host.stores.put(&key, host.file("empty", "")).await.unwrap().0, 0);
    assert_eq!(host.text(&key).await.unwrap(), "");
    let odd = locate("wf/pod/name with spaces & 100% (ä).txt");
    host.stores.put(&odd, host.path("one")).await.unwrap();
    assert_eq!(host.text(&odd).await.unwrap(), "abc");
    let missing = host.text(&locate("wf/pod/none")).await.unwrap_err();
    let LaunchError::Absent(told) = &missing else { panic!("{missing:?}") };
    assert!(told.contains("wf/pod/none") && told.contains("is not in"), "{told}");

    let (doomed, beside) = (locate("gone/a"), locate("gone/ab"));
    for key in [&doomed, &beside, &locate("gone/a.d/x")] {
        host.stores.put(key, host.path("one")).await.unwrap();
    }
    host.stores.remove(&doomed).await.unwrap();
    host.stores.remove(&doomed).await.unwrap();
    assert!(host.text(&doomed).await.is_err());
    assert_eq!(host.text(&beside).await.unwrap(), "abc");
    assert_eq!(host.text(&locate("gone/a.d/x")).await.unwrap(), "abc");
}

/// Larger than a request, and no multiple of anything.
async fn large(host: &Host, key: &str) {
    let content: Vec<u8> =
        (0..(20_u32 << 20) + 7).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let file = host.file("large", &content);
    let (size, sum) = host.stores.put(key, file).await.unwrap();
    assert_eq!(size, content.len() as u64);
    let back = host.path("large-back");
    assert_eq!(host.stores.fetch(key, back.clone()).await.unwrap(), Fetched::File);
    assert!(std::fs::read(&back).unwrap() == content, "what came back is something else");
    assert_eq!(host.stores.put(key, back).await.unwrap(), (size, sum));
}

async fn folders(host: &Host, locate: &impl Fn(&str) -> String) {
    let key = locate("wf/pod/tree");
    for (name, content) in [("tree/a", "A"), ("tree/sub/b", "B"), ("tree/sub/deep/c", "C"), ("tree2/x", "X")]
    {
        host.file(name, content);
    }
    std::os::unix::fs::symlink("/etc/passwd", host.path("tree/link")).unwrap();
    let (size, sum) = host.stores.put(&key, host.path("tree")).await.unwrap();
    host.stores.put(&locate("wf/pod/tree2"), host.path("tree2")).await.unwrap();
    assert_eq!((size, sum.len()), (3, 64));
    assert_eq!(host.folder(&key, "tree-back").await, ["a A", "sub/b B", "sub/deep/c C"]);
    assert_eq!(host.text(&locate("wf/pod/tree/sub/b")).await.unwrap(), "B");

    let packed = host.stores.get(&key).await.unwrap();
    let into = host.path("tree-unpacked");
    std::fs::create_dir(&into).unwrap();
    unpack(&packed[..], &into, Limits::default()).unwrap();
    let top = std::fs::read_dir(&into).unwrap().next().unwrap().unwrap().path();
    assert_eq!(listing(&top, ""), ["a A", "sub/b B", "sub/deep/c C"]);

    host.stores.remove(&key).await.unwrap();
    assert!(host.text(&locate("wf/pod/tree/sub/b")).await.is_err());
    assert_eq!(host.text(&locate("wf/pod/tree2/x")).await.unwrap(), "X");
    for name in ["tree", "tree2", "tree-back", "tree-unpacked"] {
        std::fs::remove_dir_all(host.path(name)).unwrap();
    }
}

#[tokio::test]
async fn the_own_folder_holds_the_contract() {
    let host = Host::new(&[]);
    hold(&host, str::to_owned).await;
    assert!(Path::new(&host.path("store/wf/pod/a.txt")).exists());
}
