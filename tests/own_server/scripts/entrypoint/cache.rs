//! The cluster that moves from container to container.

use std::path::Path;
use std::process::Command;

use super::super::shell::{Shell, in_each_shell};
use super::run;
use crate::support::names_in;

/// Names of WAL segments, which have 24 digits.
fn segment(number: u32) -> String {
    format!("{number:024X}")
}

fn sorted_names(dir: &Path) -> Vec<String> {
    let mut names = names_in(dir);
    names.sort();
    names
}

/// Sets the times of a file: `touch -d '10 days ago'`.
fn set_times(path: &Path, date: &str) {
    let touched = Command::new("touch").args(["-d", date]).arg(path).status();
    assert!(touched.unwrap().success());
}

/// Writes a saved cluster, with the right checksum in its name.
fn save_cluster(shell: &Shell, templates: &str) -> String {
    shell.scratch.write("cluster/PG_VERSION", "15\n");
    shell
        .scratch
        .write("cluster/ebbtide_templates", &format!("{templates}\n"));
    run(
        shell,
        &format!(
            "tar -cf $cache/new -C {} . && sum=$(cksum < $cache/new)
            mv $cache/new $cache/$key-${{sum%% *}}.tar
            echo $cache/$key-${{sum%% *}}.tar",
            shell.scratch.path("cluster").display()
        ),
    )
}

#[test]
fn the_newest_saved_cluster_of_the_same_key_is_used() {
    in_each_shell(|shell| {
        let find = "find_saved && echo ${saved##*/}; true";
        assert_eq!(run(shell, find), "");
        let key = run(shell, "find_saved; echo $key");
        assert!(key.bytes().all(|byte| byte.is_ascii_digit()), "{key}");
        for (name, date) in [
            (format!("{key}-1.tar"), "3 minutes ago"),
            (format!("{key}-2.tar"), "1 minute ago"),
            (format!("{key}-3.tar"), "2 minutes ago"),
            (format!("{key}0-4.tar"), "now"),
            ("new.123456".to_owned(), "now"),
        ] {
            set_times(&shell.scratch.write(&format!("cache/{name}"), ""), date);
        }
        assert_eq!(run(shell, find), format!("{key}-2.tar"));
    });
}

#[test]
fn everything_that_determines_a_cluster_is_in_the_key() {
    in_each_shell(|shell| {
        let key = |assignment: &str| run(shell, &format!("{assignment}\nfind_saved; echo $key"));
        let usual = key("");
        for assignment in [
            "version='postgres (PostgreSQL) 15.2'",
            "POSTGRES_USER=laura",
            "POSTGRES_DB=salon",
            "POSTGRES_HOST_AUTH_METHOD=trust",
            "POSTGRES_INITDB_ARGS=--no-sync",
            "uname() { echo riscv64; }",
        ] {
            assert_ne!(key(assignment), usual, "{assignment}");
        }
        assert_eq!(key("POSTGRES_PASSWORD=another"), usual);
    });
}

#[test]
fn a_saved_cluster_is_restored_with_the_password_of_the_new_container() {
    in_each_shell(|shell| {
        let saved = save_cluster(shell, " ebbtide_t_1 ebbtide_t_2");
        let lines = format!(
            "saved={saved} POSTGRES_PASSWORD=\"it's\"
            run_single_user() {{ echo \"$*\" >&2; }}
            restore postgres -c a=b 2>&1
            echo $restored
            ls $PGDATA"
        );
        assert_eq!(
            run(shell, &lines),
            "alter role current_user password 'it''s' postgres -c a=b\nebbtide_t_1 ebbtide_t_2\nPG_VERSION"
        );
        assert!(Path::new(&saved).exists());
        std::fs::remove_dir_all(shell.scratch.path("pgdata")).unwrap();
    });
}

#[test]
fn a_saved_cluster_that_cannot_be_used_is_deleted() {
    in_each_shell(|shell| {
        let report = "ebbtide: the saved data cannot be used; starting without it\nrestored:";
        for damage in ["echo more >> $saved", ": > $saved"] {
            let saved = save_cluster(shell, "ebbtide_t_1");
            let restore = format!(
                "saved={saved}
                run_single_user() {{ :; }}
                {damage}
                restore postgres 2>&1
                echo restored: $restored"
            );
            assert_eq!(run(shell, &restore), report, "{damage}");
            assert!(!Path::new(&saved).exists(), "{damage}");
            assert!(!shell.scratch.path("pgdata").exists(), "{damage}");
        }
        let saved = save_cluster(shell, "ebbtide_t_1");
        let refused = format!(
            "saved={saved}
            run_single_user() {{ return 1; }}
            restore postgres 2>&1
            echo restored: $restored"
        );
        assert_eq!(run(shell, &refused), report);
        assert!(!Path::new(&saved).exists());
    });
}

#[test]
fn only_wal_before_the_checkpoint_and_unused_segments_are_deleted() {
    in_each_shell(|shell| {
        for number in 1..=6 {
            shell
                .scratch
                .write(&format!("pgdata/pg_wal/{}", segment(number)), "");
        }
        shell.scratch.write("pgdata/pg_wal/archive_status/file", "");
        let trim = |redo: &str| {
            format!(
                "pg_controldata() {{
                    echo 'pg_control version number:            1300'
                    echo \"Latest checkpoint's REDO WAL file:    {redo}\"
                }}
                trim_wal && echo trimmed; true"
            )
        };
        let wal = shell.scratch.path("pgdata/pg_wal");
        for unknown in ["", &segment(9)] {
            assert_eq!(run(shell, &trim(unknown)), "", "{unknown:?}");
            assert_eq!(sorted_names(&wal).len(), 7, "{unknown:?}");
        }
        assert_eq!(run(shell, &trim(&segment(3))), "trimmed");
        assert_eq!(
            sorted_names(&wal),
            [segment(3), segment(4), "archive_status".to_owned()]
        );
        std::fs::remove_dir_all(shell.scratch.path("pgdata")).unwrap();
    });
}

