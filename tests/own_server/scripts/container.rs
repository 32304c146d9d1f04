//! `container/supervise.sh`: when the supervisor of a container ends, and how it removes a container
//! that has no entrypoint to end it.

use super::shell::{Shell, functions, in_each_shell};
use crate::support::process::Process;

const CONTAINER: &str = "src/server/container/supervise.sh";

/// Runs lines with the functions of the supervisor of the container `c1`, on this engine.
#[track_caller]
fn run_on(shell: &Shell, engine: &str, lines: &str) -> String {
    shell.run_on_instance(&format!(
        "{}\ncontainer=c1 engine={engine} polls=0\n{lines}",
        functions(CONTAINER)
    ))
}

#[track_caller]
fn run(shell: &Shell, lines: &str) -> String {
    run_on(shell, "unix:///run/engine.sock", lines)
}

/// A `docker` that prints this text and ends with this code.
fn docker(output: &str, code: u8) -> String {
    format!("docker() {{ printf '%s\\n' '{output}'; return {code}; }}\n")
}

/// A `curl` that prints this status, on a system without `docker` and `podman`.
fn curl(status: &str) -> String {
    format!("PATH=/nonexistent\ncurl() {{ printf '%s' '{status}'; }}\n")
}

#[test]
fn a_container_lives_while_it_serves_and_its_creator_has_a_lease() {
    in_each_shell(|shell| {
        let is_alive = "if alive; then echo alive; else echo ended; fi";
        assert_eq!(run(shell, is_alive), "alive");
        shell.scratch.write("0123abcd.4567ef89/creating", "");
        assert_eq!(run(shell, is_alive), "ended", "the creator has no lease");
        let lease = format!("0123abcd.4567ef89/leases/{}.1", Process::own().mark());
        shell.scratch.write(&lease, "");
        assert_eq!(run(shell, is_alive), "alive");
        assert_eq!(
            run(shell, &format!("rm \"$instance/serving\"\n{is_alive}")),
            "ended",
            "a client has given the container up"
        );
    });
}

#[test]
fn the_engine_is_polled_every_ten_seconds_and_only_for_a_kept_database() {
    in_each_shell(|shell| {
        let count = "
            is_gone() { asked=$((asked + 1)); [ $asked = 3 ]; }
            asked=0 count=0
            while [ $count -lt 35 ] && alive; do count=$((count + 1)); done
            echo $asked times in $count polls";
        assert_eq!(
            run(shell, &format!("kept=yes\n{count}")),
            "3 times in 29 polls"
        );
        assert_eq!(
            run(shell, &format!("kept=no\n{count}")),
            "0 times in 35 polls"
        );
    });
}

#[test]
fn a_container_is_removed_only_when_the_command_prints_its_name() {
    in_each_shell(|shell| {
        let is_removed = "if is_removed; then echo removed; else echo exists; fi";
        for (output, code, expected) in [
            ("c1", 0, "removed"),
            (
                "Error: removal of container c1 is already in progress",
                1,
                "removed",
            ),
            // Newer clients succeed although the container does not exist.
            ("Error: No such container: c1", 0, "exists"),
            ("Error: No such container: c1", 1, "exists"),
            ("c10", 0, "exists"),
            ("", 0, "exists"),
        ] {
            let lines = format!("{}{is_removed}", docker(output, code));
            assert_eq!(run(shell, &lines), expected, "{output:?}, {code}");
        }
        for (status, expected) in [
            ("204", "removed"),
            ("409", "removed"),
            ("404", "exists"),
            ("500", "exists"),
            ("000", "exists"),
            ("", "exists"),
        ] {
            let lines = format!("{}{is_removed}", curl(status));
            assert_eq!(run(shell, &lines), expected, "{status:?}");
        }
    });
}

#[test]
fn a_container_is_gone_only_when_the_engine_answers_so() {
    in_each_shell(|shell| {
        let is_gone = "if is_gone; then echo gone; else echo exists; fi";
        for (output, code, expected) in [
            ("0123abcd", 0, "exists"),
            ("", 0, "gone"),
            // Without an answer, the container may still run.
            ("", 1, "exists"),
        ] {
            let lines = format!("{}{is_gone}", docker(output, code));
            assert_eq!(run(shell, &lines), expected, "{output:?}, {code}");
        }
        for (status, expected) in [("404", "gone"), ("200", "exists"), ("000", "exists")] {
            let lines = format!("{}{is_gone}", curl(status));
            assert_eq!(run(shell, &lines), expected, "{status:?}");
        }
    });
}

#[test]
fn the_engine_is_reached_by_docker_podman_or_curl() {
    in_each_shell(|shell| {
        let print = |program: &str| format!("{program}() {{ echo {program} \"$*\"; }}\n");
        let list = "PATH=/nonexistent\ncommand_of_engine ps";
        assert_eq!(
            run(
                shell,
                &format!("{}{}{list}", print("podman"), print("docker"))
            ),
            "docker --host unix:///run/engine.sock ps"
        );
        assert_eq!(
            run(shell, &format!("{}{list}", print("podman"))),
            "podman --url unix:///run/engine.sock ps"
        );
        let request = format!("{}status_of GET c1/json || echo no way", print("curl"));
        let options =
            "curl --silent --output /dev/null --write-out %{http_code} --request GET http://";
        for (engine, expected) in [
            (
                "unix:///run/engine.sock",
                format!("{options}engine/containers/c1/json --unix-socket /run/engine.sock"),
            ),
            (
                "tcp://127.0.0.1:2375",
                format!("{options}127.0.0.1:2375/containers/c1/json"),
            ),
            ("ssh://host", "no way".to_owned()),
        ] {
            assert_eq!(run_on(shell, engine, &request), expected);
        }
    });
}

#[test]
fn the_removal_is_tried_five_times_while_the_engine_may_still_create_the_container() {
    in_each_shell(|shell| {
        let discard = |succeeds_at: u32| {
            format!(
                "tries=0
                is_removed() {{ tries=$((tries + 1)); [ $tries = {succeeds_at} ]; }}
                nap() {{ echo nap; }}
                discard
                echo $tries"
            )
        };
        assert_eq!(run(shell, &discard(1)), "1");
        assert_eq!(run(shell, &discard(3)), "nap\nnap\n3");
        assert_eq!(run(shell, &discard(9)), "nap\nnap\nnap\nnap\nnap\n5");
    });
}

#[test]
fn a_container_is_removed_only_while_its_client_creates_it() {
    in_each_shell(|shell| {
        let clean_up = "
            forget_pointer() { echo forget_pointer; }
            discard() { echo discard; }
            remove_instance() { echo remove_instance; }
            clean_up";
        assert_eq!(run(shell, clean_up), "forget_pointer\nremove_instance");
        shell.scratch.write("0123abcd.4567ef89/creating", "");
        assert_eq!(
            run(shell, clean_up),
            "forget_pointer\ndiscard\nremove_instance"
        );
    });
}

#[test]
fn a_supervisor_is_replaced_only_after_it_has_finished_its_start() {
    in_each_shell(|shell| {
        let resume = "if resume; then echo resumes; else echo ends; fi";
        assert_eq!(run(shell, resume), "ends");
        assert_eq!(
            run(shell, &format!("describe container - 30 c1 url\n{resume}")),
            "resumes"
        );
    });
}
