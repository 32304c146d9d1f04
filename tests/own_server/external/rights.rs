//! Roles that may create databases and are not superusers.

use std::path::Path;

use ebbtide::{ErrorKind, Harness};

use ebbtide::config::{Backend, External};
use sqlx::{Connection as _, PgConnection};

use super::external_server::ExternalServer;
use crate::support::pool_sql::run_read_write;
use crate::support::this_test;

#[tokio::test]
async fn a_role_with_only_createdb_provisions_the_salon_on_a_durable_server() {
    // With `fsync`, ebbtide copies a template with another strategy.
    let Some(external) = ExternalServer::start_with(this_test!(), "fsync = on", |_| ()).await
    else {
        return;
    };
    let url = external.create_role("app", "createdb").await;
    let salon = Path::new(env!("CARGO_MANIFEST_DIR"));
    let build = || {
        let builder = Harness::builder()
            .config_file(salon.join("ebbtide.toml"))
            .backend(External::new().url(&url));
        builder
            .migrations(salon.join("migrations"))
            .seeds(salon.join("seeds"))
            .build()
            .unwrap()
    };
    let harness = build();
    let server = harness.start().await.unwrap();
    assert_eq!((server.backend, server.reused), (Backend::External, true));
    let template = harness.provision().await.unwrap();
    assert!(!template.reused);
    assert_eq!(template.provisioned.rows["services"], 15);
    assert_eq!(template.provisioned.extensions.len(), 2);

    let mut tx = harness.tx().await.unwrap();
    let zone: String = sqlx::query_scalar("show timezone")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(zone, "Europe/Madrid");
    sqlx::query("delete from packs")
        .execute(&mut *tx)
        .await
        .unwrap();
    let mut other = PgConnection::connect(&tx.url()).await.unwrap();
    let packs: i64 = sqlx::query_scalar("select count(*) from packs")
        .fetch_one(&mut other)
        .await
        .unwrap();
    assert_eq!(packs, 2, "no other session sees the deletion");
    other.close().await.unwrap();
    tx.close().await.unwrap();

    let again = build();
    assert!(again.provision().await.unwrap().reused);
    let mut tx = again.tx().await.unwrap();
    let packs: i64 = sqlx::query_scalar("select count(*) from packs")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(packs, 2);
    tx.close().await.unwrap();
    let owners = "select distinct rolname::text from pg_database \
                  join pg_roles on pg_roles.oid = datdba where datname like 'ebbtide%'";
    assert_eq!(external.list(owners).await, ["app"]);
    assert_eq!(external.databases("t_").await.len(), 1);
}

#[tokio::test]
async fn two_roles_have_separate_databases() {
    let Some(external) = ExternalServer::start(this_test!()).await else {
        return;
    };
    for role in ["one", "two"] {
        let url = external.create_role(role, "createdb").await;
        let harness = external.builder(&url).build().unwrap();
        assert!(
            !harness.provision().await.unwrap().reused,
            "{role} must build a template of its own"
        );
        harness.tx().await.unwrap().close().await.unwrap();
    }
    assert_eq!(external.databases("t_").await.len(), 2);
}

