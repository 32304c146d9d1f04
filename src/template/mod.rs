//! Builds the template of a fingerprint once, verifies and seals it, and finds it again.
//!
//! ```text
//!  absent
//!    |   create    CREATE DATABASE from template0, template1 or the base template
//!    v
//!  build           ebbtide_b_FINGERPRINT_RANDOM: extensions, migrations, seeds, verification
//!    |   guard     installs the schema `_ebbtide`, reads the properties for the seal
//!    v
//!  guarded build   only ebbtide's own sessions connect from here on
//!    |   publish   one transaction: new name, IS_TEMPLATE, no connections, the seal as a comment
//!    v
//!  template        ebbtide_t_FINGERPRINT: CREATE DATABASE copies it to lanes and to templates
//!    |             with fixtures
//!    |   clean_up  under the build lock and every lane lock: lanes first, the template last
//!    v
//!  absent
//! ```
//!
//! The builder drops a build that failed. If the builder could not, or was killed, the next builder
//! of the same fingerprint or a clean-up drops the rest.
//!
//! The build lock is a session advisory lock with the key [`Fingerprint::build_key`], taken in the
//! admin database. A builder holds the lock exclusively until the session ends, so a killed builder
//! leaves no lock behind. The builder of a template with fixtures shares the lock of the template
//! below, which it copies. A clean-up holds the lock exclusively while it drops.

mod locale;
mod pristine;
mod properties;
mod roles;
mod trial;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use crate::catalog::{self, DatabaseProperties, RoleRights};
use crate::clean_up;
use crate::config::{MigrationVersion, Plan};
use crate::error::Result;
use crate::guard;
use crate::names::{DatabaseName, Fingerprint, Literal, OWNER_MARK};
use crate::progress::Progress;
use crate::provision::{self, Inputs, ProvisionReport};
use crate::server::{Origin, Server};
use crate::sql_error;
use crate::wait::Polling;

pub(crate) use crate::provision::VersionChange;
pub(crate) use pristine::RequiredServer;
pub(crate) use properties::{complete, complete_state};
use roles::OwnerSession;
pub(crate) use trial::{check_reversible, each_version};

/// The comment of a template, as JSON: ebbtide's mark, and the report of the build.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Seal {
    pub(crate) owner: String,
    pub(crate) format: u32,
    pub(crate) fingerprint: String,
    pub(crate) sealed_at: String,
    pub(crate) report: ProvisionReport,
    /// What `CREATE DATABASE ... TEMPLATE` leaves out and each copy receives afterwards.
    pub(crate) properties: DatabaseProperties,
    /// Why the policies of the database do not apply to the role that built it, if so.
    #[serde(default)]
    pub(crate) bypass: Option<String>,
}

/// A sealed, complete, verified database for one fingerprint.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    pub(crate) name: DatabaseName,
    /// What `CREATE DATABASE ... TEMPLATE` leaves out and each copy receives afterwards.
    pub(crate) properties: DatabaseProperties,
    pub(crate) report: ProvisionReport,
    /// Why the policies of the database do not apply to the role that built it, if so.
    pub(crate) bypass: Option<String>,
    pub(crate) origin: Origin,
    /// How long it took to build the template, or to find it.
    pub(crate) took: Duration,
}

/// Whether a [`TemplateSource`] may return the template that it has found earlier. Another process
/// may have dropped that template since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// The template that this process has found or built before.
    Cached,
    /// Find or build the template again.
    Rechecked,
}

/// Builds or finds one template, which databases are copied from: lanes, and templates with
/// fixtures.
///
/// The harness implements it: only the harness has the plan and the inputs of each template.
pub(crate) trait TemplateSource: Send + Sync {
    /// # Errors
    /// As for [`ensure`].
    fn template(self: Arc<Self>, freshness: Freshness) -> BoxFuture<'static, Result<Template>>;

    /// The versions of a copy of the template, which is at the template's version now.
    fn versions_of(self: Arc<Self>, copy: DatabaseName) -> Box<dyn CopyVersions>;
}

