//! A lane that is ready for its next test.

use sqlx::postgres::PgConnection;

use super::login::Login;
use crate::names::DatabaseName;

/// A lane's database that equals the template.
pub(super) struct PreparedLane {
    pub(super) database: DatabaseName,
    /// The uses of the database since it was copied, where the lane file records them.
    pub(super) uses: u32,
    /// The session that made the database equal or claimed it, if there was one.
    pub(super) connection: Option<PgConnection>,
    /// The database's name when that session began. A reset renames the database.
    pub(super) session_database: DatabaseName,
    /// As which role that session is logged in.
    pub(super) login: Login,
}
