use serde_json::json;

use super::*;

#[test]
fn a_location_is_one_text_and_comes_back() {
    let written = json!({"endpoint": "minio:9000", "bucket": "b", "key": "a/b", "insecure": true,
        "accessKeySecret": {"name": "keys", "key": "id"}, "region": null, "useSDKCreds": false});
    let place = Place::of("s3", &written).unwrap();
    let location = Location { namespace: "team".into(), place };
    let text = location.text().unwrap();
    assert!(
        text.starts_with(r#"{"namespace":"team","s3":{"endpoint":"minio:9000","bucket":"b","key":"a/b""#)
    );
    assert_eq!(Location::read(&text).unwrap(), Some(location));
    assert_eq!(Location::read("team/wf/pod/a.tgz").unwrap(), None);
    assert!(Location::read("{\"namespace\":\"x\"}").is_err());
}

#[test]
fn what_is_not_supported_is_named() {
    let refused = |kind, value| Place::of(kind, &value).unwrap_err();
    let role = refused("s3", json!({"bucket": "b", "roleARN": "arn:aws:iam::1:role/x"}));
    assert!(role.contains("`s3.roleARN` is not supported") && role.contains("sessionTokenSecret"), "{role}");
    assert!(refused("oss", json!({"key": "k"})).contains("S3 endpoint"));
    assert!(refused("hdfs", json!({"path": "/p"})).contains("WebHDFS"));
    assert!(refused("git", json!({"repo": "r", "depth": "x"})).starts_with("git: "));
}
