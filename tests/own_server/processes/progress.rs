//! The progress that a long start reports if standard error is not a terminal.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use ebbtide::config::Builder;

use crate::support::child_process::{child_role, native_test_command};
use crate::support::{Scratch, runs_natively, this_test};

/// The parent's scratch directory, in a child process.
fn root_of_child() -> Option<PathBuf> {
    child_role()
        .and(std::env::var_os("SCRATCH_OF_TEST"))
        .map(PathBuf::from)
}

/// Opens a `Tx` on a database with the migrations of the parent's scratch directory.
async fn migrate(builder: Builder, root: &Path) {
    let harness = builder.migrations(root.join("migrations")).build().unwrap();
    harness.tx().await.unwrap().close().await.unwrap();
}

/// A migration that runs until a file exists. The server reads the file's status, so the server's
/// user must have access to it.
fn migration_that_waits_for(scratch: &Scratch, name: &str) -> String {
    let path = scratch.path(name);
    format!(
        "do $$ begin while pg_stat_file('{}', true) is null loop perform pg_sleep(0.02); end loop; end $$;\n\
         create table {name} (id int);",
        path.display()
    )
}

#[tokio::test]
async fn stderr_in_a_pipe_gets_one_line_for_each_slow_step() {
    if !runs_natively(this_test!()) {
        return;
    }
    if let Some(root) = root_of_child() {
        let scratch = Scratch::new();
        return migrate(scratch.own_server(), &root).await;
    }
    let scratch = Scratch::new();
    for (number, name) in ["first", "second"].into_iter().enumerate() {
        scratch.write(
            &format!("migrations/{}_{name}.sql", number + 1),
            &migration_that_waits_for(&scratch, name),
        );
    }
    let mut child = native_test_command(this_test!());
    child
        .env("SCRATCH_OF_TEST", scratch.path(""))
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let mut lines = Vec::new();
    // Each migration ends after its line was read. Without the line, the migration waits until its
    // timeout, and the child fails.
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
    assert_eq!(
        migrating.len(),
        2,
        "one line for each migration: {lines:#?}"
    );
    assert!(
        migrating[0].contains("first") && migrating[1].contains("second"),
        "{lines:#?}"
    );
}

#[tokio::test]
async fn stored_names_of_the_migrations_database_are_reported() {
    if !runs_natively(this_test!()) {
        return;
    }
    if let Some(root) = root_of_child() {
        let scratch = Scratch::new();
        return migrate(scratch.builder(), &root).await;
    }
    let scratch = Scratch::new();
    let migration = "create table jobs (id int, \"the database\" text[], size int); create table quiet (name text);
        insert into quiet values ('nothing');
        insert into jobs select n, array['a', current_database()], n from generate_series(1, 300) n;
        create table empty (name name default current_database()); create table numbers (n int);
        insert into numbers values (1);
        do $$ begin execute format('comment on table quiet is %L', 'made in ' || current_database()); end $$;";
    // A text of its own: the shared server may start with the templates of an earlier run.
    let own = format!("{migration}\n-- {}", scratch.path("").display());
    scratch.write("migrations/1_jobs.sql", &own);
    let reports = |output: std::process::Output| {
        assert!(output.status.success(), "{output:?}");
        let lines = String::from_utf8(output.stderr).unwrap();
        lines
            .lines()
            .filter(|line| line.contains("the database in which the migrations ran"))
            .map(str::to_owned)
            .collect()
    };
    let run = || {
        native_test_command(this_test!())
            .env("SCRATCH_OF_TEST", scratch.path(""))
            .output()
            .unwrap()
    };
    let first: Vec<String> = reports(run());
    assert_eq!(first.len(), 1, "{first:#?}");
    assert!(
        first[0].contains(
            "the comment on table public.quiet, rows of public.jobs contains the name of the database"
        ),
        "{first:#?}"
    );
    // The template exists, so no migration runs and nothing is reported.
    let second: Vec<String> = reports(run());
    assert_eq!(second.len(), 0, "{second:#?}");
}
