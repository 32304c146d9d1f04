//! A check at each version.

use std::sync::{Arc, Mutex};

use ebbtide::{ErrorKind, Harness, VersionStep};

use super::project::LAYOUTS;
use crate::support::reports::{assert_no_build_remains, assert_report_contains};
use crate::support::{Scratch, pool_sql};

type Seen = Arc<Mutex<Vec<(Option<String>, Option<String>)>>>;

/// Records each step, and inserts a row as soon as there is a table.
async fn carry_a_row(step: VersionStep, seen: Seen) -> Result<(), sqlx::Error> {
    let text = |it: Option<&str>| it.map(str::to_owned);
    let is_first = seen.lock().unwrap().len() == 1;
    seen.lock()
        .unwrap()
        .push((text(step.version()), text(step.next())));
    if is_first {
        let insert = "insert into people values (1, 'Ada Lovelace')";
        sqlx::query(insert).execute(&step.pool()).await?;
    } else if step.version().is_some() {
        let names = "select name || ', ' || last_name from people";
        let name: String = sqlx::query_scalar(names).fetch_one(&step.pool()).await?;
        assert_eq!(name, "Ada Lovelace, Lovelace");
    }
    Ok(())
}

#[tokio::test]
async fn rows_are_carried_from_the_empty_database_to_the_last_version_in_every_layout() {
    for layout in LAYOUTS {
        let scratch = Scratch::new();
        let harness = layout.builder(&scratch).build().unwrap();
        let seen = Seen::default();
        let for_check = Arc::clone(&seen);
        let check = move |step| carry_a_row(step, Arc::clone(&for_check));
        harness.each_version(check).await.unwrap();
        let [one, two, three] = layout.versions.map(|version| Some(version.to_owned()));
        let expected = [
            (None, one.clone()),
            (one, two.clone()),
            (two, three.clone()),
            (three, None),
        ];
        assert_eq!(*seen.lock().unwrap(), expected, "{}", layout.name);
    }
    assert_no_build_remains().await;
}

fn two(scratch: &Scratch) -> Harness {
    scratch.write("migrations/1_people.sql", "create table people (id int);");
    scratch.write(
        "migrations/2_unique.sql",
        "create unique index on people (id);",
    );
    scratch.builder().build().unwrap()
}

#[tokio::test]
async fn the_error_of_a_check_names_the_version() {
    let scratch = Scratch::new();
    let check = |step: VersionStep| async move {
        let count = "select count(*) from pg_indexes where tablename = 'people'";
        match pool_sql::number(&step.pool(), count).await {
            0 => Ok(()),
            count => Err(format!("{count} index")),
        }
    };
    let error = two(&scratch).each_version(check).await.unwrap_err();
    let report = format!("{error:?}");
    assert_eq!(error.kind(), ErrorKind::Other, "{report}");
    assert_eq!(error.to_string(), "the check failed at version 2");
    assert!(report.contains("1 index"), "{report}");
    assert_no_build_remains().await;
}

#[tokio::test]
async fn a_failed_assertion_names_the_version_and_leaves_nothing_behind() {
    let scratch = Scratch::new();
    let check = |step: VersionStep| async move {
        assert_eq!(step.version(), None, "only the start is right");
        Ok::<(), sqlx::Error>(())
    };
    let error = two(&scratch).each_version(check).await.unwrap_err();
    assert_eq!(error.to_string(), "the check panicked at version 1");
    assert!(
        format!("{error:?}").contains("only the start is right"),
        "{error:?}"
    );
    assert_no_build_remains().await;
}

#[tokio::test]
async fn a_migration_that_the_rows_of_the_check_break_is_reported() {
    let scratch = Scratch::new();
    let check = |step: VersionStep| async move {
        if step.next() == Some("2") {
            pool_sql::run(&step.pool(), "insert into people values (1), (1)").await;
        }
        Ok::<(), sqlx::Error>(())
    };
    let error = two(&scratch).each_version(check).await.unwrap_err();
    assert_report_contains(
        &error,
        ErrorKind::Migration,
        &["migration 2 (unique) failed", "version 1"],
    );
    assert_no_build_remains().await;
}

#[tokio::test]
async fn a_function_is_one_step_and_the_bootstrap_comes_before_the_start() {
    let scratch = Scratch::new();
    scratch.write("base/1.sql", "create table base (id int);");
    let run = |url: String| async move {
        let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await?;
        let create = "create table people (id int)";
        sqlx::raw_sql(create)
            .execute(&mut connection)
            .await
            .map(drop)
    };
    let function = ebbtide::config::Migrations::function("people as one step", run);
    let builder = scratch
        .builder()
        .migrations(function)
        .bootstrap(scratch.path("base"));
    let seen: Arc<Mutex<Vec<i64>>> = Arc::default();
    let for_check = Arc::clone(&seen);
    let check = move |step: VersionStep| {
        let seen = Arc::clone(&for_check);
        async move {
            let count = "select count(*) from pg_tables where schemaname = 'public'";
            let count = pool_sql::number(&step.pool(), count).await;
            seen.lock().unwrap().push(count);
            Ok::<(), sqlx::Error>(())
        }
    };
    builder.build().unwrap().each_version(check).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [1, 2]);
}

/// The trial of a plan with a role is on a second dedicated server, and its roles are removed before
/// the next trial.
#[tokio::test]
async fn a_migration_with_a_role_can_be_checked_twice() {
    if !crate::support::runs_natively(crate::support::this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    scratch.write("migrations/1_people.sql", "create table people (id int);");
    scratch.write("migrations/2_role.sql", "create role each_version_reader;");
    let harness = scratch.own_server().build().unwrap();
    let roles = "select count(*) from pg_roles where rolname = 'each_version_reader'";
    let database = harness.database().await.unwrap();
    for _ in 0..2 {
        let check = move |step: VersionStep| async move {
            let expected = i64::from(step.version() == Some("2"));
            assert_eq!(pool_sql::number(&step.pool(), roles).await, expected);
            Ok::<(), sqlx::Error>(())
        };
        harness.each_version(check).await.unwrap();
    }
    assert_eq!(pool_sql::number(&database.pool(), roles).await, 1);
    database.close().await.unwrap();
    drop(harness);
    scratch.wait_until_servers_end();
}
