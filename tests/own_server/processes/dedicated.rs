//! Migrations that change the whole server: roles, tablespaces, the server's configuration. They
//! get a dedicated server.

use std::path::Path;

use ebbtide::{ErrorKind, Harness, Setup};

use ebbtide::config::{Dedicated, Expect, MigrationCommand};
use rustix::process::Signal;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::support::{Scratch, names_in, runs_natively, this_test, wait_until};
use crate::testbed::Testbed;
use crate::worker::Worker;

/// The text that a query in a Tx returns. Empty for NULL.
async fn query(harness: &Harness, sql: &str) -> String {
    let mut tx = harness.tx().await.unwrap();
    let found: Option<String> = sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    tx.close().await.unwrap();
    found.unwrap_or_default()
}

async fn identity(harness: &Harness) -> String {
    query(harness, "select current_setting('ebbtide.identity')").await
}

/// The roles that migrations created. Objects that `initdb` creates have an OID below 16384.
/// <https://www.postgresql.org/docs/current/system-catalog-initial-data.html#SYSTEM-CATALOG-OID-ASSIGNMENT>
async fn roles(harness: &Harness) -> String {
    query(
        harness,
        "select string_agg(rolname, ' ' order by rolname) from pg_roles where oid >= 16384",
    )
    .await
}

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
async fn a_failed_build_leaves_no_role_that_blocks_the_next_build() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    // The last migration fails while this file exists. Changing the migration instead would change
    // the fingerprint, and the second build would get another server.
    let broken = scratch.write("broken", "");
    scratch.write(
        "migrations/1_roles.sql",
        "create role app; create role owner in role app; grant set on parameter log_statement to public; \
         alter role all set a.b = 'c'; alter database postgres set a.b = 'd'; create table things (id int);",
    );
    scratch.write(
        "migrations/2_system.sql",
        "-- no-transaction\nalter system set work_mem = '5MB'",
    );
    scratch.write(
        "migrations/3_other.sql",
        "-- no-transaction\ncreate database other owner owner",
    );
    let fail = format!(
        "select 1 / (case when f.size is null then 1 else 0 end) from pg_stat_file('{}', true) f;",
        broken.display()
    );
    scratch.write("migrations/4_fails.sql", &fail);
    // The linger keeps the server between the builds.
    let builder = || {
        scratch
            .own_server()
            .linger(std::time::Duration::from_secs(20))
    };
    let error = builder()
        .build()
        .unwrap()
        .provision()
        .await
        .expect_err("the file exists");
    assert_eq!(error.kind(), ErrorKind::Migration, "{error:?}");
    let error = builder()
        .build()
        .unwrap()
        .provision()
        .await
        .expect_err("the file still exists");
    assert!(format!("{error:?}").contains("4_fails.sql"), "{error:?}");
    std::fs::remove_file(broken).unwrap();
    let next = builder().build().unwrap();
    assert!(next.start().await.unwrap().reused);
    assert!(!next.provision().await.unwrap().reused);
    assert_eq!(roles(&next).await, "app owner");
    // The same after the template was dropped, as ebbtide drops a template that is not used for
    // long. `database` uses the lane exclusively, so that no copy runs in the background
    // afterwards. For a Tx whose URL was read, ebbtide copies the lane again in the background.
    let database = next.database().await.unwrap();
    let admin = format!("{}/postgres", database.url().rsplit_once('/').unwrap().0);
    database.close().await.unwrap();
    drop(next);
    let mut admin = PgConnection::connect(&admin).await.unwrap();
    let names = "select datname::text from pg_database where datname ~ '^ebbtide_'";
    let names: Vec<String> = sqlx::query_scalar(names)
        .fetch_all(&mut admin)
        .await
        .unwrap();
    for name in names {
        let drop =
            format!("alter database {name} is_template false; drop database {name} with (force)");
        for statement in drop.split("; ") {
            sqlx::raw_sql(AssertSqlSafe(statement))
                .execute(&mut admin)
                .await
                .unwrap();
        }
    }
    admin.close().await.unwrap();
    let last = builder().build().unwrap();
    assert!(last.start().await.unwrap().reused);
    assert!(!last.provision().await.unwrap().reused);
    assert_eq!(roles(&last).await, "app owner");
    drop(last);
    end_servers_of(&scratch);
}

