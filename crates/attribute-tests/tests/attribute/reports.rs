//! What a person reads when a test has failed.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ebbtide::{Database, Sandbox, Tx};
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{AssertSqlSafe, Connection as _};

use crate::again::{Said, here, is_child, played, played_with};
use crate::support::{add, session};

/// Asserts a report, with everything replaced that differs from run to run and from server to server.
macro_rules! assert_report {
    ($said:expr, @$report:literal) => {{
        let report = report($said.failed());
        assert!(report.lines().count() < 40, "{report}");
        let mut settings = insta::Settings::clone_current();
        settings.add_filter(r"ebbtide_[lk]_\w+", "[DATABASE]");
        settings.add_filter(r"PostgreSQL [^(\n]*\(\w+\)", "PostgreSQL [VERSION] ([BACKEND])");
        settings.add_filter(r"[Pp]rocess \d+", "process [PID]");
        settings.add_filter(r"transaction \d+", "transaction [XID]");
        settings.add_filter(r"(tuple \(\d+,\d+\)|relation \d+) of (relation|database) \d+", "[OBJECT]");
        settings.add_filter(r"\d+\.\d s by now", "[TIME] by now");
        settings.add_filter(r"(?m)^  the server's log ends:\n(?:    .*\n)+", "  the server's log ends:\n    [LOG]\n");
        settings.add_filter("error communicating with database: .*", "[THE DRIVER'S WORDS]");
        settings.add_filter(r"'postgres://[^']*'", "'[URL]'");
        settings.bind(|| insta::assert_snapshot!(report, @$report));
    }};
}

