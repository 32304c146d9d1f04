//! Everything that can be wrong with the machine and the server on it, and what ebbtide says about it.
//!
//! Every test has a state directory of its own, so that what a failed start leaves behind can be counted.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests")]

#[macro_use]
#[path = "support/reports.rs"]
mod reports;
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use ebbtide::{Error, ErrorKind, Storage};
use reports::{assert_tells, not_started};
use rustix::process::{Pid, Signal, getegid, geteuid, kill_process};
use support::again::{again_as, again_natively, passed, role};
use support::{Scratch, here, names_in, natively, wait_until};

#[tokio::test]
async fn a_directory_without_binaries_tells_where_they_come_from() {
    let scratch = Scratch::new();
    if role().is_none() {
        passed(&again_natively(here!()).output().unwrap());
        return;
    }
    let empty = scratch.path("empty");
    std::fs::create_dir(&empty).unwrap();
    assert_report!(scratch, not_started(&scratch, scratch.lonely().bin(&empty)).await, BinariesNotFound, @r"
    no PostgreSQL server binaries found
      tried:
        [SCRATCH]/empty (builder): holds no `postgres`
      help: install them (Debian, Ubuntu: `apt-get install postgresql`; Fedora: `dnf install postgresql-server postgresql-contrib`; macOS: `brew install postgresql`), or set EBBTIDE_PG_BIN to the directory that holds `postgres` and `initdb`
    ");
}

#[tokio::test]
async fn a_version_that_is_not_there_names_its_package() {
    let scratch = Scratch::new();
    if role().is_none() {
        passed(&again_natively(here!()).output().unwrap());
        return;
    }
    let error = not_started(&scratch, scratch.lonely().postgres(99)).await;
    assert_tells(
        &error,
        ErrorKind::BinariesNotFound,
        &["for PostgreSQL 99", "postgresql-99"],
    );
}

#[tokio::test]
async fn a_state_directory_too_long_for_a_socket_is_refused() {
    if !natively(here!()) {
        return;
    }
    let scratch = Scratch::new();
    let long = scratch.path(&"x".repeat(200));
    let error = not_started(&scratch, scratch.lonely().state_dir(&long)).await;
    assert!(!long.exists());
    let length = long.as_os_str().len();
    assert_tells(
        &error,
        ErrorKind::StateDir,
        &[long.to_str().unwrap(), "EBBTIDE_STATE_DIR"],
    );
    assert!(error.to_string().contains(&format!(
        "{} bytes",
        length + "/servers/00000000.00000000/.s.PGSQL.5432".len()
    )));
}

#[tokio::test]
async fn a_state_directory_that_is_a_link_is_refused() {
    if !natively(here!()) {
        return;
    }
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(scratch.path("elsewhere"), scratch.state_dir()).unwrap();
    let error = not_started(&scratch, scratch.lonely()).await;
    assert!(names_in(&scratch.path("elsewhere")).is_empty());
    assert_report!(scratch, error, StateDir, @r"
    [SCRATCH]/state is a link or no directory
      help: remove it if you know whose it is, or set EBBTIDE_STATE_DIR to a directory of your own
    ");
}

#[tokio::test]
async fn a_state_directory_of_someone_else_is_refused() {
    const NOBODY: u32 = 65_534;
    if !natively(here!()) {
        return;
    }
    let scratch = Scratch::new();
    let theirs = if geteuid().is_root() {
        std::fs::create_dir(scratch.state_dir()).unwrap();
        std::os::unix::fs::chown(scratch.state_dir(), Some(NOBODY), None).unwrap();
        scratch.state_dir()
    } else {
        PathBuf::from("/usr")
    };
    let before = names_in(&theirs);
    let mut settings = reports::replacements(&scratch);
    settings.add_filter("^/usr ", "[SCRATCH]/state ");
    let error = not_started(&scratch, scratch.lonely().state_dir(&theirs)).await;
    assert_eq!(names_in(&theirs).len(), before.len());
    settings.bind(|| {
        assert_report!(scratch, error, StateDir, @r"
        [SCRATCH]/state belongs to user [THEIRS], not [OURS]
          help: remove it if you know whose it is, or set EBBTIDE_STATE_DIR to a directory of your own
        ");
    });
}

#[tokio::test]
async fn a_setting_that_the_server_refuses_is_in_the_logs_end() {
    if !natively(here!()) {
        return;
    }
    let scratch = Scratch::new();
    let error = not_started(
        &scratch,
        scratch.lonely().setting("shared_buffers", "nonsense"),
    )
    .await;
    assert_tells(
        &error,
        ErrorKind::ServerStart,
        &["invalid value for parameter \"shared_buffers\": \"nonsense\""],
    );
    assert_report!(scratch, error, ServerStart, @r"
    PostgreSQL ended while it started
      the server's log ends:
        [LOG]
      help: the log says why; settings that the server refuses come from `settings` in ebbtide.toml or the builder
    ");
}

#[tokio::test]
async fn too_little_space_for_any_server_is_seen_beforehand() {
    if !natively(here!()) {
        return;
    }
    let scratch = Scratch::new();
    if role().is_none() {
        in_a_small_place(&scratch, "12m", here!());
        return;
    }
    assert_report!(scratch, fail_on_disk(&scratch).await, OutOfSpace, @r"
    no space left to start PostgreSQL: [SOME] MB are free for [PLACE]/state/cache/initdb-[VERSION], and 48 MB are needed
      help: free some space, move the state directory with EBBTIDE_STATE_DIR, or choose EBBTIDE_STORAGE=memory or disk
    ");
}

#[tokio::test]
async fn too_little_space_for_a_data_directory_is_out_of_space() {
    if !natively(here!()) {
        return;
    }
    let scratch = Scratch::new();
    if role().is_none() {
        // Enough for what `initdb` makes, not for a copy of it.
        in_a_small_place(&scratch, "56m", here!());
        return;
    }
    let error = fail_on_disk(&scratch).await;
    assert_tells(&error, ErrorKind::OutOfSpace, &["No space left on device"]);
    assert_report!(scratch, error, OutOfSpace, @r"
    PostgreSQL's data directory could not be prepared: no space left in the state directory
      what was said:
        [LOG]
      help: free some space, move the state directory with EBBTIDE_STATE_DIR, or choose EBBTIDE_STORAGE=memory or disk
    ");
}

#[tokio::test]
async fn too_little_space_for_a_seed_is_out_of_space() {
    if !natively(here!()) {
        return;
    }
    let scratch = Scratch::new();
    if role().is_none() {
        in_a_small_place(&scratch, "128m", here!());
        return;
    }
    scratch.write(
        "migrations/1_blobs.sql",
        "create table blobs (id int, text text);\n",
    );
    let seed = "insert into blobs select i, repeat('x', 1000) from generate_series(1, 200000) i;\n";
    scratch.write("seeds/010_blobs.sql", seed);
    let error = fail_on_disk(&scratch).await;
    assert_tells(
        &error,
        ErrorKind::OutOfSpace,
        &["seeds/010_blobs.sql", "EBBTIDE_STORAGE"],
    );
    // Whether the table or the log of changes is full first is a matter of chance, and so are the server's words: a page of
    // which only a part was written has none of the system's (SQLSTATE 53100 all the same).
    let report = format!("{error:?}");
    let words = ["No space left on device", "Check free disk space"];
    assert!(words.iter().any(|words| report.contains(words)), "{report}");
}

#[tokio::test]
async fn a_server_that_ran_out_of_space_is_not_called_lost() {
    if !natively(here!()) {
        return;
    }
    let scratch = Scratch::new();
    let Some(place) = role().map(PathBuf::from) else {
        in_a_small_place(&scratch, "160m", here!());
        return;
    };
    let harness = scratch
        .lonely()
        .state_dir(place.join("state"))
        .storage(Storage::Disk)
        .build()
        .unwrap();
    let mut tx = harness.tx().await.unwrap();
    let full =
        std::fs::write(place.join("filler"), vec![1; 160 << 20]).expect_err("the place is full");
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    // It goes to the log of changes alone; a server that cannot write there gives up.
    let logged = "select pg_logical_emit_message(false, 'ebbtide', repeat('x', 9000000))";
    let statement = sqlx::query(logged)
        .execute(&mut *tx)
        .await
        .expect_err("the log of changes has no room");
    assert_ne!(Error::from(statement).kind(), ErrorKind::Database);
    let error = tx.close().await.expect_err("the server has given up");
    assert_report!(scratch, error, OutOfSpace, @r"
    the PostgreSQL server ended because there is no space left for its data
      caused by: closing the test's transaction failed: [THE DRIVER'S WORDS]
      the server's log ends:
        [LOG]
      help: free some space where the server keeps its data, or set EBBTIDE_STORAGE=memory or disk
    ");
    drop(harness);
    wait_until("the servers are gone", || {
        names_in(&place.join("state/servers")).is_empty()
    });
}

/// Runs a test again in a mount namespace of its own, where a small file system lies below the scratch directory: it goes
/// with the last process inside, whatever happens.
fn in_a_small_place(scratch: &Scratch, size: &str, test: &str) {
    let place = scratch.path("small");
    std::fs::create_dir(&place).unwrap();
    let mut probe = inside(&place, size, &Command::new("true"));
    if !probe.output().is_ok_and(|output| output.status.success()) {
        println!("note: {test} needs root");
        return;
    }
    let output = inside(&place, size, &again_as(place.to_str().unwrap(), test))
        .output()
        .unwrap();
    passed(&output);
    assert!(names_in(&place).is_empty(), "what was inside is gone");
}

/// The command with a small file system over a directory, which nobody else sees.
fn inside(place: &Path, size: &str, command: &Command) -> Command {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    // An ordinary user is root in a first user namespace, to mount, and themselves again in a second.
    let (first, then) = if uid == 0 {
        ("-m", "exec \"$@\"".to_owned())
    } else {
        (
            "-Urm",
            format!("exec unshare -U --map-user={uid} --map-group={gid} \"$@\""),
        )
    };
    let script = format!("mount -t tmpfs -o size={size},mode=755 tmpfs \"$0\" && {then}");
    let mut unshare = Command::new("unshare");
    unshare
        .args([first, "sh", "-c", &script])
        .arg(place)
        .arg(command.get_program())
        .args(command.get_args());
    let variables = command
        .get_envs()
        .filter_map(|(name, value)| Some((name, value?)));
    unshare.envs(variables);
    unshare
}

/// The error of a server whose state directory is on the small file system, once nothing is left there.
async fn fail_on_disk(scratch: &Scratch) -> Error {
    let place = PathBuf::from(role().unwrap());
    let state = place.join("state");
    let error = not_started(
        scratch,
        scratch.lonely().state_dir(&state).storage(Storage::Disk),
    )
    .await;
    wait_until("the servers are gone", || {
        names_in(&state.join("servers")).is_empty()
    });
    error
}

#[tokio::test]
async fn a_killed_server_is_reported_and_the_next_harness_starts_another() {
    if !natively(here!()) {
        return;
    }
    let scratch = Scratch::new();
    scratch.write(
        "migrations/1_users.sql",
        "create table users (id int primary key);\n",
    );
    let harness = scratch.lonely().build().unwrap();
    let mut tx = harness.tx().await.unwrap();
    let data: String = sqlx::query_scalar("show data_directory")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    let marks = std::fs::read_to_string(Path::new(&data).join("postmaster.pid")).unwrap();
    let marks: Vec<&str> = marks.lines().map(str::trim).collect();
    let pid = Pid::from_raw(marks[0].parse().unwrap()).unwrap();
    let segment = marks[6].split_whitespace().next_back().unwrap().to_owned();
    assert!(
        segments().contains(&segment),
        "{segment} is not among {:?}",
        segments()
    );
    let first = names_in(&scratch.state_dir().join("servers"));

    kill_process(pid, Signal::KILL).unwrap();
    let statement = sqlx::query("select pg_sleep(30)")
        .execute(&mut *tx)
        .await
        .expect_err("the server is gone");
    assert_eq!(Error::from(statement).kind(), ErrorKind::ServerLost);
    let error = tx.close().await.expect_err("the server is gone");
    assert_report!(scratch, error, ServerLost, @r"
    the PostgreSQL server went away while it was in use
      caused by: closing the test's transaction failed: [THE DRIVER'S WORDS]
      the server's log ends:
        [LOG]
      help: run the tests again: the next run starts a new server
    ");

    let second = scratch.lonely().build().unwrap();
    let mut tx = second.tx().await.unwrap();
    sqlx::query("insert into users values (1)")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.close().await.unwrap();
    assert_ne!(first, names_in(&scratch.state_dir().join("servers")));

    drop((harness, second));
    scratch.wait_until_deserted();
    assert!(!Path::new(&data).exists(), "{data}");
    assert!(
        !segments().contains(&segment),
        "segment {segment} is still there"
    );
}

/// The numbers of all System V shared memory segments.
fn segments() -> Vec<String> {
    let table = std::fs::read_to_string("/proc/sysvipc/shm").unwrap();
    table
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().nth(1).map(str::to_owned))
        .collect()
}
