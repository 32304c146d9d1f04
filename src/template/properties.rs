//! What `CREATE DATABASE ... TEMPLATE` leaves out: read when a template is sealed, and applied to
//! each copy.

use std::io::Write as _;

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use crate::catalog::{DatabaseProperties, InsideProperties};
use crate::conn;
use crate::error::{Error, ErrorKind, Result};
use crate::guard;
use crate::names::DatabaseName;
use crate::server::Server;
use crate::sql_error;

/// Reads the properties of `build` that each of its copies must receive. `connection` is a session
/// on `build`.
///
/// # Errors
/// [`ErrorKind::Migration`]: the database has an object that no copy can have.
pub(super) async fn read(
    admin: &mut PgConnection,
    connection: &mut PgConnection,
    build: &DatabaseName,
) -> Result<DatabaseProperties> {
    let failed = |error| sql_error::failed("reading the database's properties", error);
    let inside = InsideProperties::read(connection, build.as_str())
        .await
        .map_err(failed)?;
    if let Some(first) = inside.obstacles.first() {
        let all = inside
            .obstacles
            .iter()
            .map(|obstacle| obstacle.object.as_str())
            .collect::<Vec<_>>()
            .join("\n");
        let message = format!(
            "the migrations must create only objects that can be copied to a test's database, but {} \
             cannot be copied",
            first.object
        );
        return Err(Error::new(ErrorKind::Migration, message)
            .with_evidence("cannot be copied", all)
            .with_help(first.remedy));
    }
    if !inside.remnants.is_empty() {
        // Not `eprintln!`: a test runner would capture the line for the test that happens to come
        // first.
        let _ = writeln!(
            std::io::stderr(),
            "ebbtide: {} contains the name of the database in which the migrations ran; call \
             current_database() instead of storing the name",
            inside.remnants.join(", ")
        );
    }
    if !inside.statements.is_empty() {
        // On an external server, `_ebbtide.lane.clean` marks a lane as usable. A copy receives the
        // template's row, so the template's value must be false. The last statement of a copy sets
        // it to true.
        guard::mark_unfinished(connection).await.map_err(failed)?;
    }
    DatabaseProperties::read(admin, build, inside.statements)
        .await
        .map_err(failed)
}

/// Applies the properties of a template to a new copy.
///
/// A lane that needs properties was created with `ALLOW_CONNECTIONS false`. It accepts connections
/// once it has the properties that the shared catalogs store. The other properties are applied in a
/// session on the copy.
pub(crate) async fn complete(
    server: &Server,
    admin: &mut PgConnection,
    properties: &DatabaseProperties,
    copy: &DatabaseName,
) -> Result<()> {
    let failed = |error| sql_error::failed("applying the template's properties to a copy", error);
    properties.apply(admin, copy).await.map_err(failed)?;
    if properties.has_inside() {
        // The database's own settings may make its sessions read-only, this one included.
        let options = server
            .conn
            .options(copy.as_str())
            .options([("default_transaction_read_only", "off")]);
        let mut connection = conn::open(&options).await.map_err(failed)?;
        properties
            .apply_inside(&mut connection, copy)
            .await
            .map_err(failed)?;
        // Everything is committed, so an error on closing loses nothing.
        let _ = connection.close().await;
    }
    Ok(())
}

/// Applies the properties of a database to a copy of its state. `name` is the name by which objects
/// of the copy refer to their database: the copy's own, or the one that it will get.
///
/// The copy was created with `ALLOW_CONNECTIONS false`, as for [`complete`].
pub(crate) async fn complete_state(
    server: &Server,
    admin: &mut PgConnection,
    properties: &DatabaseProperties,
    copy: &DatabaseName,
    name: &DatabaseName,
) -> Result<()> {
    let step = "applying the properties of a database to its copy";
    let failed = |error| sql_error::failed(step, error);
    properties.apply(admin, copy).await.map_err(failed)?;
    if properties.has_inside() {
        let options = server.conn.read_write().options(copy.as_str());
        let mut connection = conn::open(&options).await.map_err(failed)?;
        let applied = properties.apply_inside_state(&mut connection, name).await;
        applied.map_err(failed)?;
        // Everything is committed, so an error on closing loses nothing.
        let _ = connection.close().await;
    }
    Ok(())
}
