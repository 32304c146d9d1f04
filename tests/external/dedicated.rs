//! Contents that touch the whole server: an external one is shared with projects and real databases.

use ebbtide::{Dedicated, Setup};

use super::outside::{Outside, undisturbed};
use super::support::here;

#[tokio::test]
async fn a_migration_that_makes_a_role_is_refused_unless_the_key_allows_it() {
    if !undisturbed(here!()) {
        return;
    }
    let Some(outside) = Outside::start().await else {
        return;
    };
    let url = outside.role("app", "createdb createrole").await;
    outside.scratch.write(
        "migrations/2_roles.sql",
        "do $$ begin\n  if not exists (select from pg_roles where rolname = 'reader') then create role reader; end if;\nend $$;",
    );
    let harness = outside.builder(&url).build().unwrap();
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"/tmp/[^ ]*/migrations", "migrations");
    let error = harness.tx().await.expect_err("the migration is refused");
    settings.bind(|| {
        insta::assert_snapshot!(format!("{error:?}"), @r#"
        migrations/2_roles.sql:2: `create role reader` touches the whole server, and an external server is shared (builder)
          help: use the native or container backend, which starts a dedicated server for it; or run the statement on that server once by hand, guard it in the file with DO $$ BEGIN IF NOT EXISTS .. END $$, and set EBBTIDE_DEDICATED=never (dedicated = "never" below [server] in ebbtide.toml)
        "#);
    });
    assert_eq!(outside.databases("").await, [""; 0]);

    let allowed = outside
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
async fn a_fixture_or_a_test_of_another_database_is_refused_and_the_others_are_not() {
    if !undisturbed(here!()) {
        return;
    }
    let Some(outside) = Outside::start().await else {
        return;
    };
    let url = outside.role("app", "createdb").await;
    let harness = outside.builder(&url).build().unwrap();
    harness.tx().await.unwrap().close().await.unwrap();
    let poisoned = harness
        .with_setup(Setup::new().fixture("shop.sql", "alter database shop set timezone = 'UTC'"));
    let error = poisoned.tx().await.expect_err("the fixture is refused");
    insta::assert_snapshot!(format!("{error:?}"), @r#"
    shop.sql:1: `alter database shop set timezone = 'UTC'` touches the whole server, and an external server is shared (builder)
      help: use the native or container backend, which starts a dedicated server for it; or run the statement on that server once by hand, guard it in the file with DO $$ BEGIN IF NOT EXISTS .. END $$, and set EBBTIDE_DEDICATED=never (dedicated = "never" below [server] in ebbtide.toml); for the database that is being built, write EXECUTE format('ALTER DATABASE %I ..', current_database()) in a DO block
    "#);
    let current = "do $$ begin execute format('alter database %I set timezone = %L', current_database(), 'UTC'); end $$";
    let fine = harness.with_setup(Setup::new().fixture("current.sql", current));
    fine.tx().await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn a_dedicated_server_and_an_external_one_exclude_each_other() {
    if !undisturbed(here!()) {
        return;
    }
    let Some(outside) = Outside::start().await else {
        return;
    };
    let url = outside.role("app", "createdb").await;
    let harness = outside
        .builder(&url)
        .dedicated(Dedicated::Always)
        .build()
        .unwrap();
    let error = harness.start().await.expect_err("it cannot be both");
    insta::assert_snapshot!(format!("{error:?}"), @r#"
    dedicated = "always" (builder), and an external server is shared (builder)
      help: set EBBTIDE_DEDICATED=never to use it all the same, or use the native or container backend
    "#);
}
