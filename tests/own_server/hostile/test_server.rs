//! A server of the test's own, on which hostile bodies and the tests after them run.
//!
//! Before the first body, the reference view of each kind is read on new copies of the template.
//! After a body, a test on the same database is inspected: its view is compared with the reference.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ebbtide::{Error, Harness};

use ebbtide::config::{Backend, Builder};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use crate::hostile::body::{Body, BodyOutcome, Needs, execute};
use crate::hostile::reconnecting_thread::ReconnectingThread;
use crate::hostile::test_database::{Kind, TestDatabase};
use crate::hostile::view::{View, differences, read_texts, read_view};
use crate::support::Scratch;

const MIGRATION: &str = include_str!("migration.sql");
/// How many other tests stay open at most while the lane of a body is searched for. A lane that is
/// being copied again is not free at once, so the search may open tests on other lanes first.
const MAX_OTHER_TESTS: usize = 3;
/// How long the lane of a body may be copied again, while a test on another lane still sees what the
/// old database has on the server.
const RECOPY_LIMIT: Duration = Duration::from_secs(10);

/// How a server is set up. A body names what it needs, and runs on a server that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ServerKind {
    Plain,
    /// Its databases have `dblink` and `postgres_fdw`, through which SQL connects to databases.
    Linked,
    /// Its settings allow logical replication slots (`wal_level = logical`).
    Replicating,
}

impl ServerKind {
    pub(crate) const ALL: [Self; 3] = [Self::Plain, Self::Linked, Self::Replicating];
}

/// The first thousand numbers that `random()` returns after `setseed(0.42)`. If a later test
/// receives one of them, its session still has a body's seed.
pub(crate) type SeededNumbers = HashSet<String>;

pub(crate) struct TestServer {
    harness: Harness,
    references: Vec<View>,
    seeded: SeededNumbers,
    available: HashSet<String>,
    // The last field, so it is dropped last: its `Drop` waits until the server has ended.
    scratch: Scratch,
}

/// One difference that the test after a body found.
#[derive(Debug)]
pub(crate) struct Finding {
    /// The name of the view's part, or the step that failed.
    pub(crate) part: String,
    pub(crate) difference: String,
}

impl TestServer {
    pub(crate) async fn new(server_kind: ServerKind) -> Self {
        let scratch = Scratch::new();
        let extensions = if server_kind == ServerKind::Linked {
            "'dblink', 'postgres_fdw'"
        } else {
            ""
        };
        scratch.write(
            "migrations/1_hostile.sql",
            &MIGRATION.replace("/* extensions */", extensions),
        );
        let harness = builder_in(&scratch.path(""), server_kind).build().unwrap();
        let mut database = TestDatabase::open(&harness, Kind::Database).await.unwrap();
        let mut session = database.session().await.unwrap();
        let random = "select setseed(0.42)::text \
                      union all select random()::text from generate_series(1, 1000)";
        // `setseed` returns void, whose text is empty.
        let seeded = read_texts(session.get(), random)
            .await
            .unwrap()
            .into_iter()
            .filter(|text| !text.is_empty())
            .collect();
        let available = read_texts(session.get(), "select name from pg_available_extensions")
            .await
            .unwrap();
        drop(session);
        database.close().await.unwrap();
        let mut server = Self {
            harness,
            references: Vec::new(),
            seeded,
            available: available.into_iter().collect(),
            scratch,
        };
        assert!(
            server.invalidate_lanes().await,
            "closing a test that ended its transaction must fail"
        );
        // The three tests stay open together, so each has a lane of its own: a new copy.
        let mut first_tests = Vec::new();
        for kind in Kind::ALL {
            let mut test_database = server.open(kind).await.unwrap();
            server.references.push(
                read_view(&mut test_database, kind, &server.seeded)
                    .await
                    .unwrap(),
            );
            first_tests.push(test_database);
        }
        for test_database in first_tests {
            test_database.close().await.unwrap();
        }
        server
    }

    /// The directory that contains the migrations and the server.
    pub(crate) fn root(&self) -> PathBuf {
        self.scratch.path("")
    }

    /// Whether this server has what the body needs.
    pub(crate) fn supports(&self, body: &Body) -> bool {
        match body.needs {
            Needs::Nothing | Needs::Settings => true,
            Needs::Extension(name) | Needs::Available(name) => self.available.contains(name),
        }
    }

