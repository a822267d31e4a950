//! What the `argo` command line sends in its HTTP mode: no content type, selectors as Kubernetes has them, streams
//! that begin with what is there.

use serde_json::{Value, json};
use tiphys_tests::Server;

const TEMPLATE: &str = "
apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: fixed, labels: {team: red}}
spec: {entrypoint: main, templates: [{name: main, suspend: {}}]}
";

/// A request as Argo's client makes it; status and body.
fn argo(server: &Server, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let bearer = format!("Bearer {}", server.token());
    let body = if method == "GET" { String::new() } else { body.to_string() };
    let headers = [("Authorization", bearer.as_str())];
    let answer = server.send(method, &format!("/api/v1{path}"), &headers, body.as_bytes()).unwrap();
    (answer.status, serde_json::from_str(&answer.body).unwrap_or_default())
}

fn suspended() -> Value {
    let spec = json!({"entrypoint": "main", "templates": [
        {"name": "main", "suspend": {}, "outputs": {"parameters": [{"name": "answer", "valueFrom": {"supplied": {}}}]}}]});
    json!({"metadata": {"generateName": "held-", "creationTimestamp": null, "labels": {"a": "1"}}, "spec": spec,
           "status": {"startedAt": null}})
}

#[test]
fn workflows_as_argo_asks_for_them() {
    let server = Server::on(TEMPLATE);
    for path in ["/info", "/version", "/userinfo"] {
        assert_eq!(argo(&server, "GET", path, &json!({})).0, 200, "{path}");
    }
    let create = |body: &Value| argo(&server, "POST", "/workflows/default", body);
    let (status, dry) = create(&json!({"workflow": suspended(), "serverDryRun": true}));
    assert_eq!((status, dry["kind"].as_str()), (200, Some("Workflow")));
    let list = |query: &str| argo(&server, "GET", &format!("/workflows/default?{query}"), &json!({}));
    assert_eq!(list("").1["items"], json!([]), "a dry run leaves nothing");
    let (status, held) = create(&json!({"namespace": "default", "workflow": suspended()}));
    assert_eq!(status, 200, "{held}");
    let name = held["metadata"]["name"].as_str().unwrap().to_owned();
    for (query, count) in [
        ("listOptions.labelSelector=workflows.argoproj.io%2Fphase%20in%20%28Running%2CPending%29", 1),
        ("listOptions.labelSelector=workflows.argoproj.io%2Fcompleted%3Dtrue", 0),
        ("listOptions.labelSelector=%21a", 0),
    ] {
        assert_eq!(list(query).1["items"].as_array().unwrap().len(), count, "{query}");
    }
    let (status, refused) = list("listOptions.labelSelector=a%20of%20b");
    assert_eq!((status, refused["code"].as_u64()), (400, Some(3)), "{refused}");
    let latest = argo(&server, "GET", "/workflows/default/@latest", &json!({})).1;
    assert_eq!(latest["metadata"]["name"], name.as_str());

    let put =
        |verb: &str, body: &Value| argo(&server, "PUT", &format!("/workflows/default/{name}/{verb}"), body);
    tiphys_tests::until("the suspended node", || {
        let workflow = argo(&server, "GET", &format!("/workflows/default/{name}"), &json!({})).1;
        (workflow["status"]["phase"] == "Running" && workflow["status"]["nodes"] != json!({})).then_some(())
    });
    assert_eq!(put("set", &json!({"phase": "Failed"})).0, 501);
    let values =
        json!({"outputParameters": "{\"answer\":\"yes\"}", "nodeFieldSelector": "templateName=main"});
    assert_eq!(put("set", &values).0, 200);
    assert_eq!(put("resume", &json!({"namespace": "default"})).0, 200);
    let ended = server.ended(1);
    assert!(ended[0]["status"].to_string().contains("\"yes\""), "{}", ended[0]);
    assert_eq!(put("resume", &json!({})).0, 409);
    assert_eq!(put("retry", &json!({"parameters": ["a=b"]})).0, 501);
    assert_eq!(put("resubmit", &json!({"memoized": true})).0, 501);
    let (status, refused) = put("nothing", &json!({}));
    assert_eq!((status, refused["code"].as_u64()), (404, Some(5)));
    assert_eq!(argo(&server, "DELETE", &format!("/workflows/default/{name}"), &json!({})).0, 200);
}

