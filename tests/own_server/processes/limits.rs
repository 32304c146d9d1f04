//! Limits of the system that make a start fail: processes, open files, memory, a user without a
//! name, a killed supervisor.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ebbtide::Harness;

use ebbtide::config::{Backend, Storage};

use crate::support::child_process::{child_role, native_test_command};
use crate::support::process::Process;
use crate::support::{Scratch, names_in, runs_natively, this_test, wait_until};
use crate::testbed::Testbed;

/// The line that a child prints if its server has started in spite of the limit.
const STARTED: &str = "STARTED";

/// The environment variable for the child's directory. The parent creates and removes it, because a
/// child that may open only a few files cannot.
const PLACE_VARIABLE: &str = "PLACE_OF_TEST";

/// The child's part: starts a server of its own, and prints `STARTED` or the report of the error.
#[expect(clippy::print_stdout, reason = "the parent reads it")]
async fn start_and_print() {
    let place = PathBuf::from(std::env::var_os(PLACE_VARIABLE).unwrap());
    let builder = Harness::builder()
        .config_file(place.join("ebbtide.toml"))
        .without_migrations()
        .without_seeds();
    let builder = builder
        .backend(Backend::Native)
        .state_dir(place.join("state"))
        .linger(Duration::ZERO);
    // On disk: with data in memory, an empty directory of each user would stay in /dev/shm.
    let builder = builder.storage(Storage::Disk);
    let harness = builder.build().unwrap();
    match harness.tx().await {
        Ok(tx) => {
            tx.close().await.unwrap();
            println!("\n{STARTED}");
        }
        Err(error) => println!("\n{error:?}"),
    }
}

/// Runs a test as a child of `starter`, as another user if `uid` is given, and returns what it
/// prints.
///
/// The child is a copy of this executable in the scratch directory, because another user may have
/// no access to the build directory.
fn output_as_user(scratch: &Scratch, test: &str, starter: &[&str], uid: Option<u32>) -> String {
    let program = scratch.path("tests");
    if !program.exists() {
        std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    }
    let child = native_test_command(test);
    let mut command = match starter {
        [] => Command::new(&program),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(&program);
            command
        }
    };
    command.args(child.get_args()).envs(
        child
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    scratch.write("place/ebbtide.toml", "");
    let place = scratch.path("place");
    command
        .env(PLACE_VARIABLE, &place)
        .env("CARGO_MANIFEST_DIR", &place)
        .env("RUST_BACKTRACE", "0")
        .current_dir("/");
    if let Some(uid) = uid {
        chown(&place, Some(uid), Some(uid)).unwrap();
        command.uid(uid).gid(uid);
        wait_until("the user has no process", || !has_processes(uid));
    }
    let finished = command.output().unwrap();
    let output = String::from_utf8_lossy(&finished.stdout).into_owned()
        + &String::from_utf8_lossy(&finished.stderr);
    assert!(finished.status.success(), "{output}");
    wait_until("the server is gone", || {
        names_in(&place.join("state/servers")).is_empty()
    });
    std::fs::remove_dir_all(&place).unwrap();
    output
}

/// Whether a user has a process. The limit of processes counts all processes of a user, so others
/// would change the result.
fn has_processes(uid: u32) -> bool {
    names_in(Path::new("/proc")).iter().any(|name| {
        let is_process = name.bytes().all(|byte| byte.is_ascii_digit());
        is_process
            && std::fs::metadata(Path::new("/proc").join(name))
                .is_ok_and(|found| found.uid() == uid)
    })
}

fn user(name: &str) -> Option<u32> {
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = users
        .lines()
        .find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(2)?.parse().ok()
}

/// Asserts that with each limit a server starts or the error names the remedy, and that at least
/// one limit is too low.
fn assert_each_limit_is_reported(limits: &[String], help: &str, run: impl Fn(&str) -> String) {
    let mut reported = 0;
    for limit in limits {
        let output = run(limit);
        assert!(!output.contains("panicked"), "{limit}: {output}");
        if !output.lines().any(|line| line == STARTED) {
            assert!(
                output.contains(&format!("  help: {help}")),
                "{limit}: {output}"
            );
            reported += 1;
        }
    }
    assert!(reported > 0, "a server starts with each of {limits:?}");
}

