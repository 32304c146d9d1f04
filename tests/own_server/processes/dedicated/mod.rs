//! Migrations that change the whole server: roles, tablespaces, the server's configuration. They
//! get a dedicated server.

mod failures;
mod migrations;
mod projects;

use ebbtide::Harness;
use rustix::process::Signal;
use sqlx::AssertSqlSafe;

use crate::support::{Scratch, names_in, wait_until};

/// The text that a query in a Tx returns. Empty for NULL.
async fn query(harness: &Harness, sql: &str) -> String {
    let mut tx = harness.tx().await.unwrap();
    let found: Option<String> = sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    tx.close().await.unwrap();
    found.unwrap_or_default()
}

async fn identity(harness: &Harness) -> String {
    query(harness, "select current_setting('ebbtide.identity')").await
}

/// The roles that migrations created. Objects that `initdb` creates have an OID below 16384.
/// <https://www.postgresql.org/docs/current/system-catalog-initial-data.html#SYSTEM-CATALOG-OID-ASSIGNMENT>
async fn roles(harness: &Harness) -> String {
    query(
        harness,
        "select string_agg(rolname, ' ' order by rolname) from pg_roles where oid >= 16384",
    )
    .await
}

/// Ends the servers of a state directory without waiting for their linger.
fn end_servers_of(scratch: &Scratch) {
    let servers = scratch.state_dir().join("servers");
    wait_until("the servers have ended", || {
        for name in names_in(&servers) {
            let owner =
                std::fs::read_to_string(servers.join(&name).join("owner")).unwrap_or_default();
            if let Ok(pid) = owner.split('.').next().unwrap().parse() {
                // The supervisor may have ended meanwhile.
                let _ = rustix::process::kill_process(
                    rustix::process::Pid::from_raw(pid).unwrap(),
                    Signal::TERM,
                );
            }
        }
        names_in(&servers).is_empty()
    });
}