#[tokio::test]
async fn a_dedicated_server_that_cannot_be_restored_is_replaced() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    let broken = scratch.write("broken", "");
    let fail = format!(
        "select 1 / (case when f.size is null then 1 else 0 end) from pg_stat_file('{}', true) f;",
        broken.display()
    );
    // ebbtide cannot undo a change of the superuser's own attributes.
    scratch.write(
        "migrations/1_roles.sql",
        "alter role postgres connection limit 77; create table things (id int);",
    );
    scratch.write("migrations/2_fails.sql", &fail);
    let builder = || {
        scratch
            .own_server()
            .linger(std::time::Duration::from_secs(20))
    };
    let first = builder().build().unwrap();
    first.provision().await.expect_err("the file exists");
    std::fs::remove_file(broken).unwrap();
    let next = builder().build().unwrap();
    assert!(!next.provision().await.unwrap().reused);
    assert!(!next.start().await.unwrap().reused);
    drop((first, next));
    end_servers_of(&scratch);
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

#[test]
fn projects_with_the_same_roles_and_tablespaces_run_at_once_on_separate_servers() {
    if !runs_natively(this_test!()) {
        return;
    }
    let testbed = Testbed::new();
    let mut workers: Vec<(usize, Worker)> = Vec::new();
    for project in 0..3 {
        let dir = format!("project{project}");
        let location = testbed
            .write(&format!("{dir}.space/README"), "")
            .parent()
            .unwrap()
            .to_owned();
        std::fs::remove_file(location.join("README")).unwrap();
        give_to_server(&location);
        let roles = format!(
            "create role app; create role app_{project}; grant app to app_{project};\n\
             alter role current_user set work_mem = '{}kB'; create table things (id bigserial, name text);",
            512 + project
        );
        testbed.write(&format!("{dir}/1_roles.sql"), &roles);
        let space = format!(
            "-- no-transaction\ncreate tablespace fast location '{}'",
            location.display()
        );
        testbed.write(&format!("{dir}/2_space.sql"), &space);
        let moved = "alter table things set tablespace fast; insert into things (name) values (current_user)";
        testbed.write(&format!("{dir}/3_moved.sql"), moved);
        testbed.write(
            &format!("{dir}/4_system.sql"),
            "-- no-transaction\nalter system set work_mem = '9MB'",
        );
        for _ in 0..3 {
            workers.push((
                project,
                testbed.worker_with(&[("EBBTIDE_MIGRATIONS", testbed.path(&dir))]),
            ));
        }
    }
    for (_, worker) in &mut workers {
        for command in [
            "open",
            "query select string_agg(rolname, ' ' order by rolname) from pg_roles where oid >= 16384",
            "query select current_setting('work_mem')",
            "query select string_agg(spcname, ' ') from pg_tablespace where oid >= 16384",
            "query select name from things",
        ] {
            worker.send(command);
        }
    }
    for (project, worker) in &workers {
        let answers: Vec<String> = (0..5).map(|_| worker.answer().unwrap()).collect();
        let (roles, work_mem) = (format!("app app_{project}"), format!("{}kB", 512 + project));
        assert_eq!(
            answers[1..],
            [roles, work_mem, "fast".to_owned(), "postgres".to_owned()]
        );
    }
    assert_eq!(testbed.postmasters().len(), 3);
    let reports = (0..9).filter(|number| {
        let errors = std::fs::read_to_string(testbed.path(&format!("worker.{number}"))).unwrap();
        errors.contains("ebbtide: started a dedicated PostgreSQL server: ")
            && errors.contains("1_roles.sql:1: `create role app` touches the whole server")
    });
    assert_eq!(reports.count(), 3, "one line for each start");
    drop(workers);
    testbed.wait_until_nothing_is_left();
    for project in 0..3 {
        assert_eq!(
            names_in(&testbed.path(&format!("project{project}.space"))),
            [""; 0],
            "the tablespace of project {project} must be empty"
        );
    }
}

#[test]
fn a_tablespace_directory_can_be_reused_after_its_server_was_killed() {
    if !runs_natively(this_test!()) {
        return;
    }
    let testbed = Testbed::new().linger(std::time::Duration::from_secs(20));
    let location = testbed
        .write("space/README", "")
        .parent()
        .unwrap()
        .to_owned();
    give_to_server(&location);
    let space = format!(
        "-- no-transaction\ncreate tablespace fast location '{}'",
        location.display()
    );
    std::fs::remove_file(location.join("README")).unwrap();
    testbed.write("migrations/2_space.sql", &space);
    let mut first = testbed.worker();
    first.execute("open");
    assert_eq!(names_in(&location).len(), 1);
    let lost = testbed.server();
    lost.kill_shells();
    lost.postmaster.kill();
    first.kill();
    let mut next = testbed.worker();
    assert_eq!(
        [next.execute("start"), next.execute("provision")],
        ["started", "built"]
    );
    next.execute("open");
    assert_eq!(
        next.execute("query select spcname::text from pg_tablespace where oid >= 16384"),
        "fast"
    );
    drop(next);
    testbed.end_servers();
    assert_eq!(names_in(&location), [""; 0]);
}

