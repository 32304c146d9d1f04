//! Removes databases of ours that nobody will use again.

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use crate::error::Result;
use crate::names::{DatabaseName, Fingerprint};
use crate::server::Server;
use crate::sql_error;

/// Templates that may stay on one server beside the one about to be built.
const TEMPLATES_KEPT: usize = 4;

/// Drops a database of ours together with the sessions on it.
pub(crate) async fn drop_database(admin: &mut PgConnection, name: &DatabaseName) -> Result<()> {
    let release = format!("alter database {name} is_template false");
    // Only a template refuses to be dropped; for any other, and for one that is gone, this changes nothing.
    let _ = sqlx::raw_sql(AssertSqlSafe(release)).execute(&mut *admin).await;
    sqlx::raw_sql(AssertSqlSafe(format!("drop database if exists {name} with (force)")))
        .execute(admin)
        .await
        .map(drop)
        .map_err(|error| sql_error::failed(&format!("dropping {name}"), error))
}

/// Drops what builders of this fingerprint left behind. The caller holds the fingerprint's lock.
pub(crate) async fn drop_builds(admin: &mut PgConnection, fingerprint: &Fingerprint) -> Result<()> {
    for name in databases(admin, &format!("ebbtide_b_{fingerprint}_")).await? {
        tracing::info!(database = name.as_str(), "dropping a half-built database");
        drop_database(admin, &name).await?;
    }
    Ok(())
}

/// Drops the oldest templates with their lanes, unless somebody holds a lane.
pub(crate) async fn drop_old_templates(server: &Server, admin: &mut PgConnection) -> Result<()> {
    // Newer databases have higher object identifiers.
    let templates = databases(admin, "ebbtide_t_").await?;
    for template in templates.iter().rev().skip(TEMPLATES_KEPT) {
        let Some(fingerprint) = template.fingerprint() else { continue };
        let Some(held) = server.lanes(&fingerprint).lock_all().await? else { continue };
        tracing::info!(database = template.as_str(), "dropping an old template");
        for lane in databases(admin, &format!("ebbtide_l_{fingerprint}_")).await? {
            drop_database(admin, &lane).await?;
        }
        held.remove();
        drop_database(admin, template).await?;
    }
    Ok(())
}

async fn databases(admin: &mut PgConnection, prefix: &str) -> Result<Vec<DatabaseName>> {
    let names: Vec<String> =
        sqlx::query_scalar("select datname::text from pg_database where starts_with(datname::text, $1) order by oid")
            .bind(prefix)
            .fetch_all(admin)
            .await
            .map_err(|error| sql_error::failed("listing databases", error))?;
    names.iter().map(|name| DatabaseName::ours(name)).collect()
}
