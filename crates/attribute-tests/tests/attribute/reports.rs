//! The report of a failed test.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ebbtide::{Database, Sandbox, Tx};
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{AssertSqlSafe, Connection as _};

use crate::child_process::{ChildOutput, is_child, run_in_child, run_in_child_with, this_test};
use crate::skip::skip_test;
use crate::support::{add, session};

/// Asserts a report. Filters replace what differs between runs and between servers.
macro_rules! assert_report {
    ($output:expr, @$report:literal) => {{
        let report = report($output.assert_failed());
        assert!(report.lines().count() < 40, "{report}");
        let mut settings = insta::Settings::clone_current();
        settings.add_filter(r"ebbtide_[lk]_\w+", "[DATABASE]");
        settings.add_filter(r"PostgreSQL [^(\n]*\(\w+\)", "PostgreSQL [VERSION] ([BACKEND])");
        settings.add_filter(r"[Pp]rocess \d+", "process [PID]");
        settings.add_filter(r"transaction \d+", "transaction [XID]");
        settings.add_filter(r"(tuple \(\d+,\d+\)|relation \d+) of (relation|database) \d+", "[OBJECT]");
        settings.add_filter(r"waited \d+\.\d s", "waited [TIME]");
        settings.add_filter(r"(?m)^  the server's log ends:\n(?:    .*\n)+", "  the server's log ends:\n    [LOG]\n");
        settings.add_filter("error communicating with database: .*", "[THE DRIVER'S WORDS]");
        settings.add_filter(r"'postgres://[^']*'", "'[URL]'");
        settings.bind(|| insta::assert_snapshot!(report, @$report));
    }};
}

/// The report alone, without the output of the test and of the panic around it.
fn report(output: &ChildOutput) -> String {
    let stderr = output.stderr();
    let lines = stderr
        .lines()
        .skip_while(|line| !line.starts_with("ebbtide: test ") || !line.ends_with(" failed"));
    lines
        .take_while(|line| line.starts_with("  ") || line.starts_with("ebbtide: "))
        .collect::<Vec<_>>()
        .join("\n")
}

async fn run(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .unwrap();
}

