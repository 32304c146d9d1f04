//! A PostgreSQL server that ebbtide does not manage, so ebbtide uses it as an external server.
//!
//! The server is the child of a shell that reads its standard input until the end. The input ends
//! when the value is dropped, and also when this process is killed. Then the shell ends the server.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ebbtide::config::{Builder, External};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, Connection as _};

use crate::support::Scratch;
use crate::support::child_process::{child_role, run_passing, test_command};
use crate::support::skip::skip;
use crate::support::wait::HANG_LIMIT;

/// Variables that override the builder's URL, or the checks of the URL.
const OVERRIDING_VARIABLES: [&str; 5] = [
    "EBBTIDE_BACKEND",
    "EBBTIDE_URL",
    "TEST_DATABASE_URL",
    "EBBTIDE_POSTGRES",
    "EBBTIDE_ALLOW_REMOTE",
];

/// Whether this process runs the test itself. If a variable would override the builder, a child
/// process has run the test without these variables before this returns `false`.
///
/// A process cannot remove its own variables: `std::env::remove_var` is unsafe while other threads
/// read the environment. `test` is [`this_test!`](crate::support::this_test).
pub(crate) fn runs_without_overrides(test: &str) -> bool {
    if child_role().is_some()
        || OVERRIDING_VARIABLES
            .iter()
            .all(|name| std::env::var_os(name).is_none())
    {
        return true;
    }
    let mut child = test_command(test);
    for name in OVERRIDING_VARIABLES {
        child.env_remove(name);
    }
    run_passing(&mut child);
    false
}

/// The password of every role that [`ExternalServer::create_role`] creates.
pub(crate) const PASSWORD: &str = "s3cret";

/// A script that runs its arguments as the server, and ends the server when its standard input
/// ends. `QUIT` is PostgreSQL's immediate shutdown.
const END_WITH_STDIN_SCRIPT: &str =
    "\"$@\" & server=$!; cat > /dev/null; kill -QUIT $server; wait $server";

#[derive(Debug)]
pub(crate) struct ExternalServer {
    pub(crate) scratch: Scratch,
    port: u16,
    server: Child,
}

impl ExternalServer {
    /// Starts a server for a test, for which `test` is [`this_test!`](crate::support::this_test).
    ///
    /// `None` if this process does not run the test itself (see [`runs_without_overrides`]), or if
    /// this machine has no PostgreSQL binaries. The test is then reported as skipped.
    pub(crate) async fn start(test: &str) -> Option<Self> {
        Self::start_with(test, "fsync = off", |_| ()).await
    }

    /// Like [`start`](Self::start), with further lines in the configuration. `prepare` may change the data directory
    /// before the start.
    pub(crate) async fn start_with(
        test: &str,
        configuration: &str,
        prepare: impl FnOnce(&Path),
    ) -> Option<Self> {
        if !runs_without_overrides(test) {
            return None;
        }
        let Some(binaries) = binaries() else {
            skip("native", "no PostgreSQL binaries to start a server from");
            return None;
        };
        let scratch = Scratch::new();
        let migration = "create table things (id bigserial primary key, name text unique);";
        scratch.write("migrations/1_things.sql", migration);
        let (dir, data) = (scratch.path("outside"), scratch.path("outside/data"));
        std::fs::create_dir(&dir).unwrap();
        let account = account();
        if let Some((uid, gid)) = account {
            chown(&dir, Some(uid), Some(gid)).unwrap();
        }
        let run = |program: &str| {
            let mut command = Command::new(binaries.join(program));
            if let Some((uid, gid)) = account {
                command.uid(uid).gid(gid);
            }
            command.current_dir(&dir);
            command
        };
        let initdb = run("initdb")
            .args([
                "--no-sync",
                "--auth=trust",
                "--username=postgres",
                "--encoding=UTF8",
                "--locale=C",
                "-D",
            ])
            .arg(&data)
            .output()
            .unwrap();
        assert!(
            initdb.status.success(),
            "{}",
            String::from_utf8_lossy(&initdb.stderr)
        );
        let hba = "local all postgres trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
        std::fs::write(data.join("pg_hba.conf"), hba).unwrap();
        let settings = format!(
            "listen_addresses = '127.0.0.1'\n\
             unix_socket_directories = '{}'\n{configuration}\n",
            dir.display()
        );
        std::fs::write(data.join("postgresql.auto.conf"), settings).unwrap();
        prepare(&data);
        let start = |port: u16| {
            let mut shell = Command::new("sh");
            if let Some((uid, gid)) = account {
                shell.uid(uid).gid(gid);
            }
            let log = std::fs::File::create(dir.join("log")).unwrap();
            shell
                .args(["-c", END_WITH_STDIN_SCRIPT, "sh"])
                .arg(binaries.join("postgres"))
                .args(["-p", &port.to_string(), "-D"])
                .arg(&data)
                .current_dir(&dir)
                .stdin(Stdio::piped())
                .stdout(log.try_clone().unwrap())
                .stderr(log);
            shell.spawn().unwrap()
        };
        let port = free_port();
        let mut external = Self {
            scratch,
            port,
            server: start(port),
        };
        // Another program may take the port before the server does.
        loop {
            if let Some(connection) = external.connect().await {
                connection.close().await.unwrap();
                return Some(external);
            }
            external.stop();
            external.port = free_port();
            external.server = start(external.port);
        }
    }

    /// A superuser's connection through the socket, which needs no password.
    ///
    /// # Panics
    /// The server accepts no connection within [`HANG_LIMIT`].
    pub(crate) async fn admin(&self) -> PgConnection {
        self.connect().await.expect("the server has its port")
    }

