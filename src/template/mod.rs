//! Builds a template once under a lock, verifies and seals it, and finds it again.

mod events;
mod guard;
mod pristine;
mod properties;
mod reset;
mod trial;

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use crate::catalog::{self, DatabaseProperties};
use crate::clean_up;
use crate::config::Plan;
use crate::error::Result;
use crate::names::{DatabaseName, Fingerprint, Literal};
use crate::progress::Progress;
use crate::provision::{self, Inputs, ProvisionReport};
use crate::server::{Origin, Server};
use crate::sql_error;
use crate::wait::Patience;

pub(crate) use guard::sessions;
pub(crate) use pristine::Ground;
pub(crate) use properties::complete;
pub(crate) use trial::check_reversible;

/// What a template's comment holds: the owner's mark, and the story of its building.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Seal {
    pub(crate) owner: String,
    pub(crate) format: u32,
    pub(crate) fingerprint: String,
    pub(crate) sealed_at: String,
    pub(crate) report: ProvisionReport,
    /// What a copy has to be given.
    pub(crate) properties: DatabaseProperties,
}

pub(crate) const OWNER: &str = "ebbtide";

/// A sealed, complete, verified database for one fingerprint.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    pub(crate) name: DatabaseName,
    /// What the server keeps about it, for its copies.
    pub(crate) properties: DatabaseProperties,
    pub(crate) report: ProvisionReport,
    pub(crate) origin: Origin,
    /// Time until it could be used: building, or finding it.
    pub(crate) took: Duration,
}

/// Makes sure that the template is there which this one is a copy of, if there is one, and says its name.
pub(crate) type Base = Box<
    dyn Fn() -> std::pin::Pin<Box<dyn Future<Output = Result<Option<DatabaseName>>> + Send>>
        + Send
        + Sync,
>;

/// Finds the template for a fingerprint, or builds it while every other process that wants it waits.
///
/// # Errors
/// Whatever provisioning reports; the half-built database is dropped. [`ErrorKind::Timeout`] when another process
/// builds for longer than the plan's `provision.timeout`.
pub(crate) async fn ensure(
    server: &Server,
    plan: &Plan,
    inputs: &Inputs,
    fingerprint: &Fingerprint,
    base: Base,
    ground: Ground,
) -> Result<Template> {
    let began = Instant::now();
    let name = DatabaseName::template(fingerprint);
    server
        .lanes(fingerprint)
        .announce()
        .await
        .map_err(|error| server.diagnose(error))?;
    let mut admin = server.admin().await?;
    if server.outlives_us() {
        clean_up::sweep(server, &mut admin).await?;
    }
    let found = |seal: Seal| Template {
        name: name.clone(),
        properties: seal.properties,
        report: seal.report,
        origin: Origin::Reused,
        took: began.elapsed(),
    };
    if let Some(seal) = find(&mut admin, &name).await? {
        return Ok(found(seal));
    }
    let progress = Progress::start("waiting for the template that another process builds");
    lock(&mut admin, fingerprint, *plan.provision_timeout.get()).await?;
    if let Some(seal) = find(&mut admin, &name).await? {
        return Ok(found(seal));
    }
    progress.say("building the template");
    clean_up::drop_old_templates(server, &mut admin).await?;
    clean_up::drop_builds(server, &mut admin, fingerprint).await?;
    if ground == Ground::Pristine {
        pristine::restore(server, &mut admin).await?;
    }
    let base = held(&mut admin, &base).await?;
    let build = DatabaseName::build(fingerprint);
    let (report, properties) =
        match fill(server, plan, inputs, &mut admin, base, &build, &progress).await {
            Ok(filled) => filled,
            Err(error) => {
                // The build's own error is the one to report; what stays behind is dropped by the next build.
                let _ = clean_up::drop_database(server, &mut admin, &build).await;
                return Err(server.diagnose(error));
            }
        };
    let seal = Seal {
        owner: OWNER.into(),
        format: provision::FORMAT,
        fingerprint: fingerprint.to_string(),
        sealed_at: String::new(),
        report,
        properties,
    };
    let seal = publish(server, &mut admin, &build, &name, seal).await?;
    // The session's end frees the lock in any case.
    let _ = admin.close().await;
    Ok(Template {
        name,
        properties: seal.properties,
        report: seal.report,
        origin: Origin::Started,
        took: began.elapsed(),
    })
}

