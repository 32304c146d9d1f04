//! `instance.sh`: which leases are valid, and how it reads the start time of a process.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::shell::{Shell, Sleeper, in_each_shell, with_another_start};
use crate::support::names_in;
use crate::support::process::Process;

/// What `leased` decides about an instance with these leases: whether a lease is valid, and the
/// variable `kept`. Also returns the leases that it has not deleted.
#[track_caller]
fn leased(shell: &Shell, leases: &[&str]) -> (String, Vec<String>) {
    let dir = shell.instance().join("leases");
    for lease in leases {
        shell
            .scratch
            .write(&format!("0123abcd.4567ef89/leases/{lease}"), "");
    }
    let decision =
        shell.run_on_instance("if leased; then echo valid $kept; else echo invalid $kept; fi");
    let left = names_in(&dir);
    for lease in &left {
        std::fs::remove_file(dir.join(lease)).unwrap();
    }
    (decision, left)
}

/// A lease with a term that ends after a number of seconds, or has ended before.
fn until(seconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let end = i64::try_from(now.as_secs()).unwrap() + seconds;
    format!("until.{end}.0123abcd")
}

#[test]
fn a_lease_is_valid_while_its_process_lives_and_is_deleted_afterwards() {
    in_each_shell(|shell| {
        let living = format!("{}.7", Process::own().mark());
        assert_eq!(
            leased(shell, &[&living]),
            ("valid no".into(), vec![living.clone()])
        );
        let dead = format!("{}.7", Sleeper::dead_mark());
        assert_eq!(leased(shell, &[&dead]), ("invalid no".into(), vec![]));
        let zombie = Sleeper::start();
        zombie.kill();
        let of_zombie = format!("{}.7", zombie.mark());
        assert_eq!(leased(shell, &[&of_zombie]), ("invalid no".into(), vec![]));
    });
}

#[test]
fn a_lease_of_an_ended_process_is_invalid_although_another_process_has_its_pid() {
    in_each_shell(|shell| {
        let reused = format!("{}.7", with_another_start(&Process::own().mark()));
        assert_eq!(leased(shell, &[&reused]), ("invalid no".into(), vec![]));
    });
}

#[test]
fn a_lease_with_a_term_is_valid_until_its_time_comes() {
    in_each_shell(|shell| {
        let later = until(100);
        assert_eq!(
            leased(shell, &[&later]),
            ("valid yes".into(), vec![later.clone()])
        );
        for past in [until(0), until(-100)] {
            assert_eq!(leased(shell, &[&past]), ("invalid no".into(), vec![]));
        }
    });
}

#[test]
fn a_database_counts_as_kept_only_while_no_process_has_a_lease() {
    in_each_shell(|shell| {
        let (process, later) = (format!("{}.7", Process::own().mark()), until(100));
        let (decision, mut left) = leased(shell, &[&process, &later]);
        left.sort();
        assert_eq!((&*decision, left), ("valid no", vec![process, later]));
    });
}

#[test]
fn an_instance_without_leases_is_not_leased() {
    in_each_shell(|shell| {
        assert_eq!(leased(shell, &[]), ("invalid no".into(), vec![]));
    });
}

#[test]
fn invalid_leases_do_not_hide_a_valid_one() {
    in_each_shell(|shell| {
        let valid = format!("{}.7", Process::own().mark());
        // `.1` and `.9` sort before and after the valid lease of the same process.
        let reused = with_another_start(&Process::own().mark());
        let (before, dead) = (format!("{reused}.1"), format!("{}.9", Sleeper::dead_mark()));
        let (decision, left) = leased(shell, &[&before, &dead, &valid, &until(-1)]);
        assert_eq!(decision, "valid no");
        assert!(left.contains(&valid), "{left:?}");
    });
}

#[test]
fn the_start_time_is_found_behind_a_name_with_spaces_and_parentheses() {
    in_each_shell(|shell| {
        // `/proc/PID/stat` has the name in parentheses, unescaped. Each of these names looks like
        // the beginning of other fields.
        for name in ["a b", ") S 1 (2 3", "x) Z 1 1 1", "((", "))"] {
            let path = shell.scratch.path(name);
            let sleeper = Sleeper::start_copy(&path, Path::new("/"));
            let stat =
                std::fs::read_to_string(format!("/proc/{}/stat", sleeper.process.pid)).unwrap();
            assert!(stat.contains(&format!("({name})")), "{stat}");
            let script = format!("started {} && echo $start", sleeper.process.pid);
            assert_eq!(
                shell.run_on_instance(&script),
                sleeper.process.start_time,
                "{stat}"
            );
        }
    });
}

#[test]
fn a_process_that_has_ended_has_no_start_time() {
    in_each_shell(|shell| {
        let dead = Sleeper::dead_mark();
        let (pid, start) = dead.split_once('.').unwrap();
        let script = format!(
            "if started {pid} || is_living {pid} {start} || is_living '' ''; then echo lives; fi"
        );
        assert_eq!(shell.run_on_instance(&script), "");
        let own = Process::own();
        let script = format!("is_living {} {} && echo lives", own.pid, own.start_time);
        assert_eq!(shell.run_on_instance(&script), "lives");
    });
}
