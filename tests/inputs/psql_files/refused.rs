//! What neither psql nor the server can execute, and settings of a newer version.

use ebbtide::ErrorKind;

use super::{ROLES, Role, harness};
use crate::support::Scratch;
use crate::support::reports::assert_report_contains;

const TABLE: &str = "create table t (id int);\n";

#[tokio::test]
async fn a_dumps_setting_that_the_server_lacks_is_skipped_and_noted() {
    for role in [Role::Seed, Role::Plain] {
        let scratch = Scratch::new();
        let text = format!(
            "SET statement_timeout = 0;\nSET transaction_timeout = 0;\nSET row_security = off;\n\
             {TABLE}"
        );
        let harness = harness(&scratch, role, &[&text]);
        let notes = harness.provision().await.unwrap().provisioned.notes;
        let version = harness.start().await.unwrap().server_version;
        let major: u32 = version.split('.').next().unwrap().parse().unwrap();
        if major >= 17 {
            assert!(notes.is_empty(), "{notes:?}");
            continue;
        }
        let expected = format!(
            "0.sql:2: skipped SET transaction_timeout, a setting that PostgreSQL {major} does not have"
        );
        assert!(
            notes.len() == 1 && notes[0].ends_with(&expected),
            "{notes:?}"
        );
    }
}

#[tokio::test]
async fn what_the_server_refuses_is_named_with_the_remedy() {
    for (statement, place, texts) in [
        (
            "set no_such_setting = 1",
            ":2:1",
            ["no_such_setting", "remove the line"],
        ),
        (
            "alter table t owner to ghost",
            ":2:1",
            ["\"ghost\"", "--no-owner --no-privileges"],
        ),
        (
            "grant select on t to ghost",
            ":2:1",
            ["\"ghost\"", "--no-owner --no-privileges"],
        ),
        ("create\u{a0}table u ()", ":2:1", ["syntax error", "U+00A0"]),
        ("select\u{200b} 1", ":2:1", ["syntax error", "U+200B"]),
        (
            "select 1;\n\u{feff}select 2",
            ":3:1",
            ["syntax error", "U+FEFF"],
        ),
        (
            "insert into t values ('x') on conflict do nothing",
            ":2:23",
            ["invalid input", "correct"],
        ),
        (
            "do $$ begin execute 'listen a'; perform pg_notify('a', ''); end $$",
            "0.sql failed at its commit",
            ["notification", "remove LISTEN"],
        ),
    ] {
        for role in ROLES {
            let scratch = Scratch::new();
            let text = format!("{TABLE}{statement};\n");
            let error = harness(&scratch, role, &[&text]).tx().await.unwrap_err();
            let place = place.replace(":2:", "0.sql:2:").replace(":3:", "0.sql:3:");
            assert_report_contains(
                &error,
                super::error_kind(role),
                &[&place, texts[0], texts[1]],
            );
        }
    }
}

#[tokio::test]
async fn a_nul_is_named_with_its_place() {
    for role in ROLES {
        let scratch = Scratch::new();
        let text = format!("{TABLE}select '\0';\n");
        let error = harness(&scratch, role, &[&text]).tx().await.unwrap_err();
        // ebbtide reads a migration before it sends it, for the check of missing tables.
        let kind = match role {
            Role::Plain => ErrorKind::MigrationSource,
            Role::Seed | Role::Fixture => super::error_kind(role),
        };
        let texts = ["0.sql:2:9", "NUL", "the character"];
        assert_report_contains(&error, kind, &texts);
    }
}

#[tokio::test]
async fn a_dump_that_creates_its_database_is_refused_with_the_remedy() {
    // On a server of its own, because the statement touches the whole server.
    if !crate::support::runs_natively(crate::support::this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    scratch.write("seeds/0.sql", "CREATE DATABASE shop;\n\\connect shop\n");
    let error = scratch
        .own_server()
        .build()
        .unwrap()
        .tx()
        .await
        .unwrap_err();
    let texts = ["0.sql:1:1", "without --create"];
    assert_report_contains(&error, ebbtide::ErrorKind::Seed, &texts);
}
