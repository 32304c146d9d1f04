//! `init`: the program with a `.env` file; and the function, called before the server accepts
//! connections.

use std::process::{Command, Output};

use ebbtide::Database;
use ebbtide_example_shared::RetryPolicy;
use ebbtide_example_shared::testing::{Log, forward, reserved_port, with_port};
use ebbtide_example_techstore::{DatabaseUrl, PoolSettings, Settings, init, open};
use percent_encoding::percent_decode_str;
use sqlx::AssertSqlSafe;
use url::Url;

use super::{HEAD, Outcome};

/// Runs the body, and drops the databases that it created, even if it panics.
async fn with_databases_dropped(
    database: &Database,
    names: [&str; 2],
    body: impl Future<Output = Outcome> + 'static,
) -> Outcome {
    drop_all(database, names).await?;
    let outcome = tokio::task::LocalSet::new()
        .run_until(async { tokio::task::spawn_local(body).await })
        .await;
    drop_all(database, names).await?;
    outcome?
}

async fn drop_all(database: &Database, names: [&str; 2]) -> sqlx::Result<()> {
    for name in names {
        let drop = format!("drop database if exists \"{name}\"");
        sqlx::query(AssertSqlSafe(drop))
            .execute(&database.pool())
            .await?;
    }
    Ok(())
}

/// Database names that no concurrent test uses: they contain the name of this test's database.
fn names(database: &Database) -> [String; 2] {
    let name = format!("techstore_of_{}", database.name());
    [name.clone(), format!("test_{name}")]
}

/// The contents of a `.env` file for the database's server.
fn dot_env(database: &Database, name: &str) -> String {
    let url = Url::parse(database.url()).unwrap();
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().unwrap().into_owned();
    let host = url
        .query_pairs()
        .find(|(name, _)| name == "host")
        .map(|(_, host)| host.into_owned());
    let server = host.unwrap_or_else(|| decoded(url.host_str().unwrap()));
    let port = database.connect_options().get_port();
    let user = decoded(url.username());
    let password = url
        .password()
        .map(|password| format!("POSTGRES_PASSWORD='{}'\n", decoded(password)));
    let password = password.unwrap_or_default();
    format!(
        "{password}POSTGRES_SERVER='{server}'\nPOSTGRES_PORT={port}\nPOSTGRES_USER='{user}'\nPOSTGRES_DB={name}\n"
    )
}

/// Runs the program in a directory with a `.env` file, without any variable that would override
/// the file.
fn techstore(dir: &std::path::Path, command: &str) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_ebbtide-example-techstore"));
    for (name, _) in std::env::vars_os() {
        let is_setting = name
            .to_str()
            .is_some_and(|name| name.starts_with("POSTGRES_") || name.ends_with("DATABASE_URL"));
        if is_setting {
            program.env_remove(name);
        }
    }
    program
        .args(command.split(' '))
        .current_dir(dir)
        .output()
        .unwrap()
}

#[ebbtide::test]
async fn init_creates_both_databases_and_migrates_them(database: Database) -> Outcome {
    let [name, test_name] = names(&database);
    let (dir, lines) = (tempfile::tempdir()?, dot_env(&database, &name));
    let body = {
        let (name, test_name) = (name.clone(), test_name.clone());
        async move {
            std::fs::write(dir.path().join(".env"), lines)?;
            let log_of = |command: &str| {
                let output = techstore(dir.path(), command);
                let log = String::from_utf8(output.stderr).unwrap();
                assert!(output.status.success(), "{log}");
                log
            };
            let first = log_of("init");
            for name in [&name, &test_name] {
                assert!(
                    first.contains(&format!("database {name}: created and migrated, {HEAD}")),
                    "{first}"
                );
            }
            let second = log_of("init");
            for name in [&name, &test_name] {
                assert!(
                    second.contains(&format!(
                        "database {name}: already existed, migrated, {HEAD}"
                    )),
                    "{second}"
                );
            }
            let down = log_of("down 0");
            assert!(
                down.contains("reverted: current none, expected 20250507073000"),
                "{down}"
            );
            let third = log_of("init");
            assert!(
                third.contains(&format!(
                    "database {name}: already existed, migrated, {HEAD}"
                )),
                "{third}"
            );
            Ok(())
        }
    };
    with_databases_dropped(&database, [&name, &test_name], Box::pin(body)).await
}

#[ebbtide::test(migrations = false)]
async fn init_waits_for_a_server_that_accepts_connections_late(database: Database) -> Outcome {
    let [name, _] = names(&database);
    let (socket, port) = reserved_port();
    let url: DatabaseUrl = with_port(port, database.url()).parse()?;
    let mut settings =
        Settings::read(|variable| (variable == "DATABASE_URL").then(|| url.as_str().to_owned()))?;
    settings.test_database = url.with_name(&name);
    let (own, server, test_name) = (
        database.name().to_owned(),
        database.url().to_owned(),
        name.clone(),
    );
    let body = async move {
        let log = Log::default();
        let initialised = tokio::task::spawn_local(
            log.capture(async move { init(&settings, RetryPolicy::default()).await }),
        );
        // The port refuses connections.
        log.wait_for_lines("waiting for the database: ", 2).await;
        let relay = tokio::spawn(forward(socket.listen(16)?, server));
        let [shop, test] = initialised.await??;
        assert_eq!(
            (shop.name, shop.is_new, shop.schema.to_string()),
            (own, false, HEAD.to_owned())
        );
        assert_eq!(
            (test.name, test.is_new, test.schema.to_string()),
            (test_name, true, HEAD.to_owned())
        );
        open(&url, PoolSettings::default(), RetryPolicy::default())
            .await?
            .close()
            .await;
        relay.abort();
        Ok(())
    };
    with_databases_dropped(&database, [&name, &name], Box::pin(body)).await
}