#[tokio::test]
async fn extensions_that_need_a_superuser_are_listed_in_one_error_or_copied_from_template1() {
    let Some(external) = ExternalServer::start(this_test!()).await else {
        return;
    };
    let url = external.create_role("app", "createdb").await;
    let build = || {
        external
            .builder(&url)
            .extension("pg_trgm")
            .extension("dblink")
            .extension("pageinspect")
            .build()
            .unwrap()
    };
    let error = build()
        .tx()
        .await
        .expect_err("two of the three extensions need a superuser");
    assert!(external.databases("b_").await.is_empty());
    assert_report!(external.scratch, error, ExtensionInstall, @r#"
    the extensions dblink, pageinspect need a superuser to install, which this role is not: they are not trusted extensions
      help: have a superuser run `CREATE EXTENSION "dblink"; CREATE EXTENSION "pageinspect";` in the server's database template1, which ebbtide then copies; or name a superuser in the URL, or use another backend
    "#);

    let mut template1 = PgConnection::connect(&format!(
        "postgres://postgres@{}:{}/template1",
        external
            .scratch
            .path("outside")
            .display()
            .to_string()
            .replace('/', "%2F"),
        external.port()
    ))
    .await
    .unwrap();
    sqlx::raw_sql("create extension dblink; create extension pageinspect")
        .execute(&mut template1)
        .await
        .unwrap();
    template1.close().await.unwrap();
    let extensions = build().provision().await.unwrap().provisioned.extensions;
    assert_eq!(
        extensions.keys().collect::<Vec<_>>(),
        ["dblink", "pageinspect", "pg_trgm"]
    );
}

#[tokio::test]
async fn ebbtide_connects_to_the_urls_database_if_the_role_may_not_connect_to_postgres() {
    let Some(external) = ExternalServer::start(this_test!()).await else {
        return;
    };
    let url = external.create_role("app", "createdb").await;
    external.run("create database door").await;
    external
        .run("revoke connect on database postgres from public")
        .await;
    let closed = external
        .builder(&url)
        .build()
        .unwrap()
        .start()
        .await
        .expect_err("this URL names the closed database postgres");
    assert_eq!(closed.kind(), ErrorKind::AccessDenied, "{closed:?}");
    let url = url.replace("/postgres", "/door");
    let harness = external.builder(&url).build().unwrap();
    harness.tx().await.unwrap().close().await.unwrap();
    let locks = "select datname::text from pg_locks join pg_database on pg_database.oid = database \
                 where locktype = 'advisory' group by 1";
    assert_eq!(external.list(locks).await, ["door"]);

    external
        .run("revoke connect on database door from public")
        .await;
    let error = external
        .builder(&url)
        .build()
        .unwrap()
        .start()
        .await
        .expect_err("both databases are closed to the role");
    external.replacements().bind(|| {
    assert_report!(external.scratch, error, AccessDenied, @r#"
    the role of postgres://app:***@127.0.0.1:[PORT]/door (builder) can connect to neither the database postgres nor door
      caused by: permission denied for database "door"
      about postgres:
        permission denied for database "postgres"
      help: name a database in the URL that the role may connect to; ebbtide only sends its administrative statements from there
    "#);
    });
}

/// Settings of the role and of the server apply to the sessions of tests, and not to ebbtide's own
/// sessions.
#[tokio::test]
async fn hostile_settings_of_a_role_do_not_change_ebbtides_own_sessions() {
    let configuration = "fsync = off\ndefault_transaction_isolation = 'serializable'";
    let Some(external) = ExternalServer::start_with(this_test!(), configuration, |_| ()).await
    else {
        return;
    };
    let url = external.create_role("app", "createdb").await;
    external
        .run(
            "create role weak; grant weak to app; \
             alter role app in database postgres set role = 'weak'; \
             alter role app in database postgres set statement_timeout = '1ms'; \
             alter role app set idle_session_timeout = '1s'; \
             alter role app set search_path = app, public; \
             alter role app set default_transaction_read_only = on; \
             alter role app set lock_timeout = '20ms'; \
             alter role app set quote_all_identifiers = on",
        )
        .await;
    let harness = external.builder(&url).build().unwrap();
    let mut tx = harness.tx().await.unwrap();
    sqlx::query("insert into things (name) values ('one')")
        .execute(&mut *tx)
        .await
        .unwrap();
    let search_path: String = sqlx::query_scalar("show search_path")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(search_path, "app, public");
    // The session that holds the lane locks is idle for longer than the role's
    // `idle_session_timeout`. If the server ended it, another process could take the lanes.
    let idle = "select (now() - state_change > interval '2 s')::text from pg_stat_activity \
                where datname = 'postgres' and usename = 'app' and state = 'idle'";
    let is_still_idle = |found: &[String]| found.iter().any(|is_idle| is_idle == "true");
    external
        .wait_until(
            "ebbtide's session has been idle for 2 s",
            idle,
            is_still_idle,
        )
        .await;
    tx.close().await.unwrap();
    let database = harness.database().await.unwrap();
    let insert = "insert into things (name) values ('one')";
    run_read_write(&database.pool(), insert).await;
    let drift = harness
        .diff(&url.replace("/postgres", &format!("/{}", database.name())))
        .await
        .unwrap();
    assert!(drift.is_clean(), "{drift}");
    database.close().await.unwrap();
}

#[tokio::test]
async fn ebbtide_can_drop_a_database_whose_migrations_change_its_owner() {
    let Some(external) = ExternalServer::start(this_test!()).await else {
        return;
    };
    let url = external.create_role("app", "createdb").await;
    external.create_role("holder", "").await;
    external.run("grant holder to app").await;
    external.scratch.write(
        "given/1_given.sql",
        "create table t (id int);
         do $$ begin execute format('alter database %I owner to holder', current_database());
             execute format('alter database %I set work_mem = ''5MB''', current_database());
             execute format('revoke temporary on database %I from public', current_database()); end $$;",
    );
    let build = || {
        external
            .builder(&url)
            .migrations(external.scratch.path("given"))
            .build()
            .unwrap()
    };
    let harness = build();
    for _ in 0..2 {
        let database = harness.database().await.unwrap();
        let properties = "select concat(pg_get_userbyid(datdba), ' ', \
                          current_setting('work_mem'), ' ', datacl) \
                          from pg_database where datname = current_database()";
        let properties: String = sqlx::query_scalar(properties)
            .fetch_one(&database.pool())
            .await
            .unwrap();
        assert_eq!(properties, "holder 5MB {=c/holder,holder=CTc/holder}");
        sqlx::raw_sql("insert into t values (1)")
            .execute(&database.pool())
            .await
            .unwrap();
        database.close().await.unwrap();
    }
    let owners = "select distinct pg_get_userbyid(datdba)::text from pg_database \
                  where datname like 'ebbtide%' order by 1";
    assert_eq!(
        external.list(owners).await,
        ["app", "holder"],
        "the role that built the template must own it"
    );
    drop(harness);
    // The lane is copied again in the background, which would build the template again.
    let used = "select pid::text from pg_locks \
                where locktype = 'advisory' and mode in ('ExclusiveLock', 'ShareLock')";
    let unused = "no session uses a lane or a template";
    let is_empty = |found: &[String]| found.is_empty();
    external.wait_until(unused, used, is_empty).await;
    // A build that was killed leaves a database that also belongs to the other role.
    let template = external.databases("t_").await.remove(0);
    let leftover = template.replace("ebbtide_t_", "ebbtide_b_") + "_00000000";
    external
        .run(&format!("create database {leftover} owner holder"))
        .await;
    external
        .run(&format!("alter database {template} is_template false"))
        .await;
    external.run(&format!("drop database {template}")).await;
    let again = build();
    assert!(!again.provision().await.unwrap().reused);
    assert_eq!(external.databases("b_").await, Vec::<String>::new());

    // The lanes belong to the other role as well, and their template to this one.
    again.database().await.unwrap().close().await.unwrap();
    drop(again);
    external.wait_until(unused, used, is_empty).await;
    let cleaner = external.builder(&url).build().unwrap();
    let report = cleaner.clean_up().await.unwrap();
    assert_eq!(
        external.databases("l_").await,
        Vec::<String>::new(),
        "{report:?}"
    );
}
