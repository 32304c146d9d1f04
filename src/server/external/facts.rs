//! The properties of the server and of the role, and the check whether ebbtide can use them.

use std::fmt;

use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use crate::config::Plan;
use crate::conn::{ConnParams, RoleKind, VersionAndRole};
use crate::error::{Error, ErrorKind, Result};
use crate::guard_names::IDENTITY_SETTING;
use crate::names::Ident;
use crate::sql_error;

/// The first version with `DROP DATABASE ... WITH (FORCE)` and with trusted extensions.
const MIN_MAJOR: u32 = 13;

#[derive(Debug)]
pub(super) struct Facts {
    pub(super) version: String,
    pub(super) version_num: u32,
    pub(super) role: String,
    pub(super) limits: Limits,
    pub(super) is_durable: bool,
    privileges: Privileges,
    is_standby: bool,
    /// Whether another backend of ebbtide has started it.
    is_started_by_ebbtide: bool,
}

/// What the role may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Privileges {
    Superuser,
    CreateDatabases,
    Nothing,
}

impl Privileges {
    fn of(is_superuser: bool, may_create: bool) -> Self {
        match (is_superuser, may_create) {
            (true, _) => Self::Superuser,
            (false, true) => Self::CreateDatabases,
            (false, false) => Self::Nothing,
        }
    }
}

/// How many connections the server has. Errors about too few connections print it.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    role: String,
    all: i32,
    reserved: i32,
    /// The role's CONNECTION LIMIT; `None` if it has no limit.
    of_role: Option<i32>,
}

/// One in so many connections is reserved for ebbtide itself: it copies databases and reads waits.
/// It needs few connections at a time, each for a moment.
const OVERHEAD_DIVISOR: i32 = 4;
const MAX_OVERHEAD_CONNECTIONS: i32 = 2;

impl Limits {
    /// How many connections tests may have.
    pub(super) fn for_tests(&self) -> usize {
        let of_server = self.all - self.reserved;
        let all = self
            .of_role
            .map_or(of_server, |of_role| of_role.min(of_server));
        (all - (all / OVERHEAD_DIVISOR).min(MAX_OVERHEAD_CONNECTIONS))
            .try_into()
            .unwrap_or_default()
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the server has {} (max_connections), {} of them for superusers",
            self.all, self.reserved
        )?;
        match self.of_role {
            Some(limit) => write!(
                f,
                ", and the role {} may have {limit} (CONNECTION LIMIT)",
                self.role
            ),
            None => Ok(()),
        }
    }
}

impl Facts {
    /// Reads all properties with one query.
    pub(super) async fn read(connection: &mut PgConnection) -> Result<Self> {
        let failed = |error| sql_error::failed("reading the server's properties", error);
        // With `true`, a missing parameter is null: `reserved_connections` exists since PostgreSQL
        // 16, and only servers of ebbtide have `ebbtide.identity`. A role without a limit has the
        // `rolconnlimit` -1. <https://www.postgresql.org/docs/current/view-pg-roles.html>
        let row = sqlx::query(
            "select current_setting('server_version'), \
             current_setting('server_version_num')::int4, rolname::text, \
             current_setting('max_connections')::int4, \
             current_setting('superuser_reserved_connections')::int4 \
             + coalesce(current_setting('reserved_connections', true), '0')::int4, \
             nullif(rolconnlimit, -1), current_setting('fsync')::bool, rolsuper, rolcreatedb, \
             pg_is_in_recovery(), \
             coalesce(current_setting($1, true), '') <> '' \
             from pg_roles where rolname = current_user",
        )
        .bind(IDENTITY_SETTING)
        .fetch_one(connection)
        .await
        .map_err(failed)?;
        let read = || {
            let version_num: i32 = row.try_get(1)?;
            let role: String = row.try_get(2)?;
            let limits = Limits {
                role: role.clone(),
                all: row.try_get(3)?,
                reserved: row.try_get(4)?,
                of_role: row.try_get(5)?,
            };
            Ok(Self {
                version: row.try_get(0)?,
                version_num: version_num.unsigned_abs(),
                role,
                limits,
                is_durable: row.try_get(6)?,
                privileges: Privileges::of(row.try_get(7)?, row.try_get(8)?),
                is_standby: row.try_get(9)?,
                is_started_by_ebbtide: row.try_get(10)?,
            })
        };
        read().map_err(failed)
    }

    pub(super) fn version_and_role(&self) -> VersionAndRole {
        let role = if self.privileges == Privileges::Superuser {
            RoleKind::Superuser
        } else {
            RoleKind::Ordinary
        };
        VersionAndRole {
            version_num: self.version_num,
            role,
        }
    }

    /// Checks that ebbtide can use this server with this role.
    ///
    /// # Errors
    /// Ebbtide has started the server, the server is a standby, or its version is not the required
    /// one. Or the role may not create databases, or may not log the plans that the plan requests.
    pub(super) fn check(&self, plan: &Plan, conn: &ConnParams) -> Result<()> {
        let (place, version, major) = (conn.place(), &self.version, self.version_num / 10_000);
        // The processes that share such a server lock lanes by files. An external handle does not
        // see those files. It would take all databases of the other processes for abandoned, and
        // drop them.
        if self.is_started_by_ebbtide {
            let message = format!(
                "an external server must not be one that ebbtide has started: \
                 {place} may be in use by other tests"
            );
            return Err(Error::new(ErrorKind::BackendUnavailable, message).with_help(
                "remove the URL, because tests with the same settings find that server and share \
                 it; or name a server of your own",
            ));
        }
        if major < MIN_MAJOR {
            let message = format!(
                "the external server must be PostgreSQL {MIN_MAJOR} or later, but {place} is \
                 PostgreSQL {version}"
            );
            return Err(Error::new(ErrorKind::BackendUnavailable, message)
                .with_help("use a newer server, or remove the URL: ebbtide then starts its own"));
        }
        if let Some(wanted) = *plan.postgres.get()
            && wanted != major
        {
            let message = format!(
                "the external server must be PostgreSQL {wanted} ({}), \
                 but {place} is PostgreSQL {version}",
                plan.postgres.source
            );
            return Err(Error::new(ErrorKind::Config, message)
                .with_help("name a server of that version in the URL, or require this one's"));
        }
        if self.is_standby {
            let message =
                format!("the external server must accept writes, but {place} is a standby");
            return Err(Error::new(ErrorKind::BackendUnavailable, message)
                .with_help("name the primary server in the URL"));
        }
        if self.privileges == Privileges::Nothing {
            let message = format!(
                "the external server's role must be able to create databases, but {} has no \
                 CREATEDB at {place}",
                self.role
            );
            return Err(
                Error::new(ErrorKind::AccessDenied, message).with_help(format!(
                    "have a superuser run `ALTER ROLE {} CREATEDB;`",
                    Ident(&self.role)
                )),
            );
        }
        // Only superusers may set `session_preload_libraries` and the parameters of auto_explain.
        // <https://www.postgresql.org/docs/current/auto-explain.html>
        if plan.log_plans_slower_than.is_some() && self.privileges != Privileges::Superuser {
            let message = format!(
                "the external server's role must be a superuser to log plans of slow statements \
                 ({}), but {} is no superuser at {place}",
                plan.log_plans_slower_than.source, self.role
            );
            return Err(Error::new(ErrorKind::AccessDenied, message).with_help(
                "unset EBBTIDE_LOG_PLANS_SLOWER_THAN, or name a superuser in the URL: \
                     only superusers may use auto_explain",
            ));
        }
        Ok(())
    }
}