/// Runs `archive` on a cluster with these databases. Prints the SQL of the drops and whether an
/// archive was written.
#[track_caller]
fn archive(shell: &Shell, databases: &str, lines: &str) -> String {
    shell.scratch.write("pgdata/PG_VERSION", "15\n");
    let new = shell.scratch.path("new");
    let _ = std::fs::remove_file(&new);
    let output = run(
        shell,
        &format!(
            "new={}
            run_single_user() {{
                case $1 in
                    select*) for name in {databases}; do printf '\\t 1: datname = \"%s\"\\t(typeid = 19)\\n' $name; done ;;
                    *) echo \"$1\" >&2 ;;
                esac
            }}
            trim_wal() {{ :; }}
            {lines}
            archive postgres 2>&1 && cat $PGDATA/ebbtide_templates; true",
            new.display()
        ),
    );
    format!("{output}{}", if new.exists() { "\nwritten" } else { "" })
}

#[test]
fn an_archive_has_the_templates_and_drops_every_other_database_of_ebbtide() {
    in_each_shell(|shell| {
        let databases =
            "ebbtide_b_1 ebbtide_k_2 ebbtide_l_3 ebbtide_t_4 ebbtide_t_5 ebbtide_x postgres salon";
        assert_eq!(
            archive(shell, databases, ""),
            "update pg_database set datistemplate = false where datname ~ '^ebbtide_[lbk]_'\n\
             drop database \"ebbtide_b_1\"\ndrop database \"ebbtide_k_2\"\ndrop database \"ebbtide_l_3\"\n \
             ebbtide_t_4 ebbtide_t_5\nwritten"
        );
        assert_eq!(
            archive(shell, "ebbtide_t_4 postgres", ""),
            " ebbtide_t_4\nwritten"
        );
    });
}

#[test]
fn no_archive_is_written_without_new_templates_or_if_it_would_be_too_large() {
    in_each_shell(|shell| {
        assert_eq!(archive(shell, "ebbtide_l_3 postgres", ""), "");
        let restored = "restored=' ebbtide_t_4'";
        assert_eq!(archive(shell, "ebbtide_t_4 postgres", restored), "");
        let more = archive(shell, "ebbtide_t_4 ebbtide_t_5", restored);
        assert!(more.ends_with("\nwritten"), "{more}");
        let limit = "cache_mb=1; dd if=/dev/zero of=$PGDATA/large bs=1024 count=2000 2> /dev/null";
        assert_eq!(archive(shell, "ebbtide_t_4", limit), "");
        let failing = "trim_wal() { return 1; }; rm -f $PGDATA/large";
        assert_eq!(archive(shell, "ebbtide_t_4", failing), "");
    });
}

#[test]
fn a_saved_file_has_its_checksum_in_its_name_and_replaces_earlier_ones() {
    in_each_shell(|shell| {
        for (name, date) in [
            ("1234-1.tar", "1 minute ago"),
            ("9999-1.tar", "6 days ago"),
            ("9999-2.tar", "8 days ago"),
            ("new.finish", "1 minute ago"),
            ("new.forgot", "20 minutes ago"),
        ] {
            set_times(&shell.scratch.write(&format!("cache/{name}"), ""), date);
        }
        let save = "archive() { echo cluster > $new; }\nsave postgres\nis_intact && echo intact";
        assert_eq!(run(shell, save), "intact");
        let sum = run(shell, "echo cluster | cksum");
        let name = format!("1234-{}.tar", sum.split(' ').next().unwrap());
        assert_eq!(
            sorted_names(&shell.scratch.path("cache")),
            [&*name, "9999-1.tar", "new.finish"]
        );
        let fails = "archive() { echo half > $new; return 1; }\nsave postgres";
        run(shell, fails);
        assert_eq!(
            sorted_names(&shell.scratch.path("cache")),
            [&*name, "9999-1.tar", "new.finish"]
        );
    });
}

#[test]
fn a_saved_file_is_intact_only_with_the_checksum_in_its_name() {
    in_each_shell(|shell| {
        let saved = save_cluster(shell, "ebbtide_t_1");
        let is_intact = |damage: &str| {
            run(
                shell,
                &format!(
                    "saved={saved}\n{damage}\nif is_intact; then echo intact; else echo damaged; fi"
                ),
            )
        };
        assert_eq!(is_intact(""), "intact");
        assert_eq!(is_intact("key=5678"), "damaged");
        assert_eq!(is_intact("echo more >> $saved"), "damaged");
        assert_eq!(is_intact("rm $saved"), "damaged");
    });
}