/// Migrates a copy of a template to other versions, one after the other.
///
/// The harness implements it, because a lane never provisions.
pub(crate) trait CopyVersions: Send + Sync {
    /// Applies or reverts migrations. `None`: applies all that remain.
    ///
    /// # Errors
    /// As for [`provision::change_version`].
    fn change<'c>(
        &'c mut self,
        to: Option<&'c MigrationVersion>,
    ) -> BoxFuture<'c, Result<VersionChange>>;

    /// The same version, for a copy of this copy.
    fn of_copy(&self, copy: DatabaseName) -> Box<dyn CopyVersions>;
}

/// Finds the template of a fingerprint, or builds the template while other processes wait for it.
/// `base` is the template that the new template begins as a copy of, if any.
///
/// # Errors
/// Any error of provisioning; the half-built database is dropped.
/// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) when another process builds for longer than
/// the plan's `provision.timeout`.
pub(crate) async fn ensure(
    server: &Server,
    plan: &Plan,
    inputs: &Inputs,
    fingerprint: &Fingerprint,
    base: Option<Arc<dyn TemplateSource>>,
    required_server: RequiredServer,
) -> Result<Template> {
    let began = Instant::now();
    let name = DatabaseName::template(fingerprint);
    // On an external server a clean-up needs the use lock exclusively, so a template that is found
    // below cannot be dropped before the first copy. On other servers, a lane that finds no
    // template to copy calls this function again.
    server
        .lanes(fingerprint)
        .take_use_lock()
        .await
        .map_err(|error| server.diagnose(error))?;
    let mut admin = server.admin().await?;
    if server.outlives_us() {
        clean_up::drop_abandoned(server, &mut admin).await?;
    }
    let found = |seal: Seal| Template {
        name: name.clone(),
        properties: seal.properties,
        report: seal.report,
        bypass: seal.bypass,
        origin: Origin::Reused,
        took: began.elapsed(),
    };
    if let Some(seal) = find(&mut admin, &name).await? {
        return Ok(found(seal));
    }
    let progress = Progress::start("waiting for the template that another process builds");
    lock(&mut admin, fingerprint, *plan.provision_timeout.get()).await?;
    // The process that held the lock has usually published the template in the meantime. Dropping
    // `admin` ends the session, which frees the lock.
    if let Some(seal) = find(&mut admin, &name).await? {
        return Ok(found(seal));
    }
    progress.set_step("building the template");
    clean_up::drop_old_templates(server, &mut admin).await?;
    clean_up::drop_builds(server, &mut admin, fingerprint).await?;
    // Before the base is found or built, because restoring the server drops every unused database.
    if required_server == RequiredServer::Pristine {
        pristine::restore(server, &mut admin).await?;
    }
    let base = match base {
        Some(base) => Some(lock_base(&mut admin, &base).await?),
        None => None,
    };
    let build = DatabaseName::build(fingerprint);
    let filled = match fill(server, plan, inputs, &mut admin, base, &build, &progress).await {
        Ok(filled) => filled,
        Err(error) => {
            // The error of the build is the one to report. If this drop fails, the next builder
            // drops the database.
            let _ = clean_up::drop_database(server, &mut admin, &build).await;
            return Err(server.diagnose(error));
        }
    };
    let seal = Seal {
        owner: OWNER_MARK.into(),
        format: provision::FORMAT,
        fingerprint: fingerprint.to_string(),
        sealed_at: String::new(),
        report: filled.report,
        properties: filled.properties,
        bypass: filled.bypass,
    };
    let seal = publish(server, &mut admin, &build, &name, seal).await?;
    // The end of the session frees the build lock, even if closing fails.
    let _ = admin.close().await;
    Ok(Template {
        name,
        properties: seal.properties,
        report: seal.report,
        bypass: seal.bypass,
        origin: Origin::Started,
        took: began.elapsed(),
    })
}

