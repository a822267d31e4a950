//! Where requests for artifacts may not go: to link-local addresses, where clouds hand out the machine's own
//! credentials. Whoever writes a workflow names a URL, and the executor asks it.

use std::net::{IpAddr, SocketAddr};

use object_store::client::{DnsFuture, DnsResolver};
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Resolves names, and passes over link-local addresses.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Guarded;

/// Whether an address is link-local.
const fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => v4.is_link_local(),
            // AWS answers at a unique local one.
            None => v6.is_unicast_link_local() || matches!(v6.segments(), [0xfd00, 0x0ec2, ..]),
        },
    }
}

/// Refuses a URL whose host is such an address; names are looked at when they are resolved.
pub(super) fn check(url: &Url) -> Result<(), String> {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(address) if is_link_local(address) => {
            Err(format!("{host} is a link-local address, where no artifact is fetched from or sent to"))
        }
        _ => Ok(()),
    }
}

async fn resolve(host: String) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
    let all = tokio::net::lookup_host((host.as_str(), 0)).await?;
    let kept: Vec<_> = all.filter(|address| !is_link_local(address.ip())).collect();
    if kept.is_empty() {
        return Err(format!("{host} has no address that may be asked").into());
    }
    Ok(kept)
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        Box::pin(async move { Ok(Box::new(resolve(host).await?.into_iter()) as Addrs) })
    }
}

impl DnsResolver for Guarded {
    fn resolve(&self, host: &str) -> DnsFuture {
        let host = host.to_owned();
        Box::pin(async move { Ok(resolve(host).await?.into_iter().map(|address| address.ip()).collect()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_clouds_hand_out_credentials_is_not_asked() {
        for url in [
            "http://169.254.169.254/latest/meta-data",
            "http://[fe80::1]/",
            "http://[::ffff:169.254.169.254]/",
            "http://[fd00:ec2::254]/",
            "http://0xa9fea9fe/",
            "http://2852039166/",
        ] {
            assert!(check(&url.parse().unwrap()).is_err(), "{url}");
        }
        for url in ["https://example.org/x", "http://10.0.0.1:9000/", "http://127.0.0.1/", "http://[::1]/"] {
            assert_eq!(check(&url.parse().unwrap()), Ok(()), "{url}");
        }
    }

    #[tokio::test]
    async fn a_name_of_such_an_address_is_not_asked_either() {
        assert!(resolve("169.254.169.254".into()).await.is_err());
        assert!(!resolve("localhost".into()).await.unwrap().is_empty());
    }
}
