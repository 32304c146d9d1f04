//! `instance.sh`: which shell is the supervisor, and what a deputy does when it takes over.

use super::shell::{Shell, Sleeper, in_each_shell, with_another_start};
use crate::support::process::Process;

/// Functions that record what a deputy does after it has taken over. `resume` is the backend's.
const RECORDED: &str = "
    start_deputy() { deputy=4711 deputy_started=42; }
    mv() { echo \"mark ${2##*/}\"; command mv \"$@\"; }
    watch() { echo watch; }
    end_group() { echo end_group; }
    withdraw() { echo withdraw; }
    clean_up() { echo clean_up; }
";

/// What `is_owner` decides, with this text in the file `owner`.
#[track_caller]
fn is_owner(shell: &Shell, owner: &str) -> String {
    shell
        .scratch
        .write("0123abcd.4567ef89/owner", &format!("{owner}\n"));
    shell.run_on_instance("identify\nif is_owner; then echo owner; else echo another; fi")
}

#[test]
fn a_shell_is_the_supervisor_until_another_living_process_has_written_its_mark() {
    in_each_shell(|shell| {
        let living = Process::own().mark();
        assert_eq!(is_owner(shell, &living), "another");
        assert_eq!(is_owner(shell, &Sleeper::dead_mark()), "owner");
        assert_eq!(is_owner(shell, &with_another_start(&living)), "owner");
        // The file is missing while the instance is being deleted.
        std::fs::remove_file(shell.instance().join("owner")).unwrap();
        let script = "identify; is_owner && echo owner";
        assert_eq!(shell.run_on_instance(script), "owner");
        let script = "identify; echo $me.$me_started > \"$instance/owner\"; is_owner && echo owner";
        assert_eq!(shell.run_on_instance(script), "owner");
    });
}

#[test]
fn the_mark_of_a_subshell_is_its_own_and_not_that_of_its_parent() {
    in_each_shell(|shell| {
        let output = shell.run_on_instance(
            "identify
            echo $me $$ $unfinished
            started $me && echo $start $me_started
            parent=$me
            (identify; [ $me != $parent ] && is_living $me $me_started && echo differs) &
            wait",
        );
        let words: Vec<&str> = output.split_whitespace().collect();
        let [me, shell_pid, unfinished, start, me_started, differs] = words[..] else {
            panic!("{output}");
        };
        assert_eq!((me, start, differs), (shell_pid, me_started, "differs"));
        let expected = format!("{}.of.{me}.{start}", shell.instance().display());
        assert_eq!(unfinished, expected);
    });
}

#[test]
fn a_deputy_waits_while_the_supervisor_lives_and_takes_over_when_it_is_dead() {
    in_each_shell(|shell| {
        let supervisor = Sleeper::start();
        let (pid, start) = (&supervisor.process.pid, &supervisor.process.start_time);
        let script = format!(
            "me={pid} me_started={start} naps=0
            nap() {{
                echo nap
                naps=$((naps + 1))
                [ $naps -lt 3 ] || {{ kill -KILL {pid}; while started {pid}; do :; done; }}
            }}
            take_over() {{ echo take_over; }}
            run_as_deputy"
        );
        assert_eq!(shell.run_on_instance(&script), "nap\nnap\nnap\ntake_over");
    });
}

#[test]
fn a_deputy_takes_over_although_another_process_has_the_supervisors_pid() {
    in_each_shell(|shell| {
        let reused = with_another_start(&Process::own().mark());
        let (pid, start) = reused.split_once('.').unwrap();
        let script = format!(
            "me={pid} me_started={start}
            nap() {{ echo nap; exit; }}
            take_over() {{ echo take_over; }}
            run_as_deputy"
        );
        assert_eq!(shell.run_on_instance(&script), "take_over");
    });
}

#[test]
fn a_deputy_writes_the_supervisors_mark_first_and_then_watches_the_server() {
    in_each_shell(|shell| {
        let script = format!("{RECORDED}\nresume() {{ echo resume; }}\n(take_over)\necho $?");
        assert_eq!(
            shell.run_on_instance(&script),
            "mark owner\nmark deputy\nresume\nwatch\n0"
        );
        let read = |name: &str| std::fs::read_to_string(shell.instance().join(name)).unwrap();
        assert_eq!(read("deputy"), "4711.42\n");
        let mark = read("owner");
        assert_eq!(mark.trim().split('.').count(), 2, "{mark}");
        assert!(!mark.starts_with("4711."), "{mark}");
        assert!(shell.instance().join("serving").exists());
    });
}

#[test]
fn a_deputy_ends_a_server_that_its_supervisor_had_not_finished_to_start() {
    in_each_shell(|shell| {
        let script = format!("{RECORDED}\nresume() {{ echo resume; return 1; }}\ntake_over");
        assert_eq!(
            shell.run_on_instance(&script),
            "mark owner\nmark deputy\nresume\nend_group\nwithdraw\nclean_up"
        );
        assert!(!shell.instance().join("serving").exists());
    });
}

#[test]
fn a_deputy_continues_the_retirement_that_its_supervisor_had_begun() {
    in_each_shell(|shell| {
        shell.scratch.write("0123abcd.4567ef89/retiring", "");
        let script = format!("{RECORDED}\nresume() {{ echo resume; }}\ntake_over");
        assert_eq!(
            shell.run_on_instance(&script),
            "mark owner\nmark deputy\nend_group\nwithdraw\nclean_up"
        );
    });
}

#[test]
fn a_deputy_completes_the_deletion_of_an_instance() {
    in_each_shell(|shell| {
        let script = format!(
            "{RECORDED}\nresume() {{ echo resume; }}\ncommand rm -rf \"$instance\"\ntake_over"
        );
        assert_eq!(
            shell.run_on_instance(&script),
            "end_group\nwithdraw\nclean_up"
        );
    });
}