#[test]
fn a_watch_begins_with_what_is_there() {
    let server = Server::on(TEMPLATE);
    let (_, held) = argo(&server, "POST", "/workflows/default", &json!({"workflow": suspended()}));
    let name = held["metadata"]["name"].as_str().unwrap().to_owned();
    let path = format!(
        "/api/v1/workflow-events/default?listOptions.fieldSelector=metadata.name%3D{name}&listOptions.resourceVersion=0"
    );
    let first = server.first_line(&path, "data: ").unwrap();
    let first: Value = serde_json::from_str(&first).unwrap();
    assert_eq!(first["result"]["type"], "ADDED");
    assert_eq!(first["result"]["object"]["metadata"]["name"], name.as_str());
}

#[test]
fn templates_and_crons_as_argo_asks_for_them() {
    let server = Server::on(TEMPLATE);
    let get = |path: &str| argo(&server, "GET", path, &json!({}));
    let items = |path: &str| get(path).1["items"].as_array().unwrap().len();
    assert_eq!(items("/workflow-templates/default"), 1);
    assert_eq!(items("/workflow-templates/default?listOptions.labelSelector=team%3Dblue"), 0);
    assert_eq!(items("/workflow-templates/other"), 0);
    assert_eq!(items("/workflow-templates/"), 1);
    assert_eq!(get("/workflow-templates/default/fixed").1["metadata"]["labels"]["team"], "red");
    assert_eq!(get("/workflow-templates/default/none").0, 404);

    let spec = json!({"entrypoint": "main", "templates": [{"name": "main", "suspend": {}}]});
    let mut template = json!({"metadata": {"name": "made", "creationTimestamp": null}, "spec": spec});
    let given = |template: &Value| json!({"namespace": "default", "template": template});
    let lint = |body: &Value| argo(&server, "POST", "/workflow-templates/default/lint", body).0;
    assert_eq!(lint(&given(&template)), 200);
    assert_eq!(lint(&given(&json!({"metadata": {"name": "made"}, "spec": {"templates": 5}}))), 400);
    let create = |body: &Value| argo(&server, "POST", "/workflow-templates/default", body).0;
    assert_eq!(create(&given(&template)), 200);
    assert_eq!(create(&given(&template)), 409);
    template["spec"]["entrypoint"] = "other".into();
    template["spec"]["templates"][0]["name"] = "other".into();
    let put = |name: &str, body: &Value| {
        argo(&server, "PUT", &format!("/workflow-templates/default/{name}"), body).0
    };
    assert_eq!(put("made", &given(&template)), 200);
    assert_eq!(
        get("/workflow-templates/default/made").1["spec"]["entrypoint"],
        "other",
        "it is there at once"
    );
    template["metadata"]["name"] = "fixed".into();
    assert_eq!(put("fixed", &given(&template)), 409, "it stands in a file");
    let submit =
        json!({"resourceKind": "wftmpl", "resourceName": "made", "submitOptions": {"labels": "x=y"}});
    let (status, made) = argo(&server, "POST", "/workflows/default/submit", &submit);
    assert_eq!((status, made["metadata"]["labels"]["x"].as_str()), (200, Some("y")), "{made}");
    assert_eq!(argo(&server, "DELETE", "/workflow-templates/default/made", &json!({})).0, 200);

    let cron =
        json!({"metadata": {"name": "daily"}, "spec": {"schedule": "0 6 * * *", "workflowSpec": spec}});
    let body = json!({"cronWorkflow": cron});
    assert_eq!(argo(&server, "POST", "/cron-workflows/default", &body).0, 200);
    let verb =
        |verb: &str| argo(&server, "PUT", &format!("/cron-workflows/default/daily/{verb}"), &json!({}));
    assert_eq!(verb("suspend").1["spec"]["suspend"], true);
    assert_eq!(get("/cron-workflows/default/daily").1["spec"]["suspend"], true);
    assert_eq!(verb("resume").1["spec"]["suspend"], false);
    let cluster = json!({"template": {"metadata": {"name": "wide"}, "spec": spec}});
    assert_eq!(argo(&server, "POST", "/cluster-workflow-templates", &cluster).0, 200);
    assert_eq!(items("/cluster-workflow-templates"), 1);
}
