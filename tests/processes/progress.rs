//! What a long start shows where stderr is no terminal.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

use super::support::again::{again_natively, role};
use super::support::{Scratch, here, natively};

/// In a child: the directory of the test that started it.
fn root_of_child() -> Option<PathBuf> {
    role()
        .and(std::env::var_os("SCRATCH_OF_TEST"))
        .map(PathBuf::from)
}

/// Runs until a file exists, which the server's user can see.
fn waiting_for(scratch: &Scratch, name: &str) -> String {
    let path = scratch.path(name);
    format!(
        "do $$ begin while pg_stat_file('{}', true) is null loop perform pg_sleep(0.02); end loop; end $$;\n\
         create table {name} (id int);",
        path.display()
    )
}

#[tokio::test]
async fn a_pipe_gets_a_line_for_each_step_that_takes_long() {
    if !natively(here!()) {
        return;
    }
    if let Some(root) = root_of_child() {
        let scratch = Scratch::new();
        let harness = scratch
            .lonely()
            .migrations(root.join("migrations"))
            .build()
            .unwrap();
        harness.tx().await.unwrap().close().await.unwrap();
        return;
    }
    let scratch = Scratch::new();
    for (number, name) in ["first", "second"].into_iter().enumerate() {
        scratch.write(
            &format!("migrations/{}_{name}.sql", number + 1),
            &waiting_for(&scratch, name),
        );
    }
    let mut child = again_natively(here!());
    child
        .env("SCRATCH_OF_TEST", scratch.path(""))
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let mut lines = Vec::new();
    // A step ends when its line has been read: without the line, the migration waits until its limit and the child fails.
    for line in BufReader::new(child.stderr.take().unwrap())
        .lines()
        .map_while(Result::ok)
    {
        if let Some(step) = line.strip_prefix("ebbtide: migrating ") {
            let name = if step.starts_with("1 of 2: ") {
                "first"
            } else {
                "second"
            };
            scratch.write(name, "");
        }
        lines.push(line);
    }
    assert!(child.wait().unwrap().success(), "{lines:#?}");
    let migrating: Vec<&String> = lines
        .iter()
        .filter(|line| line.starts_with("ebbtide: migrating "))
        .collect();
    assert_eq!(migrating.len(), 2, "each is written once: {lines:#?}");
    assert!(
        migrating[0].contains("first") && migrating[1].contains("second"),
        "{lines:#?}"
    );
}

#[tokio::test]
async fn the_name_of_the_database_of_the_migrations_is_reported_where_it_stays() {
    if !natively(here!()) {
        return;
    }
    if let Some(root) = root_of_child() {
        let scratch = Scratch::new();
        let harness = scratch
            .builder()
            .migrations(root.join("migrations"))
            .build()
            .unwrap();
        harness.tx().await.unwrap().close().await.unwrap();
        return;
    }
    let scratch = Scratch::new();
    let migration = "create table jobs (id int, \"the database\" text[], size int); create table quiet (name text);
        insert into quiet values ('nothing');
        insert into jobs select n, array['a', current_database()], n from generate_series(1, 300) n;
        create table empty (name name default current_database()); create table numbers (n int);
        insert into numbers values (1);
        do $$ begin execute format('comment on table quiet is %L', 'made in ' || current_database()); end $$;";
    scratch.write("migrations/1_jobs.sql", migration);
    let reports = |output: std::process::Output| {
        assert!(output.status.success(), "{output:?}");
        let lines = String::from_utf8(output.stderr).unwrap();
        lines
            .lines()
            .filter(|line| line.contains("the database that the migrations ran in"))
            .map(str::to_owned)
            .collect()
    };
    let run = || {
        again_natively(here!())
            .env("SCRATCH_OF_TEST", scratch.path(""))
            .output()
            .unwrap()
    };
    let first: Vec<String> = reports(run());
    assert_eq!(first.len(), 1, "{first:#?}");
    assert!(
        first[0].contains("stands in the comment on table public.quiet, rows of public.jobs: call"),
        "{first:#?}"
    );
    // The template is there, and nothing is built.
    let second: Vec<String> = reports(run());
    assert_eq!(second.len(), 0, "{second:#?}");
}
