//! Row level security between organizations, in tests that log in as the application's role.

use ebbtide::Tx;
use ebbtide_example_tickets::{act_for, open_tickets};

use super::Outcome;

const HARBOUR: &str = "The door is locked at Harbour Office";
const TRAIN: &str = "The door is locked at Night Train";

#[ebbtide::test(fixtures("two_tickets"))]
async fn an_organization_sees_only_its_own_tickets(mut tx: Tx) -> Outcome {
    act_for(&mut tx, 1).await?;
    assert_eq!(open_tickets(&mut tx).await?, [HARBOUR]);
    act_for(&mut tx, 2).await?;
    assert_eq!(open_tickets(&mut tx).await?, [TRAIN]);
    Ok(())
}

#[ebbtide::test(fixtures("two_tickets"), savepoints)]
async fn an_organization_cannot_write_for_another_one(mut tx: Tx) -> Outcome {
    act_for(&mut tx, 1).await?;
    let steal = "update tickets set organization_id = 2";
    let error = sqlx::query(steal).execute(&mut *tx).await.unwrap_err();
    assert_eq!(
        error.as_database_error().unwrap().message(),
        "new row violates row-level security policy for table \"tickets\""
    );
    let close = "update tickets set state = 'closed'";
    let closed = sqlx::query(close).execute(&mut *tx).await?;
    assert_eq!(closed.rows_affected(), 1);
    Ok(())
}

/// A test of code that forgets the organization: it expects that the tickets can be listed.
async fn list_without_organization(mut tx: Tx) {
    let titles = open_tickets(&mut tx).await.unwrap();
    assert_eq!(titles, [HARBOUR, TRAIN], "the tickets are listed");
}

#[ebbtide::test(fixtures("two_tickets"))]
#[should_panic(expected = "the tickets are listed")]
async fn code_that_forgets_the_organization_fails_as_the_application(tx: Tx) {
    list_without_organization(tx).await;
}

// The same test is green for a superuser, to whom no policy applies.
#[ebbtide::test(fixtures("two_tickets"), role = "postgres")]
async fn code_that_forgets_the_organization_passes_as_a_superuser(tx: Tx) {
    list_without_organization(tx).await;
}

#[tokio::test]
async fn the_policies_apply_to_the_tests() {
    let health = ebbtide::Harness::shared().unwrap().health().await;
    assert!(health.is_clean(), "{health}");
    assert_eq!(health.policies_bypassed, None);
    let secured: Vec<&str> = health.row_security.iter().map(|it| &*it.table).collect();
    assert_eq!(secured, ["files", "integrations", "tickets"]);
}
