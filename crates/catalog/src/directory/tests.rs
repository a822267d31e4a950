//! Tests of the watched directory.

use std::fs;

use tempfile::TempDir;
use tiphys_manifest::{Kind, codes};
use tokio::task::JoinHandle;

use super::*;
use crate::handle::{Catalog, Snapshot};

const PATIENCE: Duration = Duration::from_secs(60);

fn config_map(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  key: \"{value}\"\n")
}

struct Running {
    dir: TempDir,
    catalog: Catalog,
    health: Health,
    changes: mpsc::Receiver<Change>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), CatalogError>>,
}

impl Running {
    #[expect(clippy::disallowed_methods, reason = "the test joins it")]
    async fn start(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
            fs::write(path, text).expect("a file");
        }
        let (catalog, health) = (Catalog::new(), Health::default());
        let feeder = catalog.feeder();
        let directory = Directory::open_checked(dir.path(), "default", check, feeder, health.clone()).await;
        let directory = directory.expect("a readable folder");
        let (send, changes) = mpsc::channel(64);
        let stop = CancellationToken::new();
        let task = tokio::spawn(directory.watch(Some(send), stop.clone()));
        Self { dir, catalog, health, changes, stop, task }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join(name), text).expect("a file");
    }

    async fn change(&mut self) -> String {
        let change = tokio::time::timeout(PATIENCE, self.changes.recv()).await;
        change.expect("a change in time").expect("running").to_string()
    }

    async fn until(&self, what: &str, holds: impl Fn(&Snapshot) -> bool) {
        let mut changed = self.catalog.changed();
        let waited = tokio::time::timeout(PATIENCE, changed.wait_for(|now| holds(now))).await;
        assert!(waited.is_ok(), "{what}: {:?}", self.catalog.snapshot().diagnostics);
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.expect("no panic").expect("no failure");
    }
}

/// Something is to be said of each object that is called `odd`.
fn check(objects: &[Arc<Object>]) -> Vec<Diagnostic> {
    let odd = objects.iter().filter(|object| object.name == "odd");
    odd.map(|object| codes::KEPT.finding(&object.file, "odd".into(), String::new())).collect()
}

fn has(snapshot: &Snapshot, name: &str) -> bool {
    snapshot.get(Kind::ConfigMap, "default", name).is_some()
}

#[tokio::test]
async fn reads_at_once_and_follows() {
    let mut running = Running::start(&[
        ("a.yaml", &config_map("a", "1")),
        ("deep/er/b.yml", &config_map("b", "1")),
        (".git/c.yaml", &config_map("c", "1")),
        ("d.txt", &config_map("d", "1")),
        ("compose.yaml", "services:\n  db: {image: x}\n"),
    ])
    .await;
    let snapshot = running.catalog.snapshot();
    assert!(has(&snapshot, "a") && has(&snapshot, "b"));
    assert_eq!(snapshot.objects.len(), 2);
    assert_eq!(snapshot.diagnostics, []);
    assert!(running.health.problems().is_empty());

    running.write(
        "e.json",
        "{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"metadata\": {\"name\": \"e\"}}",
    );
    assert_eq!(running.change().await, "added ConfigMap default/e");
    running.write("a.yaml", &config_map("a", "2"));
    assert_eq!(running.change().await, "changed ConfigMap default/a");
    fs::remove_file(running.dir.path().join("e.json")).expect("removed");
    assert_eq!(running.change().await, "removed ConfigMap default/e");
    fs::create_dir(running.dir.path().join("new")).expect("a folder");
    running.write("new/f.yaml", &config_map("f", "1"));
    assert_eq!(running.change().await, "added ConfigMap default/f");
    running.end().await;
}

