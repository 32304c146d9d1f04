//! What a role can do that may create databases, and nothing else.

use std::path::Path;

use ebbtide::{Backend, ErrorKind, Harness};
use sqlx::{Connection as _, PgConnection};

use super::outside::{Outside, undisturbed};
use super::support::here;

#[tokio::test]
async fn a_role_with_createdb_alone_gets_the_salon_on_a_durable_server() {
    if !undisturbed(here!()) {
        return;
    }
    // Copies take another strategy where data is made safe.
    let Some(outside) = Outside::with("fsync = on", |_| ()).await else {
        return;
    };
    let url = outside.role("app", "createdb").await;
    let salon = Path::new(env!("CARGO_MANIFEST_DIR"));
    let build = || {
        let builder = Harness::builder()
            .config_file(salon.join("ebbtide.toml"))
            .url(&url);
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
    assert_eq!(packs, 2, "nobody else sees it");
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
    let owners = "select distinct rolname::text from pg_database join pg_roles on pg_roles.oid = datdba \
                  where datname like 'ebbtide%'";
    assert_eq!(outside.list(owners).await, ["app"]);
    assert_eq!(outside.databases("t_").await.len(), 1);
}

#[tokio::test]
async fn two_roles_have_databases_of_their_own() {
    if !undisturbed(here!()) {
        return;
    }
    let Some(outside) = Outside::start().await else {
        return;
    };
    for role in ["one", "two"] {
        let url = outside.role(role, "createdb").await;
        let harness = outside.builder(&url).build().unwrap();
        assert!(
            !harness.provision().await.unwrap().reused,
            "{role} builds its own"
        );
        harness.tx().await.unwrap().close().await.unwrap();
    }
    assert_eq!(outside.databases("t_").await.len(), 2);
}

#[tokio::test]
async fn extensions_beyond_a_roles_rights_are_told_at_once_and_taken_from_template1() {
    if !undisturbed(here!()) {
        return;
    }
    let Some(outside) = Outside::start().await else {
        return;
    };
    let url = outside.role("app", "createdb").await;
    let build = || {
        outside
            .builder(&url)
            .extensions(["pg_trgm", "dblink", "pageinspect"])
            .build()
            .unwrap()
    };
    let error = build()
        .tx()
        .await
        .expect_err("two of the three need a superuser");
    assert!(outside.databases("b_").await.is_empty());
    assert_report!(outside.scratch, error, ExtensionInstall, @r#"
    the extensions dblink, pageinspect need a superuser: this role is none, and the server does not trust them
      help: have a superuser run `CREATE EXTENSION "dblink"; CREATE EXTENSION "pageinspect";` in the server's database template1, from which ebbtide then copies; or name a superuser in the URL, or use another backend
    "#);

    let mut template1 = PgConnection::connect(&format!(
        "postgres://postgres@{}:{}/template1",
        outside
            .scratch
            .path("outside")
            .display()
            .to_string()
            .replace('/', "%2F"),
        outside.port()
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
async fn the_urls_own_database_will_do_where_postgres_is_closed() {
    if !undisturbed(here!()) {
        return;
    }
    let Some(outside) = Outside::start().await else {
        return;
    };
    let url = outside.role("app", "createdb").await;
    outside.run("create database door").await;
    outside
        .run("revoke connect on database postgres from public")
        .await;
    let closed = outside
        .builder(&url)
        .build()
        .unwrap()
        .start()
        .await
        .expect_err("this URL names postgres itself");
    assert_eq!(closed.kind(), ErrorKind::AccessDenied, "{closed:?}");
    let url = url.replace("/postgres", "/door");
    let harness = outside.builder(&url).build().unwrap();
    harness.tx().await.unwrap().close().await.unwrap();
    let locks = "select datname::text from pg_locks join pg_database on pg_database.oid = database \
                 where locktype = 'advisory' group by 1";
    assert_eq!(outside.list(locks).await, ["door"]);

    outside
        .run("revoke connect on database door from public")
        .await;
    let error = outside
        .builder(&url)
        .build()
        .unwrap()
        .start()
        .await
        .expect_err("no door is open");
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(&format!(":{}", outside.port()), ":[PORT]");
    settings.bind(|| {
    assert_report!(outside.scratch, error, AccessDenied, @r#"
    the server of postgres://app:***@127.0.0.1:[PORT]/door (builder) lets this role into neither the database postgres nor door
      caused by: permission denied for database "door"
      about postgres:
        permission denied for database "postgres"
      help: name a database in the URL that the role may connect to; ebbtide only sends statements from there
    "#);
    });
}

/// What a role or a server is set to counts for the sessions of tests, and not for ours.
#[tokio::test]
async fn hostile_settings_of_a_role_change_nothing_for_our_own_sessions() {
    if !undisturbed(here!()) {
        return;
    }
    let configuration = "fsync = off\ndefault_transaction_isolation = 'serializable'";
    let Some(outside) = Outside::with(configuration, |_| ()).await else {
        return;
    };
    let url = outside.role("app", "createdb").await;
    outside
        .run(
            "create role weak; grant weak to app; alter role app in database postgres set role = 'weak'; \
             alter role app in database postgres set statement_timeout = '1ms'; \
             alter role app set idle_session_timeout = '1s'; alter role app set search_path = app, public; \
             alter role app set default_transaction_read_only = on; alter role app set lock_timeout = '20ms'; alter role app set quote_all_identifiers = on",
        )
        .await;
    let harness = outside.builder(&url).build().unwrap();
    let mut tx = harness.tx().await.unwrap();
    sqlx::query("insert into things (name) values ('one')")
        .execute(&mut *tx)
        .await
        .unwrap();
    let shown: String = sqlx::query_scalar("show search_path")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(shown, "app, public");
    // Idle for longer than the role's limit, and there: a lease would be void without it.
    let idle = "select (now() - state_change > interval '2 s')::text from pg_stat_activity \
                where datname = 'postgres' and usename = 'app' and state = 'idle'";
    let is_there = |found: &[String]| found.iter().any(|is_idle| is_idle == "true");
    outside
        .until("a session of ours has been idle for longer", idle, is_there)
        .await;
    tx.close().await.unwrap();
    let database = harness.database().await.unwrap();
    let mut writing = database
        .pool()
        .begin_with("begin read write")
        .await
        .unwrap();
    sqlx::query("insert into things (name) values ('one')")
        .execute(&mut *writing)
        .await
        .unwrap();
    writing.commit().await.unwrap();
    let drift = harness
        .diff(&url.replace("/postgres", &format!("/{}", database.name())))
        .await
        .unwrap();
    assert!(drift.diff.is_empty(), "{drift}");
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_database_that_its_migrations_give_to_another_role_is_still_ours_to_drop() {
    if !undisturbed(here!()) {
        return;
    }
    let Some(outside) = Outside::start().await else {
        return;
    };
    let url = outside.role("app", "createdb").await;
    outside.role("holder", "").await;
    outside.run("grant holder to app").await;
    outside.scratch.write(
        "given/1_given.sql",
        "create table t (id int);
         do $$ begin execute format('alter database %I owner to holder', current_database());
             execute format('alter database %I set work_mem = ''5MB''', current_database());
             execute format('revoke temporary on database %I from public', current_database()); end $$;",
    );
    let build = || {
        outside
            .builder(&url)
            .migrations(outside.scratch.path("given"))
            .build()
            .unwrap()
    };
    let harness = build();
    for _ in 0..2 {
        let database = harness.database().await.unwrap();
        let seen = "select concat(pg_get_userbyid(datdba), ' ', current_setting('work_mem'), ' ', datacl) from pg_database \
                    where datname = current_database()";
        let seen: String = sqlx::query_scalar(seen)
            .fetch_one(&database.pool())
            .await
            .unwrap();
        assert_eq!(seen, "holder 5MB {=c/holder,holder=CTc/holder}");
        sqlx::raw_sql("insert into t values (1)")
            .execute(&database.pool())
            .await
            .unwrap();
        database.close().await.unwrap();
    }
    let owners = "select distinct pg_get_userbyid(datdba)::text from pg_database where datname like 'ebbtide%' order by 1";
    assert_eq!(
        outside.list(owners).await,
        ["app", "holder"],
        "the template stays with the role that built it"
    );
    drop(harness);
    // What a killed build leaves belongs to the other role too.
    let template = outside.databases("t_").await.remove(0);
    let left = template.replace("ebbtide_t_", "ebbtide_b_") + "_00000000";
    outside
        .run(&format!("create database {left} owner holder"))
        .await;
    outside
        .run(&format!("alter database {template} is_template false"))
        .await;
    outside.run(&format!("drop database {template}")).await;
    let again = build();
    assert!(!again.provision().await.unwrap().reused);
    assert_eq!(outside.databases("b_").await, Vec::<String>::new());
}
