//! What the system refuses to a start: processes, open files, memory, a user's name, the supervisor's life.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ebbtide::{Backend, Harness, Storage};

use super::scene::{Scene, Seen};
use super::support::again::{again_natively, role};
use super::support::{Scratch, here, names_in, natively, wait_until};

/// Begins the line of a child whose server has started all the same.
const STARTED: &str = "STARTED";

/// Names the child's own directory, which the test around it makes and removes: with a few files, a child cannot.
const PLACE: &str = "PLACE_OF_TEST";

/// The child's part: a start on a server of its own, and its error's report.
#[expect(clippy::print_stdout, reason = "the test around it reads it")]
async fn start() {
    let place = PathBuf::from(std::env::var_os(PLACE).unwrap());
    let builder = Harness::builder()
        .config_file(place.join("ebbtide.toml"))
        .without_migrations()
        .without_seeds();
    let builder = builder
        .backend(Backend::Native)
        .state_dir(place.join("state"))
        .linger(Duration::ZERO);
    // In memory, an empty directory of each user would stay.
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

/// This executable as another user runs it, for whom the place of this repository may be closed.
fn as_user(scratch: &Scratch, test: &str, starter: &[&str], uid: Option<u32>) -> String {
    let program = scratch.path("tests");
    if !program.exists() {
        std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    }
    let child = again_natively(test);
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
        .env(PLACE, &place)
        .env("CARGO_MANIFEST_DIR", &place)
        .env("RUST_BACKTRACE", "0")
        .current_dir("/");
    if let Some(uid) = uid {
        chown(&place, Some(uid), Some(uid)).unwrap();
        command.uid(uid).gid(uid);
        wait_until("the user has no process", || !has_processes(uid));
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    wait_until("the server is gone", || {
        names_in(&place.join("state/servers")).is_empty()
    });
    std::fs::remove_dir_all(&place).unwrap();
    said
}

/// A limit of processes counts all of a user's.
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

/// Asserts that each limit is either enough or named, and that not all of them are enough.
fn each_is_named(limits: &[String], help: &str, run: impl Fn(&str) -> String) {
    let mut named = 0;
    for limit in limits {
        let said = run(limit);
        assert!(!said.contains("panicked"), "{limit}: {said}");
        if !said.lines().any(|line| line == STARTED) {
            assert!(said.contains(&format!("  help: {help}")), "{limit}: {said}");
            named += 1;
        }
    }
    assert!(named > 0, "{limits:?} are all enough");
}

#[tokio::test]
async fn a_limit_of_processes_is_named_wherever_it_is_met() {
    // First: what else a child does would meet the limit, too.
    if role().is_some() {
        return start().await;
    }
    if !natively(here!()) {
        return;
    }
    let scratch = Scratch::new();
    // Limits do not hold for root, who runs the child as a user without other processes.
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
    each_is_named(&limits, "raise the limit of processes", |limit| {
        as_user(&scratch, here!(), &["prlimit", limit], uid)
    });
}

#[tokio::test]
async fn a_limit_of_open_files_is_named_wherever_it_is_met() {
    // First: what else a child does would meet the limit, too.
    if role().is_some() {
        return start().await;
    }
    if !natively(here!()) {
        return;
    }
    let scratch = Scratch::new();
    let limits: Vec<_> = (10..=16)
        .chain([20, 30])
        .map(|limit| format!("--nofile={limit}:{limit}"))
        .collect();
    each_is_named(&limits, "raise the limit of open files", |limit| {
        as_user(&scratch, here!(), &["prlimit", limit], None)
    });
}

#[tokio::test]
async fn a_limit_of_memory_is_named() {
    // First: what else a child does would meet the limit, too.
    if role().is_some() {
        return start().await;
    }
    if !natively(here!()) {
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
    each_is_named(&limits, "free memory, or raise the limit", |limit| {
        for program in ["postgres", "initdb"] {
            // The limit is PostgreSQL's alone: what this process needs differs from system to system.
            let script = format!("#!/bin/sh\nulimit -v {limit}\nexec {bin}/{program} \"$@\"\n");
            let path = scratch.write(&format!("bin/{program}"), &script);
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        as_user(
            &scratch,
            here!(),
            &["env", &format!("EBBTIDE_PG_BIN={}", binaries.display())],
            None,
        )
    });
}

#[tokio::test]
async fn a_user_without_a_name_is_told_where_one_is_looked_up() {
    // First: what else a child does would meet the limit, too.
    if role().is_some() {
        return start().await;
    }
    if !natively(here!()) {
        return;
    }
    // Only root may become another user.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let scratch = Scratch::new();
    let said = as_user(&scratch, here!(), &[], Some(4_000_123));
    assert!(
        said.contains("this user has no entry in the password file"),
        "{said}"
    );
    assert!(said.contains("  help: add a line to /etc/passwd"), "{said}");
}

#[test]
fn a_supervisor_that_is_killed_during_the_start_is_replaced() {
    if !natively(here!()) {
        return;
    }
    let scene = Scene::cold();
    let mut first = scene.puppet();
    first.tell("open");
    // Without a cache, `initdb` runs next, which takes a second.
    wait_until("there is a supervisor", || !scene.supervisors().is_empty());
    scene.supervisors().iter().for_each(Seen::kill);
    first.answer().expect("the next attempt starts a server");

    let mut next = scene.puppet();
    next.ask("open");
    drop((first, next));
    scene.wait_until_nothing_is_left();
}
