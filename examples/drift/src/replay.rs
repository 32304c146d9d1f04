//! The cure: drop the schema and run the whole chain again.

use std::path::Path;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor as _};

use crate::drift::revision;

/// Why the chain cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A migration needs a relation that none before it has made.
    #[error("{revision} ({name}) is the first that cannot be applied: it needs {relation}")]
    Needs {
        /// The pipeline's name of the migration.
        revision: String,
        /// What the file is called behind its version.
        name: String,
        /// The relation that is not there.
        relation: String,
    },
    /// Anything else about a migration.
    #[error("the chain cannot be applied")]
    Migration(#[from] MigrateError),
    /// The schema could not be dropped or made.
    #[error("the schema cannot be made anew")]
    Schema(#[from] sqlx::Error),
}

/// Drops the schema `public` with everything in it, and applies the migrations of a directory from the first one on.
///
/// # Errors
/// See [`ReplayError`]. The schema is gone in any case, and what the migrations before the failing one made is there.
pub async fn replay(connection: &mut PgConnection, migrations: &Path) -> Result<(), ReplayError> {
    let migrator = Migrator::new(migrations).await?;
    // They live in the schema and go with it.
    let extensions: Vec<String> = sqlx::query_scalar(
        "select format('create extension if not exists %I', extname) from pg_extension order by oid",
    )
    .fetch_all(&mut *connection)
    .await?;
    // The comment is `initdb`'s, which the schema has in every new database.
    let anew = "drop schema public cascade; create schema public; comment on schema public is 'standard public schema'";
    sqlx::raw_sql(anew).execute(&mut *connection).await?;
    for extension in extensions {
        connection.execute(AssertSqlSafe(extension)).await?;
    }
    migrator
        .run(&mut *connection)
        .await
        .map_err(|error| explained(error, &migrator))
}

fn explained(error: MigrateError, migrator: &Migrator) -> ReplayError {
    let MigrateError::ExecuteMigration(cause, version) = &error else {
        return error.into();
    };
    let refusal = cause.as_database_error();
    // undefined_table (https://www.postgresql.org/docs/current/errcodes-appendix.html)
    let relation = refusal
        .filter(|refusal| refusal.code().as_deref() == Some("42P01"))
        .and_then(|refusal| refusal.message().split('"').nth(1));
    let Some(relation) = relation else {
        return error.into();
    };
    let migration = migrator
        .iter()
        .find(|migration| migration.version == *version);
    ReplayError::Needs {
        revision: revision(&version.to_string()),
        name: migration.map_or_else(String::new, |migration| migration.description.to_string()),
        relation: relation.to_owned(),
    }
}
