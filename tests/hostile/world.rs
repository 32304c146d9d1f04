//! A server with its lanes, where tests follow one another.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ebbtide::{Backend, Builder, Error, Harness};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use crate::body::{Body, Left, Needs, run};
use crate::given::{Given, Kind};
use crate::haunt::Haunt;
use crate::support::Scratch;
use crate::view::{View, differences, texts, view};

const MIGRATION: &str = include_str!("migration.sql");
/// How many tests are held at most to see a lane again: one that is copied takes a moment.
const OTHERS: usize = 3;

/// Which server, and what is on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Setup {
    Plain,
    /// Its databases have the extensions that lead to other databases.
    Linked,
    /// Its settings allow replication slots and two-phase commits.
    Replicating,
}

impl Setup {
    pub(crate) const ALL: [Self; 3] = [Self::Plain, Self::Linked, Self::Replicating];
}

/// The numbers of `random()` after `setseed(0.42)`.
pub(crate) type Seeded = HashSet<String>;

pub(crate) struct World {
    harness: Harness,
    references: Vec<View>,
    seeded: Seeded,
    available: HashSet<String>,
    // The last to go: it waits until the server is gone.
    scratch: Scratch,
}

/// What the test after a body found.
#[derive(Debug)]
pub(crate) struct Finding {
    /// The part of the view, or what could not be done.
    pub(crate) part: String,
    pub(crate) difference: String,
}

impl World {
    pub(crate) async fn new(setup: Setup) -> Self {
        let scratch = Scratch::new();
        let extensions = if setup == Setup::Linked {
            "'dblink', 'postgres_fdw'"
        } else {
            ""
        };
        scratch.write(
            "migrations/1_hostile.sql",
            &MIGRATION.replace("/* extensions */", extensions),
        );
        let harness = builder_in(&scratch.path(""), setup).build().unwrap();
        let mut database = Given::open(&harness, Kind::Database).await.unwrap();
        let mut session = database.session().await.unwrap();
        let random = "select setseed(0.42)::text union all select random()::text from generate_series(1, 1000)";
        let seeded = texts(session.get(), random)
            .await
            .unwrap()
            .into_iter()
            .filter(|text| !text.is_empty())
            .collect();
        let available = texts(session.get(), "select name from pg_available_extensions")
            .await
            .unwrap();
        drop(session);
        database.close().await.unwrap();
        let mut world = Self {
            harness,
            references: Vec::new(),
            seeded,
            available: available.into_iter().collect(),
            scratch,
        };
        assert!(
            world.renew().await,
            "a test that has ended its transaction is reported"
        );
        let mut first = Vec::new();
        for kind in Kind::ALL {
            let mut given = world.open(kind).await.unwrap();
            world
                .references
                .push(view(&mut given, kind, &world.seeded).await.unwrap());
            first.push(given);
        }
        for given in first {
            given.close().await.unwrap();
        }
        world
    }

    /// The directory with its migrations and its server.
    pub(crate) fn root(&self) -> PathBuf {
        self.scratch.path("")
    }

    /// Whether this server has what a body needs.
    pub(crate) fn has(&self, body: &Body) -> bool {
        match body.needs {
            Needs::Nothing | Needs::Settings => true,
            Needs::Extension(name) | Needs::Available(name) => self.available.contains(name),
        }
    }

    pub(crate) async fn open(&self, kind: Kind) -> Result<Given, Error> {
        Given::open(&self.harness, kind).await
    }

    /// Makes every lane a new copy at its next use: a test that leaves its transaction spoils its lane. Returns whether
    /// all of them were spoilt.
    pub(crate) async fn renew(&self) -> bool {
        let (mut spoilt, mut is_renewed) = (Vec::new(), true);
        for _ in 0..OTHERS {
            let Ok(Given::Tx(mut tx)) = self.open(Kind::Tx).await else {
                is_renewed = false;
                continue;
            };
            // Refused when the session is gone, and then the lane is spoilt as well.
            let _ = run(&mut tx, "rollback").await;
            spoilt.push(tx);
        }
        for tx in spoilt {
            is_renewed &= tx.close().await.is_err();
        }
        is_renewed
    }

