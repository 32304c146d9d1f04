//! The first query to a server: which server it is, and what its pointer records.

use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use super::registry::{Instance, Pointer};
use crate::config::Backend;
use crate::guard_names::IDENTITY_SETTING;

/// The superuser of every server that ebbtide starts.
pub(super) const SUPERUSER: &str = "postgres";

/// The first query's result: which server this is, and what its pointer records.
pub(super) struct Identification {
    pub(super) identity: Option<String>,
    pub(super) version_num: u32,
    pub(super) version: String,
    /// Connections that are not reserved for superusers or by `reserved_connections`.
    pub(super) connections: usize,
}

impl Identification {
    /// The pointer file's content, by which other processes use the server.
    pub(super) fn pointer(
        self,
        instance: &Instance,
        backend: Backend,
        address: serde_json::Value,
        reason: String,
    ) -> Pointer {
        Pointer {
            instance: instance.name(),
            version_num: self.version_num,
            version: self.version,
            connections: self.connections,
            backend: backend.to_string(),
            address,
            reason,
        }
    }
}

/// Sends the first query to a server.
pub(super) async fn identify(connection: &mut PgConnection) -> Result<Identification, sqlx::Error> {
    // With `true`, a missing parameter is null and no error. Another program's server at this
    // address has no `ebbtide.identity`, and `reserved_connections` exists since PostgreSQL 16.
    // <https://www.postgresql.org/docs/current/runtime-config-connection.html>
    let row = sqlx::query(
        "select current_setting($1, true), \
         current_setting('server_version_num')::int4, \
         current_setting('server_version'), current_setting('max_connections')::int4 \
         - current_setting('superuser_reserved_connections')::int4 \
         - coalesce(current_setting('reserved_connections', true), '0')::int4",
    )
    .bind(IDENTITY_SETTING)
    .fetch_one(connection)
    .await?;
    let version_num: i32 = row.try_get(1)?;
    let connections: i32 = row.try_get(3)?;
    Ok(Identification {
        identity: row.try_get(0)?,
        version_num: version_num.unsigned_abs(),
        version: row.try_get(2)?,
        // Never negative: PostgreSQL does not start if all connections are reserved.
        connections: connections.try_into().unwrap_or_default(),
    })
}
