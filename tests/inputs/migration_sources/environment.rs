//! Variables of libpq that are set for another server must not affect a test run.

use ebbtide::{Harness, TxOptions};

use ebbtide::config::MigrationCommand;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};

use crate::support::child_process::{assert_passed, child_role, native_test_command};
use crate::support::program::{fake_program, has_psql};
use crate::support::{Scratch, this_test};

/// The session's user, and those of its settings that come neither from the server's configuration
/// nor from its command line.
const STATE: &str = "select session_user || ' ' || string_agg(name || '=' || setting, ' ' order by name) as state \
                     from pg_settings where source not in ('default', 'command line', 'configuration file', 'override')";
/// A server that received these options would refuse the session because of the last word.
const OPTIONS: &str = "-c intervalstyle=iso_8601 -c search_path=pg_catalog nonsense";
/// Variables with values that select another server, reject ebbtide's server, or change its
/// sessions.
const HOSTILE: [(&str, &str); 22] = [
    ("PGOPTIONS", OPTIONS),
    ("PGAPPNAME", "another"),
    ("PGCHANNELBINDING", "require"),
    ("PGCLIENTENCODING", "latin1"),
    ("PGDATABASE", "another"),
    ("PGDATESTYLE", "German"),
    ("PGGEQO", "off"),
    ("PGGSSENCMODE", "require"),
    ("PGHOST", "another.invalid"),
    ("PGHOSTADDR", "192.0.2.1"),
    ("PGPASSFILE", "/nowhere"),
    ("PGPASSWORD", "another-secret"),
    ("PGPORT", "1"),
    ("PGREQUIREAUTH", "scram-sha-256"),
    ("PGREQUIREPEER", "another"),
    ("PGSERVICE", "another"),
    ("PGSERVICEFILE", "/nowhere"),
    ("PGSSLMODE", "verify-full"),
    ("PGSSLROOTCERT", "/nowhere"),
    ("PGTARGETSESSIONATTRS", "standby"),
    ("PGTZ", "Asia/Tokyo"),
    ("PGUSER", "another"),
];

async fn state(connection: &mut PgConnection) -> String {
    sqlx::query_scalar(STATE)
        .fetch_one(connection)
        .await
        .unwrap()
}

/// The state of a session of each kind. The first is that of the migration command.
async fn states(harness: &Harness) -> Vec<String> {
    let mut states = Vec::new();
    let mut tx = harness.tx().await.unwrap();
    states.push(
        sqlx::query_scalar("select state from seen")
            .fetch_one(&mut *tx)
            .await
            .unwrap(),
    );
    states.push(state(&mut tx).await);
    tx.close().await.unwrap();
    let mut tx = harness
        .tx_with(TxOptions::new().savepoints())
        .await
        .unwrap();
    states.push(state(&mut tx).await);
    tx.close().await.unwrap();
    let sandbox = harness.sandbox().await.unwrap();
    states.push(state(&mut sandbox.acquire().await.unwrap()).await);
    sandbox.close().await.unwrap();
    let database = harness.database().await.unwrap();
    states.push(state(&mut database.pool().acquire().await.unwrap()).await);
    let options = database.connect_options();
    assert!(!options.to_url_lossy().as_str().contains("another-secret"));
    // An option that the test adds takes effect.
    let mut connection = options
        .options([("work_mem", "8MB")])
        .connect()
        .await
        .unwrap();
    states.push(state(&mut connection).await);
    connection.close().await.unwrap();
    database.close().await.unwrap();
    states
}

#[tokio::test]
async fn variables_for_another_server_affect_neither_sessions_nor_commands() {
    if !has_psql() {
        return;
    }
    if child_role().is_none() {
        let run = |variables: &[(&str, &str)]| {
            let mut child = native_test_command(this_test!());
            for (name, _) in HOSTILE {
                child.env_remove(name);
            }
            let stdout = assert_passed(&child.envs(variables.iter().copied()).output().unwrap());
            let states: Vec<String> = stdout
                .lines()
                .filter(|line| line.contains("STATE "))
                .map(str::to_owned)
                .collect();
            assert_eq!(states.len(), 6, "{stdout}");
            states
        };
        let expected = run(&[]);
        assert_eq!(run(&HOSTILE), expected);
        assert!(expected[5].contains("work_mem=8192"), "{expected:?}");
        return;
    }
    let scratch = Scratch::new();
    fake_program(
        &scratch,
        "db/migrate",
        &format!("psql -X -v ON_ERROR_STOP=1 -c \"create table seen as {STATE}\""),
    );
    let command = MigrationCommand::new(["./migrate"])
        .input(scratch.path("db"))
        .directory(scratch.path("db"));
    let harness = scratch.own_server().migrations(command).build().unwrap();
    for state in states(&harness).await {
        println!("\nSTATE {state}");
    }
}
