//! The repair: drop the schema and apply the whole chain again.

use std::path::Path;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor as _};

use crate::drift::revision;

/// Why the chain cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A migration needs a relation that no earlier migration creates.
    #[error(
        "migration {revision} ({name}) needs the relation {relation}, which no earlier migration creates"
    )]
    Needs {
        /// The pipeline's name of the migration.
        revision: String,
        /// The file's name after its version.
        name: String,
        /// The missing relation.
        relation: String,
    },
    /// Any other error of a migration.
    #[error("could not apply the migrations")]
    Migration(#[from] MigrateError),
    /// The schema could not be dropped or created.
    #[error("could not drop and recreate the schema public")]
    Schema(#[from] sqlx::Error),
}

/// Drops the schema `public` with all its objects, and applies all migrations of a directory.
///
/// # Errors
/// See [`ReplayError`]. After the error of a migration, the old schema is gone, and the changes of
/// the earlier migrations remain.
pub async fn replay(connection: &mut PgConnection, migrations: &Path) -> Result<(), ReplayError> {
    let migrator = Migrator::new(migrations).await?;
    // Extensions in the schema are dropped with it, so they are created again below.
    let extensions: Vec<String> = sqlx::query_scalar(
        "select format('create extension if not exists %I', extname) from pg_extension order by oid",
    )
    .fetch_all(&mut *connection)
    .await?;
    // `initdb` sets owner, privileges and comment, so the schema has them in every new database.
    // <https://www.postgresql.org/docs/current/ddl-schemas.html#DDL-SCHEMAS-PUBLIC>
    let create = if connection.server_version_num() >= Some(150_000) {
        "create schema public authorization pg_database_owner; grant usage on schema public to public"
    } else {
        "create schema public; grant all on schema public to public"
    };
    let comment = "comment on schema public is 'standard public schema'";
    let recreate = format!("drop schema public cascade; {create}; {comment}");
    sqlx::raw_sql(AssertSqlSafe(recreate))
        .execute(&mut *connection)
        .await?;
    for extension in extensions {
        connection.execute(AssertSqlSafe(extension)).await?;
    }
    migrator
        .run(&mut *connection)
        .await
        .map_err(|error| with_missing_relation(error, &migrator))
}

fn with_missing_relation(error: MigrateError, migrator: &Migrator) -> ReplayError {
    let MigrateError::ExecuteMigration(cause, version) = &error else {
        return error.into();
    };
    let database_error = cause.as_database_error();
    // undefined_table (https://www.postgresql.org/docs/current/errcodes-appendix.html)
    let relation = database_error
        .filter(|error| error.code().as_deref() == Some("42P01"))
        .and_then(|error| error.message().split('"').nth(1));
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
