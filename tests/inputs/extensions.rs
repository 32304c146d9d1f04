//! Extensions with a schema and a version, declared and in migrations.

use ebbtide::ErrorKind;
use ebbtide::config::{Builder, Extension};

use crate::support::Scratch;
use crate::support::reports::{assert_report_contains, plan_error, provision_error};
use crate::support::sql::text;

const INSTALLED: &str = "select string_agg(format('%s %s %s', extname, extversion, nspname), ', ' \
     order by extname) from pg_extension e join pg_namespace n on n.oid = e.extnamespace \
     where extname <> 'plpgsql'";

/// A builder with one migration and this list in `ebbtide.toml`.
fn declared(scratch: &Scratch, extensions: &str, migration: &str) -> Builder {
    let text = format!("[provision]\nextensions = {extensions}\n");
    scratch.write("ebbtide.toml", &text);
    scratch.write("migrations/1_schema.sql", migration);
    scratch.builder()
}

const TABLE: &str = "create table t (id int);\n";

#[tokio::test]
async fn an_extension_is_installed_with_its_schema_and_version() {
    let list = r#"["citext", { name = "pg_trgm", schema = "e x", version = "1.5" },
        { name = "earthdistance", schema = "geo", cascade = true }]"#;
    let scratch = Scratch::new();
    let harness = declared(&scratch, list, TABLE).build().unwrap();
    let mut tx = harness.tx().await.unwrap();
    let found = text(&mut tx, INSTALLED).await;
    assert!(found.contains("pg_trgm 1.5 e x"), "{found}");
    assert!(found.contains("citext 1."), "{found}");
    assert!(found.contains(" public"), "{found}");
    let (_, cube) = found.split_once("cube ").expect("cascade installs cube");
    assert!(cube.split(',').next().unwrap().ends_with(" geo"), "{found}");
    let plan = harness.plan().get("extensions").unwrap().value;
    let printed = "citext, pg_trgm schema e x version 1.5, earthdistance schema geo";
    assert_eq!(plan, printed);
}

#[tokio::test]
async fn a_builder_declares_the_same_extensions_as_the_file() {
    let scratch = Scratch::new();
    scratch.write("migrations/1_schema.sql", TABLE);
    let trigrams = Extension::new("pg_trgm").schema("ext").version("1.5");
    let builder = scratch.builder().extension(trigrams).extension("citext");
    let mut tx = builder.build().unwrap().tx().await.unwrap();
    let found = text(&mut tx, INSTALLED).await;
    assert!(found.contains("pg_trgm 1.5 ext"), "{found}");
}

#[tokio::test]
async fn another_schema_or_version_is_another_database() {
    let mut found = Vec::new();
    for list in [
        r#"["pg_trgm"]"#,
        r#"[{ name = "pg_trgm", schema = "ext" }]"#,
        r#"[{ name = "pg_trgm", version = "1.5" }]"#,
    ] {
        let scratch = Scratch::new();
        let builder = declared(&scratch, list, TABLE);
        let mut tx = builder.build().unwrap().tx().await.unwrap();
        found.push(text(&mut tx, INSTALLED).await);
    }
    assert!(found[1].ends_with(" ext"), "{found:?}");
    assert_eq!(found[2], "pg_trgm 1.5 public");
    assert_ne!(found[0], found[2]);
}

#[tokio::test]
async fn an_extension_that_cannot_be_as_declared_is_refused_with_the_remedy() {
    for (list, kind, reports) in [
        (
            r#"["earthdistance", { name = "cube", schema = "ext" }]"#,
            ErrorKind::ExtensionInstall,
            &[
                r#"must be installed as "cube schema ext""#,
                "write it first in the list",
            ] as &[&str],
        ),
        (
            r#"[{ name = "pg_trgm", version = "99" }]"#,
            ErrorKind::ExtensionUnavailable,
            &[
                "does not have version 99 of the extension pg_trgm",
                "1.3, 1.4, 1.5",
            ],
        ),
        (
            r#"[{ name = "earthdistance", cascade = false }]"#,
            ErrorKind::ExtensionInstall,
            &["declare the extension that it requires before it"],
        ),
        (
            r#"[{ name = "plpgsql", schema = "ext" }]"#,
            ErrorKind::ExtensionInstall,
            &[
                r#"must be installed as "plpgsql schema ext""#,
                "in the schema pg_catalog",
            ],
        ),
        (
            r#"[{ name = "amcheck", schema = "pg_catalog", version = "99" }, "nonsense"]"#,
            ErrorKind::ExtensionUnavailable,
            &["does not have the extension nonsense"],
        ),
    ] {
        let scratch = Scratch::new();
        let error = provision_error(declared(&scratch, list, TABLE)).await;
        assert_report_contains(&error, kind, reports);
    }
}

