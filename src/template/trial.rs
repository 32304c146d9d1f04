//! A database to try the migrations in, which never becomes a template.

use super::{create, lock, pristine};
use crate::clean_up;
use crate::config::Plan;
use crate::error::Result;
use crate::names::{DatabaseName, Fingerprint};
use crate::progress::Progress;
use crate::provision::{self, Inputs, ReversibleReport};
use crate::server::Server;

/// Takes every migration up, down and up again in a database of its own, under a lock of its own: what a killed process
/// leaves of it is dropped as a half-built template is.
///
/// # Errors
/// Whatever the migrations report; [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) while another process does the same.
pub(crate) async fn check_reversible(
    server: &Server,
    plan: &Plan,
    inputs: &Inputs,
    fingerprint: &Fingerprint,
) -> Result<ReversibleReport> {
    let own = fingerprint.for_purpose("reversible");
    let progress = Progress::start("waiting for another process that undoes these migrations");
    let mut admin = server.admin().await?;
    lock(&mut admin, &own, *plan.provision_timeout.get()).await?;
    clean_up::drop_builds(server, &mut admin, &own).await?;
    if server.is_dedicated() {
        pristine::restore(server, &mut admin).await?;
    }
    let build = DatabaseName::build(&own);
    let looked = async {
        let mut connection = create(server, plan, &mut admin, None, &build).await?;
        let conn = server.conn.writing();
        let target = provision::Target {
            conn: &conn,
            database: build.as_str(),
        };
        provision::check_reversible(&mut connection, target, plan, inputs, &progress).await
    };
    let looked = looked.await;
    let dropped = clean_up::drop_database(server, &mut admin, &build).await;
    let report = looked.map_err(|error| server.diagnose(error))?;
    dropped.map(|()| report)
}
