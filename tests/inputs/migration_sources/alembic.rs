//! A real Alembic project as the source of migrations.

use ebbtide::ErrorKind;
use ebbtide::config::Expect;

use crate::support::alembic::Project;
use crate::support::reports::{assert_report_contains, provision_error};

#[tokio::test]
async fn a_transaction_sees_the_schema_that_alembic_created() {
    let Some(project) = Project::copied() else {
        return;
    };
    let harness = project
        .builder(&["upgrade", "head"])
        .expect(Expect::new().enum_labels("status", ["booked", "cancelled"]))
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
    assert!(index, "the third revision creates the index");
    tx.close().await.unwrap();
    let report = harness.provision().await.unwrap().provisioned;
    assert_eq!(
        report.rows.keys().collect::<Vec<_>>(),
        ["appointments", "customers"]
    );
    assert_eq!(report.migrations.len(), 1);
    assert_eq!(report.migrations[0].version.as_deref(), Some("0004"));
    assert!(
        report.migrations[0]
            .description
            .ends_with("alembic upgrade head"),
        "{:?}",
        report.migrations
    );
}

#[tokio::test]
async fn a_second_run_reuses_the_template_and_a_changed_revision_builds_another() {
    let Some(project) = Project::copied() else {
        return;
    };
    // Makes this copy differ from those of other tests and runs, whose template may already exist.
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
    // Python writes such files into the project, and they must not change the fingerprint.
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
    let error = provision_error(project.builder(&["stamp", "head"])).await;
    assert_report!(project.scratch, error, NothingMigrated, @r"
    the ledger alembic_version lists 0004 as applied, but the database has no table
      help: the command must connect with the URL in DATABASE_URL, or with PGHOST, PGDATABASE and the other PG* variables, and commit; check that it does not use another database, or write only its ledger (`alembic stamp`)
    ");
}

#[tokio::test]
async fn a_refused_revision_is_reported_with_alembics_output() {
    let Some(project) = Project::copied() else {
        return;
    };
    project.edit("0003_by_start.py", r#"["starts"]"#, r#"["begins"]"#);
    let error = provision_error(project.builder(&["upgrade", "head"])).await;
    let texts = [
        "upgrade head failed: exit code 1",
        r#"column "begins" does not exist"#,
        "its output:",
    ];
    assert_report_contains(&error, ErrorKind::Migration, &texts);
    assert!(
        error
            .help()
            .unwrap()
            .contains("alembic, with the database's URL in DATABASE_URL"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_cycle_of_revisions_is_reported_with_alembics_output() {
    let Some(project) = Project::copied() else {
        return;
    };
    project.edit(
        "0001_customers.py",
        "down_revision = None",
        r#"down_revision = "0004""#,
    );
    let error = provision_error(project.builder(&["upgrade", "head"])).await;
    assert_report_contains(
        &error,
        ErrorKind::Migration,
        &[
            "upgrade head failed: exit code ",
            "Cycle is detected in revisions",
        ],
    );
}

#[tokio::test]
async fn a_missing_revision_is_reported_with_alembics_output() {
    let Some(project) = Project::copied() else {
        return;
    };
    std::fs::remove_file(
        project
            .scratch
            .path("alembic/versions/0002_appointments.py"),
    )
    .unwrap();
    let error = provision_error(project.builder(&["upgrade", "head"])).await;
    assert_report_contains(
        &error,
        ErrorKind::Migration,
        &["upgrade head failed: exit code ", "0002"],
    );
}
