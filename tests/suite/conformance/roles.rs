//! The same probes in tests that log in as a role without rights on anything but its tables.

use crate::conformance::table::{Kind, TABLE, Verdict};
use crate::conformance::world::Rights;
use crate::conformance::{children, probe, world_name};
use crate::support::this_test;

/// Probes every hole, and compares each verdict with that of the table.
async fn assert_same_verdicts(kind: Kind, test: &'static str) {
    if children::run_child_role().await {
        return;
    }
    let mut differences = Vec::new();
    for row in &TABLE {
        let name = format!("{} as a role", world_name(row.number, kind));
        let verdict = children::CURRENT_TEST
            .scope(test, probe(row.number, kind, &name, Rights::Role))
            .await;
        let expected = row.expected[kind.column()];
        // The role may not create what some probes need.
        if verdict != expected && verdict != Verdict::Unsupported {
            differences.push(format!("hole {}: {verdict}, not {expected}", row.number));
        }
    }
    assert!(
        differences.is_empty(),
        "in {kind}: {}",
        differences.join("; ")
    );
}

#[tokio::test]
async fn in_a_tx() {
    Box::pin(assert_same_verdicts(Kind::Tx, this_test!())).await;
}

#[tokio::test]
async fn in_a_sandbox() {
    Box::pin(assert_same_verdicts(Kind::Sandbox, this_test!())).await;
}

#[tokio::test]
async fn in_a_database() {
    Box::pin(assert_same_verdicts(Kind::Database, this_test!())).await;
}
