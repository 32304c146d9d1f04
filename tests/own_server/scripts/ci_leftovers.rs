//! `.ci/leftovers`: what it counts as left behind by ebbtide.

use std::process::{Child, Command, Stdio};

use super::shell::{Shell, Sleeper, functions};

/// Runs lines with the functions of `.ci/leftovers`, in the test's directory.
#[track_caller]
fn run(shell: &Shell, lines: &str) -> String {
    let functions = functions(".ci/leftovers");
    let dir = shell.scratch.path("");
    let script = format!(
        "set -euo pipefail\nshopt -s nullglob\ncd {}\n{functions}\n{lines}",
        dir.display()
    );
    shell.run(&script, &[])
}

#[test]
fn only_directories_that_exist_and_have_a_users_number_are_searched() {
    let shell = Shell::bash();
    for dir in [
        "ebbtide-0",
        "ebbtide-65534",
        "ebbtide-0a",
        "ebbtide-1-copy",
        "state",
    ] {
        std::fs::create_dir(shell.scratch.path(dir)).unwrap();
    }
    shell.scratch.write("ebbtide-1", "a file");
    assert_eq!(
        run(
            &shell,
            "existing_dirs $PWD/ebbtide-* $PWD/state $PWD/state $PWD/missing | sed \"s,$PWD/,,\""
        ),
        "ebbtide-0\nebbtide-65534\nstate"
    );
}

#[test]
fn lock_files_may_stay_and_everything_else_is_listed() {
    let shell = Shell::bash();
    for file in [
        "dir/lock",
        "dir/a.lock",
        "dir/locked",
        "dir/b.lock/file",
        "dir/.hidden",
    ] {
        shell.scratch.write(file, "");
    }
    assert_eq!(
        run(&shell, "entries dir | sort; entries missing"),
        "dir/.hidden\ndir/b.lock\ndir/locked"
    );
    assert_eq!(
        run(&shell, "entries dir ! -name '.*' ! -type d"),
        "dir/locked"
    );
}

/// Whether `processes_left` lists a process, and as what.
#[track_caller]
fn listed(shell: &Shell, pid: u32) -> String {
    run(
        shell,
        &format!("processes_left | sed -n 's/^process {pid}: //p'"),
    )
}

/// A shell with these arguments, which waits until its input ends.
fn waiting_shell(arguments: &[&str]) -> Child {
    Command::new("sh")
        .args(["-c", "read line"])
        .args(arguments)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_supervisor_is_recognized_by_its_arguments() {
    let shell = Shell::bash();
    for (arguments, expected) in [
        (
            &["ebbtide-supervisor", "/dir"][..],
            "sh ... ebbtide-supervisor /dir",
        ),
        (&["a", "/tmp/ebbtide-0/x"], "sh ... /tmp/ebbtide-0/x"),
        (
            &["a", "/my/servers/0123abcd.4567ef89/x"],
            "sh ... /my/servers/0123abcd.4567ef89/x",
        ),
        (
            &["a", "/run/user/0/ebbtide/servers/x"],
            "sh ... /run/user/0/ebbtide/servers/x",
        ),
        (&["a", "/my/servers/0123abcd.4567ef8/x"], ""),
        (&["a", "in /tmp/ebbtide-0/x"], ""),
        (&["a", "/home/ebbtide/src"], ""),
    ] {
        let mut child = waiting_shell(arguments);
        let found = listed(&shell, child.id());
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(found, expected, "{arguments:?}");
    }
}

#[test]
fn a_server_process_is_recognized_by_its_working_directory() {
    let shell = Shell::bash();
    let start = |dir: &str, program: &str| {
        let dir = shell.scratch.path(dir);
        std::fs::create_dir_all(&dir).unwrap();
        Sleeper::start_copy(&shell.scratch.path(program), &dir)
    };
    let of_ebbtide = start("servers/0123abcd.4567ef89/data", "one/postgres");
    let of_others = start("data", "two/postgres");
    let another_program = start("servers/0123abcd.4567ef89/data", "three/psql");
    let is_listed = |sleeper: &Sleeper| {
        let pid = sleeper.process.pid.parse().unwrap();
        !listed(&shell, pid).is_empty()
    };
    assert!(is_listed(&of_ebbtide));
    assert!(!is_listed(&of_others));
    assert!(!is_listed(&another_program));
}

#[test]
fn a_process_that_ends_during_the_search_is_no_failure() {
    let shell = Shell::bash();
    let lines = "report_process() { :; }
        for round in 1 2 3 4 5; do
            for process in 1 2 3 4 5 6 7 8; do sleep 0.0$process & done
            processes_left || echo failed
        done";
    assert_eq!(run(&shell, lines), "");
}
