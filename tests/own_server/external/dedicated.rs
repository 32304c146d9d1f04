//! Migrations and fixtures that change the whole server. An external server is shared with other
//! projects and real databases, so ebbtide refuses them there.

use ebbtide::Setup;

use ebbtide::config::Dedicated;

use super::external_server::ExternalServer;
use crate::support::this_test;

#[tokio::test]
async fn a_migration_that_creates_a_role_is_refused_unless_dedicated_is_never() {
    let Some(external) = ExternalServer::start(this_test!()).await else {
        return;
    };
    let url = external.create_role("app", "createdb createrole").await;
    external.scratch.write(
        "migrations/2_roles.sql",
        "do $$ begin\n  if not exists (select from pg_roles where rolname = 'reader') \
         then create role reader; end if;\nend $$;",
    );
    let harness = external.builder(&url).build().unwrap();
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"/tmp/[^ ]*/migrations", "migrations");
    let error = harness.tx().await.expect_err("the migration is refused");
    settings.bind(|| {
        insta::assert_snapshot!(format!("{error:?}"), @r#"
        migrations/2_roles.sql:2: `create role reader` touches the whole server, and an external server is shared (builder)
          help: use the native or container backend, which starts a dedicated server for it; or run the statement on that server once by hand, guard it in the file with DO $$ BEGIN IF NOT EXISTS .. END $$, and set EBBTIDE_DEDICATED=never (dedicated = "never" below [server] in ebbtide.toml)
        "#);
    });
    assert_eq!(external.databases("").await, [""; 0]);

    let allowed = external
        .builder(&url)
        .dedicated(Dedicated::Never)
        .build()
        .unwrap();
    for _ in 0..2 {
        let mut tx = allowed.tx().await.unwrap();
        let query = sqlx::query_scalar("select count(*) from pg_roles where rolname = 'reader'");
        let readers: i64 = query.fetch_one(&mut *tx).await.unwrap();
        assert_eq!(readers, 1);
        tx.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_fixture_that_alters_another_database_is_refused_and_one_for_its_own_is_not() {
    let Some(external) = ExternalServer::start(this_test!()).await else {
        return;
    };
    let url = external.create_role("app", "createdb").await;
    let harness = external.builder(&url).build().unwrap();
    harness.tx().await.unwrap().close().await.unwrap();
    let refused = harness
        .with_setup(Setup::new().fixture("shop.sql", "alter database shop set timezone = 'UTC'"));
    let error = refused.tx().await.expect_err("the fixture is refused");
    insta::assert_snapshot!(format!("{error:?}"), @r#"
    shop.sql:1: `alter database shop set timezone = 'UTC'` touches the whole server, and an external server is shared (builder)
      help: use the native or container backend, which starts a dedicated server for it; or run the statement on that server once by hand, guard it in the file with DO $$ BEGIN IF NOT EXISTS .. END $$, and set EBBTIDE_DEDICATED=never (dedicated = "never" below [server] in ebbtide.toml); for the database that is being built, write EXECUTE format('ALTER DATABASE %I ..', current_database()) in a DO block
    "#);
    let current = "do $$ begin execute format('alter database %I set timezone = %L', \
                   current_database(), 'UTC'); end $$";
    let accepted = harness.with_setup(Setup::new().fixture("current.sql", current));
    accepted.tx().await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn dedicated_always_is_refused_on_an_external_server() {
    let Some(external) = ExternalServer::start(this_test!()).await else {
        return;
    };
    let url = external.create_role("app", "createdb").await;
    let harness = external
        .builder(&url)
        .dedicated(Dedicated::Always)
        .build()
        .unwrap();
    let error = harness
        .start()
        .await
        .expect_err("an external server cannot be dedicated");
    insta::assert_snapshot!(format!("{error:?}"), @r#"
    dedicated = "always" (builder), and an external server is shared (builder)
      help: set EBBTIDE_DEDICATED=never to use the shared server nevertheless, or use the native or container backend
    "#);
}
