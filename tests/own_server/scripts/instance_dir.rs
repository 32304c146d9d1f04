//! `instance.sh`: how the instance directory is made, described and deleted.

use super::shell::{Shell, in_each_shell};
use crate::support::names_in;

/// A deputy that only waits.
const IDLE_DEPUTY: &str = "run_as_deputy() { exec sleep 100; }";

/// The sorted names in the test's directory, without the files of the test itself.
fn names(shell: &Shell) -> Vec<String> {
    let mut names = names_in(&shell.scratch.path(""));
    names.retain(|name| !["ebbtide.toml", "stdout", "stderr"].contains(&&**name));
    names.sort();
    names
}

#[test]
fn an_instance_appears_complete_under_its_name() {
    in_each_shell(|shell| {
        let script = format!(
            "{IDLE_DEPUTY}
            mv() {{ echo ${{1##*/}}; command mv \"$@\"; }}
            make_instance
            echo $me.$me_started
            echo $deputy.$deputy_started
            is_living $deputy $deputy_started && echo deputy lives
            dismiss_deputy"
        );
        let output = shell.run_without_instance(&script);
        let lines: Vec<&str> = output.lines().collect();
        let [renamed, me, deputy, "deputy lives"] = lines[..] else {
            panic!("{output}");
        };
        assert_eq!(renamed, format!("0123abcd.4567ef89.of.{me}"));
        assert_eq!(names(shell), ["0123abcd.4567ef89"]);
        let mut files = names_in(&shell.instance());
        files.sort();
        assert_eq!(files, ["deputy", "leases", "log", "owner", "serving"]);
        assert_eq!(names_in(&shell.instance().join("leases")), ["1.2.3"]);
        let read = |name: &str| std::fs::read_to_string(shell.instance().join(name)).unwrap();
        assert_eq!((read("owner").trim(), read("deputy").trim()), (me, deputy));
    });
}

#[test]
fn an_instance_that_cannot_be_made_leaves_nothing() {
    in_each_shell(|shell| {
        let script = format!(
            "{IDLE_DEPUTY}
            mv() {{ return 1; }}
            dismiss_deputy() {{ echo dismiss_deputy; kill -KILL $deputy; }}
            (make_instance)
            echo $?"
        );
        assert_eq!(shell.run_without_instance(&script), "dismiss_deputy\n1");
        assert_eq!(names(shell), [""; 0]);
    });
}

#[test]
fn an_instance_and_all_its_halves_are_deleted_and_no_other_directory() {
    in_each_shell(|shell| {
        for other in [
            "0123abcd.4567ef8",
            "0123abcd.4567ef890",
            "0123abcd.4567ef8.of.1.2",
        ] {
            shell.scratch.write(&format!("{other}/serving"), "");
        }
        let before = names(shell);
        shell.scratch.write("0123abcd.4567ef89.of.1.2/serving", "");
        let output = shell.run_on_instance(
            "identify
            dismiss_deputy() { echo dismiss_deputy; }
            mv() { echo mv; command mv \"$@\"; }
            remove_instance",
        );
        assert_eq!(output, "mv\ndismiss_deputy");
        assert_eq!(names(shell), before);
    });
}

#[test]
fn a_deletion_is_repeated_while_a_process_still_writes_into_the_directory() {
    in_each_shell(|shell| {
        let lines = "
            tries=0
            rm() { tries=$((tries + 1)); [ $tries -ge 3 ] && command rm \"$@\"; }
            nap() { echo nap; }
            remove \"$instance\"
            echo $tries";
        assert_eq!(shell.run_on_instance(lines), "nap\nnap\n3");
        assert!(!shell.instance().exists());
        let lines = "rm() { return 1; }\nnap() { echo nap; }\nremove \"$instance\"\ntrue";
        assert_eq!(shell.run_on_instance(lines), ["nap"; 5].join("\n"));
    });
}

#[test]
fn only_a_pointer_to_this_instance_is_deleted() {
    in_each_shell(|shell| {
        let forget = |name: &str| {
            let text = format!("{{\"instance\": \"{name}\", \"port\": 5432}}");
            std::fs::write(shell.pointer(), text).unwrap();
            shell.run_on_instance("forget_pointer");
            shell.pointer().exists()
        };
        assert!(!forget("0123abcd.4567ef89"));
        for other in [
            "0123abcd.4567ef88",
            "0123abcd.4567ef890",
            "00123abcd.4567ef89",
        ] {
            assert!(forget(other), "{other}");
        }
        std::fs::remove_file(shell.pointer()).unwrap();
        shell.run_on_instance("forget_pointer");
    });
}

#[test]
fn a_description_has_a_line_for_each_argument() {
    in_each_shell(|shell| {
        let lines = "describe native 1.2 30 '/a directory/bin'\ncat \"$instance/server\"";
        assert_eq!(
            shell.run_on_instance(lines),
            "native\n1.2\n30\n/a directory/bin"
        );
        assert!(!shell.instance().join("server.new").exists());
    });
}

#[test]
fn a_mark_is_never_half_written() {
    in_each_shell(|shell| {
        let lines = "
            write_mark owner 1.2
            mv() { cat \"$instance/owner\" \"$1\"; command mv \"$@\"; }
            write_mark owner 3.4
            cat \"$instance/owner\"";
        assert_eq!(shell.run_on_instance(lines), "1.2\n3.4\n3.4");
        assert!(!shell.instance().join("owner.new").exists());
    });
}
