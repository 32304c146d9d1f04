//! Everything that can be wrong with the machine or the native server on it, and how ebbtide
//! reports it.
//!
//! Each test has a state directory of its own, so that it can assert that a failed start leaves
//! nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::child_process::{
    assert_passed, child_role, native_test_command, test_command_as,
};
use crate::support::process::{SegmentColumn, segment_table, segments_with};
use crate::support::reports::{assert_report_contains, start_error};
use crate::support::{Scratch, names_in, runs_natively, this_test, wait_until};
use ebbtide::config::{Native, Storage};
use ebbtide::{Error, ErrorKind};
use rustix::process::{Pid, Signal, getegid, geteuid, kill_process};

#[tokio::test]
async fn a_directory_without_binaries_is_reported_with_the_packages_to_install() {
    let scratch = Scratch::new();
    if child_role().is_none() {
        assert_passed(&native_test_command(this_test!()).output().unwrap());
        return;
    }
    let empty = scratch.path("empty");
    std::fs::create_dir(&empty).unwrap();
    assert_report!(scratch, start_error(&scratch, scratch.own_server().backend(Native::new().bin(&empty))).await, BinariesNotFound, @r"
    no PostgreSQL server binaries found
      tried:
        [SCRATCH]/empty (builder): holds no `postgres`
      help: install them (Debian, Ubuntu: `apt-get install postgresql`; Fedora: `dnf install postgresql-server postgresql-contrib`; macOS: `brew install postgresql`), or set EBBTIDE_PG_BIN to the directory that holds `postgres` and `initdb`
    ");
}

#[tokio::test]
async fn a_missing_version_is_reported_with_its_package() {
    let scratch = Scratch::new();
    if child_role().is_none() {
        assert_passed(&native_test_command(this_test!()).output().unwrap());
        return;
    }
    let error = start_error(&scratch, scratch.own_server().postgres(99)).await;
    assert_report_contains(
        &error,
        ErrorKind::BinariesNotFound,
        &["for PostgreSQL 99", "postgresql-99"],
    );
}

#[tokio::test]
async fn a_state_directory_whose_socket_path_is_too_long_is_refused() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    let long = scratch.path(&"x".repeat(200));
    let error = start_error(&scratch, scratch.own_server().state_dir(&long)).await;
    assert!(!long.exists());
    let length = long.as_os_str().len();
    assert_report_contains(
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
async fn a_state_directory_that_is_a_symbolic_link_is_refused() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(scratch.path("elsewhere"), scratch.state_dir()).unwrap();
    let error = start_error(&scratch, scratch.own_server()).await;
    assert!(names_in(&scratch.path("elsewhere")).is_empty());
    assert_report!(scratch, error, StateDir, @r"
    [SCRATCH]/state must be a directory and not a link
      help: remove it if you know whose it is, or set EBBTIDE_STATE_DIR to a directory of your own
    ");
}

#[tokio::test]
async fn a_state_directory_of_another_user_is_refused() {
    const OTHER_UID: u32 = 65_534;
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    let theirs = if geteuid().is_root() {
        std::fs::create_dir(scratch.state_dir()).unwrap();
        std::os::unix::fs::chown(scratch.state_dir(), Some(OTHER_UID), None).unwrap();
        scratch.state_dir()
    } else {
        PathBuf::from("/usr")
    };
    let before = names_in(&theirs);
    let mut settings = crate::support::reports::replacements(&scratch);
    settings.add_filter("^/usr ", "[SCRATCH]/state ");
    let error = start_error(&scratch, scratch.own_server().state_dir(&theirs)).await;
    assert_eq!(names_in(&theirs).len(), before.len());
    settings.bind(|| {
        assert_report!(scratch, error, StateDir, @r"
        [SCRATCH]/state belongs to user [THEIRS], not [OURS]
          help: remove it if you know whose it is, or set EBBTIDE_STATE_DIR to a directory of your own
        ");
    });
}

#[tokio::test]
async fn a_setting_that_the_server_rejects_is_reported_with_the_end_of_its_log() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    let error = start_error(
        &scratch,
        scratch.own_server().setting("shared_buffers", "nonsense"),
    )
    .await;
    assert_report_contains(
        &error,
        ErrorKind::ServerStart,
        &["invalid value for parameter \"shared_buffers\": \"nonsense\""],
    );
    assert_report!(scratch, error, ServerStart, @r"
    PostgreSQL ended while it started
      the server's log ends:
        [LOG]
      help: see the log for the reason; settings that the server rejects come from `settings` in ebbtide.toml or the builder
    ");
}

#[tokio::test]
async fn too_little_space_for_any_server_is_detected_before_the_start() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    if child_role().is_none() {
        on_a_small_file_system(&scratch, "12m", this_test!());
        return;
    }
    assert_report!(scratch, start_error_on_disk(&scratch).await, OutOfSpace, @r"
    PostgreSQL needs 48 MB of free space to start, but only [SOME] MB are free for [PLACE]/state/cache/initdb-[VERSION]
      help: free some space, or set EBBTIDE_STATE_DIR to a directory on a file system with free space; EBBTIDE_STORAGE=memory moves the data, but not the cache of initdb
    ");
}

#[tokio::test]
async fn too_little_space_for_a_data_directory_is_out_of_space() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    if child_role().is_none() {
        // Enough for the cluster that `initdb` creates, but not for the copy of it.
        on_a_small_file_system(&scratch, "56m", this_test!());
        return;
    }
    let error = start_error_on_disk(&scratch).await;
    assert_report_contains(&error, ErrorKind::OutOfSpace, &["No space left on device"]);
    assert_report!(scratch, error, OutOfSpace, @r"
    PostgreSQL's data directory could not be prepared: no space left in the state directory
      the supervisor's output:
        [LOG]
      help: free some space, or set EBBTIDE_STATE_DIR to a directory on a file system with free space; EBBTIDE_STORAGE=memory moves the data, but not the cache of initdb
    ");
}

#[tokio::test]
async fn too_little_space_for_a_seed_is_out_of_space() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    if child_role().is_none() {
        on_a_small_file_system(&scratch, "128m", this_test!());
        return;
    }
    scratch.write(
        "migrations/1_blobs.sql",
        "create table blobs (id int, text text);\n",
    );
    let seed = "insert into blobs select i, repeat('x', 1000) from generate_series(1, 200000) i;\n";
    scratch.write("seeds/010_blobs.sql", seed);
    let error = start_error_on_disk(&scratch).await;
    assert_report_contains(
        &error,
        ErrorKind::OutOfSpace,
        &["seeds/010_blobs.sql", "EBBTIDE_STORAGE"],
    );
    // Chance decides whether the table or the WAL needs the last page, and with it the server's
    // message. A page that is written in part has no message of the system, but SQLSTATE 53100 too.
    let report = format!("{error:?}");
    let words = ["No space left on device", "Check free disk space"];
    assert!(words.iter().any(|words| report.contains(words)), "{report}");
}

#[tokio::test]
async fn a_server_that_ran_out_of_space_is_not_reported_as_lost() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    let Some(place) = child_role().map(PathBuf::from) else {
        on_a_small_file_system(&scratch, "160m", this_test!());
        return;
    };
    let harness = scratch
        .own_server()
        .state_dir(place.join("state"))
        .storage(Storage::Disk)
        .build()
        .unwrap();
    let mut tx = harness.tx().await.unwrap();
    let full = std::fs::write(place.join("filler"), vec![1; 160 << 20])
        .expect_err("the file system is full");
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    // The message goes to the WAL only. A server that cannot write its WAL ends (PANIC).
    let logged = "select pg_logical_emit_message(false, 'ebbtide', repeat('x', 9000000))";
    let statement = sqlx::query(logged)
        .execute(&mut *tx)
        .await
        .expect_err("the WAL has no space");
    assert_ne!(Error::from(statement).kind(), ErrorKind::Database);
    let error = tx.close().await.expect_err("the server has ended");
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

/// Runs a test in a child process with a small file system below the scratch directory.
///
/// The file system is mounted in a mount namespace of its own. The kernel removes both with the
/// last process in the namespace, so nothing is left even if the test is killed.
fn on_a_small_file_system(scratch: &Scratch, size: &str, test: &str) {
    let place = scratch.path("small");
    std::fs::create_dir(&place).unwrap();
    let mut probe = in_namespace(&place, size, &Command::new("true"));
    if !probe.output().is_ok_and(|output| output.status.success()) {
        println!("note: {test} needs root");
        return;
    }
    let output = in_namespace(
        &place,
        size,
        &test_command_as(place.to_str().unwrap(), test),
    )
    .output()
    .unwrap();
    assert_passed(&output);
    assert!(
        names_in(&place).is_empty(),
        "the mount must not be visible outside its namespace"
    );
}

/// The command, in a mount namespace where a small file system is mounted on a directory.
fn in_namespace(place: &Path, size: &str, command: &Command) -> Command {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    // Mounting needs root, and PostgreSQL refuses to run as root. So an ordinary user gets two
    // nested user namespaces: root in the outer one, to mount, and the user's own id in the inner
    // one.
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

/// The error of a start with the state directory on the small file system, after all servers have
/// ended.
async fn start_error_on_disk(scratch: &Scratch) -> Error {
    let place = PathBuf::from(child_role().unwrap());
    let state = place.join("state");
    let error = start_error(
        scratch,
        scratch
            .own_server()
            .state_dir(&state)
            .storage(Storage::Disk),
    )
    .await;
    wait_until("the servers are gone", || {
        names_in(&state.join("servers")).is_empty()
    });
    error
}

#[tokio::test]
async fn a_killed_server_is_reported_and_the_next_harness_starts_another() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    scratch.write(
        "migrations/1_users.sql",
        "create table users (id int primary key);\n",
    );
    let harness = scratch.own_server().build().unwrap();
    let mut tx = harness.tx().await.unwrap();
    let data: String = sqlx::query_scalar("show data_directory")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    let pid_file = std::fs::read_to_string(Path::new(&data).join("postmaster.pid")).unwrap();
    let lines: Vec<&str> = pid_file.lines().map(str::trim).collect();
    let pid = Pid::from_raw(lines[0].parse().unwrap()).unwrap();
    let segment = lines[6].split_whitespace().next_back().unwrap().to_owned();
    assert!(
        !segments_with(SegmentColumn::Id, &segment).is_empty(),
        "{segment} is not among {}",
        segment_table()
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
    the PostgreSQL server was lost while it was in use
      caused by: closing the test's transaction failed: [THE DRIVER'S WORDS]
      the server's log ends:
        [LOG]
      help: run the tests again: the next run starts a new server
    ");

    let second = scratch.own_server().build().unwrap();
    let mut tx = second.tx().await.unwrap();
    sqlx::query("insert into users values (1)")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.close().await.unwrap();
    assert_ne!(first, names_in(&scratch.state_dir().join("servers")));

    drop((harness, second));
    scratch.wait_until_servers_end();
    assert!(!Path::new(&data).exists(), "{data}");
    let left = segments_with(SegmentColumn::Id, &segment);
    assert!(left.is_empty(), "still there: {left:?}");
}
