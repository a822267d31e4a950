//! `tool hmac`: the signature of a body, as webhooks want it.

use clap::Args as ClapArgs;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::{failed, read};
use crate::exit::Failure;

/// The flags.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// Variable that holds the key
    #[arg(long, value_name = "VARIABLE")]
    key_env: String,
    /// Stands before the hex
    #[arg(long, default_value = "sha256=")]
    prefix: String,
    /// File; standard input if absent
    #[arg(default_value = "-")]
    file: String,
}

/// Prints the signature.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let key = std::env::var(&args.key_env)
        .map_err(|_| failed(format!("the variable {} is not set", args.key_env)))?;
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key.as_bytes()).map_err(|error| failed(error.to_string()))?;
    mac.update(&read(&args.file)?);
    println!("{}{}", args.prefix, hex::encode(mac.finalize().into_bytes()));
    Ok(())
}