    pub(crate) async fn open(&self, kind: Kind) -> Result<TestDatabase, Error> {
        TestDatabase::open(&self.harness, kind).await
    }

    /// Makes ebbtide copy every lane again before its next use: a test that ends its own
    /// transaction invalidates its lane. Returns whether all lanes are invalid.
    ///
    /// The tests stay open until each has invalidated its lane. Otherwise the second test could
    /// receive the lane of the first.
    pub(crate) async fn invalidate_lanes(&self) -> bool {
        let (mut open_tests, mut are_all_invalid) = (Vec::new(), true);
        for _ in 0..MAX_OTHER_TESTS {
            let Ok(TestDatabase::Tx(mut tx)) = self.open(Kind::Tx).await else {
                are_all_invalid = false;
                continue;
            };
            // It fails if the session is gone. Then the lane is invalid as well.
            let _ = execute(&mut tx, "rollback").await;
            open_tests.push(tx);
        }
        for tx in open_tests {
            are_all_invalid &= tx.close().await.is_err();
        }
        are_all_invalid
    }

    /// Opens a test, notes its database, and runs the body, which ends the test.
    pub(crate) async fn run_body(&self, body: &Body, kind: Kind) -> Result<CompletedBody, Error> {
        let mut test_database = self.open(kind).await?;
        let database = DatabaseId::of(&mut test_database).await;
        let outcome = body.run(test_database).await;
        Ok(CompletedBody { database, outcome })
    }

    /// Opens the next test on the body's database, and returns every difference from the reference.
    ///
    /// The outcome of the body stays alive meanwhile: its connections and its thread are open while
    /// the next test runs.
    pub(crate) async fn inspect_next(&self, kind: Kind, completed: &CompletedBody) -> Vec<Finding> {
        let deadline = Instant::now() + RECOPY_LIMIT;
        loop {
            let (is_wanted, findings) = match self.open_on(kind, &completed.database).await {
                Ok(Opened { test, is_wanted }) => {
                    (is_wanted, self.inspect(test, kind, completed).await)
                }
                Err(error) => (
                    true,
                    vec![Finding {
                        part: "the next test does not open".into(),
                        difference: describe(&error),
                    }],
                ),
            };
            // ebbtide copies a lane again in the background. Until the old database is dropped, the
            // server has what belongs to it, such as the replication origin of a subscription.
            let may_vanish = !is_wanted && findings.iter().any(|finding| finding.part == "server");
            if !may_vanish || Instant::now() >= deadline {
                return findings;
            }
        }
    }

    /// Compares what a test sees with the reference, and closes the test.
    async fn inspect(
        &self,
        mut test_database: TestDatabase,
        kind: Kind,
        completed: &CompletedBody,
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        match read_view(&mut test_database, kind, &self.seeded).await {
            Ok(view) => {
                let different = differences(&self.references[kind as usize], &view);
                findings.extend(
                    different
                        .into_iter()
                        .map(|(part, difference)| Finding { part, difference }),
                );
            }
            Err(error) => {
                findings.push(Finding {
                    part: "the next test's statement fails".into(),
                    difference: error.to_string(),
                });
            }
        }
        if let Some(thread) = &completed.outcome.thread {
            findings.extend(thread_findings(&mut test_database, thread).await);
        }
        if let Err(error) = test_database.close().await {
            findings.push(Finding {
                part: "the next test does not close".into(),
                difference: describe(&error),
            });
        }
        findings
    }

    /// Opens a test, if possible on the wanted database or a new copy in the same lane.
    ///
    /// ebbtide chooses the lane. So tests on other lanes stay open until the wanted one comes or
    /// the limit is reached. The last test is used in any case: a dropped database never comes
    /// back.
    async fn open_on(&self, kind: Kind, wanted: &DatabaseId) -> Result<Opened, Error> {
        let mut others = Vec::new();
        let next = loop {
            let mut test_database = self.open(kind).await?;
            let found = DatabaseId::of(&mut test_database).await;
            let is_wanted = found.oid == wanted.oid || found.lane == wanted.lane;
            if is_wanted || others.len() == MAX_OTHER_TESTS {
                break Opened {
                    test: test_database,
                    is_wanted,
                };
            }
            others.push(test_database);
        };
        for other in others {
            other.close().await?;
        }
        Ok(next)
    }
}

