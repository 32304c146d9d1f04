//! The line that states that the policies do not apply to the tests.

use std::process::Stdio;

use ebbtide::Harness;
use ebbtide::config::Backend;

use crate::support::child_process::{assert_passed, child_role, test_command_as};
use crate::support::{Scratch, runs_natively, this_test};

const LINE: &str = "ebbtide: the policies of row level security do not apply to the tests, because";

fn harness(scratch: &Scratch, role: &str) -> Harness {
    let migration = if role == "without policies" {
        "create table orders (id int);"
    } else {
        "create table orders (id int); alter table orders enable row level security; \
         create policy p on orders using (true);"
    };
    scratch.write("migrations/1_noted.sql", migration);
    let builder = scratch
        .builder()
        .role("suite_noted")
        .backend(Backend::Native);
    match role {
        "restricted" => builder.test_role("suite_noted"),
        "owner" => builder.owner("suite_noted").test_role("suite_noted"),
        "chosen" => builder.test_role("postgres"),
        _ => builder,
    }
    .build()
    .unwrap()
}

/// What a process with two tests prints about policies.
fn lines_of(role: &str, test: &str) -> Vec<String> {
    let output = test_command_as(role, test)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_passed(&output);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let lines = stderr.lines().filter(|line| line.starts_with(LINE));
    lines.map(str::to_owned).collect()
}

#[tokio::test]
async fn one_line_states_that_policies_do_not_apply() {
    let test = this_test!();
    if let Some(role) = child_role() {
        let scratch = Scratch::new();
        let harness = harness(&scratch, &role);
        for _ in 0..2 {
            harness.tx().await.unwrap().close().await.unwrap();
            harness.database().await.unwrap().close().await.unwrap();
        }
        return;
    }
    if !runs_natively(test) {
        return;
    }
    // The first process builds the template, and the second finds a lane that equals it.
    for process in ["first", "second"] {
        let lines = lines_of("administrator", test);
        assert_eq!(lines.len(), 1, "{process}: {lines:?}");
        assert!(
            lines[0].contains("postgres is a superuser; set test.role"),
            "{lines:?}"
        );
    }
    let lines = lines_of("owner", test);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("suite_noted owns orders without FORCE ROW LEVEL SECURITY"),
        "{lines:?}"
    );
    for role in ["restricted", "chosen", "without policies"] {
        assert_eq!(lines_of(role, test), [""; 0], "{role}");
    }
}
