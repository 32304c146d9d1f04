//! A body: a script of SQL or a function that runs inside a test and leaves something behind.

use std::pin::Pin;

use ebbtide::Error;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _};

use crate::hostile::reconnecting_thread::ReconnectingThread;
use crate::hostile::test_database::{Kind, TestDatabase};
use crate::hostile::test_server::ServerKind;

/// What a body needs from its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    Nothing,
    /// An extension that the migrations install if the server offers it.
    Extension(&'static str),
    /// An extension that the server must offer and that the migrations do not install.
    Available(&'static str),
    /// A server with the settings of [`ServerKind::Replicating`].
    Settings,
}

/// How long a body takes. A slow body waits for one of ebbtide's timeouts, so random orders leave
/// it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    Quick,
    Slow,
}

pub(crate) type BodyFuture = Pin<Box<dyn Future<Output = BodyOutcome> + Send>>;

#[derive(Clone, Copy)]
pub(crate) enum Action {
    /// A script. Each line is one message of the simple protocol on the test's own connection,
    /// unless a prefix chooses otherwise:
    /// - `prepared:` uses the extended protocol
    /// - `elsewhere:` uses a second connection, which is opened with the test's URL and closed at
    ///   the end of the script
    /// - `left:` opens another connection with the test's URL, which outlives the test
    /// - `admin:` opens a connection to the database `postgres`
    /// - `<begin>`, `<commit>` and `<rollback>` call the driver's methods
    ///
    /// `{db}` stands for the test's database, and `{role}` for its role. The server may refuse a
    /// line: the script goes on.
    Sql(&'static str),
    /// A function, which ends the test itself.
    Code(fn(TestDatabase) -> BodyFuture),
}

#[derive(Clone, Copy)]
pub(crate) struct Body {
    pub(crate) name: &'static str,
    pub(crate) kinds: &'static [Kind],
    pub(crate) needs: Needs,
    pub(crate) pace: Pace,
    pub(crate) action: Action,
}

/// Every kind of test.
pub(crate) const ANY: &[Kind] = &Kind::ALL;
/// The kinds whose transaction is rolled back.
pub(crate) const TX_OR_SANDBOX: &[Kind] = &[Kind::Tx, Kind::Sandbox];
pub(crate) const DATABASE_ONLY: &[Kind] = &[Kind::Database];

pub(crate) const fn sql(name: &'static str, kinds: &'static [Kind], script: &'static str) -> Body {
    Body {
        name,
        kinds,
        needs: Needs::Nothing,
        pace: Pace::Quick,
        action: Action::Sql(script),
    }
}

pub(crate) const fn code(
    name: &'static str,
    kinds: &'static [Kind],
    code: fn(TestDatabase) -> BodyFuture,
) -> Body {
    Body {
        name,
        kinds,
        needs: Needs::Nothing,
        pace: Pace::Quick,
        action: Action::Code(code),
    }
}

impl Body {
    pub(crate) const fn needing(self, needs: Needs) -> Self {
        Self { needs, ..self }
    }

    pub(crate) const fn slow(self) -> Self {
        Self {
            pace: Pace::Slow,
            ..self
        }
    }

    /// The kind of server that the body runs on.
    pub(crate) fn server_kind(&self) -> ServerKind {
        match self.needs {
            Needs::Nothing | Needs::Available(_) => ServerKind::Plain,
            Needs::Extension(_) => ServerKind::Linked,
            Needs::Settings => ServerKind::Replicating,
        }
    }

    pub(crate) async fn run(&self, test_database: TestDatabase) -> BodyOutcome {
        match self.action {
            Action::Sql(script) => run_script(test_database, script).await,
            Action::Code(code) => code(test_database).await,
        }
    }
}

/// The result of a body, and what still runs after its test.
#[derive(Debug)]
pub(crate) struct BodyOutcome {
    /// The result of closing the test, or `None` if the body dropped it.
    pub(crate) closed: Option<Result<(), Error>>,
    pub(crate) connections: Vec<PgConnection>,
    pub(crate) thread: Option<ReconnectingThread>,
    /// The lines of the script that the server refused, or `None` if it refused every line.
    pub(crate) refused: Option<Vec<String>>,
}

impl BodyOutcome {
    pub(crate) fn closed(result: Result<(), Error>) -> Self {
        Self {
            closed: Some(result),
            connections: Vec::new(),
            thread: None,
            refused: Some(Vec::new()),
        }
    }

