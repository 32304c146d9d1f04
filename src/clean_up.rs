//! Removes databases of ours that nobody will use again.
//!
//! Ours are those with our prefix. On a server of another owner they belong to our own role, or are copies of a template
//! that does. Age alone drops nothing: a fingerprint's databases go when
//! nobody holds it, a kept database when its own comment says so.

mod leftovers;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use crate::error::Result;
use crate::lane_lock::HeldLanes;
use crate::names::{DATABASE_PREFIX, DatabaseName, Fingerprint, Literal};
use crate::server::Server;
use crate::sql_error;
use crate::template::OWNER;
use crate::wait::Patience;

/// Templates that may stay on one server beside the one about to be built. Every set of fixtures has one.
const TEMPLATES_KEPT: usize = 24;

/// How long the server may take to end what keeps a database from being dropped.
const LEFTOVERS_TIMEOUT: Duration = Duration::from_secs(20);

/// What [`Harness::clean_up`](crate::Harness::clean_up) did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CleanUpReport {
    /// Databases that are gone now.
    pub dropped: Vec<String>,
    /// Databases that stay, because a process uses or builds them, a session is on them, or their time has not come.
    pub held: Vec<String>,
}

/// What the comment of a kept database says.
#[derive(Debug, Serialize, Deserialize)]
struct KeptMark {
    owner: String,
    /// Seconds since 1970, by the server's clock.
    kept_until: i64,
}

/// Drops a database of ours together with the sessions on it, and whatever else keeps the server from dropping it.
pub(crate) async fn drop_database(
    server: &Server,
    admin: &mut PgConnection,
    name: &DatabaseName,
) -> Result<()> {
    let failed = |error| server.diagnose(sql_error::failed(&format!("dropping {name}"), error));
    match drop_at_once(admin, name).await {
        Err(error) if leftovers::may_be_why(&error) => {
            let mut patience = Patience::new(format!("dropping {name}"), LEFTOVERS_TIMEOUT);
            loop {
                leftovers::remove(server, admin, name)
                    .await
                    .map_err(failed)?;
                match drop_at_once(admin, name).await {
                    // The server ends sessions and workers a moment after it was asked to.
                    Err(error) if leftovers::may_be_why(&error) => {
                        let pause = patience.pause(&error).await;
                        pause.map_err(|timeout| timeout.with_source(error))?;
                    }
                    other => return other.map_err(failed),
                }
            }
        }
        other => other.map_err(failed),
    }
}

async fn drop_at_once(admin: &mut PgConnection, name: &DatabaseName) -> Result<(), sqlx::Error> {
    match drop_forced(admin, name).await {
        // wrong_object_type: it is a template. Others are not altered: where an earlier drop was interrupted, the database is
        // invalid, and ALTER DATABASE ends the session (`AlterDatabase` in PostgreSQL's `dbcommands.c`).
        Err(error) if sql_error::code(&error) == Some("42809") => {
            let release = format!("alter database {name} is_template false");
            sqlx::raw_sql(AssertSqlSafe(release))
                .execute(&mut *admin)
                .await?;
            drop_forced(admin, name).await
        }
        dropped => dropped,
    }
}

async fn drop_forced(admin: &mut PgConnection, name: &DatabaseName) -> Result<(), sqlx::Error> {
    let force = AssertSqlSafe(format!("drop database if exists {name} with (force)"));
    let dropped = match sqlx::raw_sql(force).execute(&mut *admin).await {
        // An ordinary role may not end an autovacuum worker, and is refused for its sake. Without FORCE the server ends it
        // by itself. https://www.postgresql.org/docs/current/sql-dropdatabase.html
        Err(error) if sql_error::code(&error) == Some("42501") => {
            let end_ours = format!(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = {} and usename = current_user",
                Literal(name.as_str())
            );
            // If it cannot be asked, the next statement says why.
            let _ = sqlx::raw_sql(AssertSqlSafe(end_ours))
                .execute(&mut *admin)
                .await;
            sqlx::raw_sql(AssertSqlSafe(format!("drop database if exists {name}")))
                .execute(admin)
                .await
        }
        dropped => dropped,
    };
    dropped.map(drop)
}

/// Drops what builders of this fingerprint left behind, and the rest of a template whose drop was interrupted: its name
/// would refuse the next one. The caller holds the fingerprint's lock, and has found no template.
pub(crate) async fn drop_builds(
    server: &Server,
    admin: &mut PgConnection,
    fingerprint: &Fingerprint,
) -> Result<()> {
    let template = DatabaseName::template(fingerprint);
    for prefix in [
        format!("{DATABASE_PREFIX}b_{fingerprint}_"),
        template.as_str().to_owned(),
    ] {
        for name in databases(Whose::Any, admin, &prefix).await? {
            tracing::info!(database = name.as_str(), "dropping a half-built database");
            drop_database(server, admin, &name).await?;
        }
    }
    Ok(())
}

