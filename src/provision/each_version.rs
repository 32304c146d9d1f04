//! Runs a check at each version of the migrations, from the empty database to the last.

use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::Connection as _;
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use tokio::task::JoinSet;

use super::extension_statements;
use super::extensions;
use super::inputs::{Inputs, MigrationSource};
use super::migrate::{self, MigrationContext};
use super::migration_place::MigrationPlace;
use super::owner::{DatabaseOwner, hand_over};
use super::provision_report::MigrationReport;
use super::scripts::Scripts;
use super::target::Target;
use super::version_change::change_version;
use super::version_errors::name_of;
use crate::config::Plan;
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;

/// The connections of the pool that a check uses.
const POOL_CONNECTIONS: u32 = 5;

/// How long the connections of a check may remain in use after its end.
const POOL_CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A version of the migrations at which a check runs: see
/// [`Harness::each_version`](crate::Harness::each_version).
pub struct VersionStep {
    applied: Option<MigrationReport>,
    next: Option<String>,
    url: String,
    pool: PgPool,
}

impl VersionStep {
    /// The migration that was applied last. `None` at the start, before the first migration. A
    /// command or a function counts as one migration.
    #[must_use]
    pub fn applied(&self) -> Option<&MigrationReport> {
        self.applied.as_ref()
    }

    /// The version of the migration that was applied last. `None` at the start, and for a command or
    /// a function without a ledger.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.applied.as_ref()?.version.as_deref()
    }

    /// The version of the migration that is applied next. For a command or a function, its
    /// description. `None` at the end.
    #[must_use]
    pub fn next(&self) -> Option<&str> {
        self.next.as_deref()
    }

    /// A pool of at most five connections to the database, for this step only. Each call returns a
    /// handle of the same pool.
    #[must_use]
    pub fn pool(&self) -> PgPool {
        self.pool.clone()
    }

    /// The database's URL, for other drivers. Their connections must be closed before the check
    /// ends: the next migration may need locks that they hold.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl fmt::Debug for VersionStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VersionStep")
            .field("applied", &self.applied)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

/// What runs at each version.
pub(crate) type VersionCheck =
    dyn FnMut(VersionStep) -> BoxFuture<'static, Result<(), BoxError>> + Send;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Applies the migrations one by one to an empty database, and runs the check before the first and
/// after each.
///
/// # Errors
/// As for [`change_version`], and `Other`: the check failed or panicked.
pub(crate) async fn each_version<'a>(
    mut connection: PgConnection,
    mut target: Target<'a>,
    plan: &Plan,
    mut owner: Option<DatabaseOwner<'a>>,
    inputs: &Inputs,
    progress: &Progress,
    check: &mut VersionCheck,
) -> Result<()> {
    progress.set_step("installing extensions");
    let scripts = Scripts::read(inputs)?;
    extension_statements::check(&plan.extensions, scripts.all())?;
    extensions::install(&mut connection, &plan.extensions).await?;
    for (source, scripts_of_source) in scripts.by_source(inputs) {
        if source.is_bootstrap() {
            let mut context = MigrationContext {
                connection: &mut connection,
                target,
                scripts: scripts_of_source,
                all_scripts: scripts.all(),
                applied: Vec::new(),
                timeout: *plan.provision_timeout.get(),
                progress,
                notes: &mut Vec::new(),
            };
            migrate::migrate(&mut context, plan, source).await?;
        }
    }
    connection = hand_over(&mut owner, connection, &mut target).await?;
    // Everything is committed, so an error while closing changes nothing.
    let _ = connection.close().await;
    let mut at = MigrationPlace::before_source(0);
    let mut applied = None;
    loop {
        let next = next_place(inputs, &at);
        let name = next.as_ref().and_then(|_| name_of_next(inputs, &at));
        progress.set_step(&format!("checking {}", inputs.label(&at)));
        let checked = run_check(target, applied, name, check).await;
        checked.map_err(|failure| failure.at(&inputs.label(&at)))?;
        let Some(next) = next else { return Ok(()) };
        let change = change_version(target, plan, inputs, &mut at, &next, progress).await?;
        applied = change.applied.into_iter().next_back();
    }
}

/// The place after the next migration, or after the whole source if it has no versions.
fn next_place(inputs: &Inputs, at: &MigrationPlace) -> Option<MigrationPlace> {
    let source = inputs.migrations.get(at.source)?;
    if at.done >= source.versions().len() {
        return Some(MigrationPlace::before_source(at.source + 1));
    }
    Some(inputs.normal(MigrationPlace {
        done: at.done + 1,
        ..at.clone()
    }))
}

fn name_of_next(inputs: &Inputs, at: &MigrationPlace) -> Option<String> {
    let source = inputs.migrations.get(at.source)?;
    match &source.source {
        MigrationSource::Files(..) | MigrationSource::Embedded(_) => {
            source.versions().get(at.done).cloned()
        }
        MigrationSource::Command(_) | MigrationSource::Function(_) => Some(name_of(source)),
    }
}

/// Why a check did not succeed.
enum CheckFailure {
    Failed(BoxError),
    Panicked(BoxError),
    StillInUse,
}

impl CheckFailure {
    fn at(self, version: &str) -> Error {
        let error = |kind, what: &str| Error::new(kind, format!("the check {what} at {version}"));
        match self {
            Self::Failed(source) => error(ErrorKind::Other, "failed").with_source(source),
            Self::Panicked(source) => error(ErrorKind::Other, "panicked").with_source(source),
            Self::StillInUse => error(ErrorKind::StillInUse, "has ended and still uses its pool")
                .with_help("end or await every task that holds a connection of the pool"),
        }
    }
}

/// Runs the check once, and closes its pool: a connection in a transaction would hold locks that the
/// next migration needs.
async fn run_check(
    target: Target<'_>,
    applied: Option<MigrationReport>,
    next: Option<String>,
    check: &mut VersionCheck,
) -> Result<(), CheckFailure> {
    let options = target.conn.options(target.database);
    let pool = PgPoolOptions::new()
        .max_connections(POOL_CONNECTIONS)
        .connect_lazy_with(options);
    let step = VersionStep {
        applied,
        next,
        url: target.conn.url(target.database),
        pool: pool.clone(),
    };
    // A task of its own turns a panic of the check into an error, so the database is dropped.
    // `JoinSet` aborts the task if this future is dropped.
    let mut running = JoinSet::new();
    running.spawn(check(step));
    let ended = running.join_next().await.expect("one task was spawned");
    let closed = tokio::time::timeout(POOL_CLOSE_TIMEOUT, pool.close()).await;
    match ended {
        Ok(Ok(())) => closed.map_err(|_| CheckFailure::StillInUse),
        Ok(Err(error)) => Err(CheckFailure::Failed(error)),
        Err(panic) => Err(CheckFailure::Panicked(panic.into())),
    }
}