    /// A body in its test.
    pub(crate) async fn play(&self, body: &Body, kind: Kind) -> Result<Played, Error> {
        let mut given = self.open(kind).await?;
        let mark = Mark::of(&mut given).await;
        let left = body.play(given).await;
        Ok(Played { mark, left })
    }

    /// What the next test on the same database finds, if it is used again.
    pub(crate) async fn look(&self, kind: Kind, played: &Played) -> Vec<Finding> {
        let mut given = match self.next_on(kind, &played.mark).await {
            Ok(given) => given,
            Err(error) => {
                return vec![Finding {
                    part: "the next test does not open".into(),
                    difference: describe(&error),
                }];
            }
        };
        let mut findings = Vec::new();
        match view(&mut given, kind, &self.seeded).await {
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
        if let Some(haunt) = &played.left.haunt {
            findings.extend(haunted(&mut given, haunt).await);
        }
        if let Err(error) = given.close().await {
            findings.push(Finding {
                part: "the next test does not close".into(),
                difference: describe(&error),
            });
        }
        findings
    }

    /// The next test, on that database if it is given out again.
    async fn next_on(&self, kind: Kind, mark: &Mark) -> Result<Given, Error> {
        let mut others = Vec::new();
        let next = loop {
            let mut given = self.open(kind).await?;
            let found = Mark::of(&mut given).await;
            if found.oid == mark.oid || found.lane == mark.lane || others.len() == OTHERS {
                break given;
            }
            others.push(given);
        };
        for other in others {
            other.close().await?;
        }
        Ok(next)
    }
}

/// The plan of a world: another process has the same server by it.
pub(crate) fn builder_in(root: &Path, setup: Setup) -> Builder {
    let builder = Harness::builder()
        .config_file(root.join("ebbtide.toml"))
        .migrations(root.join("migrations"))
        .without_seeds()
        .backend(Backend::Native)
        .state_dir(root.join("state"))
        .linger(Duration::ZERO)
        .setting("max_prepared_transactions", "8");
    match setup {
        Setup::Plain | Setup::Linked => builder,
        Setup::Replicating => builder
            .setting("wal_level", "logical")
            .setting("max_wal_senders", "4"),
    }
}

/// What came of a body.
pub(crate) struct Played {
    pub(crate) mark: Mark,
    pub(crate) left: Left,
}

/// Which database a test had.
#[derive(Debug, Default)]
pub(crate) struct Mark {
    lane: String,
    oid: String,
}

impl Mark {
    pub(crate) async fn of(given: &mut Given) -> Self {
        let sql = "select unnest(array[current_database(), (select oid::text from pg_database where datname = current_database())])";
        let Ok(mut session) = given.session().await else {
            return Self::default();
        };
        let mut texts = texts(session.get(), sql)
            .await
            .unwrap_or_default()
            .into_iter();
        let name = texts.next().unwrap_or_default();
        // A lane keeps its number, and each use may change what follows.
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

impl Mark {
    /// From another process.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (lane, oid) = text.split_once(' ')?;
        Some(Self {
            lane: lane.to_owned(),
            oid: oid.to_owned(),
        })
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.lane, self.oid)
    }
}

/// Whether the thread of another test gets at this one.
async fn haunted(given: &mut Given, haunt: &Haunt) -> Vec<Finding> {
    haunt.wait();
    // What it received until now may be of its own test.
    haunt.received();
    let mut findings = Vec::new();
    let mut connection = match given {
        Given::Tx(_) | Given::Sandbox(_) => None,
        Given::Database(database) => PgConnection::connect_with(&database.connect_options())
            .await
            .ok(),
    };
    for _ in 0..5 {
        if let Some(connection) = &mut connection {
            // Committed, so the server delivers it to every listener.
            let _ = run(connection, "notify tides, 'secret'").await;
        }
        haunt.wait();
    }
    if let Some(connection) = connection {
        // The database is taken back in any case.
        let _ = connection.close().await;
    }
    if !haunt.received().is_empty() {
        let difference = "a thread of an earlier test received this test's NOTIFY".to_owned();
        findings.push(Finding {
            part: "a stale URL".into(),
            difference,
        });
    }
    if let Ok(mut session) = given.session().await
        && let Ok(late) = texts(session.get(), "select n::text from notes where n = -1").await
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

/// An error and its causes.
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
