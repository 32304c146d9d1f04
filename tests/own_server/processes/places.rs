//! Where the files of a server can be: unusual names, directories of other users, umasks.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use ebbtide::ErrorKind;

use ebbtide::config::{Builder, Storage};

use crate::support::child_process::{
    assert_passed, child_role, native_test_command, run_through, test_command_as,
};
use crate::support::reports::start_error;
use crate::support::{Scratch, names_in, runs_natively, this_test, wait_until};
use crate::testbed::Testbed;

/// The data directory of a server, which has ended when this function returns. Uses a Tx and a
/// database with a pool, so that each kind of connection is tried.
async fn data_dir(builder: Builder, state: &Path) -> PathBuf {
    let harness = builder.state_dir(state).build().unwrap();
    let mut tx = harness.tx().await.unwrap();
    let data: String = sqlx::query_scalar("show data_directory")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    tx.close().await.unwrap();
    let database = harness.database().await.unwrap();
    let pool = sqlx::PgPool::connect(database.url()).await.unwrap();
    pool.close().await;
    database.close().await.unwrap();
    drop(harness);
    wait_until("the server is gone, with its pointer", || {
        names_in(&state.join("servers")).is_empty()
    });
    PathBuf::from(data)
}

/// What can prevent ebbtide from using its directory in memory: a name, and a shell script that
/// creates the situation.
const OBSTACLES: [(&str, &str); 4] = [
    (
        "another user's",
        "mkdir -m 777 \"$dir\" && chown 65534 \"$dir\"",
    ),
    ("linked", "mkdir /dev/shm/theirs && ln -s theirs \"$dir\""),
    ("a file", ": > \"$dir\""),
    ("read-only", "mount -o remount,ro /dev/shm"),
];

#[tokio::test]
async fn data_is_kept_on_disk_if_the_directory_in_memory_cannot_be_used() {
    if !runs_natively(this_test!()) {
        return;
    }
    let Some(obstacle) = child_role() else {
        let (uid, gid) = (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        );
        // Mounting needs root, and PostgreSQL refuses to run as root. So an ordinary user gets two
        // nested user namespaces: root in the outer one, to mount, and the user's own id in the
        // inner one.
        let (first, then) = match uid {
            0 => ("-m", String::new()),
            _ => (
                "-Urm",
                format!("unshare -U --map-user={uid} --map-group={gid} "),
            ),
        };
        // A user namespace has no second user to own a directory, and cannot remount a file system.
        let needs_root = |script: &str| script.contains("chown") || script.contains("remount");
        for (name, script) in OBSTACLES
            .iter()
            .filter(|(_, script)| uid == 0 || !needs_root(script))
        {
            let mut child = test_command_as(name, this_test!());
            child.env("EBBTIDE_BACKEND", "native");
            let script = format!(
                "mount -t tmpfs -o size=3g,mode=1777 tmpfs /dev/shm && dir=/dev/shm/ebbtide-{uid} && {script} \
                 && exec {then}\"$@\""
            );
            let unshare = ["unshare", first, "sh", "-c", &script, "sh"];
            let mut unshare = run_through(&unshare, child.get_program(), &child);
            assert_passed(&unshare.output().unwrap());
        }
        return;
    };
    let scratch = Scratch::new();
    let data = data_dir(
        scratch.own_server().storage(Storage::Auto),
        &scratch.state_dir(),
    )
    .await;
    assert!(
        data.starts_with(scratch.state_dir()),
        "{obstacle}: {}",
        data.display()
    );
    let error = start_error(&scratch, scratch.own_server().storage(Storage::Memory)).await;
    assert_eq!(error.kind(), ErrorKind::StateDir, "{error:?}");
    assert!(
        error
            .help()
            .unwrap()
            .starts_with("set EBBTIDE_STORAGE=auto or disk"),
        "{error:?}"
    );
    if obstacle == "linked" {
        let mut settings = crate::support::reports::replacements(&scratch);
        settings.add_filter(r"ebbtide-\d+", "ebbtide-[UID]");
        settings.bind(|| {
            insta::assert_snapshot!(format!("{error:?}"), @"
            data in memory must be in a directory that only the server's user can use: /dev/shm/ebbtide-[UID] must be a directory and not a link
              help: set EBBTIDE_STORAGE=auto or disk, or remove /dev/shm/ebbtide-[UID] if you know whose it is
            ");
        });
    }
}

#[tokio::test]
async fn a_state_directory_may_have_an_odd_name() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    for name in ["a, \"b\", 'c' \\d", "$HOME `id` *[x]? %2F", " ñ ~ "] {
        data_dir(scratch.own_server(), &scratch.path(name)).await;
    }
}