/// Builds or finds the base template and shares its build lock, so that no clean-up drops the base
/// until this session ends.
///
/// A clean-up may drop the base between the moment when it was found and the moment when the lock
/// is granted. So the base is searched for once more under the lock, and built again if it is gone.
async fn lock_base(
    admin: &mut PgConnection,
    base: &Arc<dyn TemplateSource>,
) -> Result<(DatabaseName, DatabaseProperties)> {
    loop {
        let name = Arc::clone(base).template(Freshness::Rechecked).await?.name;
        let fingerprint = name
            .fingerprint()
            .expect("a template's name holds its fingerprint");
        let failed = |error| sql_error::failed("locking a template", error);
        // This session waits while it holds a build lock. No other session waits in the opposite
        // order: the builder of the base needs no further lock, and a clean-up only tries.
        let lock = sqlx::query("select pg_advisory_lock_shared($1)").bind(fingerprint.build_key());
        lock.execute(&mut *admin).await.map_err(failed)?;
        if let Some(seal) = find(admin, &name).await? {
            return Ok((name, seal.properties));
        }
        // A clean-up dropped the base before this session had the lock. The lock is freed, because
        // the builder needs it exclusively.
        let unlock =
            sqlx::query("select pg_advisory_unlock_shared($1)").bind(fingerprint.build_key());
        unlock.execute(&mut *admin).await.map_err(failed)?;
    }
}

/// Searches for a sealed template.
async fn find(admin: &mut PgConnection, name: &DatabaseName) -> Result<Option<Seal>> {
    // Publishing is one transaction. So a database with this name that is not marked as a template
    // can only be the rest of an interrupted drop. It counts as absent, and so does a template
    // whose comment is no seal. `drop_builds` drops both before the next build.
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

/// Takes the build lock of a fingerprint.
async fn lock(admin: &mut PgConnection, fingerprint: &Fingerprint, limit: Duration) -> Result<()> {
    let key = fingerprint.build_key();
    let mut polling = Polling::new("template build: no lock", limit);
    loop {
        // A waiting `pg_advisory_lock` could not report, at the timeout, which session holds the
        // lock.
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
        polling
            .pause(holder.map_or("just released".into(), |pid| {
                format!("held by server process {pid}")
            }))
            .await?;
    }
}

/// The database that a build without a base is copied from: `template0`, which is empty, or
/// `template1`.
///
/// `template1` is used only where this role may not install an extension of the plan, and the
/// server's administrators have installed it in `template1`.
async fn source_database(
    server: &Server,
    plan: &Plan,
    admin: &mut PgConnection,
) -> Result<&'static str> {
    let mut missing = provision::extensions_needing_superuser(admin, &plan.extensions).await?;
    if missing.is_empty() {
        return Ok("template0");
    }
    if let Ok(mut template1) = server.conn.connect_own("template1").await {
        for name in std::mem::take(&mut missing) {
            let installed = catalog::installed_extension(&mut template1, &name).await;
            if installed
                .map_err(|error| sql_error::failed("reading the extensions of template1", error))?
                .is_none()
            {
                missing.push(name);
            }
        }
        // CREATE DATABASE waits up to five seconds for sessions on the database that it copies.
        let _ = template1.close().await;
    }
    if missing.is_empty() {
        Ok("template1")
    } else {
        Err(provision::superuser_required(&missing))
    }
}

/// Creates the database `build`, in which the migrations run, and connects to it.
///
/// `build` is a copy of `base` with its properties; without a base, a copy of `source_database`.
async fn create(
    server: &Server,
    plan: &Plan,
    admin: &mut PgConnection,
    base: Option<(DatabaseName, DatabaseProperties)>,
    build: &DatabaseName,
) -> Result<PgConnection> {
    let created = if let Some((base, _)) = &base {
        // The copy has the base's locale.
        let create = format!("create database {build} template {base}");
        server.copier.copy(admin, &create, "").await
    } else {
        let source = source_database(server, plan, admin).await?;
        let locale = locale::clause(plan, admin, server.version_num).await?;
        let create = format!("create database {build} template {source}{locale}");
        let created = sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *admin);
        created.await.map(drop)
    };
    if let Err(error) = created {
        return Err(locale::refused(plan, admin, error).await);
    }
    if let Some((_, properties)) = base.filter(|(_, properties)| !properties.is_empty()) {
        complete(server, admin, &properties, build).await?;
    }
    // The server or the role may make sessions read-only by default.
    server.conn.read_write().connect(build.as_str()).await
}

