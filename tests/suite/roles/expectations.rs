//! `expect.row_security` and `expect.role`.

use ebbtide::ErrorKind;
use ebbtide::config::{Backend, Expect};

use crate::support::{Scratch, runs_natively, this_test};

const TABLES: &str = "
    create table orders (id int);
    alter table orders enable row level security, force row level security;
    create policy p on orders using (true);
    create table tenant_a (like orders);
    alter table tenant_a enable row level security;
    create table tenant_b (like orders);
    alter table tenant_b enable row level security, force row level security;
    create schema app;
    create table app.tenant_c (like orders);
    create policy p on app.tenant_c using (true);
";

/// The differences that provisioning reports, one line each.
async fn differences(migration: &str, expect: Expect) -> Vec<String> {
    let scratch = Scratch::new();
    scratch.write("migrations/1_tables.sql", migration);
    let harness = scratch
        .builder()
        .backend(Backend::Native)
        .expect(expect)
        .build()
        .unwrap();
    match harness.provision().await {
        Ok(_) => Vec::new(),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Expectation, "{error:?}");
            let report = format!("{error:?}");
            let lines = report.lines().filter_map(|line| {
                let line = line.trim();
                let is_one = ["table ", "role ", "no table"]
                    .iter()
                    .any(|it| line.starts_with(it));
                is_one.then(|| line.to_owned())
            });
            lines.collect()
        }
    }
}

#[tokio::test]
async fn a_table_must_have_enabled_and_forced_row_security_and_a_policy() {
    if !runs_natively(this_test!()) {
        return;
    }
    let of = |pattern: &str| differences(TABLES, Expect::new().row_security(pattern));
    assert!(of("orders").await.is_empty());
    assert!(of("public.orders").await.is_empty());
    assert_eq!(
        of("*tenant_*").await,
        [
            "table app.tenant_c lacks ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
            "table tenant_a lacks FORCE ROW LEVEL SECURITY, a policy",
            "table tenant_b lacks a policy",
        ]
    );
    assert_eq!(
        of("tenant_z*").await,
        ["no table matches the row security pattern tenant_z*"]
    );
}

#[tokio::test]
async fn a_role_must_be_restricted() {
    if !runs_natively(this_test!()) {
        return;
    }
    let roles = "
        create role plain login; create role bypass bypassrls; create role root superuser;
        create role landlord; create role heir in role landlord noinherit; create role sly in role bypass;
        create role admin in role root;
        create table orders (id int); alter table orders owner to landlord;";
    let of = |role: &str| differences(roles, Expect::new().role(role));
    assert!(of("plain").await.is_empty());
    assert_eq!(of("missing").await, ["role missing is missing"]);
    assert_eq!(of("bypass").await, ["role bypass has BYPASSRLS"]);
    assert_eq!(of("root").await, ["role root is a superuser"]);
    assert_eq!(of("landlord").await, ["role landlord owns orders"]);
    assert_eq!(
        of("heir").await,
        ["role heir is a member of landlord, which owns orders"]
    );
    assert_eq!(
        of("sly").await,
        ["role sly is a member of bypass, which has BYPASSRLS"]
    );
    assert_eq!(
        of("admin").await,
        ["role admin is a member of root, which is a superuser"]
    );
    let of_postgres = of("postgres").await;
    assert!(
        of_postgres.contains(&"role postgres is a superuser".to_owned()),
        "{of_postgres:?}"
    );
}

#[tokio::test]
async fn the_file_has_both_expectations() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    scratch.write("migrations/1_tables.sql", TABLES);
    scratch.write(
        "ebbtide.toml",
        "[provision]\nroles = [\"suite_ok\"]\n[provision.expect]\nrow_security = [\"orders\", \"tenant_b\"]\nrole = \"suite_ok\"\n",
    );
    let harness = scratch.builder().backend(Backend::Native).build().unwrap();
    let error = harness.provision().await.unwrap_err();
    let report = format!("{error:?}");
    assert!(report.contains("table tenant_b lacks a policy"), "{report}");
    assert!(!report.contains("suite_ok"), "{report}");
}
