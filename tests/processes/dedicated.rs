//! Contents that touch the whole server: roles, tablespaces, the server's configuration.

use std::path::Path;

use ebbtide::{Dedicated, ErrorKind, Harness, MigrationCommand, Setup};
use rustix::process::Signal;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::puppet::Puppet;
use super::scene::Scene;
use super::support::{Scratch, here, names_in, natively, wait_until};

/// What a test of a harness reads.
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

/// Roles that are not the server's own, without those of one session.
async fn roles(harness: &Harness) -> String {
    query(
        harness,
        "select string_agg(rolname, ' ' order by rolname) from pg_roles where oid >= 16384",
    )
    .await
}

#[tokio::test]
async fn a_migration_that_makes_a_role_gets_a_server_that_no_other_contents_share() {
    if !natively(here!()) {
        return;
    }
    let scratch = Scratch::new();
    scratch.write("plain/1_things.sql", "create table things (id int);");
    let poison = "create role app; alter role current_user set statement_timeout = '51s';";
    scratch.write(
        "roles/1_roles.sql",
        &format!("create table things (id int);\n{poison}"),
    );
    let plain = scratch
        .lonely()
        .migrations(scratch.path("plain"))
        .build()
        .unwrap();
    let with_roles = scratch
        .lonely()
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

    // Other contents with the same role, and the same contents again.
    let other = scratch
        .lonely()
        .migrations(scratch.path("roles"))
        .expect_table("things")
        .build()
        .unwrap();
    let same = scratch
        .lonely()
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
async fn a_failed_build_leaves_no_role_in_the_way_of_the_next() {
    if !natively(here!()) {
        return;
    }
    let scratch = Scratch::new();
    // The file makes the difference, so that both builds are of the same contents.
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
    // Keeps the server between the two builds.
    let lonely = || scratch.lonely().linger(std::time::Duration::from_secs(20));
    let error = lonely()
        .build()
        .unwrap()
        .provision()
        .await
        .expect_err("the file is there");
    assert_eq!(error.kind(), ErrorKind::Migration, "{error:?}");
    let error = lonely()
        .build()
        .unwrap()
        .provision()
        .await
        .expect_err("the file is there still");
    assert!(format!("{error:?}").contains("4_fails.sql"), "{error:?}");
    std::fs::remove_file(broken).unwrap();
    let next = lonely().build().unwrap();
    assert!(next.start().await.unwrap().reused);
    assert!(!next.provision().await.unwrap().reused);
    assert_eq!(roles(&next).await, "app owner");
    // And once more, when the template has gone, as one does that is not used for long.
    // A lane is copied again in the background after its URL was asked for, unless a test had it whole.
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
    let last = lonely().build().unwrap();
    assert!(last.start().await.unwrap().reused);
    assert!(!last.provision().await.unwrap().reused);
    assert_eq!(roles(&last).await, "app owner");
    drop(last);
    dismiss(&scratch);
}

#[tokio::test]
async fn a_server_that_cannot_be_made_as_it_was_is_replaced() {
    if !natively(here!()) {
        return;
    }
    let scratch = Scratch::new();
    let broken = scratch.write("broken", "");
    let fail = format!(
        "select 1 / (case when f.size is null then 1 else 0 end) from pg_stat_file('{}', true) f;",
        broken.display()
    );
    // Nothing takes back what a superuser's own attributes were.
    scratch.write(
        "migrations/1_roles.sql",
        "alter role postgres connection limit 77; create table things (id int);",
    );
    scratch.write("migrations/2_fails.sql", &fail);
    let lonely = || scratch.lonely().linger(std::time::Duration::from_secs(20));
    let first = lonely().build().unwrap();
    first.provision().await.expect_err("the file is there");
    std::fs::remove_file(broken).unwrap();
    let next = lonely().build().unwrap();
    assert!(!next.provision().await.unwrap().reused);
    assert!(!next.start().await.unwrap().reused);
    drop((first, next));
    dismiss(&scratch);
}

#[tokio::test]
async fn migrations_with_roles_are_taken_up_down_and_up_beside_their_template() {
    if !natively(here!()) {
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
    let harness = scratch.lonely().build().unwrap();
    assert_eq!(roles(&harness).await, "app");
    for _ in 0..2 {
        let report = harness.check_reversible().await.unwrap();
        assert!(report.is_clean(), "{report}");
    }
    assert_eq!(roles(&harness).await, "app");
    drop(harness);
}

#[tokio::test]
async fn a_variant_with_a_role_has_another_server_than_its_harness() {
    if !natively(here!()) {
        return;
    }
    let scratch = Scratch::new();
    scratch.write("migrations/1_things.sql", "create table things (id int);");
    scratch.write(
        "roles/1_roles.sql",
        "create role billing; create table bills (id int);",
    );
    let harness = scratch.lonely().build().unwrap();
    let plain =
        harness.with_setup(Setup::new().fixture("plain.sql", "insert into things values (1)"));
    let layered = harness.with_setup(Setup::new().fixture(
        "roles.sql",
        "create role fixture; insert into things values (2)",
    ));
    let own = harness.with_setup(Setup::new().migrations(scratch.path("roles")));
    assert_eq!(identity(&plain).await, identity(&harness).await);
    let found = [&harness, &plain, &layered, &own];
    let mut all = Vec::new();
    for harness in found {
        all.push(roles(harness).await);
    }
    assert_eq!(all, ["", "", "fixture", "billing"]);
    assert_eq!(
        query(&layered, "select string_agg(id::text, ' ') from things").await,
        "2"
    );
    assert_eq!(query(&own, "select count(*)::text from bills").await, "0");

    // The other way round: what the plan's roles are not for does not see them.
    let with_roles = scratch
        .lonely()
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
async fn a_command_says_by_a_key_that_it_touches_the_server_or_shows_it_in_its_inputs() {
    if !natively(here!()) {
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
        .lonely()
        .migrations(command("sql/1.sql"))
        .build()
        .unwrap();
    let unseen = scratch.lonely().migrations(command("hidden/1.txt"));
    let always = unseen.clone().dedicated(Dedicated::Always).build().unwrap();
    let never = scratch
        .lonely()
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
    // Shared in spite of it.
    assert_eq!(roles(&never).await, "hidden seen");
    assert_eq!(identity(&never).await, identity(&unseen).await);
    drop((seen, always, never, unseen));
}

#[test]
fn projects_fingerprints_and_users_at_once_see_nothing_of_each_other() {
    if !natively(here!()) {
        return;
    }
    let scene = Scene::new();
    let mut puppets: Vec<(usize, Puppet)> = Vec::new();
    for project in 0..3 {
        let dir = format!("project{project}");
        let place = scene
            .write(&format!("{dir}.space/README"), "")
            .parent()
            .unwrap()
            .to_owned();
        std::fs::remove_file(place.join("README")).unwrap();
        give_to_server(&place);
        let roles = format!(
            "create role app; create role app_{project}; grant app to app_{project};\n\
             alter role current_user set work_mem = '{}kB'; create table things (id bigserial, name text);",
            512 + project
        );
        scene.write(&format!("{dir}/1_roles.sql"), &roles);
        let space = format!(
            "-- no-transaction\ncreate tablespace fast location '{}'",
            place.display()
        );
        scene.write(&format!("{dir}/2_space.sql"), &space);
        let moved = "alter table things set tablespace fast; insert into things (name) values (current_user)";
        scene.write(&format!("{dir}/3_moved.sql"), moved);
        scene.write(
            &format!("{dir}/4_system.sql"),
            "-- no-transaction\nalter system set work_mem = '9MB'",
        );
        for _ in 0..3 {
            puppets.push((
                project,
                scene.puppet_with(&[("EBBTIDE_MIGRATIONS", scene.path(&dir))]),
            ));
        }
    }
    for (_, puppet) in &mut puppets {
        for order in [
            "open",
            "query select string_agg(rolname, ' ' order by rolname) from pg_roles where oid >= 16384",
            "query select current_setting('work_mem')",
            "query select string_agg(spcname, ' ') from pg_tablespace where oid >= 16384",
            "query select name from things",
        ] {
            puppet.tell(order);
        }
    }
    for (project, puppet) in &puppets {
        let answers: Vec<String> = (0..5).map(|_| puppet.answer().unwrap()).collect();
        let (roles, work_mem) = (format!("app app_{project}"), format!("{}kB", 512 + project));
        assert_eq!(
            answers[1..],
            [roles, work_mem, "fast".to_owned(), "postgres".to_owned()]
        );
    }
    assert_eq!(scene.postmasters().len(), 3);
    let stated = (0..9).filter(|number| {
        let errors = std::fs::read_to_string(scene.path(&format!("puppet.{number}"))).unwrap();
        errors.contains("ebbtide: started a dedicated PostgreSQL server: ")
            && errors.contains("1_roles.sql:1: `create role app` touches the whole server")
    });
    assert_eq!(stated.count(), 3, "one line for each start");
    drop(puppets);
    scene.wait_until_nothing_is_left();
    for project in 0..3 {
        assert_eq!(
            names_in(&scene.path(&format!("project{project}.space"))),
            [""; 0],
            "of project {project}"
        );
    }
}

#[test]
fn a_tablespace_is_free_again_when_its_server_was_killed() {
    if !natively(here!()) {
        return;
    }
    let scene = Scene::new().linger(std::time::Duration::from_secs(20));
    let place = scene.write("space/README", "").parent().unwrap().to_owned();
    give_to_server(&place);
    let space = format!(
        "-- no-transaction\ncreate tablespace fast location '{}'",
        place.display()
    );
    std::fs::remove_file(place.join("README")).unwrap();
    scene.write("migrations/2_space.sql", &space);
    let mut first = scene.puppet();
    first.ask("open");
    assert_eq!(names_in(&place).len(), 1);
    let lost = scene.server();
    lost.kill_shells();
    lost.postmaster.kill();
    first.kill();
    let mut next = scene.puppet();
    assert_eq!(
        [next.ask("start"), next.ask("provision")],
        ["started", "built"]
    );
    next.ask("open");
    assert_eq!(
        next.ask("query select spcname::text from pg_tablespace where oid >= 16384"),
        "fast"
    );
    drop(next);
    scene.dismiss();
    assert_eq!(names_in(&place), [""; 0]);
}

#[test]
fn a_killed_build_leaves_no_role_in_the_way_of_the_next() {
    if !natively(here!()) {
        return;
    }
    let scene = Scene::new().linger(std::time::Duration::from_secs(20));
    // The file makes the difference, so that both processes want the same template.
    let slow = scene.write("slow", "");
    scene.write(
        "migrations/2_roles.sql",
        "create role app; alter role current_user set work_mem = '5MB';",
    );
    let sleep = format!(
        "select pg_sleep(600) from pg_stat_file('{}', true) as f where f.size is not null;",
        slow.display()
    );
    scene.write("migrations/3_slow.sql", &sleep);
    let mut killed = scene.puppet();
    killed.tell("open");
    wait_until("the last migration runs", || {
        scene
            .processes()
            .iter()
            .any(|seen| seen.words[0].contains("ebbtide_b_") && seen.words[0].contains("SELECT"))
    });
    killed.kill();
    std::fs::remove_file(slow).unwrap();
    let mut next = scene.puppet();
    assert_eq!(
        [next.ask("start"), next.ask("provision")],
        ["reused", "built"]
    );
    next.ask("open");
    assert_eq!(
        next.ask("query select string_agg(rolname, ' ') from pg_roles where oid >= 16384"),
        "app"
    );
    drop(next);
    scene.dismiss();
}

#[test]
fn two_users_have_the_same_roles_at_once() {
    if !natively(here!()) {
        return;
    }
    let scene = Scene::new();
    scene.write(
        "migrations/2_roles.sql",
        "create role app; alter role current_user set work_mem = '5MB';",
    );
    let mut first = scene.puppet();
    let Some((another_user, mut second)) = scene.puppet_of_another_user() else {
        return;
    };
    for puppet in [&mut first, &mut second] {
        puppet.tell("open");
        puppet.tell("query select string_agg(rolname, ' ') from pg_roles where oid >= 16384");
        puppet.tell("query select current_setting('ebbtide.identity')");
    }
    let answers = [&first, &second].map(|puppet| [(); 3].map(|()| puppet.answer().unwrap()));
    assert_eq!([&answers[0][1], &answers[1][1]], ["app", "app"]);
    assert_ne!(answers[0][2], answers[1][2]);
    drop((first, second));
    scene.wait_until_nothing_is_left();
    let servers = scene.path("other/state/servers");
    wait_until("the other user's server is gone", || {
        names_in(&servers).is_empty()
    });
    // Stays when it is in use again.
    let _ = std::fs::remove_dir(format!("/dev/shm/ebbtide-{another_user}"));
}

/// Makes a directory the server's user's, who is another one when the tests run as root.
fn give_to_server(dir: &Path) {
    if rustix::process::geteuid().is_root() {
        let users = std::fs::read_to_string("/etc/passwd").unwrap();
        let server = users
            .lines()
            .find(|line| line.starts_with("postgres:"))
            .unwrap();
        let id = |at: usize| server.split(':').nth(at).unwrap().parse().unwrap();
        std::os::unix::fs::chown(dir, Some(id(2)), Some(id(3))).unwrap();
    }
}

/// Ends the servers of a directory before their linger is over.
fn dismiss(scratch: &Scratch) {
    let servers = scratch.state_dir().join("servers");
    wait_until("the servers have ended", || {
        for name in names_in(&servers) {
            let owner =
                std::fs::read_to_string(servers.join(&name).join("owner")).unwrap_or_default();
            if let Ok(pid) = owner.split('.').next().unwrap().parse() {
                // It may have ended by itself.
                let _ = rustix::process::kill_process(
                    rustix::process::Pid::from_raw(pid).unwrap(),
                    Signal::TERM,
                );
            }
        }
        names_in(&servers).is_empty()
    });
}
