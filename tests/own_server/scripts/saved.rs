//! `native/saved.sh`: which templates and which files are kept.

use std::path::Path;
use std::process::Command;

use super::shell::{Shell, in_each_shell, text};
use crate::support::names_in;

const KEY: &str = "prepared-0123abcd-0a0b0c0d";

/// Runs lines with the functions of `saved.sh`. The data directory is `data`, and the files are in
/// `cache`.
#[track_caller]
fn run(shell: &Shell, lines: &str) -> String {
    let [data, cache] = ["data", "cache"].map(|name| shell.scratch.path(name));
    std::fs::create_dir_all(&cache).unwrap();
    shell.run_on_instance(&format!(
        "{}\ndata={} prefix={}/{KEY} inventory='select 1' bin=/nowhere\n{lines}",
        text("src/server/native/saved.sh"),
        data.display(),
        cache.display()
    ))
}

fn names(dir: &Path) -> Vec<String> {
    let mut names = names_in(dir);
    names.sort();
    names
}

/// Writes a file of the cache that was used some minutes ago.
fn write_file(shell: &Shell, name: &str, minutes: u32) {
    let path = shell.scratch.write(&format!("cache/{name}"), "");
    let date = format!("{minutes} minutes ago");
    let touched = Command::new("touch").args(["-d", &date]).arg(path).status();
    assert!(touched.unwrap().success());
}

#[test]
fn a_new_file_replaces_those_of_its_key_and_the_limits_remove_the_files_used_longest_ago() {
    in_each_shell(|shell| {
        let publish = |lines: &str| {
            run(
                shell,
                &format!(
                    "echo text > $instance/prepared; echo 7 5 > $instance/sum\n{lines}\npublish"
                ),
            );
            names(&shell.scratch.path("cache"))
        };
        write_file(shell, &format!("{KEY}-1.tar"), 1);
        write_file(shell, "initdb-15", 99);
        let own = format!("{KEY}-7.tar");
        assert_eq!(publish(""), ["initdb-15", &own]);
        for (name, minutes) in [("a", 30), ("b", 10), ("c", 40), ("d", 20)] {
            write_file(shell, &format!("prepared-{name}.tar"), minutes);
        }
        assert_eq!(
            publish(""),
            [
                "initdb-15",
                &own,
                "prepared-a.tar",
                "prepared-b.tar",
                "prepared-d.tar"
            ]
        );
        // Each file takes 100 of 250 kilobytes.
        let large = "du() { echo \"100 $2\"; }; max_total_kb=250";
        assert_eq!(publish(large), ["initdb-15", &own, "prepared-b.tar"]);
    });
}

#[test]
fn a_supervisor_that_got_a_signal_publishes_nothing() {
    in_each_shell(|shell| {
        let lines =
            "echo 7 5 > $instance/sum; : > $instance/prepared; stop=yes; publish || echo no";
        assert_eq!(run(shell, lines), "no");
        assert_eq!(names(&shell.scratch.path("cache")), [""; 0]);
    });
}

#[test]
fn a_cluster_over_the_limit_or_a_quarter_of_the_free_space_is_not_written() {
    in_each_shell(|shell| {
        shell.scratch.write("data/PG_VERSION", "15\n");
        let archive = |kilobytes: u32, free: &str| {
            let lines = format!(
                "echo ebbtide_t_1 1 > $instance/templates
                du() {{ echo '{kilobytes} data'; }}
                df() {{ printf 'head\\nmap auto home 9 9 {free} 7%% /a place\\n'; }}
                archive && tar -tf $instance/prepared | sort
                true"
            );
            run(shell, &lines)
        };
        let files = "./\n./PG_VERSION\n./ebbtide_templates";
        assert_eq!(archive(524_288, "2097152"), files);
        assert_eq!(archive(524_289, "9097152"), "");
        assert_eq!(archive(524_288, "2097151"), "");
        assert_eq!(archive(1, "-"), "");
    });
}

/// What is dropped and what is kept, of databases in the form of the query's result. `previous` are
/// the templates of the file from which the server started.
#[track_caller]
fn reduce(shell: &Shell, databases: &str, previous: Option<&str>) -> String {
    let list = shell.scratch.path("data/ebbtide_templates");
    if let Some(previous) = previous {
        shell.scratch.write("data/ebbtide_templates", previous);
    } else if list.exists() {
        std::fs::remove_file(list).unwrap();
    }
    let lines = format!(
        "printf '{databases}' > $instance/databases
        date() {{ echo 1000000; }}
        run_single_user() {{ sed -n '/^drop/p' $instance/commands; }}
        found() {{ echo template ebbtide_t_1; }}
        bin=$instance
        printf '#!/bin/sh\\nexit 0\\n' > $bin/pg_resetwal && chmod +x $bin/pg_resetwal
        reduce && echo saved && cat $instance/templates
        true"
    );
    run(shell, &lines)
}

#[test]
fn templates_of_recent_use_are_kept_and_everything_else_is_dropped() {
    in_each_shell(|shell| {
        shell.scratch.write("data/ebbtide_lanes/a1.0", "");
        let all = "drop ebbtide_l_a1_0_00\\ntemplate ebbtide_t_a1\\ntemplate ebbtide_t_b2\\n\
                   template ebbtide_t_c3\\ndrop ebbtide_k_d4\\n";
        // a1 has a lane, b2 was built here, and nothing has used c3 for longer than a week.
        let previous = "ebbtide_t_a1 1000\nebbtide_t_c3 395199\n";
        let dropped = ["l_a1_0_00", "t_c3", "k_d4"]
            .map(|name| format!("drop database \"ebbtide_{name}\"\n"))
            .concat();
        assert_eq!(
            reduce(shell, all, Some(previous)),
            format!("{dropped}saved\nebbtide_t_a1 1000000\nebbtide_t_b2 1000000")
        );
        // Without a template there is nothing to save.
        assert_eq!(reduce(shell, "drop ebbtide_l_a1_0_00\\n", None), "");
    });
}

#[test]
fn the_templates_of_the_file_are_written_again_only_if_they_or_the_day_of_their_use_change() {
    in_each_shell(|shell| {
        shell.scratch.write("data/ebbtide_lanes/a1.0", "");
        let is_saved = |databases: &str, previous: Option<&str>| {
            !reduce(shell, databases, previous).is_empty()
        };
        let (one, two) = (
            "template ebbtide_t_a1\\n",
            "template ebbtide_t_a1\\ntemplate ebbtide_t_b2\\n",
        );
        let list = |used: u32| format!("ebbtide_t_a1 {used}\n");
        assert!(is_saved(one, None));
        assert!(!is_saved(one, Some(&list(913_600))));
        assert!(is_saved(one, Some(&list(913_599))));
        assert!(is_saved(two, Some(&list(1_000_000))));
        assert!(is_saved(
            one,
            Some(&format!("{}ebbtide_t_c3 5\n", list(1_000_000)))
        ));
        // The use of a template without a lane is the recorded one.
        let both = format!("{}ebbtide_t_b2 500000\n", list(1_000_000));
        assert!(!is_saved(two, Some(&both)));
    });
}
