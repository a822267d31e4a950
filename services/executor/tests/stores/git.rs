//! Git repositories, served by git itself over HTTP.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tiphys_executor::artifact::Settings;
use tiphys_executor::launcher::ArtifactStore;

use crate::support::{Host, at, listing};
use crate::website::{Asked, Said, Website, said};

const KEYS: [(&str, &str); 2] = [("user", "ann"), ("password", "pass-word")];
const BASIC: &str = "Basic YW5uOnBhc3Mtd29yZA==";

fn git(folder: &Path, arguments: &[&str]) -> String {
    let ended = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"])
        .args(["-c", "protocol.file.allow=always"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(ended.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ended.stderr));
    String::from_utf8(ended.stdout).unwrap().trim().to_owned()
}

/// A repository with three commits, a tag and a branch. Returns its first commit.
fn repository(root: &Path) -> String {
    let folder = root.join("app");
    std::fs::create_dir_all(&folder).unwrap();
    git(&folder, &["init", "--quiet"]);
    let commit = |text: &str| {
        std::fs::write(folder.join("file"), text).unwrap();
        git(&folder, &["add", "."]);
        git(&folder, &["commit", "--quiet", "-m", text]);
    };
    commit("one");
    let first = git(&folder, &["rev-parse", "HEAD"]);
    git(&folder, &["tag", "v1"]);
    git(&folder, &["checkout", "--quiet", "-b", "side"]);
    commit("aside");
    git(&folder, &["checkout", "--quiet", "main"]);
    commit("two");
    first
}

/// Serves the repositories below a folder as `git http-backend` does.
fn serve(root: &Path, needs: Option<&'static str>) -> Website {
    let root = root.to_owned();
    Website::new(move |asked| {
        if asked.header("authorization") != needs {
            return Said(
                "401 Unauthorized",
                vec!["WWW-Authenticate: Basic realm=\"git\"".into()],
                Vec::new(),
            );
        }
        backend(&root, asked)
    })
}

fn backend(root: &Path, asked: &Asked) -> Said {
    let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", &asked.method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", asked.header("content-type").unwrap_or_default())
        .env("CONTENT_LENGTH", asked.body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", asked.header("content-encoding").unwrap_or_default())
        .env("GIT_PROTOCOL", asked.header("git-protocol").unwrap_or_default())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&asked.body).unwrap();
    let out = child.wait_with_output().unwrap().stdout;
    let Some(end) = out.windows(4).position(|part| part == b"\r\n\r\n") else {
        return said("500 Internal Server Error", "");
    };
    let head = String::from_utf8_lossy(&out[..end]).into_owned();
    let status = if head.contains("Status: 404") { "404 Not Found" } else { "200 OK" };
    let lines = head.split("\r\n").filter(|line| !line.starts_with("Status:"));
    Said(status, lines.map(str::to_owned).collect(), out[end + 4..].to_vec())
}

fn place(site: &Website, more: Value) -> String {
    let mut place = json!({"repo": format!("{}/app", site.url)});
    place.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    at("git", &place)
}

fn credentials() -> Value {
    json!({"usernameSecret": {"name": "keys", "key": "user"},
        "passwordSecret": {"name": "keys", "key": "password"}})
}