/// Drops the oldest templates with their lanes, unless somebody uses them.
pub(crate) async fn drop_old_templates(server: &Server, admin: &mut PgConnection) -> Result<()> {
    // Newer databases have higher object identifiers.
    let templates = databases(Whose::of(server), admin, &format!("{DATABASE_PREFIX}t_")).await?;
    for template in templates.iter().rev().skip(TEMPLATES_KEPT) {
        let Some(fingerprint) = template.fingerprint() else {
            continue;
        };
        let Some(hold) = Hold::on(server, admin, &fingerprint).await? else {
            continue;
        };
        tracing::info!(database = template.as_str(), "dropping an old template");
        hold.drop_all(server, admin).await?;
    }
    Ok(())
}

/// Drops what others left on a server that outlives everybody: builds and lanes without a template that nobody uses, and
/// kept databases whose time is over.
pub(crate) async fn sweep(server: &Server, admin: &mut PgConnection) -> Result<()> {
    let names = databases(Whose::of(server), admin, DATABASE_PREFIX).await?;
    let templates: BTreeSet<_> = names
        .iter()
        .filter(|name| name.is_template())
        .filter_map(DatabaseName::fingerprint)
        .collect();
    let all: BTreeSet<_> = names.iter().filter_map(DatabaseName::fingerprint).collect();
    for fingerprint in all.difference(&templates) {
        if let Some(hold) = Hold::on(server, admin, fingerprint).await? {
            hold.drop_all(server, admin).await?;
        }
    }
    drop_expired(server, admin).await.map(drop)
}

/// Drops everything that nobody uses.
pub(crate) async fn everything(server: &Server, admin: &mut PgConnection) -> Result<CleanUpReport> {
    let names = databases(Whose::of(server), admin, DATABASE_PREFIX).await?;
    let mut dropped = drop_expired(server, admin).await?;
    for fingerprint in names
        .iter()
        .filter_map(DatabaseName::fingerprint)
        .collect::<BTreeSet<_>>()
    {
        if let Some(hold) = Hold::on(server, admin, &fingerprint).await? {
            dropped.extend(hold.drop_all(server, admin).await?);
        }
    }
    let held = databases(Whose::of(server), admin, DATABASE_PREFIX).await?;
    let text =
        |names: Vec<DatabaseName>| names.iter().map(|name| name.as_str().to_owned()).collect();
    Ok(CleanUpReport {
        dropped: text(dropped),
        held: text(held),
    })
}

/// The right to drop all databases of a fingerprint: nobody uses one, and nobody builds one.
struct Hold {
    fingerprint: Fingerprint,
    lanes: HeldLanes,
}

impl Hold {
    async fn on(
        server: &Server,
        admin: &mut PgConnection,
        fingerprint: &Fingerprint,
    ) -> Result<Option<Self>> {
        let Some(lanes) = server.lanes(fingerprint).lock_all().await? else {
            return Ok(None);
        };
        let free: bool = sqlx::query_scalar("select pg_try_advisory_lock($1)")
            .bind(fingerprint.build_key())
            .fetch_one(admin)
            .await
            .map_err(|error| sql_error::failed("looking for builders", error))?;
        Ok(free.then(|| Self {
            fingerprint: fingerprint.clone(),
            lanes,
        }))
    }

    /// The template last, so that what a killed process leaves is found by the next one.
    async fn drop_all(
        self,
        server: &Server,
        admin: &mut PgConnection,
    ) -> Result<Vec<DatabaseName>> {
        let mut names = databases(Whose::of(server), admin, DATABASE_PREFIX).await?;
        names.retain(|name| name.fingerprint().as_ref() == Some(&self.fingerprint));
        // Somebody may have made another lane since ours were locked, and uses it.
        let is_locked = |name: &DatabaseName| {
            name.lane_number()
                .is_none_or(|number| self.lanes.has(number))
        };
        let all_are_locked = names.iter().all(is_locked);
        names.retain(|name| {
            if name.is_template() {
                all_are_locked
            } else {
                is_locked(name)
            }
        });
        names.sort_by_key(DatabaseName::is_template);
        let mut dropped = Vec::new();
        for name in names {
            tracing::info!(
                database = name.as_str(),
                "dropping a database that nobody uses"
            );
            match drop_database(server, admin, &name).await {
                Ok(()) => dropped.push(name),
                // A session of a role that we may not end: it stays for another time.
                Err(error) => tracing::warn!(?error, "a database stays"),
            }
        }
        self.lanes.remove();
        sqlx::query("select pg_advisory_unlock($1)")
            .bind(self.fingerprint.build_key())
            .execute(admin)
            .await
            .map_err(|error| sql_error::failed("unlocking a template", error))?;
        Ok(dropped)
    }
}

/// Drops the databases of one lane, whose lease the caller holds.
pub(crate) async fn drop_lane(
    server: &Server,
    admin: &mut PgConnection,
    fingerprint: &Fingerprint,
    number: usize,
) -> Result<()> {
    let prefix = DatabaseName::lanes_numbered(fingerprint, number);
    for name in databases(Whose::of(server), admin, &prefix).await? {
        drop_database(server, admin, &name).await?;
    }
    Ok(())
}

