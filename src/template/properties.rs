//! What `CREATE DATABASE ... TEMPLATE` leaves out: read when a template is sealed, and given to each copy.

use std::io::Write as _;

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use crate::catalog::{DatabaseProperties, Inside};
use crate::conn;
use crate::error::{Error, ErrorKind, Result};
use crate::names::DatabaseName;
use crate::server::Server;
use crate::sql_error;

/// Reads what copies of a database have to be given. `connection` is a session on it.
///
/// # Errors
/// [`ErrorKind::Migration`]: the database has something that no copy can have.
pub(super) async fn read(
    admin: &mut PgConnection,
    connection: &mut PgConnection,
    build: &DatabaseName,
) -> Result<DatabaseProperties> {
    let failed = |error| sql_error::failed("reading the database's properties", error);
    let inside = Inside::read(connection, build.as_str())
        .await
        .map_err(failed)?;
    if let Some(first) = inside.obstacles.first() {
        let all = inside
            .obstacles
            .iter()
            .map(|obstacle| obstacle.what.as_str())
            .collect::<Vec<_>>()
            .join("\n");
        let message = format!(
            "the migrations leave what a test's copy of the database cannot have: {}",
            first.what
        );
        return Err(Error::new(ErrorKind::Migration, message)
            .with_evidence("left", all)
            .with_help(first.remedy));
    }
    if !inside.remnants.is_empty() {
        // Not by `eprintln!`, which a test runner captures for the test that comes first.
        let _ = writeln!(
            std::io::stderr(),
            "ebbtide: the name of the database that the migrations ran in, which no test has, stands in {}: call \
             current_database() where the name is used, instead of writing it down",
            inside.remnants.join(", ")
        );
    }
    if !inside.statements.is_empty() {
        // On a server of another owner the lane's own row marks it as usable. The last statement for a copy sets the mark.
        let unfinished = "update _ebbtide.lane set clean = false";
        sqlx::raw_sql(unfinished)
            .execute(connection)
            .await
            .map_err(failed)?;
    }
    DatabaseProperties::read(admin, build, inside.statements)
        .await
        .map_err(failed)
}

/// Gives a new copy what its template has. A copy with properties was created with `ALLOW_CONNECTIONS false`.
pub(crate) async fn complete(
    server: &Server,
    admin: &mut PgConnection,
    properties: &DatabaseProperties,
    copy: &DatabaseName,
) -> Result<()> {
    let failed = |error| sql_error::failed("giving a copy what its template has", error);
    properties.apply(admin, copy).await.map_err(failed)?;
    if properties.has_inside() {
        // Settings of the database hold for this session as well.
        let options = server
            .conn
            .options(copy.as_str())
            .options([("default_transaction_read_only", "off")]);
        let mut connection = conn::open(&options).await.map_err(failed)?;
        properties
            .apply_inside(&mut connection, copy)
            .await
            .map_err(failed)?;
        // The work is committed.
        let _ = connection.close().await;
    }
    Ok(())
}
