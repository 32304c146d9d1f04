//! Only the files that the tool has applied count, in the order in which they ran.

use ebbtide::ErrorKind;
use ebbtide::config::Migrations;
use sqlx::migrate::Migrator;

use super::{Beside, builder, harness, migrator};
use crate::support::Scratch;
use crate::support::reports::{assert_report_contains, provision_error, provision_report};

const CREATE: &str = "create table users (id int); create table pets (id int);";
const DROP: &str = "drop table users;";

#[tokio::test]
async fn a_table_is_dropped_by_the_later_version_and_not_by_the_later_name() {
    for [create, drop] in [
        ["2_users.sql", "10_tidy.sql"],
        ["0002_users.up.sql", "10_tidy.up.sql"],
        ["V2__users.sql", "V10__tidy.sql"],
        ["later/V2__users.sql", "V10__tidy.sql"],
        [
            "2017-02-01-000000_users/up.sql",
            "20170301000000_tidy/up.sql",
        ],
        [
            "20170101000000_users/up.sql",
            "2017-02-01-000000_tidy/up.sql",
        ],
    ] {
        let scratch = Scratch::new();
        let mut builder = builder(&scratch, &[(create, CREATE), (drop, DROP)]);
        if create.starts_with("later") {
            builder = builder.migrations(Migrations::refinery(scratch.path("migrations")));
        }
        let report = provision_report(builder).await;
        assert_eq!(report.rows.keys().collect::<Vec<_>>(), ["pets"], "{create}");
    }
}

#[tokio::test]
async fn the_order_is_that_of_sqlx() {
    let scratch = Scratch::new();
    let harness = harness(&scratch, &[("2_users.sql", CREATE), ("10_tidy.sql", DROP)]);
    let migrator = migrator(&scratch).await;
    let beside = Beside::new(&harness, &migrator).await;
    beside.assert_equal("_sqlx_migrations").await;
    beside.assert_nothing_pending(&migrator).await;
    beside.close().await;
}

#[tokio::test]
async fn a_table_that_is_created_by_the_later_version_is_still_required() {
    let scratch = Scratch::new();
    let again = "drop table if exists users; create table users (id int);";
    let lost = "create table pets (id int); rollback; begin;";
    let files = [("2_users.sql", again), ("10_pets.sql", lost)];
    let error = provision_error(builder(&scratch, &files)).await;
    let missing = "10 as applied, but pets is missing";
    assert_report_contains(
        &error,
        ErrorKind::LedgerMismatch,
        &[missing, "10_pets.sql:1"],
    );
}

#[tokio::test]
async fn the_files_of_others_create_no_table() {
    let stray = "create table strangers (id int);";
    let sqlx: fn(&Scratch) -> Migrations = |scratch| Migrations::sqlx(scratch.path("migrations"));
    for (own, strays, migrations) in [
        ("1_users.sql", ["schema.sql", "old.sql"], sqlx),
        ("1_users.up.sql", ["1_users.down.sql", "schema.sql"], sqlx),
        ("V1__users.sql", ["schema.sql", "1_old.sql"], |scratch| {
            Migrations::refinery(scratch.path("migrations"))
        }),
        (
            "1_users/up.sql",
            ["schema.sql", "1_users/down.sql"],
            |scratch| Migrations::diesel(scratch.path("migrations")),
        ),
    ] {
        let scratch = Scratch::new();
        let files = [(own, CREATE), (strays[0], stray), (strays[1], stray)];
        let builder = builder(&scratch, &files).migrations(migrations(&scratch));
        let report = provision_report(builder).await;
        assert_eq!(
            report.rows.keys().collect::<Vec<_>>(),
            ["pets", "users"],
            "{own}"
        );
    }
}

/// git's autocrlf changes line endings, and with them the checksums of sqlx.
#[tokio::test]
async fn a_checksum_of_other_line_endings_is_explained() {
    let sql = "create table pets (\nid int);\n";
    let crlf = sql.replace('\n', "\r\n");
    for (file, applied, is_explained) in [
        (sql, &*crlf, true),
        (&*crlf, sql, true),
        (sql, "create table pets (id int);\n", false),
    ] {
        let scratch = Scratch::new();
        scratch.write("other/1_pets.sql", applied);
        let other = Migrator::new(scratch.path("other")).await.unwrap();
        let checksum = hex::encode(&other.iter().next().unwrap().checksum);
        let rewrite = format!("update _sqlx_migrations set checksum = '\\x{checksum}';");
        let files = [("1_pets.sql", file), ("2_ledger.sql", &*rewrite)];
        let error = provision_error(builder(&scratch, &files)).await;
        let texts = ["1 (pets) has a different checksum in the ledger"];
        assert_report_contains(&error, ErrorKind::LedgerMismatch, &texts);
        let text = format!("{error:?}");
        let explanation = "with other line endings (CRLF instead of LF, or the reverse)";
        assert_eq!(text.contains(explanation), is_explained, "{text}");
    }
}

#[tokio::test]
async fn a_relation_that_existed_before_satisfies_create_table_if_not_exists() {
    let scratch = Scratch::new();
    let files = [
        (
            "1_view.sql",
            "create table t (id int); create view users as select * from t;",
        ),
        ("2_users.sql", "create table if not exists users (id int);"),
        (
            "3_typed.sql",
            "create type ty as (a int); create table typed of ty;",
        ),
        (
            "4_drop.sql",
            "drop type ty cascade; set search_path = pg_temp; create table kept (); \
             reset search_path;",
        ),
    ];
    let report = provision_report(builder(&scratch, &files)).await;
    assert_eq!(report.rows.keys().collect::<Vec<_>>(), ["t"]);
}