/// The template that this one is a copy of. Nobody drops it as long as this session shares its lock.
async fn held(
    admin: &mut PgConnection,
    base: &Base,
) -> Result<Option<(DatabaseName, DatabaseProperties)>> {
    loop {
        let Some(name) = base().await? else {
            return Ok(None);
        };
        let fingerprint = name
            .fingerprint()
            .expect("a template's name holds its fingerprint");
        let failed = |error| sql_error::failed("locking a template", error);
        let lock = sqlx::query("select pg_advisory_lock_shared($1)").bind(fingerprint.build_key());
        lock.execute(&mut *admin).await.map_err(failed)?;
        if let Some(seal) = find(admin, &name).await? {
            return Ok(Some((name, seal.properties)));
        }
        // It was dropped before the lock was ours, and is built again.
        let unlock =
            sqlx::query("select pg_advisory_unlock_shared($1)").bind(fingerprint.build_key());
        unlock.execute(&mut *admin).await.map_err(failed)?;
    }
}

/// Looks for a sealed template. Anything else by that name does not exist: publishing is one transaction.
async fn find(admin: &mut PgConnection, name: &DatabaseName) -> Result<Option<Seal>> {
    let comment: Option<Option<String>> = sqlx::query_scalar(
        "select shobj_description(oid, 'pg_database') from pg_database where datname = $1 and datistemplate",
    )
    .bind(name.as_str())
    .fetch_optional(admin)
    .await
    .map_err(|error| sql_error::failed("looking for the template", error))?;
    Ok(comment
        .flatten()
        .and_then(|comment| serde_json::from_str(&comment).ok()))
}

async fn lock(admin: &mut PgConnection, fingerprint: &Fingerprint, limit: Duration) -> Result<()> {
    let key = fingerprint.build_key();
    let mut patience = Patience::new("template build: no lock", limit);
    loop {
        let taken: bool = sqlx::query_scalar("select pg_try_advisory_lock($1)")
            .bind(key)
            .fetch_one(&mut *admin)
            .await
            .map_err(|error| sql_error::failed("locking the template", error))?;
        if taken {
            return Ok(());
        }
        let holder: Option<i32> = sqlx::query_scalar(
            "select pid from pg_locks where locktype = 'advisory' and granted and ((classid::bigint << 32) | objid::bigint) = $1",
        )
        .bind(key)
        .fetch_optional(&mut *admin)
        .await
        .map_err(|error| sql_error::failed("locking the template", error))?;
        patience
            .pause(holder.map_or("just released".into(), |pid| {
                format!("held by server process {pid}")
            }))
            .await?;
    }
}

/// The database that the build is copied from: an empty one, unless this role may not install an extension that the
/// server's administrators have put into `template1`.
async fn origin(server: &Server, plan: &Plan, admin: &mut PgConnection) -> Result<&'static str> {
    let mut missing = provision::beyond_rights(admin, &plan.extensions).await?;
    if missing.is_empty() {
        return Ok("template0");
    }
    if let Ok(mut template1) = server.conn.connect_own("template1").await {
        for name in std::mem::take(&mut missing) {
            let installed = catalog::installed_extension(&mut template1, &name).await;
            if installed
                .map_err(|error| sql_error::failed("looking into template1", error))?
                .is_none()
            {
                missing.push(name);
            }
        }
        // A copy waits for a while for sessions to go.
        let _ = template1.close().await;
    }
    if missing.is_empty() {
        Ok("template1")
    } else {
        Err(provision::needs_superuser(&missing))
    }
}

