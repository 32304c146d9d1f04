//! A server that somebody else runs, as far as ebbtide can tell. It ends with the value, and with this process.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ebbtide::Builder;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, Connection as _};

use super::support::Scratch;
use super::support::again::{again, passed, role};
use super::support::skip::{SKIPPED, say, skip};

/// Variables that would lead a test elsewhere than to the server it names.
const ELSEWHERE: [&str; 5] = [
    "EBBTIDE_BACKEND",
    "EBBTIDE_URL",
    "TEST_DATABASE_URL",
    "EBBTIDE_POSTGRES",
    "EBBTIDE_ALLOW_REMOTE",
];

/// Whether this process goes on with a test, or a child has run it already, without variables that beat the builder.
/// `test` is [`here!`](super::support::here).
pub(crate) fn undisturbed(test: &str) -> bool {
    if role().is_some()
        || ELSEWHERE
            .iter()
            .all(|name| std::env::var_os(name).is_none())
    {
        return true;
    }
    let mut child = again(test);
    for name in ELSEWHERE {
        child.env_remove(name);
    }
    let said = passed(&child.output().unwrap());
    said.lines()
        .filter(|line| line.starts_with(SKIPPED))
        .for_each(say);
    false
}

/// The password of every role.
pub(crate) const PASSWORD: &str = "s3cret";

/// Ends the server when the test process does: then its standard input ends.
const UNTIL_WE_END: &str = "\"$@\" & server=$!; cat > /dev/null; kill -QUIT $server; wait $server";

#[derive(Debug)]
pub(crate) struct Outside {
    pub(crate) scratch: Scratch,
    port: u16,
    server: Child,
}

impl Outside {
    /// Nothing where there are no binaries to start one from.
    pub(crate) async fn start() -> Option<Self> {
        Self::with("fsync = off", |_| ()).await
    }

    /// A server with more lines in its configuration, and with what `prepare` does to its data directory.
    pub(crate) async fn with(configuration: &str, prepare: impl FnOnce(&Path)) -> Option<Self> {
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
        let made = run("initdb")
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
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let hba = "local all postgres trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
        std::fs::write(data.join("pg_hba.conf"), hba).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let ours = format!(
            "port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\n{configuration}\n",
            dir.display()
        );
        std::fs::write(data.join("postgresql.auto.conf"), ours).unwrap();
        prepare(&data);
        let mut shell = Command::new("sh");
        if let Some((uid, gid)) = account {
            shell.uid(uid).gid(gid);
        }
        let log = std::fs::File::create(dir.join("log")).unwrap();
        shell
            .args(["-c", UNTIL_WE_END, "sh"])
            .arg(binaries.join("postgres"))
            .arg("-D")
            .arg(&data)
            .current_dir(&dir);
        shell
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let server = shell.spawn().unwrap();
        let outside = Self {
            scratch,
            port,
            server,
        };
        // Waits for it.
        outside.admin().await.close().await.unwrap();
        Some(outside)
    }

    /// A superuser's connection, through the socket.
    pub(crate) async fn admin(&self) -> PgConnection {
        let options = PgConnectOptions::new_without_pgpass()
            .socket(self.scratch.path("outside"))
            .port(self.port);
        let options = options
            .username("postgres")
            .database("postgres")
            .ssl_mode(PgSslMode::Disable);
        let mut refused = None;
        for _ in 0..1500 {
            match PgConnection::connect_with(&options).await {
                Ok(connection) => return connection,
                Err(error) => refused = Some(error),
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("the server does not answer: {refused:?}\n{}", self.log());
    }

    /// All that the server has said.
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

    /// A list of texts, as the superuser reads it.
    pub(crate) async fn list(&self, sql: &str) -> Vec<String> {
        let mut admin = self.admin().await;
        let found = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_all(&mut admin)
            .await
            .unwrap();
        admin.close().await.unwrap();
        found
    }

    /// Looks at a list until it is as it should be, for half a minute at most.
    pub(crate) async fn until(&self, what: &str, sql: &str, holds: impl Fn(&[String]) -> bool) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        loop {
            let found = self.list(sql).await;
            if holds(&found) {
                return;
            }
            assert!(
                std::time::Instant::now() < deadline,
                "not within 30 s: {what}: {found:?}"
            );
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// Names of databases that begin with `ebbtide_` and this.
    pub(crate) async fn databases(&self, kind: &str) -> Vec<String> {
        let names =
            "select datname::text from pg_database where starts_with(datname::text, 'ebbtide_";
        self.list(&format!("{names}{kind}') order by 1")).await
    }

    /// Makes a role that may log in, and what its attributes say.
    pub(crate) async fn role(&self, name: &str, attributes: &str) -> String {
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

    /// A builder with this directory's migrations, on this server.
    pub(crate) fn builder(&self, url: &str) -> Builder {
        self.scratch.builder().url(url)
    }

    /// What a process of another machine has in its environment: it shares nothing with this one but the server.
    pub(crate) fn environment(&self, command: &mut Command, url: &str, machine: &str) {
        for name in ELSEWHERE {
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

impl Drop for Outside {
    fn drop(&mut self) {
        drop(self.server.stdin.take());
        // The shell waits for the server.
        let _ = self.server.wait();
    }
}

/// As root, the server is somebody else's process: PostgreSQL refuses root.
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

/// The directory with `initdb` and `postgres`, of the newest version that is installed.
fn binaries() -> Option<PathBuf> {
    let given = std::env::var_os("EBBTIDE_PG_BIN").map(PathBuf::from);
    let told = Command::new("pg_config").arg("--bindir").output().ok();
    let told = told.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let installed = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut installed: Vec<PathBuf> = installed.map(|entry| entry.path().join("bin")).collect();
    installed.sort();
    let is_whole = |dir: &PathBuf| dir.join("initdb").is_file() && dir.join("postgres").is_file();
    given
        .into_iter()
        .chain(installed.into_iter().rev())
        .chain(told)
        .find(is_whole)
}