#[test]
fn a_killed_build_leaves_no_role_that_blocks_the_next_build() {
    if !runs_natively(this_test!()) {
        return;
    }
    let testbed = Testbed::new().linger(std::time::Duration::from_secs(20));
    // The last migration sleeps while this file exists. Both processes have the same migrations, so
    // they need the same template.
    let slow = testbed.write("slow", "");
    testbed.write(
        "migrations/2_roles.sql",
        "create role app; alter role current_user set work_mem = '5MB';",
    );
    let sleep = format!(
        "select pg_sleep(600) from pg_stat_file('{}', true) as f where f.size is not null;",
        slow.display()
    );
    testbed.write("migrations/3_slow.sql", &sleep);
    let mut killed = testbed.worker();
    killed.send("open");
    wait_until("the last migration runs", || {
        testbed.processes().iter().any(|process| {
            process.arguments[0].contains("ebbtide_b_") && process.arguments[0].contains("SELECT")
        })
    });
    killed.kill();
    std::fs::remove_file(slow).unwrap();
    let mut next = testbed.worker();
    assert_eq!(
        [next.execute("start"), next.execute("provision")],
        ["reused", "built"]
    );
    next.execute("open");
    assert_eq!(
        next.execute("query select string_agg(rolname, ' ') from pg_roles where oid >= 16384"),
        "app"
    );
    drop(next);
    testbed.end_servers();
}

#[test]
fn two_users_create_the_same_roles_at_once() {
    if !runs_natively(this_test!()) {
        return;
    }
    let testbed = Testbed::new();
    testbed.write(
        "migrations/2_roles.sql",
        "create role app; alter role current_user set work_mem = '5MB';",
    );
    let mut first = testbed.worker();
    let Some((another_user, mut second)) = testbed.worker_of_another_user() else {
        return;
    };
    for worker in [&mut first, &mut second] {
        worker.send("open");
        worker.send("query select string_agg(rolname, ' ') from pg_roles where oid >= 16384");
        worker.send("query select current_setting('ebbtide.identity')");
    }
    let answers = [&first, &second].map(|worker| [(); 3].map(|()| worker.answer().unwrap()));
    assert_eq!([&answers[0][1], &answers[1][1]], ["app", "app"]);
    assert_ne!(answers[0][2], answers[1][2]);
    drop((first, second));
    testbed.wait_until_nothing_is_left();
    let servers = testbed.path("other/state/servers");
    wait_until("the other user's server is gone", || {
        names_in(&servers).is_empty()
    });
    // Fails if another server of that user keeps its data there now.
    let _ = std::fs::remove_dir(format!("/dev/shm/ebbtide-{another_user}"));
}

/// Makes the server's user the owner of a directory. PostgreSQL refuses to run as root, so the
/// server runs as `postgres` if the tests run as root.
fn give_to_server(dir: &Path) {
    if rustix::process::geteuid().is_root() {
        let users = std::fs::read_to_string("/etc/passwd").unwrap();
        let postgres = users
            .lines()
            .find(|line| line.starts_with("postgres:"))
            .unwrap();
        let id = |at: usize| postgres.split(':').nth(at).unwrap().parse().unwrap();
        std::os::unix::fs::chown(dir, Some(id(2)), Some(id(3))).unwrap();
    }
}

/// Ends the servers of a state directory without waiting for their linger.
fn end_servers_of(scratch: &Scratch) {
    let servers = scratch.state_dir().join("servers");
    wait_until("the servers have ended", || {
        for name in names_in(&servers) {
            let owner =
                std::fs::read_to_string(servers.join(&name).join("owner")).unwrap_or_default();
            if let Ok(pid) = owner.split('.').next().unwrap().parse() {
                // The supervisor may have ended meanwhile.
                let _ = rustix::process::kill_process(
                    rustix::process::Pid::from_raw(pid).unwrap(),
                    Signal::TERM,
                );
            }
        }
        names_in(&servers).is_empty()
    });
}