    pub(crate) fn dropped() -> Self {
        Self {
            closed: None,
            connections: Vec::new(),
            thread: None,
            refused: Some(Vec::new()),
        }
    }
}

async fn run_script(mut test_database: TestDatabase, script: &'static str) -> BodyOutcome {
    let options = test_database.options();
    // `view.sql` searches `pg_stat_activity` for sessions with this name.
    let mut script_run = ScriptRun {
        options: options.application_name("hostile session"),
        second: None,
        outliving: Vec::new(),
        refused: Vec::new(),
        accepted: 0,
    };
    let mut lines = script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    if let Ok(mut session) = test_database.session().await {
        run_lines(session.get(), &mut lines, &mut script_run).await;
    }
    if let Some(second) = script_run.second {
        // A line may have ended this session.
        let _ = second.close().await;
    }
    let refused = (script_run.accepted > 0).then_some(script_run.refused);
    BodyOutcome {
        closed: Some(test_database.close().await),
        connections: script_run.outliving,
        thread: None,
        refused,
    }
}

/// A running script: its connections besides the test's own, and what the server answered.
struct ScriptRun {
    options: PgConnectOptions,
    second: Option<PgConnection>,
    /// Connections that outlive the test.
    outliving: Vec<PgConnection>,
    refused: Vec<String>,
    accepted: usize,
}

type Lines<'a> = dyn Iterator<Item = &'static str> + Send + 'a;

/// Runs lines up to `<commit>` or `<rollback>`, and returns that line.
///
/// `<begin>` calls this function again with the driver's transaction, so transactions can nest.
/// `None` means that the script ended inside a transaction.
fn run_lines<'a>(
    own: &'a mut PgConnection,
    lines: &'a mut Lines<'_>,
    script_run: &'a mut ScriptRun,
) -> Pin<Box<dyn Future<Output = Option<&'static str>> + Send + 'a>> {
    Box::pin(async move {
        while let Some(line) = lines.next() {
            match line {
                "<commit>" | "<rollback>" => return Some(line),
                "<begin>" => {
                    let Ok(mut transaction) = own.begin().await else {
                        continue;
                    };
                    let ending = run_lines(&mut transaction, lines, script_run).await;
                    // An error here is no failure: only what the next test finds counts.
                    let _ = match ending {
                        Some("<commit>") => transaction.commit().await,
                        Some(_) => transaction.rollback().await,
                        // The script leaves the transaction open. Dropping it would roll back.
                        None => {
                            std::mem::forget(transaction);
                            Ok(())
                        }
                    };
                }
                _ => match run_line(own, line, script_run).await {
                    Ok(()) => script_run.accepted += 1,
                    Err(error) => script_run.refused.push(format!("{line}: {error}")),
                },
            }
        }
        None
    })
}

async fn run_line(
    own: &mut PgConnection,
    line: &str,
    script_run: &mut ScriptRun,
) -> Result<(), sqlx::Error> {
    let database = script_run.options.get_database().unwrap();
    let line = line
        .replace("{db}", database)
        .replace("{role}", script_run.options.get_username());
    match line.split_once(": ") {
        Some(("prepared", sql)) => sqlx::query(AssertSqlSafe(sql.to_owned()))
            .execute(own)
            .await
            .map(drop),
        Some(("elsewhere", sql)) => {
            let second = match &mut script_run.second {
                Some(second) => second,
                None => script_run
                    .second
                    .insert(PgConnection::connect_with(&script_run.options).await?),
            };
            execute(second, sql).await
        }
        Some(("left", sql)) => {
            script_run
                .outliving
                .push(PgConnection::connect_with(&script_run.options).await?);
            execute(script_run.outliving.last_mut().unwrap(), sql).await
        }
        Some(("admin", sql)) => {
            let mut admin =
                PgConnection::connect_with(&script_run.options.clone().database("postgres"))
                    .await?;
            // A message of its own: several statements in one message form a transaction, which
            // `DROP DATABASE` and `CREATE DATABASE` refuse (SQLSTATE 25001).
            execute(&mut admin, "set default_transaction_read_only = off").await?;
            let mut result = Ok(());
            for statement in sql.split("; ") {
                result = result.and(execute(&mut admin, statement).await);
            }
            // A statement may have ended this session.
            let _ = admin.close().await;
            result
        }
        _ => execute(own, &line).await,
    }
}

/// Sends one message of the simple protocol, which may hold several statements.
pub(crate) async fn execute(connection: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .map(drop)
}
