//! What the server says of itself and of our role there, and whether that will do.

use std::fmt;

use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use crate::config::Plan;
use crate::conn::{ConnParams, Known, RoleKind};
use crate::error::{Error, ErrorKind, Result};
use crate::names::Ident;
use crate::sql_error;

/// The first version with `DROP DATABASE ... WITH (FORCE)` and with trusted extensions.
const OLDEST: u32 = 13;

#[derive(Debug)]
pub(super) struct Facts {
    pub(super) version: String,
    pub(super) version_num: u32,
    pub(super) role: String,
    pub(super) limits: Limits,
    pub(super) is_durable: bool,
    rights: Rights,
    is_standby: bool,
    /// Whether a backend of ours has started it.
    is_ours: bool,
}

/// What the role may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rights {
    Everything,
    Databases,
    Nothing,
}

impl Rights {
    fn of(is_superuser: bool, may_create: bool) -> Self {
        match (is_superuser, may_create) {
            (true, _) => Self::Everything,
            (false, true) => Self::Databases,
            (false, false) => Self::Nothing,
        }
    }
}

/// How many connections the server has, for errors that say that they are too few.
#[derive(Debug, Clone)]
pub(in crate::server) struct Limits {
    role: String,
    all: i32,
    reserved: i32,
    /// None for as many as there are.
    of_role: Option<i32>,
}

/// Connections for copies and for looking at waits, as a part of all. Few are needed at a time, and for a moment.
const OVERHEAD_SHARE: i32 = 4;
const OVERHEAD_LIMIT: i32 = 2;

impl Limits {
    /// How many connections tests may have.
    pub(super) fn for_tests(&self) -> usize {
        let of_server = self.all - self.reserved;
        let all = self
            .of_role
            .map_or(of_server, |of_role| of_role.min(of_server));
        (all - (all / OVERHEAD_SHARE).min(OVERHEAD_LIMIT))
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
    pub(super) async fn read(connection: &mut PgConnection) -> Result<Self> {
        let failed = |error| sql_error::failed("asking the server about itself", error);
        let row = sqlx::query(
            "select current_setting('server_version'), current_setting('server_version_num')::int4, rolname::text, \
             current_setting('max_connections')::int4, current_setting('superuser_reserved_connections')::int4 \
             + coalesce(current_setting('reserved_connections', true), '0')::int4, \
             nullif(rolconnlimit, -1), current_setting('fsync')::bool, rolsuper, rolcreatedb, pg_is_in_recovery(), \
             coalesce(current_setting('ebbtide.identity', true), '') <> '' \
             from pg_roles where rolname = current_user",
        )
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
                rights: Rights::of(row.try_get(7)?, row.try_get(8)?),
                is_standby: row.try_get(9)?,
                is_ours: row.try_get(10)?,
            })
        };
        read().map_err(failed)
    }

    pub(super) fn known(&self) -> Known {
        let role = if self.rights == Rights::Everything {
            RoleKind::Superuser
        } else {
            RoleKind::Ordinary
        };
        Known {
            version_num: self.version_num,
            role,
        }
    }

    /// # Errors
    /// The server is not the wanted one, or does not let us create databases.
    pub(super) fn check(&self, plan: &Plan, conn: &ConnParams) -> Result<()> {
        let (place, version, major) = (conn.place(), &self.version, self.version_num / 10_000);
        // Whoever shares it leases lanes by files, which nobody sees from here: all of its databases would look forsaken.
        if self.is_ours {
            let message = format!(
                "the server at {place} is one that ebbtide has started, and its tests may be running"
            );
            return Err(Error::new(ErrorKind::BackendUnavailable, message).with_help(
                "leave the URL away: whoever wants the same settings finds that server and shares it; or name one of your own",
            ));
        }
        if major < OLDEST {
            let message = format!(
                "the server at {place} is PostgreSQL {version}, and ebbtide needs {OLDEST} or later"
            );
            return Err(Error::new(ErrorKind::BackendUnavailable, message)
                .with_help("use a newer server, or let ebbtide start one of its own"));
        }
        if let Some(wanted) = *plan.postgres.get()
            && wanted != major
        {
            let message = format!(
                "the server at {place} is PostgreSQL {version}, and {wanted} is wanted ({})",
                plan.postgres.source
            );
            return Err(Error::new(ErrorKind::Config, message)
                .with_help("name a server of that version in the URL, or ask for this one's"));
        }
        if self.is_standby {
            let message =
                format!("the server at {place} is a standby, where nothing can be written");
            return Err(Error::new(ErrorKind::BackendUnavailable, message)
                .with_help("name the primary server in the URL"));
        }
        if self.rights == Rights::Nothing {
            let message = format!(
                "the role {} may not create databases on the server at {place}",
                self.role
            );
            return Err(
                Error::new(ErrorKind::AccessDenied, message).with_help(format!(
                    "have a superuser run `ALTER ROLE {} CREATEDB;`",
                    Ident(&self.role)
                )),
            );
        }
        if plan.log_plans_slower_than.is_some() && self.rights != Rights::Everything {
            let message = format!(
                "the role {} may not ask the server at {place} for plans of slow statements ({})",
                self.role, plan.log_plans_slower_than.source
            );
            return Err(Error::new(ErrorKind::AccessDenied, message)
                .with_help("unset EBBTIDE_LOG_PLANS_SLOWER_THAN, or name a superuser in the URL: auto_explain is for them alone"));
        }
        Ok(())
    }
}
