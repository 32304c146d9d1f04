//! Row level security applies to the role, and not to the role that administers the server.

use std::process::Stdio;

use super::{APP, harness, number, run};
use crate::support::child_process::{child_role, test_command_as};
use crate::support::{Scratch, runs_natively, this_test};

const FORGETFUL: &str = "select count(*) from orders";

#[tokio::test]
async fn a_query_without_the_tenant_sees_nothing_as_the_role_and_everything_as_a_superuser() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    scratch.write("seeds/010_orders.csv", "tenant,item\n1,a\n2,b\n");
    // COPY into a table with forced row level security is refused for its owner
    // (https://www.postgresql.org/docs/current/sql-copy.html).
    scratch.write("migrations/1_shop.sql", super::MIGRATION);
    let harness = super::builder(&scratch)
        .backend(ebbtide::config::Backend::Native)
        .owner("postgres")
        .build()
        .unwrap();
    let mut as_role = harness.tx().await.unwrap();
    assert_eq!(number(&mut as_role, FORGETFUL).await, 0);
    run(&mut as_role, "set local app.tenant = '2'")
        .await
        .unwrap();
    assert_eq!(number(&mut as_role, FORGETFUL).await, 1);
    let other = run(
        &mut as_role,
        "insert into orders (tenant, item) values (1, 'stolen')",
    )
    .await;
    assert_eq!(super::code(other), "42501");
    drop(as_role);
    let mut as_superuser = harness.as_role("postgres").tx().await.unwrap();
    assert_eq!(number(&mut as_superuser, FORGETFUL).await, 2);
    as_superuser.close().await.unwrap();
}

#[tokio::test]
async fn health_reports_the_tables_and_whether_their_policies_apply() {
    let scratch = Scratch::new();
    let harness = harness(&scratch);
    let health = harness.health().await;
    assert!(health.is_clean(), "{health}");
    let tables: Vec<(&str, bool, bool, u64)> = health
        .row_security
        .iter()
        .map(|it| (it.table.as_str(), it.is_enabled, it.is_forced, it.policies))
        .collect();
    assert_eq!(tables, [("orders", true, true, 1)]);
    assert_eq!(health.policies_bypassed, None, "{APP} is restricted");
    assert!(
        health.to_string().contains("row level security: orders"),
        "{health}"
    );
}

/// The failure report of a test without the privilege names the role and the keys.
#[tokio::test]
async fn a_failed_test_is_reported_with_its_role_and_the_remedy() {
    let test = this_test!();
    if child_role().is_some() {
        #[ebbtide::test]
        async fn fails(mut tx: ebbtide::Tx) {
            run(&mut tx, "insert into orders (tenant, item) values (1, 'a')")
                .await
                .unwrap_err();
            panic!("on purpose");
        }
        // `#[ebbtide::test]` starts a runtime of its own, which must not happen inside this one.
        let failed = tokio::task::spawn_blocking(fails).await;
        std::panic::resume_unwind(failed.unwrap_err().into_panic());
    }
    if !runs_natively(test) {
        return;
    }
    let scratch = Scratch::new();
    scratch.write("migrations/1_shop.sql", super::MIGRATION);
    scratch.write(
        "ebbtide.toml",
        "provision.roles = ['suite_app']\ntest.role = 'suite_app'\n",
    );
    let output = test_command_as("fails", test)
        .env("EBBTIDE_CONFIG", scratch.path("ebbtide.toml"))
        .env("EBBTIDE_MIGRATIONS", scratch.path("migrations"))
        .env("EBBTIDE_SEEDS", "none")
        .env("EBBTIDE_EXTENSIONS", "")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let report = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && report.contains("on purpose"),
        "{report}"
    );
    for text in [
        "as role suite_app",
        "42501 permission denied for table orders",
        "help: the tests log in as the role \"suite_app\" (test.role): grant it the privilege",
    ] {
        assert!(report.contains(text), "{text}: {report}");
    }
}
