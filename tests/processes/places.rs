//! Where a server's files may lie: odd names, other users' directories, umasks.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use ebbtide::{Builder, ErrorKind, Storage};

use super::reports::not_started;
use super::scene::Scene;
use super::support::again::{again_as, again_natively, passed, role};
use super::support::{Scratch, here, names_in, natively, wait_until};

/// Where the server of a builder keeps its data. The server is gone afterwards.
async fn data_directory(builder: Builder, state: &Path) -> PathBuf {
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

/// A command that another one starts.
fn behind(mut starter: Command, command: &Command) -> Command {
    starter.arg(command.get_program()).args(command.get_args());
    starter.envs(
        command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    starter
}

/// What may stand at the place of our directory in memory, as a shell makes it.
const TAKEN: [(&str, &str); 4] = [
    (
        "another user's",
        "mkdir -m 777 \"$ours\" && chown 65534 \"$ours\"",
    ),
    ("linked", "mkdir /dev/shm/theirs && ln -s theirs \"$ours\""),
    ("a file", ": > \"$ours\""),
    ("read-only", "mount -o remount,ro /dev/shm"),
];

#[tokio::test]
async fn a_directory_in_memory_that_cannot_be_ours_means_disk() {
    if !natively(here!()) {
        return;
    }
    let Some(taken) = role() else {
        let (uid, gid) = (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        );
        // An ordinary user is root in a first user namespace, to mount, and themselves again in a second.
        let (first, then) = match uid {
            0 => ("-m", String::new()),
            _ => (
                "-Urm",
                format!("unshare -U --map-user={uid} --map-group={gid} "),
            ),
        };
        // A user namespace has no other user to give a directory to, and does not remount.
        let needs_root = |script: &str| script.contains("chown") || script.contains("remount");
        for (name, script) in TAKEN
            .iter()
            .filter(|(_, script)| uid == 0 || !needs_root(script))
        {
            let mut child = again_as(name, here!());
            child.env("EBBTIDE_BACKEND", "native");
            let script = format!(
                "mount -t tmpfs -o size=3g,mode=1777 tmpfs /dev/shm && ours=/dev/shm/ebbtide-{uid} && {script} \
                 && exec {then}\"$@\""
            );
            let mut unshare = Command::new("unshare");
            unshare.args([first, "sh", "-c", &script, "sh"]);
            passed(&behind(unshare, &child).output().unwrap());
        }
        return;
    };
    let scratch = Scratch::new();
    let data = data_directory(
        scratch.lonely().storage(Storage::Auto),
        &scratch.state_dir(),
    )
    .await;
    assert!(
        data.starts_with(scratch.state_dir()),
        "{taken}: {}",
        data.display()
    );
    let error = not_started(&scratch, scratch.lonely().storage(Storage::Memory)).await;
    assert_eq!(error.kind(), ErrorKind::StateDir, "{error:?}");
    assert!(
        error
            .help()
            .unwrap()
            .starts_with("set EBBTIDE_STORAGE=auto or disk"),
        "{error:?}"
    );
    if taken == "linked" {
        let mut settings = super::reports::replacements(&scratch);
        settings.add_filter(r"ebbtide-\d+", "ebbtide-[UID]");
        settings.bind(|| {
            insta::assert_snapshot!(format!("{error:?}"), @"
            data cannot be kept in memory: /dev/shm/ebbtide-[UID] is a link or no directory
              help: set EBBTIDE_STORAGE=auto or disk, or remove /dev/shm/ebbtide-[UID] if you know whose it is
            ");
        });
    }
}

#[tokio::test]
async fn a_state_directory_may_have_an_odd_name() {
    if !natively(here!()) {
        return;
    }
    let scratch = Scratch::new();
    for name in ["a, \"b\", 'c' \\d", "$HOME `id` *[x]? %2F", " ñ ~ "] {
        data_directory(scratch.lonely(), &scratch.path(name)).await;
    }
}

#[tokio::test]
async fn a_state_directory_that_no_socket_can_be_named_in_is_refused() {
    if !natively(here!()) {
        return;
    }
    let scratch = Scratch::new();
    let error = not_started(&scratch, scratch.lonely().state_dir(scratch.path("a\nb"))).await;
    assert_report!(scratch, error, StateDir, @r#"
    the path of the state directory "[SCRATCH]/a\nb" holds a line break or another control character
      help: set EBBTIDE_STATE_DIR to a path of printable characters, for example /tmp/ebbtide
    "#);
    let error = not_started(
        &scratch,
        scratch
            .lonely()
            .state_dir(scratch.path("").join(OsStr::from_bytes(b"a\xff"))),
    )
    .await;
    assert_report!(scratch, error, StateDir, @r#"
    the path of the state directory "[SCRATCH]/a\xff" is not valid UTF-8
      help: set EBBTIDE_STATE_DIR to a path of printable characters, for example /tmp/ebbtide
    "#);
    assert_eq!(names_in(&scratch.path("")), ["ebbtide.toml"]);
}

/// Its server listens on a port.
#[cfg(feature = "container")]
#[tokio::test]
async fn a_long_path_is_no_reason_against_a_container() {
    if role().is_none() {
        let mut child = again_as("without an engine", here!());
        child
            .env("EBBTIDE_BACKEND", "container")
            .env("DOCKER_HOST", "unix:///nowhere/docker.sock");
        passed(&child.output().unwrap());
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
async fn a_state_directory_without_a_parent_is_not_made_up() {
    if !natively(here!()) {
        return;
    }
    let scratch = Scratch::new();
    // A mistyped TMPDIR, for example.
    let error = not_started(
        &scratch,
        scratch.lonely().state_dir(scratch.path("tpm/ebbtide-0")),
    )
    .await;
    assert!(!scratch.path("tpm").exists());
    assert_report!(scratch, error, StateDir, @"
    the state directory [SCRATCH]/tpm/ebbtide-0 has no parent: [SCRATCH]/tpm
      caused by: No such file or directory (os error 2)
      help: create [SCRATCH]/tpm, or set TMPDIR or EBBTIDE_STATE_DIR to a directory that exists
    ");
}

#[tokio::test]
async fn a_parent_that_every_user_may_write_needs_the_sticky_bit() {
    if !natively(here!()) {
        return;
    }
    let scratch = Scratch::new();
    std::fs::create_dir_all(scratch.path("open/inner")).unwrap();
    let mode = |mode| {
        std::fs::set_permissions(scratch.path("open"), Permissions::from_mode(mode)).unwrap()
    };
    let state = scratch.path("open/inner/state");
    mode(0o777);
    let error = not_started(&scratch, scratch.lonely().state_dir(&state)).await;
    assert!(!state.exists());
    assert_report!(scratch, error, StateDir, @"
    every user may replace the state directory [SCRATCH]/open/inner/state: [SCRATCH]/open has mode 777, without the sticky bit
      help: run `chmod +t [SCRATCH]/open` (or `chmod o-w`), or set EBBTIDE_STATE_DIR to a directory below /tmp or your home
    ");
    mode(0o1777);
    data_directory(scratch.lonely(), &state).await;
}

#[tokio::test]
async fn no_umask_keeps_the_servers_user_from_our_files() {
    if !natively(here!()) {
        return;
    }
    if role().is_none() {
        // Without rights for its owner, only root can use what it creates.
        let umasks: &[&str] = if rustix::process::geteuid().is_root() {
            &["077", "777"]
        } else {
            &["077"]
        };
        for umask in umasks {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("umask {umask} && exec \"$@\""), "sh"]);
            passed(&behind(shell, &again_natively(here!())).output().unwrap());
        }
        return;
    }
    let scratch = Scratch::new();
    for storage in [Storage::Memory, Storage::Disk] {
        data_directory(scratch.lonely().storage(storage), &scratch.state_dir()).await;
    }
}

#[test]
fn the_pointer_to_a_swept_server_of_other_settings_is_removed() {
    if !natively(here!()) {
        return;
    }
    let scene = Scene::new();
    let mut first = scene.puppet_with(&[("EBBTIDE_STORAGE", PathBuf::from("memory"))]);
    first.ask("open");
    let lost = scene.server();
    lost.kill_shells();
    lost.postmaster.kill();
    first.kill();
    let mut next = scene.puppet_with(&[("EBBTIDE_STORAGE", PathBuf::from("disk"))]);
    next.ask("open");
    // What is no directory is a pointer.
    let mut pointers = names_in(&scene.servers());
    pointers.retain(|name| scene.servers().join(name).is_file());
    assert_eq!(pointers.len(), 1, "{pointers:?}");
    next.end();
    scene.wait_until_nothing_is_left();
}
