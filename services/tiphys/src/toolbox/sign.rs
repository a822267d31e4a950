//! AWS Signature Version 4, for form requests.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use tiphys_core::Timestamp;

/// Who asks.
pub(super) struct Credentials {
    /// Access key id.
    pub(super) key: String,
    /// Secret access key.
    pub(super) secret: String,
    /// Session token, of temporary ones.
    pub(super) session: Option<String>,
}

/// What is signed.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    pub(super) body: &'a str,
    pub(super) service: &'a str,
    pub(super) region: &'a str,
}

/// The headers that a signed request carries.
pub(super) fn headers(
    request: &Request<'_>,
    credentials: &Credentials,
    now: Timestamp,
) -> Vec<(String, String)> {
    let stamp = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    let day = stamp.get(..8).unwrap_or_default().to_owned();
    let payload = hex::encode(Sha256::digest(request.body));
    let mut signed = vec![
        ("host".to_owned(), request.host.to_owned()),
        ("x-amz-content-sha256".to_owned(), payload.clone()),
        ("x-amz-date".to_owned(), stamp.clone()),
    ];
    if let Some(session) = &credentials.session {
        signed.push(("x-amz-security-token".into(), session.clone()));
    }
    let names = signed.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
    let lines: String = signed.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let canonical = format!("{}\n{}\n\n{lines}\n{names}\n{payload}", request.method, request.path);
    let scope = format!("{day}/{}/{}/aws4_request", request.region, request.service);
    let to_sign = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", hex::encode(Sha256::digest(canonical)));
    let mut key = format!("AWS4{}", credentials.secret).into_bytes();
    for part in [day.as_str(), request.region, request.service, "aws4_request"] {
        key = mac(&key, part);
    }
    let signature = hex::encode(mac(&key, &to_sign));
    signed.push((
        "authorization".into(),
        format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            credentials.key
        ),
    ));
    signed
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    // HMAC takes keys of any length.
    Hmac::<Sha256>::new_from_slice(key).map_or_else(
        |_| Vec::new(),
        |mut mac| {
            mac.update(text.as_bytes());
            mac.finalize().into_bytes().to_vec()
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key derivation example of AWS's documentation: secret, date, region and service are theirs.
    #[test]
    fn the_published_signing_key() {
        let mut key = b"AWS4wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_vec();
        for part in ["20150830", "us-east-1", "iam", "aws4_request"] {
            key = mac(&key, part);
        }
        assert_eq!(hex::encode(key), "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9");
    }

    #[test]
    fn a_session_token_is_signed_too() {
        let credentials = Credentials { key: "k".into(), secret: "s".into(), session: Some("t".into()) };
        let request = Request {
            method: "POST",
            host: "h",
            path: "/",
            body: "a=b",
            service: "ec2",
            region: "eu-west-1",
        };
        let headers = headers(&request, &credentials, "2026-01-02T03:04:05Z".parse().unwrap());
        let authorization = &headers.last().unwrap().1;
        assert!(
            authorization.contains("Credential=k/20260102/eu-west-1/ec2/aws4_request"),
            "{authorization}"
        );
        assert!(authorization.contains("x-amz-date;x-amz-security-token,"), "{authorization}");
    }
}
