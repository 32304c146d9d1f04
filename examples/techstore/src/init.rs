//! `init`: everything that has to be there before the first request.

use ebbtide_example_shared::{ConnectError, Patience, SchemaState};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection as _};

use crate::database::wait;
use crate::{DatabaseUrl, Error, Settings, up};

/// A database that is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// Its name.
    pub name: String,
    /// Whether it was not there before.
    pub is_new: bool,
    /// After the migrations.
    pub schema: SchemaState,
}

/// Waits for the server, creates the shop's database and the tests', each if it is not there, and migrates both. To do
/// so again changes nothing.
///
/// # Errors
/// No server, no right to create databases, or migrations that conflict or fail.
pub async fn init(settings: &Settings, patience: Patience) -> Result<[Prepared; 2], Error> {
    Ok([
        prepare(&settings.database, patience).await?,
        prepare(&settings.test_database, patience).await?,
    ])
}

async fn prepare(url: &DatabaseUrl, patience: Patience) -> Result<Prepared, Error> {
    let is_new = create(url, patience).await?;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect_with(url.options()?)
        .await?;
    let schema = up(&pool).await;
    pool.close().await;
    let prepared = Prepared {
        name: url.name(),
        is_new,
        schema: schema?,
    };
    let how = if is_new {
        "created and migrated"
    } else {
        "there already, migrated"
    };
    tracing::info!("database {}: {how}, {}", prepared.name, prepared.schema);
    Ok(prepared)
}

/// Whether the database had to be created.
async fn create(url: &DatabaseUrl, patience: Patience) -> Result<bool, Error> {
    // CREATE DATABASE needs a connection to another database of the server.
    let mut connection = match wait(&url.with_name("postgres"), patience).await {
        Err(Error::Connect(ConnectError::Refused { source, .. })) if is_code(&source, "3D000") => {
            wait(&url.with_name("template1"), patience).await?
        }
        connected => connected?,
    };
    let name = url.name();
    let known = sqlx::query_scalar("select exists (select from pg_database where datname = $1)");
    let is_new = !known.bind(&name).fetch_one(&mut connection).await? && {
        let create = format!("create database \"{}\"", name.replace('"', "\"\""));
        match sqlx::query(AssertSqlSafe(create))
            .execute(&mut connection)
            .await
        {
            // duplicate_database, unique_violation: somebody else was quicker.
            Err(error) if is_code(&error, "42P04") || is_code(&error, "23505") => false,
            created => created.map(|_| true)?,
        }
    };
    connection.close().await?;
    Ok(is_new)
}

fn is_code(error: &sqlx::Error, code: &str) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|found| found == code)
}
