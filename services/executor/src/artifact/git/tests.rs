use super::*;

#[test]
fn ssh_is_told_whom_to_trust_and_by_which_key() {
    let key = held(&SecretString::from("-----BEGIN KEY-----\nabc\n-----END KEY-----")).unwrap();
    let command = ssh(Some(&key), false);
    assert!(command.contains("StrictHostKeyChecking=yes") && command.contains("-F /dev/null"), "{command}");
    let path = command.rsplit(' ').next().unwrap();
    assert_eq!(std::fs::read_to_string(path).unwrap(), "-----BEGIN KEY-----\nabc\n-----END KEY-----\n");
    assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(ssh(None, true).contains("StrictHostKeyChecking=no"));
}

#[test]
fn a_server_is_known_by_scheme_and_host() {
    assert_eq!(origin("https://ann@example.org:8443/a/b").as_deref(), Some("https://example.org:8443"));
    assert_eq!(origin("git@example.org:a/b"), None);
    assert_eq!(origin("ssh://git@example.org/a"), None);
}
