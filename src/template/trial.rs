//! A database to try the down migrations in, which never becomes a template.

use super::roles::{self, OwnerSession};
use super::{create, lock, pristine};
use crate::clean_up;
use crate::config::Plan;
use crate::error::Result;
use crate::names::{DatabaseName, Fingerprint};
use crate::progress::Progress;
use crate::provision::{self, Inputs, ReversibleReport};
use crate::server::Server;

/// Applies, reverts and re-applies every migration in a database of its own.
///
/// The database is named like a build, with a fingerprint derived from the template's. So the
/// database has a build lock of its own. If a process is killed, the rest is dropped like a
/// half-built template.
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
    let own = fingerprint.for_purpose("reversible");
    let progress = Progress::start("waiting for another process that reverts these migrations");
    let mut admin = server.admin().await?;
    lock(&mut admin, &own, *plan.provision_timeout.get()).await?;
    clean_up::drop_builds(server, &mut admin, &own).await?;
    // The migrations may create roles, and fail if an earlier process left the same ones.
    if server.is_dedicated() {
        pristine::restore(server, &mut admin).await?;
    }
    let build = DatabaseName::build(&own);
    let check = async {
        roles::ensure(server, plan, &mut admin).await?;
        let connection = create(server, plan, &mut admin, None, &build).await?;
        let conn = server.conn.read_write();
        let target = provision::Target {
            conn: &conn,
            database: build.as_str(),
        };
        let owner = OwnerSession::of(server, plan)?;
        let owner = owner.as_ref().map(OwnerSession::database_owner);
        provision::check_reversible(connection, target, plan, owner, inputs, &progress).await
    };
    let checked = check.await;
    // Dropped in either case, under the lock, which lasts until `admin` is dropped. The error of
    // the check is the one to report.
    let dropped = clean_up::drop_database(server, &mut admin, &build).await;
    let report = checked.map_err(|error| server.diagnose(error))?;
    dropped.map(|()| report)
}
