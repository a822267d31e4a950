use super::*;

fn store() -> (tempfile::TempDir, LocalStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::open(&dir.path().join("store")).unwrap();
    (dir, store)
}

#[tokio::test]
async fn what_is_put_comes_back_until_it_is_removed() {
    let (dir, store) = store();
    let file = dir.path().join("file");
    std::fs::write(&file, "abc").unwrap();
    let sha = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    for key in ["wf/pod/a.tgz", "wf/pod/b.tgz", "wf/pod/a.tgz", "wf2/x"] {
        let stored = store.put(key, file.clone()).await.unwrap();
        assert_eq!(stored, (3, sha.to_owned()));
    }
    assert_eq!(store.get("wf/pod/a.tgz").await.unwrap(), "abc");
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, "later").unwrap();
    assert_eq!(store.get("wf/pod/a.tgz").await.unwrap(), "abc");
    store.put("wf/pod/a.tgz", file).await.unwrap();
    assert_eq!(store.get("wf/pod/a.tgz").await.unwrap(), "later");

    store.remove("wf").await.unwrap();
    store.remove("wf").await.unwrap();
    assert!(matches!(store.get("wf/pod/b.tgz").await, Err(LaunchError::Absent(_))));
    assert_eq!(store.get("wf2/x").await.unwrap(), "abc");
    let left = std::fs::read_dir(dir.path().join("store").join(UNFINISHED)).unwrap().count();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn no_key_leads_outside() {
    let (dir, store) = store();
    let file = dir.path().join("file");
    std::fs::write(&file, "abc").unwrap();
    for key in ["", ".", "..", "../x", "a/../../x", "/etc/passwd", "a/..", ".unfinished/0", "a/.b", "a\0b"] {
        assert!(store.put(key, file.clone()).await.is_err(), "{key}");
        assert!(store.get(key).await.is_err(), "{key}");
        assert!(store.remove(key).await.is_err(), "{key}");
    }
    assert!(file.exists());
}

#[tokio::test]
async fn half_written_artifacts_are_tidied_away() {
    let (dir, store) = store();
    let root = dir.path().join("store");
    drop(store);
    std::fs::write(root.join(UNFINISHED).join("7"), "half").unwrap();
    LocalStore::open(&root).unwrap();
    assert!(!root.join(UNFINISHED).join("7").exists());
}
