//! asset-inventory: cloud assets into a database, twice a day without double rows.

use std::fs;

use tiphys_tests::{Server, others, root};

fn run(server: &Server) {
    server.ok(&["cron", "run", "asset-inventory", "--wait"]);
}

#[test]
fn the_recorded_fixture_goes_into_sqlite_without_double_rows() {
    let server = Server::start(&root().join("examples/asset-inventory"));
    run(&server);
    run(&server);
    let file = server.data().join("shared/inventory.sqlite");
    let database = rusqlite::Connection::open(file).unwrap();
    let (rows, ids): (i64, i64) = database
        .query_row("select count(*), count(distinct id) from assets", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert!(rows > 3, "{rows}");
    assert_eq!(rows, ids);
    let workflow = &server.workflows()[0];
    let text = workflow.to_string();
    let secrets = ["aws_secret_access_key", "secret-access-key"];
    let manifests = fs::read_dir(root().join("examples/asset-inventory")).unwrap().flatten();
    for manifest in
        manifests.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "yaml"))
    {
        for line in fs::read_to_string(manifest).unwrap().lines() {
            let Some((key, value)) = line.split_once(':') else { continue };
            let value = value.trim().trim_matches('"');
            if secrets.contains(&key.trim().to_ascii_lowercase().as_str()) && !value.is_empty() {
                assert!(!text.contains(value), "the secret key is in the workflow");
                assert!(!server.log().contains(value), "the secret key is in the log");
            }
        }
    }
}

#[test]
fn an_aws_compatible_api_goes_into_postgresql() {
    let (Some(aws), Some(database)) = (others::moto(), others::postgres()) else { return };
    let environment = [("DATABASE_URL", database.url.as_str())];
    let server = Server::with(&root().join("examples/asset-inventory"), &[], &environment);
    let seed = std::process::Command::new(tiphys_tests::binary())
        .args(["tool", "http", "-X", "PUT", &format!("{}/evidence-bucket", aws.url())])
        .output()
        .unwrap();
    assert!(seed.status.success(), "{}", String::from_utf8_lossy(&seed.stderr));
    let endpoint = format!("aws-endpoint={}", aws.url());
    for _ in 0..2 {
        server.ok(&["submit", "--from", "cronwf/asset-inventory", "-p", &endpoint, "--wait"]);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (rows, ids, buckets) = runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(&database.url, tokio_postgres::NoTls).await.unwrap();
        let query = async {
            let row = client
                .query_one("select count(*), count(distinct id), count(*) filter (where kind like '%bucket%') from assets", &[])
                .await
                .unwrap();
            (row.get::<_, i64>(0), row.get::<_, i64>(1), row.get::<_, i64>(2))
        };
        tokio::select! {
            found = query => found,
            ended = connection => panic!("the connection ended: {ended:?}"),
        }
    });
    assert_eq!(rows, ids);
    assert_eq!(buckets, 1);
}