/// Creates the database that something is to be built in, and connects to it.
async fn create(
    server: &Server,
    plan: &Plan,
    admin: &mut PgConnection,
    base: Option<(DatabaseName, DatabaseProperties)>,
    build: &DatabaseName,
) -> Result<PgConnection> {
    let origin = match &base {
        Some((base, _)) => format!("{base}{}", server.copy_strategy()),
        None => origin(server, plan, admin).await?.to_owned(),
    };
    let create = format!("create database {build} template {origin}");
    sqlx::raw_sql(AssertSqlSafe(create))
        .execute(&mut *admin)
        .await
        .map_err(|error| sql_error::failed("creating the database", error))?;
    if let Some((_, properties)) = base.filter(|(_, properties)| !properties.is_empty()) {
        complete(server, admin, &properties, build).await?;
    }
    server.conn.writing().connect(build.as_str()).await
}

async fn fill(
    server: &Server,
    plan: &Plan,
    inputs: &Inputs,
    admin: &mut PgConnection,
    base: Option<(DatabaseName, DatabaseProperties)>,
    build: &DatabaseName,
    progress: &Progress,
) -> Result<(ProvisionReport, DatabaseProperties)> {
    let connection = create(server, plan, &mut *admin, base, build).await?;
    let conn = server.conn.writing();
    let target = provision::Target {
        conn: &conn,
        database: build.as_str(),
    };
    let report = provision::provision(connection, target, plan, inputs, progress).await?;
    progress.say("sealing the template");
    // Ours alone from here on, with the settings of our own sessions.
    let mut connection = server.conn.connect_own(build.as_str()).await?;
    guard::install(&mut connection)
        .await
        .map_err(|error| sql_error::failed("installing the guard", error))?;
    let properties = properties::read(admin, &mut connection, build).await?;
    // No VACUUM and no ANALYZE: the copies have the statistics, and the dead rows, that the migrations left.
    // What is left is a farewell.
    let _ = connection.close().await;
    // The first session after the last DDL writes pg_internal.init, which every copy inherits.
    let mut last = server.conn.connect_own(build.as_str()).await?;
    sqlx::raw_sql("select 1")
        .execute(&mut last)
        .await
        .map_err(|error| sql_error::failed("the last look", error))?;
    let _ = last.close().await;
    Ok((report, properties))
}

async fn publish(
    server: &Server,
    admin: &mut PgConnection,
    build: &DatabaseName,
    name: &DatabaseName,
    mut seal: Seal,
) -> Result<Seal> {
    // ALTER DATABASE ... RENAME wants no session on the database, and a closed one takes a moment to go.
    let mut patience = Patience::new("sealing the template", Duration::from_secs(20));
    loop {
        // A command or a function may leave a session behind. One that is idle has nothing left to do. Of an autovacuum
        // worker the state is not known, and AND would go on: only the CASE keeps us from ending it.
        let sessions: Vec<String> = sqlx::query_scalar(
            "select concat('session ', pid, ' (' || nullif(application_name, '') || ')', ': ' || coalesce(state, backend_type), \
                ', ' || nullif(left(query, 200), ''), \
                case when state = 'idle' and pg_has_role(usesysid, 'member') \
                    then case when pg_terminate_backend(pid) then ', ended' end end) \
             from pg_stat_activity where datname = $1",
        )
        .bind(build.as_str())
        .fetch_all(&mut *admin)
        .await
        .map_err(|error| sql_error::failed("sealing the template", error))?;
        if sessions.is_empty() {
            break;
        }
        patience
            .pause(format!("still on it: {}", sessions.join("; ")))
            .await?;
    }
    seal.sealed_at = sqlx::query_scalar("select now()::text")
        .fetch_one(&mut *admin)
        .await
        .map_err(|error| sql_error::failed("sealing the template", error))?;
    let comment = serde_json::to_string(&seal).expect("a seal holds plain values");
    let publish = format!(
        "begin; alter database {build} rename to {name}; alter database {name} owner to current_user; \
         alter database {name} is_template true allow_connections false; comment on database {name} is {}; commit",
        Literal(&comment)
    );
    match sqlx::raw_sql(AssertSqlSafe(publish))
        .execute(&mut *admin)
        .await
    {
        Ok(_) => Ok(seal),
        Err(error) => {
            // The publishing transaction is over either way; the build must not stay.
            let _ = sqlx::raw_sql("rollback").execute(&mut *admin).await;
            let _ = clean_up::drop_database(server, admin, build).await;
            Err(sql_error::failed("sealing the template", error))
        }
    }
}
