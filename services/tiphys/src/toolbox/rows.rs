//! `tool rows`: JSON rows into a table, each once. PostgreSQL where DATABASE_URL is set, else SQLite.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use serde_json::{Map, Value};

use super::{failed, read};
use crate::exit::{Code, Failure};

/// The flags.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// Table; made if there is none
    #[arg(long)]
    table: String,
    /// SQLite file, used where DATABASE_URL is not set
    #[arg(long)]
    sqlite: Option<PathBuf>,
    /// JSON array of objects with `id`, `kind`, `region`, `name` and `data`
    #[arg(default_value = "-")]
    file: String,
}

/// One row.
struct Row {
    id: String,
    kind: String,
    region: String,
    name: String,
    data: String,
}

/// Loads the rows.
pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if args.table.is_empty()
        || !args.table.chars().all(plain)
        || args.table.starts_with(|c: char| c.is_ascii_digit())
    {
        return Err(Failure::new(
            Code::Usage,
            format!("`{}` is no name for a table: a-z, 0-9 and _", args.table),
        ));
    }
    let list: Vec<Map<String, Value>> = serde_json::from_slice(&read(&args.file)?)
        .map_err(|error| failed(format!("{}: {error}", args.file)))?;
    let rows = list.iter().map(row).collect::<Result<Vec<_>, _>>()?;
    let database = std::env::var("DATABASE_URL").ok().filter(|url| !url.is_empty());
    let (where_to, new) = match (database, &args.sqlite) {
        (Some(url), _) => ("PostgreSQL".to_owned(), postgres(&url, &args.table, &rows).await?),
        (None, Some(file)) => (file.display().to_string(), sqlite(file, &args.table, &rows)?),
        (None, None) => return Err(Failure::new(Code::Usage, "set DATABASE_URL, or give --sqlite FILE")),
    };
    println!(
        "{} rows into {} of {where_to}: {new} new, {} seen before",
        rows.len(),
        args.table,
        rows.len() - new
    );
    Ok(())
}

fn row(object: &Map<String, Value>) -> Result<Row, Failure> {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let id = text("id");
    if id.is_empty() {
        return Err(failed("a row has no `id`"));
    }
    let data = object.get("data").map_or_else(|| "{}".into(), Value::to_string);
    Ok(Row { id, kind: text("kind"), region: text("region"), name: text("name"), data })
}

const COLUMNS: &str = "id text primary key, kind text not null, region text not null, name text not null, \
     first_seen timestamp not null default current_timestamp, last_seen timestamp not null default current_timestamp";

/// All rows or none; gives how many were new.
fn sqlite(file: &PathBuf, table: &str, rows: &[Row]) -> Result<usize, Failure> {
    let error = |error: rusqlite::Error| failed(format!("{}: {error}", file.display()));
    let mut database = rusqlite::Connection::open(file).map_err(error)?;
    database.busy_timeout(std::time::Duration::from_secs(30)).map_err(error)?;
    let transaction = database.transaction().map_err(error)?;
    transaction
        .execute_batch(&format!("create table if not exists {table} ({COLUMNS}, data text not null)"))
        .map_err(error)?;
    let count = format!("select count(*) from {table}");
    let before: i64 = transaction.query_row(&count, [], |row| row.get(0)).map_err(error)?;
    for row in rows {
        let sql = format!(
            "insert into {table} (id, kind, region, name, data) values (?1, ?2, ?3, ?4, ?5) on conflict (id) do update \
             set kind = excluded.kind, region = excluded.region, name = excluded.name, data = excluded.data, \
             last_seen = current_timestamp"
        );
        transaction.execute(&sql, [&row.id, &row.kind, &row.region, &row.name, &row.data]).map_err(error)?;
    }
    let after: i64 = transaction.query_row(&count, [], |row| row.get(0)).map_err(error)?;
    transaction.commit().map_err(error)?;
    Ok(usize::try_from(after - before).unwrap_or_default())
}

async fn postgres(url: &str, table: &str, rows: &[Row]) -> Result<usize, Failure> {
    let connecting = tokio_postgres::connect(url, tokio_postgres::NoTls).await;
    // The address may hold a password: it is not shown.
    let (mut client, connection) =
        connecting.map_err(|error| failed(format!("DATABASE_URL: {}", tiphys_core::chain(&error))))?;
    tokio::select! {
        loaded = load(&mut client, table, rows) => loaded.map_err(|error| failed(tiphys_core::chain(&error))),
        ended = connection => Err(failed(match ended {
            Ok(()) => "the database closed the connection".to_owned(),
            Err(error) => tiphys_core::chain(&error),
        })),
    }
}

async fn load(
    client: &mut tokio_postgres::Client,
    table: &str,
    rows: &[Row],
) -> Result<usize, tokio_postgres::Error> {
    let transaction = client.transaction().await?;
    // Of two that start at once, one makes the table.
    transaction.execute("select pg_advisory_xact_lock(hashtext($1))", &[&table]).await?;
    transaction
        .batch_execute(&format!("create table if not exists {table} ({COLUMNS}, data jsonb not null)"))
        .await?;
    let count = format!("select count(*) from {table}");
    let before: i64 = transaction.query_one(&count, &[]).await?.get(0);
    let insert = transaction
        .prepare(&format!(
            "insert into {table} (id, kind, region, name, data) values ($1, $2, $3, $4, ($5::text)::jsonb) on conflict (id) do \
             update set kind = excluded.kind, region = excluded.region, name = excluded.name, data = excluded.data, \
             last_seen = current_timestamp"
        ))
        .await?;
    for row in rows {
        transaction.execute(&insert, &[&row.id, &row.kind, &row.region, &row.name, &row.data]).await?;
    }
    let after: i64 = transaction.query_one(&count, &[]).await?.get(0);
    transaction.commit().await?;
    Ok(usize::try_from(after - before).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_there_once() {
        let file = std::env::temp_dir().join(format!("tiphys-rows-{}.sqlite", std::process::id()));
        let _ = std::fs::remove_file(&file);
        let rows = |name: &str| {
            vec![Row {
                id: "i".into(),
                kind: "k".into(),
                region: "r".into(),
                name: name.into(),
                data: "{}".into(),
            }]
        };
        assert_eq!(sqlite(&file, "assets", &rows("a")).unwrap(), 1);
        assert_eq!(sqlite(&file, "assets", &rows("b'; drop table assets; --")).unwrap(), 0);
        let database = rusqlite::Connection::open(&file).unwrap();
        let name: String = database.query_row("select name from assets", [], |row| row.get(0)).unwrap();
        assert_eq!(name, "b'; drop table assets; --");
        std::fs::remove_file(file).unwrap();
    }
}
