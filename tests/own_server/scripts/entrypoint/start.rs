//! What the entrypoint checks before it starts the server, and how it ends.

use super::super::shell::in_each_shell;
use super::run;

#[test]
fn a_refused_image_is_reported_after_a_second_in_which_the_client_can_read() {
    in_each_shell(|shell| {
        let lines =
            "sleep() { echo sleep $1; }\n(refuse 64 'not an image of PostgreSQL') 2>&1\necho $?";
        assert_eq!(
            run(shell, lines),
            "ebbtide: not an image of PostgreSQL\nsleep 1\n64"
        );
    });
}

#[test]
fn a_locale_is_used_if_the_image_has_it_under_any_of_its_names() {
    in_each_shell(|shell| {
        let has_locale = "if has_locale; then echo yes; else echo no; fi";
        for (locales, expected) in [
            ("C\\nC.utf8\\nPOSIX", "yes"),
            ("C\\nC.UTF-8", "yes"),
            ("C\\nPOSIX\\nen_US.utf8", "no"),
            ("C_utf8\\nC.utf8@x", "no"),
        ] {
            let lines = format!("locale() {{ printf '{locales}\\n'; }}\n{has_locale}");
            assert_eq!(run(shell, &lines), expected, "{locales}");
        }
        let lines = format!("PATH=/nonexistent\n{has_locale}");
        assert_eq!(run(shell, &lines), "yes", "musl has no program `locale`");
    });
}

#[test]
fn a_stop_by_the_engine_sends_both_signals_and_saves_nothing() {
    in_each_shell(|shell| {
        let kill = "kill() { echo \"$*\"; }";
        let lines = format!("{kill}\nserver=42 retiring=yes\nstop\necho $retiring");
        assert_eq!(run(shell, &lines), "-TERM 42\n-INT 42\nno");
        let before_the_start = format!("{kill}\n(stop)\necho $?");
        assert_eq!(run(shell, &before_the_start), "143");
    });
}