#[tokio::test]
async fn a_list_of_extensions_with_a_mistake_is_refused_with_its_line() {
    for (list, report) in [
        (
            r#"[{ schema = "ext" }]"#,
            "ebbtide.toml:2: provision.extensions[0] must have a name",
        ),
        (r#"[{ name = "a", shema = "ext" }]"#, "did you mean schema?"),
        (
            r#"[{ name = "a", version = 1.1 }]"#,
            "must be a string, but is a float",
        ),
        (
            r#"["a schema b"]"#,
            "write a schema or a version as keys of their own",
        ),
        (
            r#"["a", { name = "a", schema = "b" }]"#,
            "must have each extension once",
        ),
    ] {
        let scratch = Scratch::new();
        let error = plan_error(declared(&scratch, list, TABLE));
        assert_report_contains(&error, ErrorKind::Config, &[report]);
    }
}

#[tokio::test]
async fn a_migration_without_an_extension_gets_the_advice_of_a_declared_one() {
    for (sql, kind, report) in [
        (
            "create extension timescaledb;",
            ErrorKind::ExtensionUnavailable,
            "timescaledb: package and image of timescale",
        ),
        (
            "create extension nonsense;",
            ErrorKind::ExtensionUnavailable,
            "nonsense: look for a package like `postgresql-",
        ),
        (
            "create extension pg_trgm version '99';",
            ErrorKind::Migration,
            "pg_available_extension_versions where name = 'pg_trgm'",
        ),
        (
            "create extension earthdistance;",
            ErrorKind::Migration,
            "declare `extensions = [\"cube\"]`",
        ),
        (
            "create extension pg_trgm; create extension pg_trgm;",
            ErrorKind::Migration,
            "write CREATE EXTENSION IF NOT EXISTS",
        ),
        (
            "create schema ext; create schema ext;",
            ErrorKind::Migration,
            "write CREATE SCHEMA IF NOT EXISTS",
        ),
        (
            "create table t (name text collate \"xx_XX.utf8\");",
            ErrorKind::Migration,
            "generate the locale there",
        ),
    ] {
        let scratch = Scratch::new();
        scratch.write("migrations/1_a.sql", sql);
        let error = provision_error(scratch.builder()).await;
        assert_report_contains(&error, kind, &["1_a.sql:1:", report]);
    }
}

#[tokio::test]
async fn a_migration_that_would_skip_a_declared_extension_is_refused() {
    let migration = "create schema ext;\n\
                     create extension if not exists pg_trgm with schema ext version '1.5';\n\
                     create table t (id int);\n";
    let scratch = Scratch::new();
    let error = provision_error(declared(&scratch, r#"["pg_trgm"]"#, migration)).await;
    assert_report_contains(
        &error,
        ErrorKind::ExtensionInstall,
        &[
            "1_schema.sql:2 creates \"pg_trgm schema ext version 1.5\"",
            r#"declare { name = "pg_trgm", schema = "ext", version = "1.5" }"#,
        ],
    );
    let equal = migration.replace("schema ext;", "schema if not exists ext;");
    let list = r#"[{ name = "pg_trgm", schema = "ext", version = "1.5" }]"#;
    let harness = declared(&scratch, list, &equal).build().unwrap();
    let mut tx = harness.tx().await.unwrap();
    assert_eq!(text(&mut tx, INSTALLED).await, "pg_trgm 1.5 ext");
}