/// Drops lanes of other fingerprints that nobody uses now, oldest first, until there are fewer than the limit on the
/// server together with those that are in use.
pub(crate) async fn make_room(
    server: &Server,
    admin: &mut PgConnection,
    wanted: &Fingerprint,
    limit: usize,
) -> Result<()> {
    let lanes = databases(Whose::of(server), admin, &format!("{DATABASE_PREFIX}l_")).await?;
    let mut surplus = (lanes.len() + 1).saturating_sub(limit);
    for name in lanes {
        if surplus == 0 {
            break;
        }
        let (Some(fingerprint), Some(number)) = (name.fingerprint(), name.lane_number()) else {
            continue;
        };
        if fingerprint == *wanted {
            continue;
        }
        if let Some(lease) = server.lanes(&fingerprint).try_lease(number).await? {
            lease.forget()?;
            drop_database(server, admin, &name).await?;
            surplus -= 1;
        }
    }
    Ok(())
}

/// Makes a lane a kept database, which says itself until when.
pub(crate) async fn keep(
    admin: &mut PgConnection,
    lane: &DatabaseName,
    kept: &DatabaseName,
    term: Duration,
) -> Result<(), sqlx::Error> {
    let now: i64 = sqlx::query_scalar("select extract(epoch from now())::bigint")
        .fetch_one(&mut *admin)
        .await?;
    let kept_until = now.saturating_add_unsigned(term.as_secs());
    let mark = KeptMark {
        owner: OWNER.to_owned(),
        kept_until,
    };
    let mark = serde_json::to_string(&mark).expect("a mark holds plain values");
    // One message is one transaction, so no kept database is without its mark.
    // A template, or a database of another role, would stay for ever.
    let message = format!(
        "alter database {lane} rename to {kept}; alter database {kept} owner to current_user; \
         alter database {kept} is_template false; comment on database {kept} is {}",
        Literal(&mark)
    );
    sqlx::raw_sql(AssertSqlSafe(message))
        .execute(admin)
        .await
        .map(drop)
}

/// Drops kept databases whose time is over and that nobody looks at.
async fn drop_expired(server: &Server, admin: &mut PgConnection) -> Result<Vec<DatabaseName>> {
    let failed = |error| sql_error::failed("looking for kept databases", error);
    let kept: Vec<(String, String)> = sqlx::query_as(
        "select datname::text, shobj_description(oid, 'pg_database') from pg_database \
         where starts_with(datname::text, $1) and shobj_description(oid, 'pg_database') is not null \
         and ($2 or datdba = (select oid from pg_roles where rolname = current_user))",
    )
    .bind(format!("{DATABASE_PREFIX}k_"))
    .bind(!server.outlives_us())
    .fetch_all(&mut *admin)
    .await
    .map_err(failed)?;
    if kept.is_empty() {
        return Ok(Vec::new());
    }
    let now: i64 = sqlx::query_scalar("select extract(epoch from now())::bigint")
        .fetch_one(&mut *admin)
        .await
        .map_err(failed)?;
    let mut dropped = Vec::new();
    for (name, comment) in kept {
        let is_over = serde_json::from_str(&comment)
            .is_ok_and(|mark: KeptMark| mark.owner == OWNER && mark.kept_until <= now);
        let name = DatabaseName::ours(&name)?;
        // Without force: somebody may be looking at it.
        let drop = format!("drop database if exists {name}");
        if is_over
            && sqlx::raw_sql(AssertSqlSafe(drop))
                .execute(&mut *admin)
                .await
                .is_ok()
        {
            dropped.push(name);
        }
    }
    Ok(dropped)
}

/// Whose databases a listing holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// Of every role: no other role uses this prefix here.
    Any,
    /// Of this role, and those that are copies of a template of this role: a migration or a test may give its database to
    /// another role.
    Ours,
}

impl Whose {
    fn of(server: &Server) -> Self {
        if server.outlives_us() {
            Self::Ours
        } else {
            Self::Any
        }
    }
}

async fn databases(
    whose: Whose,
    admin: &mut PgConnection,
    prefix: &str,
) -> Result<Vec<DatabaseName>> {
    let names: Vec<String> = sqlx::query_scalar(
        "with mine as (select datname from pg_database where datdba = (select oid from pg_roles where rolname = current_user)) \
         select datname::text from pg_database d where starts_with(datname::text, $1) and ($2 or exists (select from mine \
         where datname in (d.datname, regexp_replace(d.datname, '^([a-z]+)_l_([0-9a-f]+)_[0-9]+$', '\\1_t_\\2')))) order by oid",
    )
    .bind(prefix)
    .bind(whose == Whose::Any)
    .fetch_all(admin)
    .await
    .map_err(|error| sql_error::failed("listing databases", error))?;
    names.iter().map(|name| DatabaseName::ours(name)).collect()
}