#[tokio::test]
async fn a_process_limit_is_reported_wherever_a_start_reaches_it() {
    // Before everything else: other work in the child could reach the limit first.
    if child_role().is_some() {
        return start_and_print().await;
    }
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    // The limit does not apply to root. So root runs the child as a user without other processes.
    let uid = if rustix::process::geteuid().is_root() {
        user("daemon")
    } else {
        None
    };
    let limits = if uid.is_some() {
        [1, 2, 3, 4, 5, 7, 8, 10].as_slice()
    } else {
        &[1]
    };
    let limits: Vec<String> = limits
        .iter()
        .map(|limit| format!("--nproc={limit}:{limit}"))
        .collect();
    assert_each_limit_is_reported(&limits, "raise the limit of processes", |limit| {
        output_as_user(&scratch, this_test!(), &["prlimit", limit], uid)
    });
}

#[tokio::test]
async fn a_limit_of_open_files_is_reported_wherever_a_start_reaches_it() {
    // Before everything else: other work in the child could reach the limit first.
    if child_role().is_some() {
        return start_and_print().await;
    }
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    let limits: Vec<_> = (10..=16)
        .chain([20, 30])
        .map(|limit| format!("--nofile={limit}:{limit}"))
        .collect();
    assert_each_limit_is_reported(&limits, "raise the limit of open files", |limit| {
        output_as_user(&scratch, this_test!(), &["prlimit", limit], None)
    });
}

#[tokio::test]
async fn a_memory_limit_is_reported() {
    // Before everything else: other work in the child could reach the limit first.
    if child_role().is_some() {
        return start_and_print().await;
    }
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    let binaries = scratch.path("bin");
    let mut tx = scratch.builder().build().unwrap().tx().await.unwrap();
    let bin: String = sqlx::query_scalar("select setting from pg_config where name = 'BINDIR'")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    tx.close().await.unwrap();
    let limits = ["60000", "100000"].map(str::to_owned);
    assert_each_limit_is_reported(&limits, "free memory, or raise the limit", |limit| {
        for program in ["postgres", "initdb"] {
            // The limit applies to PostgreSQL only: what the child itself needs differs between
            // systems.
            let script = format!("#!/bin/sh\nulimit -v {limit}\nexec {bin}/{program} \"$@\"\n");
            let path = scratch.write(&format!("bin/{program}"), &script);
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        output_as_user(
            &scratch,
            this_test!(),
            &["env", &format!("EBBTIDE_PG_BIN={}", binaries.display())],
            None,
        )
    });
}

#[tokio::test]
async fn a_user_without_a_name_gets_a_report_about_the_password_file() {
    // Before everything else: other work in the child could reach the limit first.
    if child_role().is_some() {
        return start_and_print().await;
    }
    if !runs_natively(this_test!()) {
        return;
    }
    // Only root may become another user.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let scratch = Scratch::new();
    let output = output_as_user(&scratch, this_test!(), &[], Some(4_000_123));
    assert!(
        output.contains("this user has no entry in the password file"),
        "{output}"
    );
    assert!(
        output.contains("  help: add a line to /etc/passwd"),
        "{output}"
    );
}

#[test]
fn a_supervisor_that_is_killed_during_the_start_is_replaced() {
    if !runs_natively(this_test!()) {
        return;
    }
    let testbed = Testbed::without_cache();
    let mut first = testbed.worker();
    first.send("open");
    // Without a cache the supervisor runs `initdb` next. That takes about a second, so the signal
    // arrives during the start.
    wait_until("there is a supervisor", || {
        !testbed.supervisors().is_empty()
    });
    testbed.supervisors().iter().for_each(Process::kill);
    first.answer().expect("the next attempt starts a server");

    let mut next = testbed.worker();
    next.execute("open");
    drop((first, next));
    testbed.wait_until_nothing_is_left();
}