/// The report alone: what the test itself and the panic say stands around it.
fn report(said: &Said) -> String {
    let stderr = said.stderr();
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
fn a_unique_violation() {
    #[ebbtide::test(fixtures("laura"))]
    async fn subject(mut tx: Tx) {
        add(&mut *tx, "Laura").await;
    }
    let Some(said) = played(here!(), subject) else {
        return;
    };
    assert_report!(said, @r#"
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
fn a_poisoned_transaction_shows_the_error_behind_it() {
    #[ebbtide::test]
    async fn subject(mut tx: Tx) {
        // The code under test goes on after its error.
        let _ = sqlx::query("insert into services (name) values ('cut')")
            .execute(&mut *tx)
            .await;
        let _ = sqlx::query("select 1").execute(&mut *tx).await;
        add(&mut *tx, "Laura").await;
    }
    let Some(said) = played(here!(), subject) else {
        return;
    };
    assert_report!(said, @r#"
    ebbtide: test reports::subject failed
      it had a Tx: [DATABASE] on PostgreSQL [VERSION] ([BACKEND])
      the server refused:
        23505 duplicate key value violates unique constraint "services_pkey"
          detail: Key (name)=(cut) already exists.
          statement: insert into services (name) values ('cut')
          help: the row is there already: from a seed, a fixture, or an earlier statement of this test; other tests' rows are never seen
        25P02 current transaction is aborted, commands ignored until end of transaction block (2 times)
          statement: select 1
          help: an earlier statement failed: look at the first error; where code goes on after one, use `tx.begin()`, `savepoints`, or a `Sandbox`
    "#);
}

#[test]
fn a_missing_table() {
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
    let Some(said) = played(here!(), || ()) else {
        return;
    };
    assert_report!(said, @r#"
    ebbtide: test reports::subject failed
      it had a Database: [DATABASE] on PostgreSQL [VERSION] ([BACKEND])
      the server refused:
        42P01 relation "invoices" does not exist at character 15
          statement: select * from invoices
          help: no migration, seed or fixture of this test has created it: is its name misspelt, or its schema not on the search_path?
    "#);
}

#[test]
fn a_new_value_of_an_enum() {
    #[ebbtide::test]
    async fn subject(mut tx: Tx) {
        run(&mut tx, "alter type mood add value 'angry'").await;
        run(&mut tx, "select 'angry'::mood").await;
    }
    let Some(said) = played(here!(), subject) else {
        return;
    };
    assert_report!(said, @r#"
    ebbtide: test reports::subject failed
      it had a Tx: [DATABASE] on PostgreSQL [VERSION] ([BACKEND])
      the server refused:
        55P04 unsafe use of new value "angry" of enum type mood at character 8
          hint: New enum values must be committed before they can be used.
          statement: select 'angry'::mood
          help: a new value of an enum can be used when it is committed: add it in a migration, or let the test take an `ebbtide::Database`
    "#);
}

#[test]
fn an_index_that_is_created_concurrently() {
    #[ebbtide::test]
    async fn subject(mut tx: Tx) {
        run(&mut tx, "create index concurrently on customers (name)").await;
    }
    let Some(said) = played(here!(), subject) else {
        return;
    };
    assert_report!(said, @r"
    ebbtide: test reports::subject failed
      it had a Tx: [DATABASE] on PostgreSQL [VERSION] ([BACKEND])
      the server refused:
        25001 CREATE INDEX CONCURRENTLY cannot run inside a transaction block
          statement: create index concurrently on customers (name)
          help: this statement has to be outside every transaction, and this test's is around everything: let it take an `ebbtide::Database`
    ");
}

#[test]
fn a_second_connection() {
    #[ebbtide::test]
    async fn subject(sandbox: Sandbox) {
        let _first = sandbox.begin().await.unwrap();
        add(&*sandbox, "Laura").await;
    }
    let Some(said) = played(here!(), subject) else {
        return;
    };
    assert_report!(said.tells("let the test take an `ebbtide::Database`, which has many"), @r"
    ebbtide: test reports::subject failed
      it had a Sandbox: [DATABASE] on PostgreSQL [VERSION] ([BACKEND])
      the server refused nothing
    ");
}

#[test]
fn a_deadlock() {
    #[ebbtide::test(fixtures("laura"))]
    async fn subject(database: Database) {
        let pool = database.pool();
        let (mut one, mut two) = (pool.begin().await.unwrap(), pool.begin().await.unwrap());
        run(&mut one, "update customers set name = name || '!'").await;
        run(&mut two, "update services set name = name || '!'").await;
        // So that it is the one that looks, and loses.
        run(&mut two, "set local deadlock_timeout = '300ms'").await;
        let first = tokio::spawn(async move {
            let crossing = sqlx::query("update services set name = name || '?'");
            crossing.execute(&mut *one).await.map(drop)
        });
        let second = sqlx::query("update customers set name = name || '?'")
            .execute(&mut *two)
            .await
            .map(drop);
        // The other one goes on when the loser is undone.
        drop(two);
        first.await.unwrap().and(second).unwrap();
    }
    let Some(said) = played(here!(), subject) else {
        return;
    };
    assert_report!(said, @r"
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
          help: two sessions wait for each other's locks: take locks in the same order everywhere, or retry the loser
    ");
}

/// A server of the test's own.
struct Alone {
    dir: PathBuf,
}

impl Alone {
    fn new(name: &str, settings: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("ebbtide-test-{}-{name}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        // The server's user passes through where the tests run as root.
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

    /// Nothing where there are no binaries to start it from.
    #[expect(clippy::print_stdout, reason = "a skipped test is told")]
    fn played(&self, test: &str) -> Option<Said> {
        let (configuration, state) = (self.dir.join("ebbtide.toml"), self.dir.join("state"));
        let variables = [
            ("EBBTIDE_CONFIG", configuration.to_str().unwrap()),
            ("EBBTIDE_STATE_DIR", state.to_str().unwrap()),
            ("EBBTIDE_BACKEND", "native"),
        ];
        let said = played_with(&variables, test, || ())?;
        if said.stderr().contains("no PostgreSQL server binaries") {
            println!("SKIPPED: {test}: no PostgreSQL binaries to start a server from");
            return None;
        }
        Some(said)
    }
}

impl Drop for Alone {
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
fn a_server_that_is_killed() {
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
        // Its sessions are ended when they notice.
        while sqlx::query("select 1").execute(&mut *tx).await.is_ok() {}
        add(&mut *tx, "Laura").await;
    }
    if is_child() {
        return subject();
    }
    let alone = Alone::new("killed", "");
    let Some(said) = alone.played(here!()) else {
        return;
    };
    assert_report!(said, @r"
    ebbtide: test reports::subject failed
      it had a Tx: [DATABASE] on PostgreSQL [VERSION] ([BACKEND])
      the server refused:
        57P01 terminating connection due to unexpected postmaster exit
          help: the server's main process has ended: somebody has killed it, or the system has for want of memory
    ebbtide: at the end of the test: the PostgreSQL server went away while it was in use
      caused by: closing the test's transaction failed: [THE DRIVER'S WORDS]
      the server's log ends:
        [LOG]
      help: run the tests again: the next run starts a new server
    ");
}

#[test]
fn a_server_that_is_out_of_connections() {
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
    let alone = Alone::new("crowded", "max_connections = 12");
    let Some(said) = alone.played(here!()) else {
        return;
    };
    assert_report!(said, @r"
    ebbtide: test reports::subject failed
      it had a Database: [DATABASE] on PostgreSQL [VERSION] ([BACKEND])
      the server refused:
        53300 sorry, too many clients already
          help: close pools that the test opens, let it use fewer connections, run fewer tests at once, or raise `max_connections` below `settings`
    ");
}
