//! Migrations that create roles.

use ebbtide::Setup;
use ebbtide::config::{Dedicated, Expect, MigrationCommand};

use super::{identity, query, roles};
use crate::support::{Scratch, runs_natively, this_test};

#[tokio::test]
async fn a_migration_that_creates_a_role_gets_a_server_that_no_other_fingerprint_uses() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    scratch.write("plain/1_things.sql", "create table things (id int);");
    let whole_server = "create role app; alter role current_user set statement_timeout = '51s';";
    scratch.write(
        "roles/1_roles.sql",
        &format!("create table things (id int);\n{whole_server}"),
    );
    let plain = scratch
        .own_server()
        .migrations(scratch.path("plain"))
        .build()
        .unwrap();
    let with_roles = scratch
        .own_server()
        .migrations(scratch.path("roles"))
        .build()
        .unwrap();
    let report = with_roles.start().await.unwrap();
    assert!(
        report
            .reason
            .ends_with("roles/1_roles.sql:2: `create role app` touches the whole server"),
        "{}",
        report.reason
    );
    assert_eq!(roles(&with_roles).await, "app");
    assert_eq!(query(&with_roles, "show statement_timeout").await, "51s");
    assert_eq!(roles(&plain).await, "");
    assert_eq!(query(&plain, "show statement_timeout").await, "0");
    assert!(!plain.start().await.unwrap().reason.contains("dedicated"));

    // `other` has the same migrations and another fingerprint, `same` has the same fingerprint.
    let other = scratch
        .own_server()
        .migrations(scratch.path("roles"))
        .expect(Expect::new().table("things"))
        .build()
        .unwrap();
    let same = scratch
        .own_server()
        .migrations(scratch.path("roles"))
        .build()
        .unwrap();
    assert!(!other.provision().await.unwrap().reused);
    assert!(same.provision().await.unwrap().reused);
    assert_eq!(identity(&same).await, identity(&with_roles).await);
    assert_ne!(identity(&other).await, identity(&with_roles).await);
    drop((plain, with_roles, other, same));
}

#[tokio::test]
async fn migrations_with_roles_are_applied_reverted_and_reapplied_beside_their_template() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    scratch.write(
        "migrations/1_roles.up.sql",
        "create role app; create table things (id int);",
    );
    scratch.write(
        "migrations/1_roles.down.sql",
        "drop table things; drop role app;",
    );
    let harness = scratch.own_server().build().unwrap();
    assert_eq!(roles(&harness).await, "app");
    for _ in 0..2 {
        let report = harness.check_reversible().await.unwrap();
        assert!(report.is_clean(), "{report}");
    }
    assert_eq!(roles(&harness).await, "app");
    drop(harness);
}

#[tokio::test]
async fn a_setup_with_a_role_uses_another_server_than_its_harness() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    scratch.write("migrations/1_things.sql", "create table things (id int);");
    scratch.write(
        "roles/1_roles.sql",
        "create role billing; create table bills (id int);",
    );
    let harness = scratch.own_server().build().unwrap();
    let plain =
        harness.with_setup(Setup::new().fixture("plain.sql", "insert into things values (1)"));
    let layered = harness.with_setup(Setup::new().fixture(
        "roles.sql",
        "create role fixture; insert into things values (2)",
    ));
    let own = harness.with_setup(Setup::new().migrations(scratch.path("roles")));
    assert_eq!(identity(&plain).await, identity(&harness).await);
    let harnesses = [&harness, &plain, &layered, &own];
    let mut all = Vec::new();
    for harness in harnesses {
        all.push(roles(harness).await);
    }
    assert_eq!(all, ["", "", "fixture", "billing"]);
    assert_eq!(
        query(&layered, "select string_agg(id::text, ' ') from things").await,
        "2"
    );
    assert_eq!(query(&own, "select count(*)::text from bills").await, "0");

    // The other way round: a setup without the plan's roles does not use the plan's server.
    let with_roles = scratch
        .own_server()
        .migrations(scratch.path("roles"))
        .build()
        .unwrap();
    let without = with_roles.with_setup(Setup::new().migrations(scratch.path("migrations")));
    let on_top =
        with_roles.with_setup(Setup::new().fixture("bills.sql", "insert into bills values (7)"));
    assert_eq!(roles(&without).await, "");
    assert_eq!(identity(&without).await, identity(&harness).await);
    assert_eq!(identity(&on_top).await, identity(&with_roles).await);
    assert_eq!(query(&on_top, "select max(id)::text from bills").await, "7");
    drop((harness, plain, layered, own, with_roles, without, on_top));
}

#[tokio::test]
async fn a_migration_command_gets_a_dedicated_server_by_the_key_or_by_its_inputs() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    scratch.write(
        "sql/1.sql",
        "create role seen; create table things (id int);",
    );
    scratch.write(
        "hidden/1.txt",
        "create role hidden; create table things (id int);",
    );
    let command = |file: &str| {
        let file = scratch.path(file).display().to_string();
        MigrationCommand::new([
            "sh",
            "-c",
            "psql -q -v ON_ERROR_STOP=1 \"$DATABASE_URL\" < $0",
            &file,
        ])
        .input(file)
    };
    let seen = scratch
        .own_server()
        .migrations(command("sql/1.sql"))
        .build()
        .unwrap();
    let unseen = scratch.own_server().migrations(command("hidden/1.txt"));
    let always = unseen.clone().dedicated(Dedicated::Always).build().unwrap();
    let never = scratch
        .own_server()
        .migrations(command("sql/1.sql"))
        .dedicated(Dedicated::Never)
        .build()
        .unwrap();
    let unseen = unseen.build().unwrap();
    assert!(
        seen.start()
            .await
            .unwrap()
            .reason
            .contains("sql/1.sql:1: `create role seen`")
    );
    assert!(
        always
            .start()
            .await
            .unwrap()
            .reason
            .ends_with("; dedicated: dedicated = \"always\" (builder)")
    );
    assert_eq!(roles(&always).await, "hidden");
    assert_eq!(roles(&seen).await, "seen");
    assert_eq!(roles(&unseen).await, "hidden");
    // `never` and `unseen` share a server, although both create roles.
    assert_eq!(roles(&never).await, "hidden seen");
    assert_eq!(identity(&never).await, identity(&unseen).await);
    drop((seen, always, never, unseen));
}
