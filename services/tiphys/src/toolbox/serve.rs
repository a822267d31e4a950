//! `tool serve`: the files of a folder on loopback, for fixtures. `/a/b` is the file `a/b`, or `a/b.json`.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use clap::Args as ClapArgs;
use http::{StatusCode, Uri, header};
use tiphys_kit::CancellationToken;

use super::failed;
use crate::exit::Failure;

/// The flags.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// Folder
    dir: PathBuf,
    /// Port; 0 picks one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The address is written here once it listens
    #[arg(long)]
    address_file: Option<PathBuf>,
}

/// Serves until a signal.
pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let root = args.dir.canonicalize().map_err(|error| failed(format!("{}: {error}", args.dir.display())))?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", args.port)).await?;
    let address = format!("http://{}", listener.local_addr()?);
    if let Some(file) = &args.address_file {
        let fresh = file.with_extension("new");
        std::fs::write(&fresh, &address)?;
        std::fs::rename(&fresh, file)?;
    }
    eprintln!("serving {} at {address}", root.display());
    let router = Router::new().fallback(file).with_state(Arc::new(root));
    let stop = CancellationToken::new();
    let serving = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
    tokio::select! {
        ended = serving => Ok(ended?),
        signal = tiphys_kit::signal::watch(stop.clone(), CancellationToken::new()) => Ok(signal?),
        () = stop.cancelled() => Ok(()),
    }
}

async fn file(State(root): State<Arc<PathBuf>>, uri: Uri) -> Response {
    let Some(path) = below(&root, uri.path()) else {
        return (StatusCode::NOT_FOUND, "not found\n").into_response();
    };
    let json = path.extension().is_some_and(|extension| extension == "json");
    match std::fs::read(&path) {
        Ok(content) => {
            let kind = if json { "application/json" } else { "application/octet-stream" };
            ([(header::CONTENT_TYPE, kind)], content).into_response()
        }
        Err(_) => (StatusCode::NOT_FOUND, "not found\n").into_response(),
    }
}

/// The file that a path means; never one outside the folder.
fn below(root: &Path, path: &str) -> Option<PathBuf> {
    let relative = Path::new(path.trim_start_matches('/'));
    if relative.components().any(|part| !matches!(part, Component::Normal(_))) {
        return None;
    }
    let plain = root.join(relative);
    let with_json = root.join(format!("{}.json", relative.display()));
    let found = [plain, with_json].into_iter().find(|file| file.is_file())?.canonicalize().ok()?;
    found.starts_with(root).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_the_folder_is_served() {
        let root = std::env::temp_dir().join(format!("tiphys-serve-{}", std::process::id()));
        std::fs::create_dir_all(root.join("in")).unwrap();
        std::fs::write(root.join("in/a.json"), "{}").unwrap();
        let root = root.canonicalize().unwrap();
        std::os::unix::fs::symlink("/etc/hostname", root.join("in/out")).unwrap();
        assert!(below(&root, "/in/a").is_some());
        assert!(below(&root, "/in/a.json").is_some());
        for bad in ["/../etc/passwd", "/in/../../x", "/in/out", "//etc/hostname", "/none"] {
            assert_eq!(below(&root, bad), None, "{bad}");
        }
        std::fs::remove_dir_all(root).unwrap();
    }
}
