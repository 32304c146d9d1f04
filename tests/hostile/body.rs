//! A hostile test: a script of SQL, or code, and how it is played.

use std::pin::Pin;

use ebbtide::Error;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _};

use crate::given::{Given, Kind};
use crate::haunt::Haunt;
use crate::world::Setup;

/// What a body needs of its world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    Nothing,
    /// An extension that the migrations install where the server has it.
    Extension(&'static str),
    /// One that the server offers, and the migrations do not install.
    Available(&'static str),
    /// A server whose settings allow it.
    Settings,
}

/// How long a body takes: whatever waits for a limit of ebbtide's own is played alone only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    Quick,
    Slow,
}

pub(crate) type Ending = Pin<Box<dyn Future<Output = Left> + Send>>;

#[derive(Clone, Copy)]
pub(crate) enum Act {
    /// One message a line, for the test's own connection unless a word before it names another:
    /// - `prepared:` by the extended protocol
    /// - `elsewhere:` on a second connection, made with the test's URL and closed at the end of the script
    /// - `left:` the same, and the connection outlives the test
    /// - `admin:` from the database `postgres`
    /// - `<begin>`, `<commit>` and `<rollback>` are the driver's
    ///
    /// `{db}` is the test's database, `{role}` whom it connects as. Refusals are a part of it.
    Sql(&'static str),
    /// Ends the test by itself.
    Code(fn(Given) -> Ending),
}

#[derive(Clone, Copy)]
pub(crate) struct Body {
    pub(crate) name: &'static str,
    pub(crate) kinds: &'static [Kind],
    pub(crate) needs: Needs,
    pub(crate) pace: Pace,
    pub(crate) act: Act,
}

pub(crate) const ANY: &[Kind] = &Kind::ALL;
pub(crate) const GUARDED: &[Kind] = &[Kind::Tx, Kind::Sandbox];
pub(crate) const WHOLE: &[Kind] = &[Kind::Database];

pub(crate) const fn sql(name: &'static str, kinds: &'static [Kind], script: &'static str) -> Body {
    Body {
        name,
        kinds,
        needs: Needs::Nothing,
        pace: Pace::Quick,
        act: Act::Sql(script),
    }
}

pub(crate) const fn code(
    name: &'static str,
    kinds: &'static [Kind],
    code: fn(Given) -> Ending,
) -> Body {
    Body {
        name,
        kinds,
        needs: Needs::Nothing,
        pace: Pace::Quick,
        act: Act::Code(code),
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

    /// The world that it is played in.
    pub(crate) fn setup(&self) -> Setup {
        match self.needs {
            Needs::Nothing | Needs::Available(_) => Setup::Plain,
            Needs::Extension(_) => Setup::Linked,
            Needs::Settings => Setup::Replicating,
        }
    }

    pub(crate) async fn play(&self, given: Given) -> Left {
        match self.act {
            Act::Sql(script) => play_script(given, script).await,
            Act::Code(code) => code(given).await,
        }
    }
}

/// What goes on when the test is over.
#[derive(Debug)]
pub(crate) struct Left {
    /// The result of closing, where the body closed.
    pub(crate) closed: Option<Result<(), Error>>,
    pub(crate) connections: Vec<PgConnection>,
    pub(crate) haunt: Option<Haunt>,
    /// The lines of its script that were refused; `None` where each line was.
    pub(crate) refused: Option<Vec<String>>,
}

impl Left {
    pub(crate) fn closed(result: Result<(), Error>) -> Self {
        Self {
            closed: Some(result),
            connections: Vec::new(),
            haunt: None,
            refused: Some(Vec::new()),
        }
    }

    pub(crate) fn dropped() -> Self {
        Self {
            closed: None,
            connections: Vec::new(),
            haunt: None,
            refused: Some(Vec::new()),
        }
    }
}

async fn play_script(mut given: Given, script: &'static str) -> Left {
    let options = given.options();
    // What connects is named, so that the next test can look for it.
    let mut others = Others {
        options: options.application_name("hostile session"),
        second: None,
        left: Vec::new(),
        refused: Vec::new(),
        accepted: 0,
    };
    let mut lines = script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    if let Ok(mut session) = given.session().await {
        play_lines(session.get(), &mut lines, &mut others).await;
    }
    if let Some(second) = others.second {
        // It may be gone.
        let _ = second.close().await;
    }
    let refused = (others.accepted > 0).then_some(others.refused);
    Left {
        closed: Some(given.close().await),
        connections: others.left,
        haunt: None,
        refused,
    }
}

/// The connections of a script beside the test's own.
struct Others {
    options: PgConnectOptions,
    second: Option<PgConnection>,
    left: Vec<PgConnection>,
    refused: Vec<String>,
    accepted: usize,
}

type Lines<'a> = dyn Iterator<Item = &'static str> + Send + 'a;

/// Plays lines up to the end of a transaction of the driver's, and returns how that is to end.
fn play_lines<'a>(
    own: &'a mut PgConnection,
    lines: &'a mut Lines<'_>,
    others: &'a mut Others,
) -> Pin<Box<dyn Future<Output = Option<&'static str>> + Send + 'a>> {
    Box::pin(async move {
        while let Some(line) = lines.next() {
            match line {
                "<commit>" | "<rollback>" => return Some(line),
                "<begin>" => {
                    let Ok(mut transaction) = own.begin().await else {
                        continue;
                    };
                    let ending = play_lines(&mut transaction, lines, others).await;
                    // Refused or not: what matters is what the next test finds.
                    let _ = match ending {
                        Some("<commit>") => transaction.commit().await,
                        Some(_) => transaction.rollback().await,
                        // The driver would roll back what is dropped.
                        None => {
                            std::mem::forget(transaction);
                            Ok(())
                        }
                    };
                }
                _ => match play_line(own, line, others).await {
                    Ok(()) => others.accepted += 1,
                    Err(error) => others.refused.push(format!("{line}: {error}")),
                },
            }
        }
        None
    })
}

async fn play_line(
    own: &mut PgConnection,
    line: &str,
    others: &mut Others,
) -> Result<(), sqlx::Error> {
    let database = others.options.get_database().unwrap();
    let line = line
        .replace("{db}", database)
        .replace("{role}", others.options.get_username());
    match line.split_once(": ") {
        Some(("prepared", sql)) => sqlx::query(AssertSqlSafe(sql.to_owned()))
            .execute(own)
            .await
            .map(drop),
        Some(("elsewhere", sql)) => {
            let second = match &mut others.second {
                Some(second) => second,
                None => others
                    .second
                    .insert(PgConnection::connect_with(&others.options).await?),
            };
            run(second, sql).await
        }
        Some(("left", sql)) => {
            others
                .left
                .push(PgConnection::connect_with(&others.options).await?);
            run(others.left.last_mut().unwrap(), sql).await
        }
        Some(("admin", sql)) => {
            let mut admin =
                PgConnection::connect_with(&others.options.clone().database("postgres")).await?;
            // For itself, because what follows may not be allowed in a transaction.
            run(&mut admin, "set default_transaction_read_only = off").await?;
            let mut ran = Ok(());
            for statement in sql.split("; ") {
                ran = ran.and(run(&mut admin, statement).await);
            }
            // It may be gone.
            let _ = admin.close().await;
            ran
        }
        _ => run(own, &line).await,
    }
}

pub(crate) async fn run(connection: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .map(drop)
}