#[tokio::test]
async fn a_state_directory_whose_path_cannot_name_a_socket_is_refused() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    let error = start_error(
        &scratch,
        scratch.own_server().state_dir(scratch.path("a\nb")),
    )
    .await;
    assert_report!(scratch, error, StateDir, @r#"
    the path of the state directory must be valid UTF-8 without control characters, but "[SCRATCH]/a\nb" contains a line break or another control character
      help: set EBBTIDE_STATE_DIR to a path of printable characters, for example /tmp/ebbtide
    "#);
    let error = start_error(
        &scratch,
        scratch
            .own_server()
            .state_dir(scratch.path("").join(OsStr::from_bytes(b"a\xff"))),
    )
    .await;
    assert_report!(scratch, error, StateDir, @r#"
    the path of the state directory must be valid UTF-8 without control characters, but "[SCRATCH]/a\xff" is not valid UTF-8
      help: set EBBTIDE_STATE_DIR to a path of printable characters, for example /tmp/ebbtide
    "#);
    assert_eq!(names_in(&scratch.path("")), ["ebbtide.toml"]);
}

/// A container's server listens on a port, so the length of a socket's path does not matter.
#[cfg(feature = "container")]
#[tokio::test]
async fn a_long_state_directory_does_not_prevent_a_container() {
    if child_role().is_none() {
        let mut child = test_command_as("without an engine", this_test!());
        child
            .env("EBBTIDE_BACKEND", "container")
            .env("DOCKER_HOST", "unix:///nowhere/docker.sock");
        assert_passed(&child.output().unwrap());
        return;
    }
    let scratch = Scratch::new();
    let harness = scratch
        .builder()
        .state_dir(scratch.path(&"x".repeat(200)))
        .build()
        .unwrap();
    let error = harness.start().await.expect_err("there is no engine");
    assert_eq!(error.kind(), ErrorKind::BackendUnavailable, "{error:?}");
}

#[tokio::test]
async fn a_state_directory_without_a_parent_is_not_created() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    // For example, a mistyped TMPDIR.
    let error = start_error(
        &scratch,
        scratch
            .own_server()
            .state_dir(scratch.path("tpm/ebbtide-0")),
    )
    .await;
    assert!(!scratch.path("tpm").exists());
    assert_report!(scratch, error, StateDir, @"
    the parent of the state directory [SCRATCH]/tpm/ebbtide-0 must exist: [SCRATCH]/tpm
      caused by: No such file or directory (os error 2)
      help: create [SCRATCH]/tpm, or set TMPDIR or EBBTIDE_STATE_DIR to a directory that exists
    ");
}

#[tokio::test]
async fn a_parent_that_every_user_can_write_needs_the_sticky_bit() {
    if !runs_natively(this_test!()) {
        return;
    }
    let scratch = Scratch::new();
    std::fs::create_dir_all(scratch.path("open/inner")).unwrap();
    let mode = |mode| {
        std::fs::set_permissions(scratch.path("open"), Permissions::from_mode(mode)).unwrap();
    };
    let state = scratch.path("open/inner/state");
    mode(0o777);
    let error = start_error(&scratch, scratch.own_server().state_dir(&state)).await;
    assert!(!state.exists());
    assert_report!(scratch, error, StateDir, @"
    no other user may be able to replace the state directory [SCRATCH]/open/inner/state: [SCRATCH]/open has mode 777, without the sticky bit
      help: run `chmod +t [SCRATCH]/open` (or `chmod o-w`), or set EBBTIDE_STATE_DIR to a directory below /tmp or your home
    ");
    mode(0o1777);
    data_dir(scratch.own_server(), &state).await;
}

#[tokio::test]
async fn the_servers_user_can_read_the_instance_with_any_umask() {
    if !runs_natively(this_test!()) {
        return;
    }
    if child_role().is_none() {
        // With 777 not even the owner can use new files, except root.
        let umasks: &[&str] = if rustix::process::geteuid().is_root() {
            &["077", "777"]
        } else {
            &["077"]
        };
        for umask in umasks {
            let shell = ["sh", "-c", &format!("umask {umask} && exec \"$@\""), "sh"];
            let child = native_test_command(this_test!());
            let mut shell = run_through(&shell, child.get_program(), &child);
            assert_passed(&shell.output().unwrap());
        }
        return;
    }
    let scratch = Scratch::new();
    for storage in [Storage::Memory, Storage::Disk] {
        data_dir(scratch.own_server().storage(storage), &scratch.state_dir()).await;
    }
}

#[test]
fn the_pointer_to_a_swept_server_of_other_settings_is_removed() {
    if !runs_natively(this_test!()) {
        return;
    }
    let testbed = Testbed::new();
    let mut first = testbed.worker_with(&[("EBBTIDE_STORAGE", PathBuf::from("memory"))]);
    first.execute("open");
    let lost = testbed.server();
    lost.kill_shells();
    lost.postmaster.kill();
    first.kill();
    let mut next = testbed.worker_with(&[("EBBTIDE_STORAGE", PathBuf::from("disk"))]);
    next.execute("open");
    // In this directory, instances are directories and pointers are files.
    let mut pointers = names_in(&testbed.servers());
    pointers.retain(|name| testbed.servers().join(name).is_file());
    assert_eq!(pointers.len(), 1, "{pointers:?}");
    next.end();
    testbed.wait_until_nothing_is_left();
}
