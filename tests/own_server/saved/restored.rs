//! Which templates the next server finds.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{assert_next_builds, end, testbed, time_of_build};
use crate::support::{runs_natively, this_test};
use crate::testbed::Testbed;

#[test]
fn the_next_server_starts_with_the_templates_and_nothing_else() {
    if !runs_natively(this_test!()) {
        return;
    }
    let testbed = testbed();
    testbed.write("other/1_things.sql", "create table things (name text);");
    let mut first = testbed.worker();
    let time = time_of_build(&mut first, "built");
    for command in ["database", "fork", "checkpoint"] {
        first.execute(command);
    }
    end(&testbed, first);
    let saved = testbed.saved();
    assert_eq!(saved.len(), 1);
    assert_eq!(
        std::fs::metadata(&saved[0]).unwrap().permissions().mode() & 0o777,
        0o600
    );

    let mut second = testbed.worker();
    assert_eq!(second.execute("start"), "started");
    assert_eq!(time_of_build(&mut second, "reused"), time);
    // The lanes of this process, and the template.
    second.execute("open");
    let kinds = "query select string_agg(distinct substr(datname, 9, 1), '') || count(*) \
                 from pg_database where datname like 'ebbtide%'";
    assert_eq!(second.execute(kinds), "lt2");
    end(&testbed, second);
    // The templates are the same, so the file is, too.
    assert_eq!(testbed.saved(), saved);

    // Other inputs are built; what an earlier server built is not.
    let other = [("EBBTIDE_MIGRATIONS", testbed.path("other"))];
    let mut changed = testbed.worker_with(&other);
    assert_eq!(
        [changed.execute("start"), changed.execute("provision")],
        ["started", "built"]
    );
    end(&testbed, changed);
    assert_eq!(testbed.saved().len(), 1);
    let mut both = testbed.worker();
    let mut other = testbed.worker_with(&other);
    assert_eq!(both.execute("start"), "started");
    assert_eq!(time_of_build(&mut both, "reused"), time);
    assert_eq!(
        [other.execute("start"), other.execute("provision")],
        ["reused", "reused"]
    );
    drop(other);
    end(&testbed, both);
}

/// Replaces the saved file by one with other contents. The name keeps everything but the checksum.
fn replace(testbed: &Testbed, dir: &Path) {
    let saved = testbed.saved().remove(0);
    std::fs::remove_file(&saved).unwrap();
    let name = saved.to_str().unwrap();
    let (prefix, _) = name.rsplit_once('-').unwrap();
    let script =
        "tar -cf \"$1\" -C \"$2\" . && sum=$(cksum < \"$1\") && mv \"$1\" \"$1-${sum%% *}.tar\"";
    let replaced = Command::new("sh")
        .args(["-c", script, "sh", prefix])
        .arg(dir)
        .status();
    assert!(replaced.unwrap().success());
    assert_eq!(testbed.saved().len(), 1);
}

#[test]
fn damaged_data_is_deleted_and_built_again() {
    if !runs_natively(this_test!()) {
        return;
    }
    let testbed = testbed();
    assert_next_builds(&testbed);
    // A file with another checksum than its name has.
    let saved = testbed.saved().remove(0);
    let whole = std::fs::read(&saved).unwrap();
    std::fs::write(&saved, &whole[..whole.len() / 2]).unwrap();
    assert_next_builds(&testbed);
    let saved = testbed.saved().remove(0);
    std::fs::write(&saved, "no archive").unwrap();
    assert_next_builds(&testbed);
    // A right checksum, and a cluster from which no server starts.
    testbed.write("cluster/PG_VERSION", "1\n");
    replace(&testbed, &testbed.path("cluster"));
    assert_next_builds(&testbed);
    let mut last = testbed.worker();
    time_of_build(&mut last, "reused");
    end(&testbed, last);
}

/// A directory with the programs of an installation. Its `postgres` is a script, whose time can be
/// changed.
fn installation(testbed: &Testbed) -> PathBuf {
    let mut worker = testbed.worker();
    worker.execute("start");
    let server = testbed.server();
    let program = std::fs::read_link(format!("/proc/{}/exe", server.postmaster.pid)).unwrap();
    end(testbed, worker);
    let dir = testbed.path("bin");
    std::fs::create_dir(&dir).unwrap();
    for entry in std::fs::read_dir(program.parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        if path != program {
            symlink(&path, dir.join(path.file_name().unwrap())).unwrap();
        }
    }
    let script = format!("#!/bin/sh\nexec '{}' \"$@\"\n", program.display());
    let postgres = testbed.write("bin/postgres", &script);
    std::fs::set_permissions(postgres, PermissionsExt::from_mode(0o755)).unwrap();
    dir
}

#[test]
fn another_installation_does_not_use_the_data() {
    if !runs_natively(this_test!()) {
        return;
    }
    let testbed = testbed();
    let bin = installation(&testbed);
    let variables = [("EBBTIDE_PG_BIN", bin.clone())];
    let use_server = |how: &str| {
        let mut worker = testbed.worker_with(&variables);
        time_of_build(&mut worker, how);
        end(&testbed, worker);
    };
    use_server("built");
    use_server("reused");
    touch(&bin.join("postgres"), "1 hour ago");
    use_server("built");
}

#[test]
fn data_is_deleted_after_a_week_without_use() {
    if !runs_natively(this_test!()) {
        return;
    }
    let testbed = testbed();
    assert_next_builds(&testbed);
    touch(&testbed.saved()[0], "6 days ago");
    let mut worker = testbed.worker();
    time_of_build(&mut worker, "reused");
    end(&testbed, worker);
    let used = std::fs::metadata(&testbed.saved()[0]).unwrap().modified();
    assert!(used.unwrap().elapsed().unwrap() < Duration::from_hours(1));
    touch(&testbed.saved()[0], "8 days ago");
    assert_next_builds(&testbed);
}

/// Sets the time at which a file was changed.
fn touch(path: &Path, time: &str) {
    let touched = Command::new("touch").args(["-d", time]).arg(path).status();
    assert!(touched.unwrap().success());
}