#[tokio::test]
async fn a_revision_is_checked_out_however_it_is_called() {
    let host = Host::new(&[]);
    let root = host.path("served");
    let first = repository(&root);
    let site = serve(&root, None);
    let cases = [
        (json!({}), "two", "2"),
        (json!({"revision": "main"}), "two", "2"),
        (json!({"revision": "side"}), "aside", "2"),
        (json!({"revision": "v1"}), "one", "1"),
        (json!({"revision": first}), "one", "1"),
        (json!({"depth": 1}), "two", "1"),
        (json!({"depth": 1, "revision": "side"}), "aside", "1"),
        (json!({"depth": 1, "revision": first}), "one", "1"),
        (json!({"branch": "side", "singleBranch": true}), "aside", "2"),
        (
            json!({"revision": "refs/pull/1/head", "fetch": ["refs/heads/side:refs/pull/1/head"]}),
            "aside",
            "2",
        ),
    ];
    for (number, (more, content, commits)) in cases.into_iter().enumerate() {
        let to = host.path(&format!("out-{number}"));
        let fetched = host.stores.fetch(&place(&site, more.clone()), to.clone()).await;
        assert!(fetched.is_ok(), "{more}: {fetched:?}");
        assert_eq!(std::fs::read_to_string(to.join("file")).unwrap(), content, "{more}");
        assert_eq!(git(&to, &["rev-list", "--count", "HEAD"]), commits, "{more}");
    }
    let told = host.refusal(&place(&site, json!({"revision": "nowhere"}))).await;
    assert!(told.contains("git repository http://127.0.0.1") && told.contains("nowhere"), "{told}");
    assert!(!host.stores.get(&place(&site, json!({}))).await.unwrap().is_empty());
    assert_eq!(std::fs::read_dir(host.path("store/.passing")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_password_reaches_its_server_and_no_file() {
    let host = Host::new(&KEYS);
    let root = host.path("served");
    repository(&root);
    let site = serve(&root, Some(BASIC));
    let to = host.path("out");
    host.stores.fetch(&place(&site, credentials()), to.clone()).await.unwrap();
    assert_eq!(std::fs::read_to_string(to.join("file")).unwrap(), "two");
    for file in listing(&to, "") {
        assert!(!file.contains("pass-word") && !file.contains(&BASIC[6..]), "{file}");
    }
    let told = host.refusal(&place(&site, json!({}))).await;
    assert!(told.contains("terminal prompts disabled") || told.contains("Authentication failed"), "{told}");
    let wrong = at("git", &json!({"repo": "https://ann:pass-word@example.org/app"}));
    let told = host.refusal(&wrong).await;
    assert!(told.contains("passwordSecret") && !told.contains("pass-word"), "{told}");
}

#[tokio::test]
async fn a_submodule_is_fetched_but_nothing_of_this_machine() {
    let host = Host::new(&KEYS);
    let root = host.path("served");
    repository(&root);
    let (guarded, site, other) = (serve(&root, Some(BASIC)), serve(&root, None), serve(&root, None));
    let outer = |name: &str, url: &str| {
        let folder = root.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        git(&folder, &["init", "--quiet"]);
        git(
            &folder,
            &["submodule", "--quiet", "add", "--name", "part", root.join("app").to_str().unwrap(), "part"],
        );
        git(&folder, &["config", "-f", ".gitmodules", "submodule.part.url", url]);
        git(&folder, &["commit", "--quiet", "-a", "-m", "outer"]);
    };
    let fetch = async |site: &Website, name: &str, more: Value| {
        let mut place = json!({"repo": format!("{}/{name}", site.url)});
        place.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let to = host.path(&format!("out-{name}-{}", more.as_object().unwrap().len()));
        host.stores.fetch(&at("git", &place), to.clone()).await.map(|_| to)
    };
    outer("fine", &format!("{}/app", other.url));
    let to = fetch(&guarded, "fine", credentials()).await.unwrap();
    assert_eq!(std::fs::read_to_string(to.join("part/file")).unwrap(), "two");
    assert!(other.count() > 0);
    assert!(other.asked.lock().unwrap().iter().all(|asked| asked.header("authorization").is_none()));

    outer("local", root.join("app").to_str().unwrap());
    let told = fetch(&site, "local", json!({})).await.unwrap_err().to_string();
    assert!(told.contains("transport 'file' not allowed"), "{told}");
    let to = fetch(&site, "local", json!({"disableSubmodules": true})).await.unwrap();
    assert!(!to.join("part/file").exists());
}

#[tokio::test]
async fn what_is_no_repository_over_the_network_is_refused() {
    let host = Host::new(&[]);
    let root = host.path("served");
    repository(&root);
    let canary = host.path("canary");
    let local = root.join("app").display().to_string();
    for repo in [
        local.clone(),
        format!("file://{local}"),
        format!("ext::sh -c touch% {}", canary.display()),
        format!("--upload-pack=touch {}", canary.display()),
        "-oProxyCommand=x:y".into(),
        String::new(),
        "git://example.org/app".into(),
    ] {
        let told = host.refusal(&at("git", &json!({"repo": repo}))).await;
        assert!(told.starts_with("git repository"), "{repo}: {told}");
    }
    let site = serve(&root, None);
    for revision in ["--output=/tmp/x", "-x"] {
        let told = host.refusal(&place(&site, json!({"revision": revision}))).await;
        assert!(told.contains("is no name"), "{told}");
    }
    assert!(!canary.exists());
    let own = Host::with(&[], Settings { local_git: true, ..Settings::default() });
    own.stores.fetch(&at("git", &json!({"repo": local})), own.path("out")).await.unwrap();
}

#[tokio::test]
async fn a_link_out_of_the_repository_is_refused() {
    let host = Host::new(&[]);
    let root = host.path("served");
    repository(&root);
    let folder = root.join("app");
    std::os::unix::fs::symlink("/etc/passwd", folder.join("users")).unwrap();
    git(&folder, &["add", "."]);
    git(&folder, &["commit", "--quiet", "-m", "link"]);
    let site = serve(&root, None);
    let told = host.refusal(&place(&site, json!({}))).await;
    assert!(told.contains("users: the link leads outside"), "{told}");
}
