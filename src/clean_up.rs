//! Drops the databases of ebbtide that no process will use again.
//!
//! Only databases with ebbtide's prefix are dropped. On an external server they must also belong to
//! this session's role, or be copies of a template that does.
//!
//! ```text
//!  function            when                    drops                             under which lock
//!  drop_builds         before a build          the fingerprint's builds and the  build lock
//!                                              rest of its template
//!  drop_old_templates  before a build          old templates and their lanes     FingerprintLock
//!  drop_abandoned      before the search for   lanes and builds without a        FingerprintLock
//!                      a template, on an       template
//!                      external server
//!  drop_all_unused     Harness::clean_up,      everything                        FingerprintLock
//!                      before a build on a
//!                      dedicated server
//!  drop_expired        with the two above      kept databases                    none (no FORCE)
//!  drop_lane           before a copy,          the databases of one lane         its lane lock
//!                      after EB002
//!  make_room           before a copy           lanes of other fingerprints       their lane locks
//! ```
//!
//! Age alone never decides. The databases of a fingerprint are dropped when no process holds a lock
//! on them. A kept database is dropped when the time in its comment is over.

mod leftovers;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use crate::error::Result;
use crate::lane_lock::HeldLanes;
use crate::names::{DATABASE_PREFIX, DatabaseName, Fingerprint, Literal, OWNER_MARK};
use crate::server::Server;
use crate::sql_error;
use crate::wait::Polling;

/// The most templates that stay on a server beside the one about to be built. Every set of fixtures
/// has one.
const MAX_OTHER_TEMPLATES: usize = 24;

/// How long the server may take to end the sessions and workers that keep a database from being
/// dropped.
const LEFTOVERS_TIMEOUT: Duration = Duration::from_secs(20);

/// What [`Harness::clean_up`](crate::Harness::clean_up) did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CleanUpReport {
    /// The names of the databases that were dropped.
    pub dropped: Vec<String>,
    /// The names of the databases that stay: a process uses or builds them, a session is on them, or
    /// a kept database has not expired.
    pub held: Vec<String>,
}

/// The comment of a kept database, as JSON.
#[derive(Debug, Serialize, Deserialize)]
struct KeptMark {
    owner: String,
    /// The time when it expires: seconds since 1970, by the server's clock.
    kept_until: i64,
}

/// Drops a database together with the sessions on it, and with anything else that keeps the server
/// from dropping it.
///
/// Leftovers (replication slots, prepared transactions, subscriptions) are rare, and looking for
/// them takes several queries. So this function tries the plain drop first. If the server rejects
/// it, the function removes leftovers and retries the drop, for at most [`LEFTOVERS_TIMEOUT`].
pub(crate) async fn drop_database(
    server: &Server,
    admin: &mut PgConnection,
    name: &DatabaseName,
) -> Result<()> {
    let failed = |error| server.diagnose(sql_error::failed(&format!("dropping {name}"), error));
    match drop_at_once(admin, name).await {
        Err(error) if leftovers::may_block_drop(&error) => {
            let mut polling = Polling::new(format!("dropping {name}"), LEFTOVERS_TIMEOUT);
            loop {
                leftovers::remove(server, admin, name)
                    .await
                    .map_err(failed)?;
                match drop_at_once(admin, name).await {
                    // The server needs a moment to end sessions and workers after the request.
                    Err(error) if leftovers::may_block_drop(&error) => {
                        let pause = polling.pause(&error).await;
                        pause.map_err(|timeout| timeout.with_source(error))?;
                    }
                    other => return other.map_err(failed),
                }
            }
        }
        other => other.map_err(failed),
    }
}

