//! `instance.sh`: when `watch` ends a server. The clock of `watch` is its number of polls, so these
//! tests replace the pause of a second and count.

use super::shell::{Shell, Sleeper, in_each_shell, with_another_start};
use crate::support::process::Process;

/// Functions of a backend whose server runs until `$instance/ended` exists, and a pause that ends at
/// once and calls `on_poll`. At the end, `clean_up` prints the number of pauses.
const BACKEND: &str = "
    naps=0
    alive() { [ ! -e \"$instance/ended\" ]; }
    nap() { naps=$((naps + 1)); on_poll; [ $naps -lt 100 ] || exit 1; }
    on_poll() { :; }
    save() { echo save; }
    withdraw() { echo withdraw $(ls \"$instance\" | grep ing); }
    clean_up() { echo clean_up after $naps; }
    dismiss_deputy() { echo dismiss_deputy; }
    identify
    deputy=$me deputy_started=$me_started
    lease=$instance/leases/until.9999999999.0123abcd
";

/// What `watch` does with this linger. `lines` may replace functions.
#[track_caller]
fn watch(shell: &Shell, linger: u32, lines: &str) -> String {
    shell.run_on_instance(&format!("{BACKEND}\nlinger={linger}\n{lines}\nwatch"))
}

#[test]
fn an_unused_server_ends_after_as_many_seconds_as_the_linger() {
    in_each_shell(|shell| {
        for linger in [0, 1, 3] {
            assert_eq!(
                watch(shell, linger, ""),
                format!("save\nwithdraw retiring\nclean_up after {linger}")
            );
        }
    });
}

#[test]
fn the_linger_begins_again_after_each_use() {
    in_each_shell(|shell| {
        // In use at the polls 3 and 4, counted from 1. The linger begins at poll 5.
        let uses = "on_poll() {
            [ $naps != 2 ] || : > \"$lease\"
            [ $naps != 4 ] || rm \"$lease\"
        }";
        assert_eq!(
            watch(shell, 3, uses),
            "save\nwithdraw retiring\nclean_up after 7"
        );
    });
}

#[test]
fn a_server_stays_while_it_has_a_lease() {
    in_each_shell(|shell| {
        let used_long = ": > \"$lease\"\non_poll() { [ $naps != 50 ] || rm \"$lease\"; }";
        assert_eq!(
            watch(shell, 0, used_long),
            "save\nwithdraw retiring\nclean_up after 50"
        );
    });
}

#[test]
fn a_lease_that_is_written_just_before_the_rename_keeps_the_server() {
    in_each_shell(|shell| {
        // The client writes its lease after the first look and before the rename. It still finds
        // `serving`, so it uses the server.
        let race = "
            mv() {
                echo ${1##*/} ${2##*/}
                [ $naps != 2 ] || : > \"$lease\"
                command mv \"$@\"
            }
            on_poll() { [ $naps != 5 ] || rm \"$lease\"; }";
        assert_eq!(
            watch(shell, 2, race),
            "serving retiring\nretiring serving\nserving retiring\nsave\nwithdraw retiring\nclean_up after 7"
        );
    });
}

#[test]
fn a_supervisor_that_receives_a_signal_ends_the_server_although_it_is_leased() {
    in_each_shell(|shell| {
        for signal in ["TERM", "INT"] {
            let stop =
                format!(": > \"$lease\"\non_poll() {{ [ $naps != 2 ] || kill -{signal} $$; }}");
            assert_eq!(
                watch(shell, 9, &stop),
                "withdraw retiring\nclean_up after 2",
                "{signal}"
            );
        }
    });
}

#[test]
fn a_supervisor_ends_without_ending_the_server_when_another_one_has_replaced_it() {
    in_each_shell(|shell| {
        let replaced = format!(
            "on_poll() {{ echo {} > \"$instance/owner\"; }}",
            Process::own().mark()
        );
        assert_eq!(watch(shell, 9, &replaced), "dismiss_deputy");
        assert!(shell.instance().join("serving").exists());
    });
}

#[test]
fn a_dead_deputy_is_replaced() {
    in_each_shell(|shell| {
        let own = Process::own().mark();
        for dead in [Sleeper::dead_mark(), with_another_start(&own)] {
            let (pid, start) = dead.split_once('.').unwrap();
            let lines = format!(
                "deputy={pid} deputy_started={start}
                start_deputy() {{ echo start_deputy; deputy=$me deputy_started=$me_started; }}"
            );
            assert_eq!(
                watch(shell, 1, &lines),
                "start_deputy\nsave\nwithdraw retiring\nclean_up after 1"
            );
            let mark = std::fs::read_to_string(shell.instance().join("deputy")).unwrap();
            assert!(mark.trim() != dead && mark.contains('.'), "{mark}");
        }
    });
}

#[test]
fn the_log_of_a_server_that_ended_by_itself_stays_while_a_process_has_a_lease() {
    in_each_shell(|shell| {
        let user = Sleeper::start();
        let lines = format!(
            ": > \"$instance/leases/{}.1\"
            on_poll() {{
                [ $naps != 2 ] || : > \"$instance/ended\"
                [ $naps != 5 ] || {{ echo $(ls \"$instance\"); kill -KILL {pid}; while started {pid}; do :; done; }}
            }}",
            user.mark(),
            pid = user.process.pid
        );
        assert_eq!(watch(shell, 9, &lines), "ended leases\nclean_up after 5");
    });
}

#[test]
fn a_lease_with_a_term_does_not_keep_the_log_of_a_server_that_ended_by_itself() {
    in_each_shell(|shell| {
        let lines = ": > \"$lease\"\non_poll() { [ $naps != 2 ] || : > \"$instance/ended\"; }";
        assert_eq!(watch(shell, 9, lines), "clean_up after 2");
        assert!(!shell.instance().join("serving").exists());
    });
}