#[test]
fn a_unique_violation_is_explained() {
    #[ebbtide::test(fixtures("laura"))]
    async fn subject(mut tx: Tx) {
        add(&mut *tx, "Laura").await;
    }
    let Some(output) = run_in_child(this_test!(), subject) else {
        return;
    };
    assert_report!(output, @r#"
    ebbtide: test reports::subject failed
      it had a Tx: [DATABASE] on PostgreSQL [VERSION] ([BACKEND])
      the server refused:
        23505 duplicate key value violates unique constraint "customers_name_key"
          detail: Key (name)=(Laura) already exists.
          statement: insert into customers (name) values ($1) returning id
          help: the row is there already: from a seed, a fixture, or an earlier statement of this test; other tests' rows are never seen
    "#);
}

#[test]
fn an_aborted_transaction_is_reported_with_the_error_that_aborted_it() {
    #[ebbtide::test]
    async fn subject(mut tx: Tx) {
        // The code under test ignores its error and continues.
        let _ = sqlx::query("insert into services (name) values ('cut')")
            .execute(&mut *tx)
            .await;
        let _ = sqlx::query("select 1").execute(&mut *tx).await;
        add(&mut *tx, "Laura").await;
    }
    let Some(output) = run_in_child(this_test!(), subject) else {
        return;
    };
    assert_report!(output, @r#"
    ebbtide: test reports::subject failed
      it had a Tx: [DATABASE] on PostgreSQL [VERSION] ([BACKEND])
      the server refused:
        23505 duplicate key value violates unique constraint "services_pkey"
          detail: Key (name)=(cut) already exists.
          statement: insert into services (name) values ('cut')
          help: the row is there already: from a seed, a fixture, or an earlier statement of this test; other tests' rows are never seen
        25P02 current transaction is aborted, commands ignored until end of transaction block (2 times)
          statement: select 1
          help: an earlier statement failed: fix the first error; if the code continues after an error on purpose, use `tx.begin()`, `savepoints` or a `Sandbox`
    "#);
}

#[test]
fn a_missing_table_is_explained() {
    #[ebbtide::test]
    async fn subject(pool: PgPool) -> Result<(), sqlx::Error> {
        sqlx::query("select * from invoices")
            .fetch_all(&pool)
            .await
            .map(drop)
    }
    if is_child() {
        subject().unwrap();
        return;
    }
    let Some(output) = run_in_child(this_test!(), || ()) else {
        return;
    };
    assert_report!(output, @r#"
    ebbtide: test reports::subject failed
      it had a Database: [DATABASE] on PostgreSQL [VERSION] ([BACKEND])
      the server refused:
        42P01 relation "invoices" does not exist at character 15
          statement: select * from invoices
          help: no migration, seed or fixture of this test has created it: is its name misspelt, or its schema not on the search_path?
    "#);
}

#[test]
fn the_use_of_a_new_enum_value_before_its_commit_is_explained() {
    #[ebbtide::test]
    async fn subject(mut tx: Tx) {
        run(&mut tx, "alter type mood add value 'angry'").await;
        run(&mut tx, "select 'angry'::mood").await;
    }
    let Some(output) = run_in_child(this_test!(), subject) else {
        return;
    };
    assert_report!(output, @r#"
    ebbtide: test reports::subject failed
      it had a Tx: [DATABASE] on PostgreSQL [VERSION] ([BACKEND])
      the server refused:
        55P04 unsafe use of new value "angry" of enum type mood at character 8
          hint: New enum values must be committed before they can be used.
          statement: select 'angry'::mood
          help: a new value of an enum can be used only after a commit: add it in a migration, or give the test an `ebbtide::Database`
    "#);
}

#[test]
fn the_concurrent_creation_of_an_index_is_explained() {
    #[ebbtide::test]
    async fn subject(mut tx: Tx) {
        run(&mut tx, "create index concurrently on customers (name)").await;
    }
    let Some(output) = run_in_child(this_test!(), subject) else {
        return;
    };
    assert_report!(output, @r"
    ebbtide: test reports::subject failed
      it had a Tx: [DATABASE] on PostgreSQL [VERSION] ([BACKEND])
      the server refused:
        25001 CREATE INDEX CONCURRENTLY cannot run inside a transaction block
          statement: create index concurrently on customers (name)
          help: this statement must run outside a transaction, and the whole test runs inside one: give the test an `ebbtide::Database`
    ");
}

#[test]
fn a_second_connection_of_a_sandbox_is_explained() {
    #[ebbtide::test]
    async fn subject(sandbox: Sandbox) {
        let _first = sandbox.begin().await.unwrap();
        add(&*sandbox, "Laura").await;
    }
    let Some(output) = run_in_child(this_test!(), subject) else {
        return;
    };
    assert_report!(output.assert_contains("let the test take an `ebbtide::Database`, which allows several connections"), @r"
    ebbtide: test reports::subject failed
      it had a Sandbox: [DATABASE] on PostgreSQL [VERSION] ([BACKEND])
      the server refused nothing
    ");
}

#[test]
fn a_deadlock_is_explained() {
    #[ebbtide::test(fixtures("laura"))]
    async fn subject(database: Database) {
        let pool = database.pool();
        let (mut one, mut two) = (pool.begin().await.unwrap(), pool.begin().await.unwrap());
        run(&mut one, "update customers set name = name || '!'").await;
        run(&mut two, "update services set name = name || '!'").await;
        // The shorter timeout makes this session the one that detects the deadlock and fails.
        run(&mut two, "set local deadlock_timeout = '300ms'").await;
        let first = tokio::spawn(async move {
            let crossing = sqlx::query("update services set name = name || '?'");
            crossing.execute(&mut *one).await.map(drop)
        });
        let second = sqlx::query("update customers set name = name || '?'")
            .execute(&mut *two)
            .await
            .map(drop);
        // The rollback of the failed transaction releases its locks, and the other one continues.
        drop(two);
        first.await.unwrap().and(second).unwrap();
    }
    let Some(output) = run_in_child(this_test!(), subject) else {
        return;
    };
    assert_report!(output, @r"
    ebbtide: test reports::subject failed
      it had a Database: [DATABASE] on PostgreSQL [VERSION] ([BACKEND])
      the server refused:
        40P01 deadlock detected
          detail: process [PID] waits for ShareLock on transaction [XID]; blocked by process [PID].
            process [PID] waits for ShareLock on transaction [XID]; blocked by process [PID].
            process [PID]: update customers set name = name || '?'
            process [PID]: update services set name = name || '?'
          hint: See server log for query details.
          statement: update customers set name = name || '?'
          help: two sessions waited for each other's locks: take locks in the same order everywhere, or retry the transaction that failed
    ");
}

/// A configuration for a dedicated server, in a temporary directory.
struct DedicatedServer {
    dir: PathBuf,
}

impl DedicatedServer {
    fn new(name: &str, settings: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("ebbtide-test-{}-{name}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        // If the tests run as root, the server's user must be able to traverse the directory.
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).unwrap();
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let (migrations, seeds) = (package.join("migrations"), package.join("seeds"));
        let configuration = format!(
            "[server]\nbackend = \"native\"\nlinger = \"0s\"\nsettings = {{ {settings} }}\n\
             [provision]\nmigrations = \"{}\"\nseeds = \"{}\"\n",
            migrations.display(),
            seeds.display()
        );
        std::fs::write(dir.join("ebbtide.toml"), configuration).unwrap();
        Self { dir }
    }

    /// Runs a test in a child process on this server. Returns `None` in the child, and also if the
    /// machine has no PostgreSQL binaries.
    fn run_in_child(&self, test: &str) -> Option<ChildOutput> {
        let (configuration, state) = (self.dir.join("ebbtide.toml"), self.dir.join("state"));
        let variables = [
            ("EBBTIDE_CONFIG", configuration.to_str().unwrap()),
            ("EBBTIDE_STATE_DIR", state.to_str().unwrap()),
            ("EBBTIDE_BACKEND", "native"),
        ];
        let output = run_in_child_with(&variables, test, || ())?;
        if output.stderr().contains("no PostgreSQL server binaries") {
            skip_test(
                test,
                "native",
                "no PostgreSQL binaries to start a server from",
            );
            return None;
        }
        Some(output)
    }
}

impl Drop for DedicatedServer {
    fn drop(&mut self) {
        let servers = self.dir.join("state/servers");
        let deadline = Instant::now() + Duration::from_mins(1);
        while std::fs::read_dir(&servers).is_ok_and(|mut left| left.next().is_some())
            && Instant::now() < deadline
        {
            std::thread::sleep(Duration::from_millis(20));
        }
        let removed = std::fs::remove_dir_all(&self.dir);
        assert!(removed.is_ok() || std::thread::panicking(), "{removed:?}");
    }
}

#[test]
fn a_killed_server_is_explained() {
    #[ebbtide::test]
    async fn subject(mut tx: Tx) {
        let backend = session(&mut *tx).await;
        let status = std::fs::read_to_string(format!("/proc/{backend}/status")).unwrap();
        let parent = status
            .lines()
            .find_map(|line| line.strip_prefix("PPid:"))
            .unwrap()
            .trim();
        assert!(
            Command::new("kill")
                .args(["-KILL", parent])
                .status()
                .unwrap()
                .success()
        );
        // A session ends when it detects that the postmaster has exited.
        while sqlx::query("select 1").execute(&mut *tx).await.is_ok() {}
        add(&mut *tx, "Laura").await;
    }
    if is_child() {
        return subject();
    }
    let server = DedicatedServer::new("killed", "");
    let Some(output) = server.run_in_child(this_test!()) else {
        return;
    };
    assert_report!(output, @r"
    ebbtide: test reports::subject failed
      it had a Tx: [DATABASE] on PostgreSQL [VERSION] ([BACKEND])
      the server refused:
        57P01 terminating connection due to unexpected postmaster exit
          help: the server's main process has ended: it was killed, perhaps by the system when memory ran out
    ebbtide: at the end of the test: the PostgreSQL server was lost while it was in use
      caused by: closing the test's transaction failed: [THE DRIVER'S WORDS]
      the server's log ends:
        [LOG]
      help: run the tests again: the next run starts a new server
    ");
}

#[test]
fn a_server_without_free_connections_is_explained() {
    #[ebbtide::test]
    async fn subject(database: Database) {
        let mut connections = Vec::new();
        for _ in 0..20 {
            connections.push(
                PgConnection::connect_with(&database.connect_options())
                    .await
                    .unwrap(),
            );
        }
    }
    if is_child() {
        return subject();
    }
    let server = DedicatedServer::new("crowded", "max_connections = 12");
    let Some(output) = server.run_in_child(this_test!()) else {
        return;
    };
    assert_report!(output, @r"
    ebbtide: test reports::subject failed
      it had a Database: [DATABASE] on PostgreSQL [VERSION] ([BACKEND])
      the server refused:
        53300 sorry, too many clients already
          help: close pools that the test opens, limit their connections, run fewer tests at once, or raise `max_connections` in `server.settings`
    ");
}
