//! `tool http`: one request. What is secret in a header is named by a variable, so that no list of processes
//! shows it.

use std::time::Duration;

use clap::Args as ClapArgs;
use reqwest::Method;

use super::{failed, read};
use crate::exit::Failure;

/// The flags; curl's where it has them.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// Method; POST where there is data, else GET
    #[arg(short = 'X', long)]
    request: Option<Method>,
    /// Header, `Name: value`
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    headers: Vec<String>,
    /// Header whose value is in a variable, `Name=VARIABLE`
    #[arg(long, value_name = "NAME=VARIABLE")]
    header_env: Vec<String>,
    /// Body: text, or @FILE (@- is standard input)
    #[arg(short = 'd', long = "body")]
    body: Option<String>,
    /// Write the answer here
    #[arg(long)]
    out: Option<std::path::PathBuf>,
    /// Further attempts after 5xx, 429, 408 and broken connections
    #[arg(long, default_value_t = 0)]
    retry: u32,
    /// An answer larger than this is refused
    #[arg(long, default_value_t = 64 << 20)]
    max_bytes: usize,
    /// Address
    url: String,
}

/// Makes the request; fails on anything but 2xx.
pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(60))
        .user_agent(concat!("tiphys/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| failed(format!("http client: {error}")))?;
    let mut attempt = 0;
    loop {
        match once(args, &client).await {
            Err((true, _)) if attempt < args.retry => {
                attempt += 1;
                tokio::time::sleep(Duration::from_millis(250 << attempt.min(6))).await;
            }
            Err((_, failure)) => return Err(failure),
            Ok(body) => return write(args, &body),
        }
    }
}

fn write(args: &Args, body: &[u8]) -> Result<(), Failure> {
    use std::io::Write as _;
    match &args.out {
        Some(file) => std::fs::write(file, body)?,
        None => std::io::stdout().write_all(body)?,
    }
    Ok(())
}

/// The body, or whether it is worth another attempt.
async fn once(args: &Args, client: &reqwest::Client) -> Result<Vec<u8>, (bool, Failure)> {
    let request = build(args, client).map_err(|failure| (false, failure))?;
    let mut answer = request.send().await.map_err(|error| {
        (true, failed(format!("{}: {}", args.url, tiphys_core::chain(&error.without_url()))))
    })?;
    let status = answer.status();
    let mut body = Vec::new();
    loop {
        let chunk = answer.chunk().await.map_err(|error| (true, failed(tiphys_core::chain(&error))))?;
        let Some(chunk) = chunk else { break };
        if body.len() + chunk.len() > args.max_bytes {
            return Err((
                false,
                failed(format!("{}: the answer is larger than {} bytes", args.url, args.max_bytes)),
            ));
        }
        body.extend_from_slice(&chunk);
    }
    if status.is_success() {
        return Ok(body);
    }
    let again = status.is_server_error() || matches!(status.as_u16(), 408 | 429);
    Err((again, failed(format!("{} was answered {status}", args.url))))
}

fn build(args: &Args, client: &reqwest::Client) -> Result<reqwest::RequestBuilder, Failure> {
    let method = match (&args.request, &args.body) {
        (Some(method), _) => method.clone(),
        (None, Some(_)) => Method::POST,
        (None, None) => Method::GET,
    };
    let mut request = client.request(method, &args.url);
    for header in &args.headers {
        let (name, value) = header
            .split_once(':')
            .ok_or_else(|| failed(format!("`{header}` is not of the form `Name: value`")))?;
        request = request.header(name.trim(), value.trim());
    }
    for header in &args.header_env {
        let (name, variable) = header
            .split_once('=')
            .ok_or_else(|| failed(format!("`{header}` is not of the form NAME=VARIABLE")))?;
        let value =
            std::env::var(variable).map_err(|_| failed(format!("the variable {variable} is not set")))?;
        request = request.header(name, value);
    }
    Ok(match &args.body {
        None => request,
        Some(data) => match data.strip_prefix('@') {
            Some(file) => request.body(read(file)?),
            None => request.body(data.clone()),
        },
    })
}