/// Drops a database, a template included, in one attempt.
async fn drop_at_once(admin: &mut PgConnection, name: &DatabaseName) -> Result<(), sqlx::Error> {
    match drop_forced(admin, name).await {
        // wrong_object_type: the database is a template. Only then is it altered. If an earlier
        // drop was interrupted, the database is invalid, and ALTER DATABASE ends the session
        // (`AlterDatabase` in PostgreSQL's `dbcommands.c`).
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

/// Drops a database and ends the sessions on it, as far as this role may end them.
async fn drop_forced(admin: &mut PgConnection, name: &DatabaseName) -> Result<(), sqlx::Error> {
    let force = AssertSqlSafe(format!("drop database if exists {name} with (force)"));
    let dropped = match sqlx::raw_sql(force).execute(&mut *admin).await {
        // insufficient_privilege: an ordinary role may not end an autovacuum worker, so FORCE fails
        // while there is one. Without FORCE the server ends the worker by itself.
        // https://www.postgresql.org/docs/current/sql-dropdatabase.html
        Err(error) if sql_error::code(&error) == Some("42501") => {
            let end_own_sessions = format!(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = {} and usename = current_user",
                Literal(name.as_str())
            );
            // If this fails, the next statement reports why.
            let _ = sqlx::raw_sql(AssertSqlSafe(end_own_sessions))
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

/// Drops what earlier builders of this fingerprint left, and the rest of a template whose drop was
/// interrupted. That rest has the template's name, so the new template could not be published.
///
/// The caller holds the fingerprint's build lock and has found no template.
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
        // Under the build lock no living process builds the fingerprint, and no database with the
        // template's name is a template. The owner is not considered, because a migration may have
        // given its database to another role.
        for name in databases(OwnerFilter::Any, admin, &prefix).await? {
            tracing::info!(database = name.as_str(), "dropping a half-built database");
            drop_database(server, admin, &name).await?;
        }
    }
    Ok(())
}

/// Drops the oldest templates with their lanes, except those that a process uses.
pub(crate) async fn drop_old_templates(server: &Server, admin: &mut PgConnection) -> Result<()> {
    // The list is ordered by object identifier. Newer databases have higher ones.
    let templates = databases(
        OwnerFilter::of(server),
        admin,
        &format!("{DATABASE_PREFIX}t_"),
    )
    .await?;
    for template in templates.iter().rev().skip(MAX_OTHER_TEMPLATES) {
        let Some(fingerprint) = template.fingerprint() else {
            continue;
        };
        // A process uses or builds the fingerprint, or drops it already.
        let Some(lock) = FingerprintLock::try_lock(server, admin, &fingerprint).await? else {
            continue;
        };
        tracing::info!(database = template.as_str(), "dropping an old template");
        lock.drop_all(server, admin).await?;
    }
    Ok(())
}

/// Drops what other processes left on an external server: unused builds and lanes without a
/// template, and expired kept databases. The other servers end with everything on them.
pub(crate) async fn drop_abandoned(server: &Server, admin: &mut PgConnection) -> Result<()> {
    let names = databases(OwnerFilter::of(server), admin, DATABASE_PREFIX).await?;
    let templates: BTreeSet<_> = names
        .iter()
        .filter(|name| name.is_template())
        .filter_map(DatabaseName::fingerprint)
        .collect();
    let all: BTreeSet<_> = names.iter().filter_map(DatabaseName::fingerprint).collect();
    // The list may be outdated by now: a build may have become a template. The lock is the proof
    // that no process uses or builds the fingerprint, and `drop_all` lists its databases again.
    for fingerprint in all.difference(&templates) {
        if let Some(lock) = FingerprintLock::try_lock(server, admin, fingerprint).await? {
            lock.drop_all(server, admin).await?;
        }
    }
    drop_expired(server, admin).await.map(drop)
}

/// Drops every database that no process uses, and every expired kept database.
pub(crate) async fn drop_all_unused(
    server: &Server,
    admin: &mut PgConnection,
) -> Result<CleanUpReport> {
    let names = databases(OwnerFilter::of(server), admin, DATABASE_PREFIX).await?;
    let mut dropped = drop_expired(server, admin).await?;
    for fingerprint in names
        .iter()
        .filter_map(DatabaseName::fingerprint)
        .collect::<BTreeSet<_>>()
    {
        if let Some(lock) = FingerprintLock::try_lock(server, admin, &fingerprint).await? {
            dropped.extend(lock.drop_all(server, admin).await?);
        }
    }
    // Read again, because other processes create and drop databases meanwhile: the failed locks
    // alone would give an outdated list.
    let held = databases(OwnerFilter::of(server), admin, DATABASE_PREFIX).await?;
    let to_strings =
        |names: Vec<DatabaseName>| names.iter().map(|name| name.as_str().to_owned()).collect();
    Ok(CleanUpReport {
        dropped: to_strings(dropped),
        held: to_strings(held),
    })
}

/// The right to drop the databases of a fingerprint. This process holds every lane lock and the
/// build lock, so no process uses or builds such a database.
struct FingerprintLock {
    fingerprint: Fingerprint,
    lanes: HeldLanes,
}

impl FingerprintLock {
    /// Takes the locks, or none of them if another process holds one. Never waits: the databases of
    /// a fingerprint in use stay, and two processes that clean up at once must not wait for each
    /// other.
    async fn try_lock(
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
        // If a builder has the build lock, `lanes` is dropped, which releases the lane locks.
        Ok(free.then(|| Self {
            fingerprint: fingerprint.clone(),
            lanes,
        }))
    }

    /// Drops the databases of the fingerprint, the template last.
    async fn drop_all(
        self,
        server: &Server,
        admin: &mut PgConnection,
    ) -> Result<Vec<DatabaseName>> {
        let mut names = databases(OwnerFilter::of(server), admin, DATABASE_PREFIX).await?;
        names.retain(|name| name.fingerprint().as_ref() == Some(&self.fingerprint));
        // On this machine's servers another process may have made a lane after `try_lock` listed
        // them. That lane is in use and not locked here, so it stays, and the template with it.
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
        // The template is the last. If this process is killed in between, the template shows the
        // next process that there is something left to drop.
        names.sort_by_key(DatabaseName::is_template);
        let mut dropped = Vec::new();
        for name in names {
            tracing::info!(database = name.as_str(), "dropping an unused database");
            match drop_database(server, admin, &name).await {
                Ok(()) => dropped.push(name),
                // A session on it may belong to a role whose sessions this role may not end. A
                // later clean-up tries again.
                Err(error) => tracing::warn!(?error, "could not drop an unused database"),
            }
        }
        self.lanes.remove();
        // Callers that return an error before this line also drop `admin`, whose end frees the
        // lock.
        sqlx::query("select pg_advisory_unlock($1)")
            .bind(self.fingerprint.build_key())
            .execute(admin)
            .await
            .map_err(|error| sql_error::failed("unlocking a template", error))?;
        Ok(dropped)
    }
}

/// Drops the databases of one lane. The caller holds its lane lock.
pub(crate) async fn drop_lane(
    server: &Server,
    admin: &mut PgConnection,
    fingerprint: &Fingerprint,
    number: usize,
) -> Result<()> {
    let prefix = DatabaseName::lane_prefix(fingerprint, number);
    for name in databases(OwnerFilter::of(server), admin, &prefix).await? {
        drop_database(server, admin, &name).await?;
    }
    Ok(())
}

/// Drops unused lanes of other fingerprints, oldest first, until the server has fewer lanes than
/// the limit. Lanes in use count, but are not dropped, so more may remain.
///
/// Lanes with numbers from the limit on hold forks and checkpoints. They do not count, because
/// their tests drop them. One without a holder was left by a killed process, and is dropped.
pub(crate) async fn make_room(
    server: &Server,
    admin: &mut PgConnection,
    wanted: &Fingerprint,
    limit: usize,
) -> Result<()> {
    let lanes = databases(
        OwnerFilter::of(server),
        admin,
        &format!("{DATABASE_PREFIX}l_"),
    )
    .await?;
    let is_ordinary = |name: &&DatabaseName| name.lane_number().is_some_and(|it| it < limit);
    let mut surplus = (lanes.iter().filter(is_ordinary).count() + 1).saturating_sub(limit);
    for name in lanes {
        let (Some(fingerprint), Some(number)) = (name.fingerprint(), name.lane_number()) else {
            continue;
        };
        if fingerprint == *wanted || (surplus == 0 && number < limit) {
            continue;
        }
        if let Some(lane_lock) = server.lanes(&fingerprint).try_lock(number).await? {
            // The state in the lane file is erased before the drop. If this process is killed in
            // between, the next holder does not use the rest of a database.
            lane_lock.mark_unknown()?;
            drop_database(server, admin, &name).await?;
            if number < limit {
                surplus -= 1;
            }
        }
    }
    Ok(())
}

/// Turns a lane into a kept database, whose comment records when it expires.
pub(crate) async fn keep(
    admin: &mut PgConnection,
    lane: &DatabaseName,
    kept: &DatabaseName,
    keep_for: Duration,
) -> Result<(), sqlx::Error> {
    // The server's clock: another machine, with another clock, may drop the database.
    let now: i64 = sqlx::query_scalar("select extract(epoch from now())::bigint")
        .fetch_one(&mut *admin)
        .await?;
    let kept_until = now.saturating_add_unsigned(keep_for.as_secs());
    let mark = KeptMark {
        owner: OWNER_MARK.to_owned(),
        kept_until,
    };
    let mark = serde_json::to_string(&mark).expect("a mark holds plain values");
    // One message is one transaction, so every kept database has its comment. Owner and IS_TEMPLATE
    // are reset, because the test may have changed them: `drop_expired` finds only databases of
    // this role, and cannot drop a template.
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

/// Drops expired kept databases, except those with a session: a person may be looking at one.
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
        // A comment that is no mark was not written by `keep`, so the database stays.
        let is_over = serde_json::from_str(&comment)
            .is_ok_and(|mark: KeptMark| mark.owner == OWNER_MARK && mark.kept_until <= now);
        let name = DatabaseName::parse(&name)?;
        // Without FORCE, the drop fails while a session is on the database. Any other failure is
        // not reported either: a later clean-up tries again.
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

/// Which owners a list of databases is limited to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OwnerFilter<'a> {
    /// Every role: on ebbtide's own servers no other program uses the prefix.
    Any,
    /// This session's role, and the one that the plan makes the owner. Lanes of their templates are
    /// included whatever the lane's owner: a migration or a test may give a lane to another role.
    OwnRole(Option<&'a str>),
}

impl<'a> OwnerFilter<'a> {
    fn of(server: &'a Server) -> Self {
        if server.outlives_us() {
            Self::OwnRole(server.database_owner())
        } else {
            Self::Any
        }
    }

    /// The plan's owner; `None` for any owner.
    fn roles(self) -> Option<&'a str> {
        match self {
            Self::Any => None,
            Self::OwnRole(owner) => owner,
        }
    }
}

/// The databases whose names begin with a prefix, oldest first.
async fn databases(
    owner: OwnerFilter<'_>,
    admin: &mut PgConnection,
    prefix: &str,
) -> Result<Vec<DatabaseName>> {
    let names: Vec<String> = sqlx::query_scalar(
        "with mine as (select datname from pg_database where datdba in (select oid from pg_roles where rolname in (current_user, $3))) \
         select datname::text from pg_database d where starts_with(datname::text, $1) and ($2 or exists (select from mine \
         where datname in (d.datname, regexp_replace(d.datname, '^([a-z]+)_l_([0-9a-f]+)_[0-9]+_[0-9a-f]+$', '\\1_t_\\2')))) order by oid",
    )
    .bind(prefix)
    .bind(owner == OwnerFilter::Any)
    .bind(owner.roles())
    .fetch_all(admin)
    .await
    .map_err(|error| sql_error::failed("listing databases", error))?;
    names.iter().map(|name| DatabaseName::parse(name)).collect()
}
