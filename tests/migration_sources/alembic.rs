//! A real Alembic project as the source.

use ebbtide::ErrorKind;

use crate::project::Project;
use crate::reports::{assert_tells, refused};

#[tokio::test]
async fn a_transaction_sees_what_alembic_has_made() {
    let Some(project) = Project::copied() else {
        return;
    };
    let harness = project
        .builder(&["upgrade", "head"])
        .expect_enum("status", ["booked", "cancelled"])
        .build()
        .unwrap();
    let mut tx = harness.tx().await.unwrap();
    let booked: String = sqlx::query_scalar(
        "with customer as (insert into customers (id, first_name, phone) values (1, 'Laura', '+34612000001') returning id) \
         select id::text || ' ' || 'booked'::status from customer",
    )
    .fetch_one(&mut *tx)
    .await
    .unwrap();
    assert_eq!(booked, "1 booked");
    let index: bool = sqlx::query_scalar("select to_regclass('appointments_starts') is not null")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert!(index, "the index of the third revision");
    tx.close().await.unwrap();
    let report = harness.provision().await.unwrap().provisioned;
    assert_eq!(report.tables, ["appointments", "customers"]);
    assert_eq!(report.migrations.len(), 1);
    assert_eq!(report.migrations[0].version, "0004");
    assert!(
        report.migrations[0]
            .description
            .ends_with("alembic upgrade head"),
        "{:?}",
        report.migrations
    );
}

#[tokio::test]
async fn a_second_run_reuses_the_template_and_a_changed_revision_makes_another() {
    let Some(project) = Project::copied() else {
        return;
    };
    // Unlike the other tests' projects, whose template may be there.
    project.edit(
        "0004_phones.py",
        "Phone numbers.",
        "Phone numbers, second edition.",
    );
    project.edit(
        "0004_phones.py",
        "phone",
        &format!("phone_{}", std::process::id()),
    );
    let first = project.upgrade().provision().await.unwrap();
    assert!(!first.reused);
    // As Python writes it, unless it is told not to.
    project.scratch.write(
        "alembic/versions/__pycache__/0001_customers.cpython-313.pyc",
        "bytes",
    );
    project.scratch.write("alembic/env.pyc", "bytes");
    let second = project.upgrade().provision().await.unwrap();
    assert!(
        second.reused && second.fingerprint == first.fingerprint,
        "{second:?}"
    );
    project.edit("0004_phones.py", "unique=True", "unique=False");
    let third = project.upgrade().provision().await.unwrap();
    assert!(
        !third.reused && third.fingerprint != first.fingerprint,
        "{third:?}"
    );
}

#[tokio::test]
async fn a_ledger_at_the_head_without_a_table_is_an_error() {
    let Some(project) = Project::copied() else {
        return;
    };
    let error = refused(project.builder(&["stamp", "head"])).await;
    assert_report!(project.scratch, error, NothingMigrated, @r"
    the ledger alembic_version says that 0004 is applied, but the database has no table
      help: did the command go to another database, or write its ledger only (`alembic stamp`)? It must use the URL in DATABASE_URL, or PGHOST, PGDATABASE and their like, and commit
    ");
}

#[tokio::test]
async fn a_revision_that_is_refused_is_told_in_alembics_words() {
    let Some(project) = Project::copied() else {
        return;
    };
    project.edit("0003_by_start.py", r#"["starts"]"#, r#"["begins"]"#);
    let error = refused(project.builder(&["upgrade", "head"])).await;
    let words = [
        "upgrade head failed: exit code 1",
        r#"column "begins" does not exist"#,
        "its output:",
    ];
    assert_tells(&error, ErrorKind::Migration, &words);
    assert!(
        error
            .help()
            .unwrap()
            .contains("alembic, with the database's URL in DATABASE_URL"),
        "{error:?}"
    );
}

#[tokio::test]
async fn revisions_in_a_circle_are_told_in_alembics_words() {
    let Some(project) = Project::copied() else {
        return;
    };
    project.edit(
        "0001_customers.py",
        "down_revision = None",
        r#"down_revision = "0004""#,
    );
    let error = refused(project.builder(&["upgrade", "head"])).await;
    assert_tells(
        &error,
        ErrorKind::Migration,
        &[
            "upgrade head failed: exit code ",
            "Cycle is detected in revisions",
        ],
    );
}

#[tokio::test]
async fn a_missing_revision_is_told_in_alembics_words() {
    let Some(project) = Project::copied() else {
        return;
    };
    std::fs::remove_file(
        project
            .scratch
            .path("alembic/versions/0002_appointments.py"),
    )
    .unwrap();
    let error = refused(project.builder(&["upgrade", "head"])).await;
    assert_tells(
        &error,
        ErrorKind::Migration,
        &["upgrade head failed: exit code ", "0002"],
    );
}
