//! Projects and users that create the same roles and tablespaces.

use std::path::Path;

use crate::support::{names_in, runs_natively, this_test, wait_until};
use crate::testbed::Testbed;
use crate::worker::Worker;

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
