//! A database to try the migrations in, which never becomes a template.

use sqlx::postgres::PgConnection;

use super::roles::{self, OwnerSession};
use super::{create, lock, pristine};
use crate::clean_up;
use crate::config::Plan;
use crate::error::Result;
use crate::names::{DatabaseName, Fingerprint};
use crate::progress::Progress;
use crate::provision::{self, Inputs, ReversibleReport, VersionCheck};
use crate::server::Server;

/// A database to try the migrations in.
///
/// The database is named like a build, with a fingerprint derived from the template's. So the
/// database has a build lock of its own. If a process is killed, the rest is dropped like a
/// half-built template.
struct Trial<'a> {
    server: &'a Server,
    /// Its session holds the build lock.
    admin: PgConnection,
    build: DatabaseName,
}

impl<'a> Trial<'a> {
    /// Takes the lock. `fingerprint` is the template's, and `purpose` distinguishes the trials.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) when another process does the same for
    /// longer than the plan's `provision.timeout`.
    async fn begin(
        server: &'a Server,
        plan: &Plan,
        fingerprint: &Fingerprint,
        purpose: &str,
    ) -> Result<Self> {
        let own = fingerprint.for_purpose(purpose);
        let mut admin = server.admin().await?;
        lock(&mut admin, &own, *plan.provision_timeout.get()).await?;
        clean_up::drop_builds(server, &mut admin, &own).await?;
        // The migrations may create roles, and fail if an earlier process left the same ones.
        if server.is_dedicated() {
            pristine::restore(server, &mut admin).await?;
        }
        Ok(Self {
            server,
            admin,
            build: DatabaseName::build(&own),
        })
    }

    async fn create(&mut self, plan: &Plan) -> Result<PgConnection> {
        roles::ensure(self.server, plan, &mut self.admin).await?;
        create(self.server, plan, &mut self.admin, None, &self.build).await
    }

    /// Drops the database in either case, under the lock, which lasts until `admin` is dropped. The
    /// error of the trial is the one to report.
    async fn end<T>(mut self, result: Result<T>) -> Result<T> {
        let dropped = clean_up::drop_database(self.server, &mut self.admin, &self.build).await;
        let value = result.map_err(|error| self.server.diagnose(error))?;
        dropped.map(|()| value)
    }
}

/// Applies, reverts and re-applies every migration in a database of its own.
///
/// # Errors
/// Any error of the migrations. [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) when another
/// process does the same for longer than the plan's `provision.timeout`.
pub(crate) async fn check_reversible(
    server: &Server,
    plan: &Plan,
    inputs: &Inputs,
    fingerprint: &Fingerprint,
) -> Result<ReversibleReport> {
    let progress = Progress::start("waiting for another process that reverts these migrations");
    let mut trial = Trial::begin(server, plan, fingerprint, "reversible").await?;
    let check = async {
        let connection = trial.create(plan).await?;
        let conn = server.conn.read_write();
        let target = provision::Target {
            conn: &conn,
            database: trial.build.as_str(),
        };
        let owner = OwnerSession::of(server, plan)?;
        let owner = owner.as_ref().map(OwnerSession::database_owner);
        provision::check_reversible(connection, target, plan, owner, inputs, &progress).await
    };
    let checked = check.await;
    trial.end(checked).await
}

/// Applies the migrations one by one in a database of its own, and runs the check at each version.
///
/// # Errors
/// As for [`provision::each_version`]. [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) when another
/// process does the same for longer than the plan's `provision.timeout`.
pub(crate) async fn each_version(
    server: &Server,
    plan: &Plan,
    inputs: &Inputs,
    fingerprint: &Fingerprint,
    check: &mut VersionCheck,
) -> Result<()> {
    let progress = Progress::start("waiting for another process that checks each version");
    let mut trial = Trial::begin(server, plan, fingerprint, "each version").await?;
    let run = async {
        let connection = trial.create(plan).await?;
        let conn = server.conn.read_write();
        let target = provision::Target {
            conn: &conn,
            database: trial.build.as_str(),
        };
        let owner = OwnerSession::of(server, plan)?;
        let owner = owner.as_ref().map(OwnerSession::database_owner);
        provision::each_version(connection, target, plan, owner, inputs, &progress, check).await
    };
    let checked = run.await;
    trial.end(checked).await
}