#[tokio::test]
async fn a_bad_save_takes_nothing_out_of_force() {
    let good = format!("{}---\n{}", config_map("a", "1"), config_map("b", "1"));
    let mut running = Running::start(&[("a.yaml", &good)]).await;
    running.write("a.yaml", &format!("{}---\nkind: [\n", config_map("a", "2")));
    running
        .until("the mistake is shown", |now| {
            now.diagnostics.iter().any(|d| d.code == "TIP-MAN-001" && d.line == 8)
        })
        .await;
    let snapshot = running.catalog.snapshot();
    assert!(has(&snapshot, "a") && has(&snapshot, "b"));
    assert!(snapshot.diagnostics.iter().any(|d| d.code == "TIP-MAN-018"));
    running.write("a.yaml", &config_map("a", "3"));
    assert_eq!(running.change().await, "changed ConfigMap default/a");
    assert_eq!(running.change().await, "removed ConfigMap default/b");
    running.until("no findings are left", |now| now.diagnostics.is_empty()).await;
    running.end().await;
}

#[tokio::test]
async fn an_empty_file_counts_at_the_second_look() {
    let mut running = Running::start(&[("a.yaml", &config_map("a", "1"))]).await;
    running.write("a.yaml", "");
    assert_eq!(running.change().await, "removed ConfigMap default/a");
    running.end().await;

    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("a.yaml");
    fs::write(&path, config_map("a", "1")).expect("a file");
    let mut scan = Scan::new(dir.path().to_owned(), "default");
    scan.look().expect("readable");
    fs::write(&path, "").expect("a file");
    scan.look().expect("readable");
    assert!(scan.unsettled());
    assert_eq!(scan.result().0.len(), 1);
    fs::write(&path, config_map("a", "2")).expect("a file");
    scan.look().expect("readable");
    assert!(!scan.unsettled());
    assert_eq!(scan.result().0.len(), 1);
}

#[tokio::test]
async fn a_folder_that_vanishes_takes_nothing_out_of_force() {
    let running = Running::start(&[("a.yaml", &config_map("a", "1"))]).await;
    let aside = running.dir.path().with_extension("aside");
    fs::rename(running.dir.path(), &aside).expect("moved");
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while running.health.problems().is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "it is not reported");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(has(&running.catalog.snapshot(), "a"));
    fs::rename(&aside, running.dir.path()).expect("moved back");
    running.write("b.yaml", &config_map("b", "1"));
    running.until("it is followed again", |now| has(now, "b")).await;
    running.end().await;
}

#[tokio::test]
async fn no_such_folder() {
    let catalog = Catalog::new();
    let opened = Directory::open("/no/such/folder", "x", catalog.feeder(), Health::default()).await;
    assert!(matches!(opened, Err(CatalogError::Directory { .. })));
}

#[test]
fn unreadable_text_and_the_same_object_in_two_files() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("a.yaml"), config_map("a", "1")).expect("a file");
    fs::write(dir.path().join("b.yaml"), config_map("a", "2")).expect("a file");
    fs::write(dir.path().join("c.yaml"), [0xff, 0xfe]).expect("a file");
    let mut scan = Scan::new(dir.path().to_owned(), "default");
    scan.look().expect("readable");
    let (objects, diagnostics) = scan.result();
    assert_eq!(diagnostics[0].code, "TIP-MAN-017");
    let catalog = Catalog::new();
    catalog.feeder().replace(objects, diagnostics);
    let snapshot = catalog.snapshot();
    let object = snapshot.get(Kind::ConfigMap, "default", "a").expect("a");
    assert!(object.file.ends_with("a.yaml"));
    let twice: Vec<_> = snapshot.diagnostics.iter().filter(|d| d.code == "TIP-MAN-011").collect();
    assert!(twice[0].file.ends_with("b.yaml") && twice[0].line == 4);
}

#[tokio::test]
async fn what_a_check_finds_comes_and_goes_with_the_object() {
    let mut running = Running::start(&[("a.yaml", &config_map("a", "1"))]).await;
    let found = |snapshot: &Snapshot| snapshot.diagnostics.iter().any(|finding| finding.message == "odd");
    assert!(!found(&running.catalog.snapshot()));
    running.write("b.yaml", &config_map("odd", "1"));
    running.until("the finding, and the object all the same", |now| found(now) && has(now, "odd")).await;
    running.write("a.yaml", &config_map("a", "2"));
    running.change().await;
    running.change().await;
    assert!(found(&running.catalog.snapshot()), "another change takes nothing away");
    running.write("b.yaml", &config_map("even", "1"));
    running.until("its end", |now| !found(now)).await;
    running.end().await;
}