/// What is known of a database that was filled, for its seal.
struct Filled {
    report: ProvisionReport,
    properties: DatabaseProperties,
    bypass: Option<String>,
}

/// Creates the build database, provisions and verifies it, installs the guard, and reads the
/// properties for the seal.
///
/// The guard comes after provisioning, because it records the values of the sequences and the sizes
/// of the tables. The properties come after the guard, because reading them may write the guard's
/// row `_ebbtide.lane`.
async fn fill(
    server: &Server,
    plan: &Plan,
    inputs: &Inputs,
    admin: &mut PgConnection,
    base: Option<(DatabaseName, DatabaseProperties)>,
    build: &DatabaseName,
    progress: &Progress,
) -> Result<Filled> {
    roles::ensure(server, plan, &mut *admin).await?;
    let connection = create(server, plan, &mut *admin, base, build).await?;
    let conn = server.conn.read_write();
    let target = provision::Target {
        conn: &conn,
        database: build.as_str(),
    };
    let owner = OwnerSession::of(server, plan)?;
    let owner = owner.as_ref().map(OwnerSession::database_owner);
    let report = provision::provision(connection, target, plan, owner, inputs, progress).await?;
    progress.set_step("sealing the template");
    // From here on only ebbtide's own sessions connect. These sessions specify all settings that
    // matter, so settings that the migrations gave to the database have no effect.
    let mut connection = server.conn.connect_own(build.as_str()).await?;
    guard::install(&mut connection)
        .await
        .map_err(|error| sql_error::failed("installing the guard", error))?;
    let properties = properties::read(admin, &mut connection, build).await?;
    let rights = RoleRights::of_session(&mut connection).await;
    let rights = rights.map_err(|error| sql_error::failed("reading the role's rights", error))?;
    // No VACUUM and no ANALYZE: a copy keeps the statistics and the dead rows that the migrations
    // left, like any database that was only migrated.
    //
    // Everything is committed, so an error on closing loses nothing.
    let _ = connection.close().await;
    // The first session after the last DDL writes pg_internal.init, a cache of catalog entries.
    // Every copy inherits the file, and its sessions start faster.
    let mut last = server.conn.connect_own(build.as_str()).await?;
    sqlx::raw_sql("select 1")
        .execute(&mut last)
        .await
        .map_err(|error| sql_error::failed("writing the template's catalog cache", error))?;
    let _ = last.close().await;
    Ok(Filled {
        report,
        properties,
        bypass: rights.bypasses,
    })
}

/// Makes the build the template: new name, owner, `IS_TEMPLATE`, no connections, and the seal as a
/// comment.
///
/// All of it is one transaction, so no other process can find a template without a seal. From then
/// on `ALLOW_CONNECTIONS false` keeps clients out, which protects the contents. It also keeps
/// `CREATE DATABASE ... TEMPLATE` from waiting for sessions.
async fn publish(
    server: &Server,
    admin: &mut PgConnection,
    build: &DatabaseName,
    name: &DatabaseName,
    mut seal: Seal,
) -> Result<Seal> {
    // ALTER DATABASE ... RENAME fails while a session is on the database (55006, object_in_use).
    // The server needs a moment to end a session whose client has closed it.
    let mut polling = Polling::new("sealing the template", Duration::from_secs(20));
    loop {
        // A migration command or function may leave a session behind. An idle one has no work left,
        // so this query ends it. Other sessions, and autovacuum workers (whose state is null), are
        // waited for. CASE fixes the order of evaluation; AND does not, and might end a session
        // that the other condition excludes.
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
        polling
            .pause(format!("still connected: {}", sessions.join("; ")))
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
            // The first error is the one to report. `rollback` ends the failed transaction, which
            // the drop could not run in. If the drop fails, the next builder drops the database.
            let _ = sqlx::raw_sql("rollback").execute(&mut *admin).await;
            let _ = clean_up::drop_database(server, admin, build).await;
            Err(sql_error::failed("sealing the template", error))
        }
    }
}
