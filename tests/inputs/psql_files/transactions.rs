//! Files that control their own transactions, and files that cannot run in one.

use super::{ROLES, assert_as_psql, assert_each_as_psql, harness, needs_psql};
use crate::support::Scratch;
use crate::support::reports::assert_report_contains;

const TABLE: &str = "create table t (id int unique deferrable);\n";

#[tokio::test]
async fn a_file_controls_its_transactions_as_under_psql() {
    needs_psql!();
    let texts = [
        "begin; insert into t values (1); commit; insert into t values (2);",
        "insert into t values (1); rollback; insert into t values (2);",
        "begin; insert into t values (1); rollback; insert into t values (2);",
        "insert into t values (1); commit; commit; insert into t values (2);",
        "start transaction; savepoint a; insert into t values (1); rollback to a; \
         insert into t values (2); release a; end;",
        "begin; insert into t values (1); commit and chain; insert into t values (2); rollback;",
        "begin; insert into t values (1); abort; vacuum t;",
        "do $$ begin insert into t values (1); end $$; begin; set constraints all deferred; \
         insert into t values (1); delete from t; commit;",
        "begin; create type mood as enum ('a'); commit; alter type mood add value 'b'; \
         create table m (m mood default 'b');",
    ];
    assert_each_as_psql(TABLE, &texts).await;
}

#[tokio::test]
async fn statements_that_refuse_a_transaction_run_in_a_file_without_one() {
    needs_psql!();
    let text = "-- no-transaction\ncreate table t (id int);\ninsert into t values (1);\n\
                create index concurrently a on t (id);\ncreate index concurrently b on t (id);\n\
                vacuum t;\ncreate type mood as enum ('a');\nalter type mood add value 'b';\n\
                create table m (m mood default 'b');\n";
    assert_as_psql(&[text]).await;
    assert_as_psql(&[&format!("\u{feff}{text}")]).await;
}

#[tokio::test]
async fn a_statement_that_refuses_our_transaction_is_named_with_the_remedy() {
    for statement in [
        "vacuum t",
        "create index concurrently on t (id)",
        "reindex table concurrently t",
    ] {
        for role in ROLES {
            let scratch = Scratch::new();
            let text = format!("{TABLE}{statement};\n");
            let error = harness(&scratch, role, &[&text]).tx().await.unwrap_err();
            let texts = ["0.sql:2:1", "-- no-transaction"];
            assert_report_contains(&error, super::error_kind(role), &texts);
        }
    }
}

#[tokio::test]
async fn a_new_label_used_in_our_transaction_is_named_with_the_remedy() {
    for role in ROLES {
        let scratch = Scratch::new();
        let first = format!("{TABLE}create type mood as enum ('a');\n");
        let second = "alter type mood add value 'b';\nselect 'b'::mood;\n";
        let error = harness(&scratch, role, &[&first, second])
            .tx()
            .await
            .unwrap_err();
        let texts = ["1.sql:2:8", "-- no-transaction"];
        assert_report_contains(&error, super::error_kind(role), &texts);
    }
}

#[tokio::test]
async fn a_file_that_ends_within_its_own_transaction_is_refused() {
    for role in ROLES {
        for text in ["begin; insert into t values (1);", "commit; begin;"] {
            let scratch = Scratch::new();
            let text = format!("{TABLE}{text}\n");
            let error = harness(&scratch, role, &[&text]).tx().await.unwrap_err();
            let texts = [
                "must end the transactions that it begins",
                "write COMMIT at the end",
            ];
            assert_report_contains(&error, super::error_kind(role), &texts);
        }
    }
}

#[tokio::test]
async fn a_failure_after_a_commit_leaves_nothing_behind() {
    let scratch = Scratch::new();
    scratch.write(
        "seeds/1.sql",
        &format!("{TABLE}begin; insert into t values (1); commit;\n"),
    );
    scratch.write("seeds/2.sql", "commit; insert into t values (1);\n");
    let error = crate::support::reports::provision_error(scratch.builder()).await;
    assert_report_contains(&error, ebbtide::ErrorKind::Seed, &["2.sql:1:9", "t_id_key"]);
    scratch.write("seeds/2.sql", "commit; insert into t values (2);\n");
    let report = crate::support::reports::provision_report(scratch.builder()).await;
    assert_eq!(report.rows["t"], 2);
}