    /// Connects once the server accepts connections. `None` if its port is taken.
    async fn connect(&self) -> Option<PgConnection> {
        let deadline = Instant::now() + HANG_LIMIT;
        loop {
            match PgConnection::connect_with(&self.admin_options()).await {
                Ok(connection) => return Some(connection),
                Err(_) if self.log().contains("could not create any TCP/IP sockets") => {
                    return None;
                }
                Err(error) => {
                    let log = self.log();
                    assert!(Instant::now() < deadline, "no connection: {error}\n{log}");
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn stop(&mut self) {
        drop(self.server.stdin.take());
        // The shell exits after the server.
        let _ = self.server.wait();
    }

    fn admin_options(&self) -> PgConnectOptions {
        let options = PgConnectOptions::new_without_pgpass()
            .socket(self.scratch.path("outside"))
            .port(self.port);
        options
            .username("postgres")
            .database("postgres")
            .ssl_mode(PgSslMode::Disable)
    }

    /// The server's whole log.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.scratch.path("outside/log")).unwrap()
    }

    /// Runs statements as the superuser.
    pub(crate) async fn run(&self, sql: &str) {
        let mut admin = self.admin().await;
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut admin)
            .await
            .unwrap();
        admin.close().await.unwrap();
    }

    /// The first column of a query's rows, which the superuser reads.
    pub(crate) async fn list(&self, sql: &str) -> Vec<String> {
        let mut admin = self.admin().await;
        let found = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_all(&mut admin)
            .await
            .unwrap();
        admin.close().await.unwrap();
        found
    }

    /// Repeats the query of [`list`](Self::list) until `holds` accepts its result.
    ///
    /// # Panics
    /// The condition does not hold within [`HANG_LIMIT`].
    pub(crate) async fn wait_until(
        &self,
        what: &str,
        sql: &str,
        holds: impl Fn(&[String]) -> bool,
    ) {
        let deadline = std::time::Instant::now() + HANG_LIMIT;
        loop {
            let found = self.list(sql).await;
            if holds(&found) {
                return;
            }
            assert!(
                std::time::Instant::now() < deadline,
                "not within {HANG_LIMIT:?}: {what}: {found:?}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The names of databases that begin with `ebbtide_` and `kind`, such as `t_` for templates.
    pub(crate) async fn databases(&self, kind: &str) -> Vec<String> {
        let names =
            "select datname::text from pg_database where starts_with(datname::text, 'ebbtide_";
        self.list(&format!("{names}{kind}') order by 1")).await
    }

    /// Creates a role with a password and further attributes, and returns its URL.
    pub(crate) async fn create_role(&self, name: &str, attributes: &str) -> String {
        self.run(&format!(
            "create role {name} login password '{PASSWORD}' {attributes}"
        ))
        .await;
        self.url(name)
    }

    pub(crate) fn url(&self, role: &str) -> String {
        format!(
            "postgres://{role}:{PASSWORD}@127.0.0.1:{}/postgres",
            self.port
        )
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A builder with the migrations of the scratch directory, on this server.
    pub(crate) fn builder(&self, url: &str) -> Builder {
        self.scratch.builder().backend(External::new().url(url))
    }

    /// A filter for snapshots that replaces this server's port, which differs between runs.
    pub(crate) fn replacements(&self) -> insta::Settings {
        let mut settings = insta::Settings::clone_current();
        settings.add_filter(&format!(":{}", self.port), ":[PORT]");
        settings
    }

    /// Sets the environment of a process that plays another machine. It has a state directory of
    /// its own, so the processes share only the server.
    pub(crate) fn set_environment(&self, command: &mut Command, url: &str, machine: &str) {
        for name in OVERRIDING_VARIABLES {
            command.env_remove(name);
        }
        command
            .env("EBBTIDE_URL", url)
            .env("EBBTIDE_STATE_DIR", self.scratch.path(machine));
        command
            .env("EBBTIDE_CONFIG", self.scratch.path("ebbtide.toml"))
            .env("EBBTIDE_SEEDS", "none");
        command.env("EBBTIDE_MIGRATIONS", self.scratch.path("migrations"));
    }
}

impl Drop for ExternalServer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// The user and group that run the server, if this process runs as root: PostgreSQL refuses to run
/// as root.
pub(crate) fn account() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = users
        .lines()
        .find(|line| line.starts_with("postgres:"))
        .or(users.lines().find(|l| l.starts_with("nobody:")));
    let fields: Vec<&str> = line.unwrap().split(':').collect();
    Some((fields[2].parse().unwrap(), fields[3].parse().unwrap()))
}

/// The directory with `initdb` and `postgres`: `EBBTIDE_PG_BIN`, the newest version that Debian's
/// packages have installed, or `pg_config`'s.
fn binaries() -> Option<PathBuf> {
    let configured = std::env::var_os("EBBTIDE_PG_BIN").map(PathBuf::from);
    let pg_config = Command::new("pg_config").arg("--bindir").output().ok();
    let pg_config =
        pg_config.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let installed = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut installed: Vec<PathBuf> = installed.map(|entry| entry.path().join("bin")).collect();
    installed.sort();
    let is_complete =
        |dir: &PathBuf| dir.join("initdb").is_file() && dir.join("postgres").is_file();
    configured
        .into_iter()
        .chain(installed.into_iter().rev())
        .chain(pg_config)
        .find(is_complete)
}
