//! `sqlx.toml` beside the package's `Cargo.toml`: a directory gets the ledger that
//! `sqlx::migrate!()` makes. `crates/sqlx-toml` runs that macro itself.

use ebbtide::ErrorKind;
use ebbtide::config::Migrations;
use sqlx::migrate::{Migrator, ResolveConfig, ResolveWith};

use super::{Beside, builder};
use crate::support::Scratch;
use crate::support::reports::{assert_report_contains, first_claim};

const FILES: [(&str, &str); 2] = [
    ("2_users.sql", "create table users (id int);\r\n"),
    (
        "10_pets.sql",
        "drop table users;\r\ncreate table pets (id int);",
    ),
];

/// A package with this `sqlx.toml`.
fn package(sqlx_toml: &str) -> Scratch {
    let scratch = Scratch::new();
    scratch.write("Cargo.toml", "");
    scratch.write("sqlx.toml", sqlx_toml);
    scratch
}

#[tokio::test]
async fn the_ledger_has_the_table_the_schemas_and_the_checksums_of_the_file() {
    let scratch = package(
        "[common]\ndatabase-url-var = 'SHOP'\n[migrate]\ntable-name = 'app.applied'\n\
         create-schemas = ['app', 'later']\nignored-chars = [\"\\r\"]\n\
         [migrate.defaults]\nmigration-type = 'reversible'\n",
    );
    let harness = builder(&scratch, &FILES).build().unwrap();
    let mut config = ResolveConfig::new();
    config.ignore_char('\r');
    let files = ResolveWith(scratch.path("migrations"), config);
    let mut migrator = Migrator::new(files).await.unwrap();
    migrator.dangerous_set_table_name("app.applied");
    migrator.create_schema("app");
    migrator.create_schema("later");
    let beside = Beside::new(&harness, &migrator).await;
    beside.assert_equal("applied").await;
    beside.assert_nothing_pending(&migrator).await;
    beside.close().await;
    let health = harness.health().await;
    assert!(health.is_clean(), "{health}");
    assert_eq!(first_claim(&health).table, "app.applied");
}

#[tokio::test]
async fn a_changed_file_is_another_template() {
    let scratch = package("");
    let mut fingerprints = Vec::new();
    for sqlx_toml in [
        "",
        "[migrate]\nmigrations-dir = 'elsewhere'\n",
        "[migrate]\ntable-name = 'applied'\n",
        "[migrate]\ncreate-schemas = ['app']\n",
        "[migrate]\nignored-chars = ['a']\n",
        "[migrate]\nignored-chars = ['b']\n",
    ] {
        scratch.write("sqlx.toml", sqlx_toml);
        let harness = builder(&scratch, &FILES).build().unwrap();
        fingerprints.push(harness.provision().await.unwrap().fingerprint);
    }
    assert_eq!(
        fingerprints[0], fingerprints[1],
        "the directory is named by the plan"
    );
    fingerprints.dedup();
    assert_eq!(fingerprints.len(), 5, "{fingerprints:?}");
}

#[tokio::test]
async fn the_file_concerns_sqlx_only() {
    let scratch = package("[migrate]\ntable-name = 'applied'\n");
    let files = [("V1__users.sql", "create table users (id int);")];
    let health = builder(&scratch, &files).build().unwrap().health().await;
    assert_eq!(first_claim(&health).table, "refinery_schema_history");
    let scratch = package("[migrate]\nno-such-key = 1\n");
    let sql = Migrations::sql(scratch.path("migrations"));
    let builder = builder(&scratch, &[("users.sql", "create table users (id int);")]);
    builder
        .migrations(sql)
        .build()
        .unwrap()
        .provision()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_file_that_sqlx_rejects_is_an_error() {
    for (sqlx_toml, cause) in [
        (
            "[migrate]\ntable_name = 'applied'\n",
            "unknown field `table_name`",
        ),
        (
            "[migrations]\ntable-name = 'applied'\n",
            "unknown field `migrations`",
        ),
        ("[migrate]\nignored-chars = ['ab']\n", "ignored-chars"),
        (
            "[migrate\n",
            "sqlx.toml must be a configuration that sqlx accepts",
        ),
    ] {
        let scratch = package(sqlx_toml);
        let error = builder(&scratch, &FILES)
            .build()
            .unwrap()
            .tx()
            .await
            .unwrap_err();
        assert_report_contains(&error, ErrorKind::Config, &["sqlx.toml", cause]);
    }
}