/// The plan of a test server. The child processes of `killed` build the same plan, and so share the
/// server.
pub(crate) fn builder_in(root: &Path, server_kind: ServerKind) -> Builder {
    let builder = Harness::builder()
        .config_file(root.join("ebbtide.toml"))
        .migrations(root.join("migrations"))
        .without_seeds()
        .backend(Backend::Native)
        .state_dir(root.join("state"))
        .linger(Duration::ZERO)
        .setting("max_prepared_transactions", "8");
    match server_kind {
        ServerKind::Plain | ServerKind::Linked => builder,
        ServerKind::Replicating => builder
            .setting("wal_level", "logical")
            .setting("max_wal_senders", "4"),
    }
}

/// The test after a body.
struct Opened {
    test: TestDatabase,
    /// Whether it has the body's database or a new copy in the same lane.
    is_wanted: bool,
}

/// A body that has run and whose test has ended.
pub(crate) struct CompletedBody {
    pub(crate) database: DatabaseId,
    pub(crate) outcome: BodyOutcome,
}

/// Identifies the database of a test: the lane's name, and the database's OID, which differs in
/// every copy.
#[derive(Debug, Default)]
pub(crate) struct DatabaseId {
    lane: String,
    oid: String,
}

impl DatabaseId {
    pub(crate) async fn of(test_database: &mut TestDatabase) -> Self {
        let sql = "select unnest(array[current_database(), \
                   (select oid::text from pg_database where datname = current_database())])";
        let Ok(mut session) = test_database.session().await else {
            return Self::default();
        };
        let mut texts = read_texts(session.get(), sql)
            .await
            .unwrap_or_default()
            .into_iter();
        let name = texts.next().unwrap_or_default();
        // The name is `ebbtide_l_FINGERPRINT_NUMBER_TOKEN`. A lane keeps its number, and the token
        // may change with each use.
        let lane = name
            .rsplit_once('_')
            .map(|(lane, _)| lane.to_owned())
            .unwrap_or_default();
        Self {
            lane,
            oid: texts.next().unwrap_or_default(),
        }
    }
}

impl DatabaseId {
    /// Parses what a child process printed.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (lane, oid) = text.split_once(' ')?;
        Some(Self {
            lane: lane.to_owned(),
            oid: oid.to_owned(),
        })
    }
}

impl fmt::Display for DatabaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.lane, self.oid)
    }
}

/// Checks that the thread of an earlier test neither receives this test's notifications nor writes
/// into its database.
///
/// Only a `Database` commits, and PostgreSQL delivers a notification at commit. In the other kinds
/// only the write is checked.
async fn thread_findings(
    test_database: &mut TestDatabase,
    thread: &ReconnectingThread,
) -> Vec<Finding> {
    thread.wait_for_round();
    // Notifications up to here can come from the thread's own test.
    thread.take_received();
    let mut findings = Vec::new();
    let mut connection = match test_database {
        TestDatabase::Tx(_) | TestDatabase::Sandbox(_) => None,
        TestDatabase::Database(database) => PgConnection::connect_with(&database.connect_options())
            .await
            .ok(),
    };
    for _ in 0..5 {
        if let Some(connection) = &mut connection {
            // Committed at once, so the server delivers the notification to every listener.
            let _ = execute(connection, "notify tides, 'secret'").await;
        }
        thread.wait_for_round();
    }
    if let Some(connection) = connection {
        // If closing fails, the end of the test closes the session.
        let _ = connection.close().await;
    }
    if !thread.take_received().is_empty() {
        let difference = "a thread of an earlier test received this test's NOTIFY".to_owned();
        findings.push(Finding {
            part: "a stale URL".into(),
            difference,
        });
    }
    if let Ok(mut session) = test_database.session().await
        && let Ok(late) = read_texts(session.get(), "select n::text from notes where n = -1").await
        && !late.is_empty()
    {
        let difference = "a thread of an earlier test wrote into this test's database".to_owned();
        findings.push(Finding {
            part: "a stale URL".into(),
            difference,
        });
    }
    findings
}

/// An error with its kind and its causes, in one line.
pub(crate) fn describe(error: &Error) -> String {
    use std::error::Error as _;
    let mut text = format!("{:?}: {error}", error.kind());
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
