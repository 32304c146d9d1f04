//! Sessions of the role as which tests log in: connecting, and reading the role's rights.
//!
//! ```text
//! connect ---- accepted --------------------------------> read the role's rights, once per process
//!    | refused
//!    v
//! inspect in an administrative session
//!    |-- no such role, NOLOGIN, no CONNECT -------------> error with the remedy
//!    |-- ebbtide's own server requires a password ------> set it, connect again
//!    +-- otherwise --------------------------------------> error with the server's reason
//! ```

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::login::Login;
use super::pool::LanePool;
use super::test_role::TestRole;
use crate::catalog::RoleRights;
use crate::error::Result;
use crate::guard::SessionLogin;
use crate::names::{DatabaseName, Ident, Literal, ROLE_LOCK_KEY};
use crate::role_error;
use crate::sql_error;

impl LanePool {
    /// As which role a session that resets a lane logs in.
    pub(super) fn reset_login(&self) -> Login {
        match self.setting().test_role {
            Some(_) => Login::Administrator,
            None => Login::Test,
        }
    }

    /// Reads what the role of tests may do, in one of its sessions. Does nothing if this process
    /// has done so before, or if there is no such role.
    pub(super) async fn read_rights(&self, session: &mut PgConnection) -> Result<()> {
        let Some(role) = &self.setting().test_role else {
            return Ok(());
        };
        if role.rights.get().is_some() {
            return Ok(());
        }
        let rights = RoleRights::of_session(session).await;
        let rights = rights
            .map_err(|error| self.diagnose("reading the rights of the tests' role", error))?;
        if let Some(reason) = &rights.bypasses {
            self.note_bypass(reason);
        }
        // Fails if another test has read them meanwhile, with the same result.
        let _ = role.rights.set(rights);
        Ok(())
    }

    /// Whether the role's own setting makes the transactions of tests read-only.
    pub(super) fn is_read_only(&self) -> bool {
        let role = self.setting().test_role.as_ref();
        role.is_some_and(TestRole::is_read_only)
    }

    /// As which role the sessions of tests are logged in.
    pub(super) fn session_login(&self) -> SessionLogin {
        match self.setting().test_role {
            Some(_) => SessionLogin::OtherRole,
            None => SessionLogin::Administrator,
        }
    }

    /// Whether the rights of the tests' role have still to be read.
    pub(super) fn needs_rights(&self) -> bool {
        let role = self.setting().test_role.as_ref();
        role.is_some_and(|role| role.rights.get().is_none())
    }

    /// Connects once more after the server refused the tests' role, if the cause can be removed.
    ///
    /// # Errors
    /// The cause and its remedy.
    pub(super) async fn connect_again(
        &self,
        error: sqlx::Error,
        database: &DatabaseName,
        test: &str,
        login: Login,
    ) -> Result<PgConnection> {
        let role = match &self.setting().test_role {
            Some(role) if login == Login::Test && sql_error::is_access_denied(&error) => role,
            _ => return Err(self.diagnose("connecting to a lane", error)),
        };
        self.allow_login(&role.name, database, error).await?;
        let connected = self.connect(database, test, login).await;
        connected.map_err(|error| role_error::refused(&role.name, self.server_owner(), error))
    }

    /// Removes the cause of a refused login.
    async fn allow_login(
        &self,
        role: &str,
        database: &DatabaseName,
        error: sqlx::Error,
    ) -> Result<()> {
        let server = &self.setting().server;
        let mut admin = server.admin().await?;
        let query = "select rolcanlogin, has_database_privilege(rolname, $2, 'connect') \
                     from pg_roles where rolname = $1";
        let found = sqlx::query(query)
            .bind(role)
            .bind(database.as_str())
            .fetch_optional(&mut admin)
            .await;
        let failed = |error| self.diagnose("looking for the tests' role", error);
        let Some(found) = found.map_err(failed)? else {
            return Err(role_error::missing(role, self.server_owner()));
        };
        let (may_log_in, may_connect): (bool, bool) = (
            found.try_get(0).map_err(failed)?,
            found.try_get(1).map_err(failed)?,
        );
        if !may_log_in {
            return Err(role_error::no_login(role));
        }
        if !may_connect {
            return Err(role_error::no_connect(role));
        }
        match server.role_password() {
            // invalid_password
            Some(password) if sql_error::code(&error) == Some("28P01") => {
                let set = format!(
                    "begin; select pg_catalog.pg_advisory_xact_lock({ROLE_LOCK_KEY}); \
                     alter role {} password {}; commit",
                    Ident(role),
                    Literal(&password)
                );
                let set = sqlx::raw_sql(AssertSqlSafe(set)).execute(&mut admin).await;
                set.map(drop)
                    .map_err(|error| self.diagnose("setting the role's password", error))
            }
            _ => Err(role_error::refused(role, self.server_owner(), error)),
        }
    }

    fn server_owner(&self) -> role_error::ServerOwner {
        self.setting().server.owner()
    }
}
