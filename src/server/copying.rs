//! Copies databases in the way that is fastest on the server.

use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use crate::sql_error;

/// How a server copies a database.
#[derive(Debug)]
pub(crate) struct DatabaseCopier {
    copies_files: bool,
    /// Whether a copy may share its blocks with the original. Cleared when the server, or the file
    /// system of its data, refuses.
    may_clone: AtomicBool,
}

impl DatabaseCopier {
    /// `is_durable`: whether the server waits for the disk.
    pub(super) fn new(is_durable: bool, version_num: u32) -> Self {
        // `FILE_COPY` needs two checkpoints. They are cheap on a server with `fsync = off`. On a
        // durable server, `FILE_COPY` takes ten times as long as `WAL_LOG`. Before PostgreSQL 15
        // there was no such clause, and `FILE_COPY` was the only strategy.
        // <https://www.postgresql.org/docs/current/sql-createdatabase.html>
        let copies_files = !is_durable && version_num >= 150_000;
        Self {
            copies_files,
            may_clone: AtomicBool::new(copies_files && version_num >= 180_000),
        }
    }

    /// Executes a `CREATE DATABASE` that copies another database. `create` ends with the name of
    /// that database, and `options` follow.
    pub(crate) async fn copy(
        &self,
        admin: &mut PgConnection,
        create: &str,
        options: &str,
    ) -> Result<(), sqlx::Error> {
        if !self.copies_files {
            return execute(admin, format!("{create}{options}")).await;
        }
        let create = format!("{create} strategy file_copy{options}");
        if !self.may_clone.load(Ordering::Relaxed) {
            return execute(admin, create).await;
        }
        // Only for this session: where a tablespace is on another file system, a clone fails, and
        // ALTER DATABASE .. SET TABLESPACE in a migration must not.
        // <https://www.postgresql.org/docs/current/runtime-config-resource.html#GUC-FILE-COPY-METHOD>
        let cloned = match execute(admin, "set file_copy_method = clone".to_owned()).await {
            Ok(()) => execute(admin, create.clone()).await,
            Err(error) => Err(error),
        };
        match cloned {
            Err(error) if cannot_clone(&error) => {
                tracing::debug!(%error, "databases are copied without cloning their files");
                self.may_clone.store(false, Ordering::Relaxed);
                execute(admin, "reset file_copy_method".to_owned()).await?;
                execute(admin, create).await
            }
            other => other,
        }
    }
}

async fn execute(admin: &mut PgConnection, statement: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(admin)
        .await
        .map(drop)
}

/// Whether the operating system, or the server's build, may have no way to clone a file.
///
/// The server reports most errors of the system as `internal_error`, and a call that a sandbox
/// forbids as `insufficient_privilege` (`errcode_for_file_access` in PostgreSQL's
/// src/backend/utils/error/elog.c). A build without the method rejects its name with
/// `invalid_parameter_value`.
fn cannot_clone(error: &sqlx::Error) -> bool {
    matches!(sql_error::code(error), Some("XX000" | "42501" | "22023"))
}
