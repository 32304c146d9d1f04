//! What a long start shows where stderr is no terminal.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use super::support::again::{again_natively, role};
use super::support::{Scratch, here, natively};

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
    if let Some(root) = role().and(std::env::var_os("SCRATCH_OF_TEST")).map(std::path::PathBuf::from) {
        let scratch = Scratch::new();
        let harness = scratch.lonely().migrations(root.join("migrations")).build().unwrap();
        harness.tx().await.unwrap().close().await.unwrap();
        return;
    }
    let scratch = Scratch::new();
    for (number, name) in ["first", "second"].into_iter().enumerate() {
        scratch.write(&format!("migrations/{}_{name}.sql", number + 1), &waiting_for(&scratch, name));
    }
    let mut child = again_natively(here!());
    child.env("SCRATCH_OF_TEST", scratch.path("")).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let mut lines = Vec::new();
    // A step ends when its line has been read: without the line, the migration waits until its limit and the child fails.
    for line in BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok) {
        if let Some(step) = line.strip_prefix("ebbtide: migrating ") {
            let name = if step.starts_with("1 of 2: ") { "first" } else { "second" };
            scratch.write(name, "");
        }
        lines.push(line);
    }
    assert!(child.wait().unwrap().success(), "{lines:#?}");
    let migrating: Vec<&String> = lines.iter().filter(|line| line.starts_with("ebbtide: migrating ")).collect();
    assert_eq!(migrating.len(), 2, "each is written once: {lines:#?}");
    assert!(migrating[0].contains("first") && migrating[1].contains("second"), "{lines:#?}");
}
