//! `instance.sh`: how a deputy ends the processes that a killed supervisor had started.

use super::shell::in_each_shell;

/// Starts a process that ignores TERM, in the directory `$dir`. Its parent ends at once, as a killed
/// supervisor has ended.
const START_STUBBORN: &str = "
    identify
    (cd \"$dir\" && trap '' TERM && exec sh -c 'echo $$ > \"$1.new\" && mv \"$1.new\" \"$1\" && exec sleep 100' \
        sh \"$instance/stubborn\" &)
    until [ -e \"$instance/stubborn\" ]; do sleep 0.01; done
    stubborn=$(cat \"$instance/stubborn\")
";

/// Records signals, and polls without waiting for a second.
///
/// Only the process of the test gets a signal. A mistake in `find_group` would otherwise end all
/// processes of this user, or of the machine.
const RECORDED: &str = "
    kill() {
        [ \"$2\" = \"$stubborn\" ] || { echo \"another process would get $1: $2\"; exit 1; }
        echo \"kill $1\"
        command kill \"$@\"
    }
    nap() { echo nap; sleep 0.01; }
    free_segment() { echo \"free_segment ${1##*/}\"; }
";

#[test]
fn the_group_is_found_without_the_shell_its_deputy_and_their_children() {
    in_each_shell(|shell| {
        let output = shell.run_on_instance(
            "identify
            sh -c 'sleep 100 & sleep 100; :' &
            deputy=$!
            until [ -n \"$(cat /proc/$deputy/task/$deputy/children)\" ]; do sleep 0.01; done
            sleep 100 &
            own=$!
            # The parent of this process ends at once, as a killed supervisor has ended.
            orphan=$( (sleep 100 > /dev/null & echo $!) )
            find_group
            for pid in $left; do
                case $pid in
                    $me) echo me ;;
                    $deputy) echo deputy ;;
                    $own) echo own ;;
                    $orphan) echo orphan ;;
                    *) echo other $(cat /proc/$pid/cmdline | tr '\\0' ' ') ;;
                esac
            done",
        );
        assert_eq!(output, "orphan");
    });
}

#[test]
fn a_process_that_ignores_term_is_killed_after_three_seconds() {
    in_each_shell(|shell| {
        let script = format!("dir=/ {START_STUBBORN} {RECORDED} end_group\ntrue");
        let term = "kill -TERM\nnap\n";
        assert_eq!(
            shell.run_on_instance(&script),
            format!("{}kill -KILL\nnap", term.repeat(3))
        );
    });
}

#[test]
fn initdb_gets_ten_seconds_to_remove_its_shared_memory() {
    in_each_shell(|shell| {
        let script = format!(
            "dir=$instance/initdb
            mkdir \"$dir\"
            {START_STUBBORN} {RECORDED} end_group
            true"
        );
        assert_eq!(
            shell.run_on_instance(&script),
            format!("{}free_segment initdb\nkill -KILL\nnap", "nap\n".repeat(10))
        );
    });
}

#[test]
fn the_segment_of_a_postmaster_is_the_second_word_of_the_seventh_line_of_its_file() {
    in_each_shell(|shell| {
        let free = "ipcrm() { echo \"ipcrm $*\"; }\nfree_segment \"$instance\"\ntrue";
        assert_eq!(shell.run_on_instance(free), "");
        // https://www.postgresql.org/docs/current/storage-file-layout.html
        let first_lines = "4711\n/data\n1700000000\n5432\n/run\n*\n";
        let pid_file = |seventh: &str| {
            shell.scratch.write(
                "0123abcd.4567ef89/postmaster.pid",
                &format!("{first_lines}{seventh}"),
            )
        };
        pid_file(" 16777217        42\nready   \n");
        assert_eq!(shell.run_on_instance(free), "ipcrm -m 42");
        // A postmaster that has not created its segment yet.
        pid_file("");
        assert_eq!(shell.run_on_instance(free), "");
    });
}
