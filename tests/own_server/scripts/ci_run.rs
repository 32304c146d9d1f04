//! `.ci/run`: what it concludes from the output of other programs.

use super::shell::{Shell, functions};

/// Runs lines with the functions of `.ci/run`, in the test's directory, which has a file `log` with a
/// text.
#[track_caller]
fn run_with(log: &str, lines: &str) -> String {
    let shell = Shell::bash();
    shell.scratch.write("log", log);
    let dir = shell.scratch.path("");
    let script = format!(
        "set -euo pipefail\nshopt -s inherit_errexit\ncd {}\n{}\n{lines}",
        dir.display(),
        functions(".ci/run")
    );
    shell.run(&script, &[])
}

/// The error that `every_test_ran` reports for a log, if any.
#[track_caller]
fn skipped(log: &str) -> String {
    run_with(log, "(every_test_ran log) 2>&1 || echo failed with $?")
}

#[test]
fn a_run_in_which_every_test_ran_is_accepted() {
    assert_eq!(
        skipped(
            "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 1.0s\n\
             \x20    Summary [  10.5s] 120 tests run: 120 passed, 0 skipped\n\
             a test printed SKIPPED: in the middle of a line\n"
        ),
        ""
    );
}

#[test]
fn skipped_and_ignored_tests_fail_the_run_with_their_lines() {
    for line in [
        "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1.0s",
        "test result: FAILED. 2 passed; 1 failed; 10 ignored; 0 measured; 0 filtered out",
        "     Summary [  10.5s] 119 tests run: 119 passed, 1 skipped",
        "     Summary [  10.5s] 119 tests run: 119 passed (1 slow), 20 skipped",
        "SKIPPED: salon::opens: no container engine",
    ] {
        let report = skipped(&format!("first\n{line}\nlast\n"));
        assert!(report.starts_with(&format!("2:{line}\n")), "{report}");
        assert!(report.contains("every test must run"), "{report}");
        assert!(report.ends_with("failed with 1"), "{report}");
    }
}

#[test]
fn a_test_that_leaves_a_child_process_fails_the_run() {
    let summary = |leaky: &str| {
        skipped(&format!(
            "     Summary [  10.5s] 120 tests run: 120 passed{leaky}, 0 skipped\n"
        ))
    };
    for leaky in [" (1 leaky)", " (3 slow, 12 leaky)"] {
        let report = summary(leaky);
        assert!(
            report.contains("must not leave a child process"),
            "{report}"
        );
    }
    assert_eq!(summary(" (1 slow)"), "");
}

#[test]
fn a_failed_or_incomplete_test_command_fails_its_step_and_its_log_is_kept() {
    let report = run_with(
        "",
        "scratch=$PWD
        # In a condition, bash would ignore `set -e`.
        set +e
        (set -e; tests a bash -c 'echo out; echo err >&2; exit 3')
        echo failed with $?
        set -e
        cat a.log
        (tests skipping echo 'test result: ok. 1 passed; 0 failed; 1 ignored' 2>&1) || echo refused with $?
        tests b echo 'test result: ok. 1 passed; 0 failed; 0 ignored'",
    );
    let (first, last) = report.split_once("failed with 3\n").expect(&report);
    let mut lines: Vec<&str> = first.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["err", "out"]);
    assert!(
        last.starts_with("out\nerr\n") || last.starts_with("err\nout\n"),
        "{report}"
    );
    assert!(last.contains("\nrefused with 1\n"), "{report}");
    assert!(last.ends_with("1 passed; 0 failed; 0 ignored"), "{report}");
}

#[test]
fn the_totals_of_all_runners_are_added_up() {
    let totals = |log: &str| run_with(log, "totals log");
    assert_eq!(totals("nothing ran\n"), "0 passed, 0 failed, 0 skipped");
    assert_eq!(
        totals(
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 5 filtered out; finished in 1.0s\n\
             test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 9.0s\n\
             \x20    Summary [  10.5s] 200 tests run: 100 passed (7 slow, 1 leaky), 60 failed, 30 timed out, 10 exec failed, 4 skipped\n\
             a test printed 99 passed\n"
        ),
        "115 passed, 102 failed, 5 skipped"
    );
    assert_eq!(
        run_with(
            "test result: ok. 1 passed; 0 failed; 0 ignored\n",
            "cp log other; totals log other"
        ),
        "2 passed, 0 failed, 0 skipped"
    );
}

#[test]
fn a_command_of_the_readme_is_read_from_the_first_block_only() {
    let readme = "\
cargo test before the block

```sh
$ cargo run --example salon   # a comment
cargo  test
cargo test --lib\t# another
cargo testament
$ cargo run-it
```

```sh
cargo test later
```
";
    let command = |words: &str| {
        run_with(
            readme,
            &format!("mv log README.md; readme_command '{words}'"),
        )
    };
    assert_eq!(command("cargo run"), "cargo run --example salon");
    assert_eq!(command("cargo test"), "cargo test --lib");
    assert_eq!(command("cargo fmt"), "");
}

#[test]
fn the_readme_must_have_one_line_for_each_command() {
    let read = |block: &str| {
        run_with(
            &format!("```sh\n{block}```\n"),
            "mv log README.md; (read_readme) 2>&1 || echo failed with $?",
        )
    };
    assert_eq!(
        read("cargo run\ncargo test\n"),
        "main command: cargo run\ntest command: cargo test"
    );
    for block in [
        "cargo run\n",
        "cargo test\n",
        "cargo run\ncargo test\ncargo test --lib\n",
    ] {
        let report = read(block);
        assert!(
            report.contains("the first code block of README.md must have"),
            "{report}"
        );
        assert!(report.ends_with("failed with 1"), "{report}");
    }
}

#[test]
fn a_report_of_the_example_is_checked_value_by_value() {
    let check = |extensions: &str, rows: u32| {
        run_with(
            &format!(
                r#"{{"tables": ["a", "b", "c", "d", "e", "f", "g"],
                "rows": {{"services": {rows}, "packs": 2, "stylists": 5, "policies": 7}},
                "extensions": {extensions}, "tx_open_close_us_median": 300, "bare_begin_rollback_us_median": 200}}"#
            ),
            "check_json log 2>&1 || echo failed with $?",
        )
    };
    let both = r#"{"uuid-ossp": "1.1", "pg_trgm": "1.6"}"#;
    let ratio = "a guarded transaction costs 1.50 times a bare one (300 us to 200 us); the aim is 2.5 at most";
    assert_eq!(check(both, 15), ratio);
    assert_eq!(
        check(r#"{"uuid-ossp": "1.1"}"#, 14),
        format!(
            "{ratio}\n15 rows expected in services, found 14\n\
             a version of pg_trgm expected, found None\nfailed with 1"
        )
    );
}

#[test]
fn a_step_is_limited_by_the_time_that_is_left() {
    let limited = |lines: &str| run_with("", &format!("{lines} 2>&1"));
    assert_eq!(limited("minutes=1 SECONDS=0; limited echo runs"), "runs");
    assert_eq!(
        limited("minutes=1 SECONDS=59; { limited sleep 30 || echo failed with $?; }"),
        "error: the run must end within 1 minutes\nfailed with 124"
    );
    assert_eq!(
        limited("minutes=1 SECONDS=60; (limited echo runs) || echo failed with $?"),
        "failed with 1"
    );
    assert_eq!(
        limited("minutes=1 SECONDS=0; { limited sh -c 'exit 7' || echo failed with $?; }"),
        "failed with 7"
    );
}
