//! `native/supervise.sh`: how the supervisor ends a native server and deletes what it leaves.

use std::os::unix::fs::symlink;
use std::path::Path;

use super::shell::{Shell, Sleeper, functions, in_each_shell};
use crate::support::{names_in, wait_until};

const NATIVE: &str = "src/server/native/supervise.sh";

/// Runs lines with the functions of a native server, whose data is in `data` and whose programs are
/// in `bin`.
#[track_caller]
fn run(shell: &Shell, lines: &str) -> String {
    let [data, bin] = ["data", "bin"].map(|name| shell.scratch.path(name));
    shell.run_on_instance(&format!(
        "{}\ndata={} bin={}\nserver='' server_started=''\n{lines}",
        functions(NATIVE),
        data.display(),
        bin.display()
    ))
}

#[test]
fn a_new_supervisor_finds_the_server_by_its_description() {
    in_each_shell(|shell| {
        let lines = "
            describe native 4711.42 30 /bin
            resume && echo $server $server_started
            rm \"$instance/server\"
            resume || echo no description";
        assert_eq!(run(shell, lines), "4711 42\nno description");
    });
}

#[test]
fn a_server_gets_both_signals_and_its_end_is_awaited() {
    in_each_shell(|shell| {
        // A postmaster ends some time after the signal.
        let lines = "
            sh -c 'trap \"sleep 0.3; echo ended; exit\" QUIT; trap : TERM; : > \"$1\"; while :; do sleep 0.01; done' \
                sh \"$instance/ready\" &
            server=$!
            until [ -e \"$instance/ready\" ]; do sleep 0.01; done
            started $server && server_started=$start
            kill() { echo \"$1\"; command kill \"$@\"; }
            withdraw
            alive || echo gone";
        // A shell starts background jobs with QUIT ignored, and a trap cannot change that in every
        // shell. Then TERM must end the process, so this one would never end.
        let lines = lines.replace("QUIT;", "QUIT USR1;").replace(
            "command kill \"$@\"",
            "[ $1 != -QUIT ] || set -- -USR1 $2; command kill \"$@\"",
        );
        assert_eq!(run(shell, &lines), "-TERM\n-QUIT\nended\ngone");
    });
}

#[test]
fn a_server_of_a_killed_supervisor_is_awaited_for_eight_seconds() {
    in_each_shell(|shell| {
        let server = Sleeper::start();
        let (pid, start) = (&server.process.pid, &server.process.start_time);
        // The shell cannot `wait` for a process that is not its child.
        let lines = |last: &str| {
            format!(
                "server={pid} server_started={start}
                kill() {{ echo $1; }}
                nap() {{ echo nap; {last}; }}
                withdraw
                true"
            )
        };
        let signals = "-TERM\n-QUIT";
        assert_eq!(
            run(shell, &lines(":")),
            format!("{signals}{}", "\nnap".repeat(8))
        );
        let kills = lines(&format!(
            "command kill -KILL {pid}; while alive; do :; done"
        ));
        assert_eq!(run(shell, &kills), format!("{signals}\nnap"));
        assert_eq!(
            run(shell, &lines(":")),
            "",
            "an ended server gets no signal"
        );
    });
}

#[test]
fn everything_of_a_server_is_deleted_in_an_order_that_lets_no_client_join() {
    in_each_shell(|shell| {
        let steps = [
            "forget_pointer",
            "kill_backends",
            "free_segment",
            "remove_tablespaces",
            "remove",
            "remove_instance",
        ];
        let recorded = steps
            .map(|step| format!("{step}() {{ echo \"{step}\" ${{1:+\"${{1##*/}}\"}}; }}\n"))
            .concat();
        let expected = "forget_pointer\nkill_backends\nfree_segment data\nremove_tablespaces\nremove data\n\
                        remove_instance";
        assert_eq!(run(shell, &format!("{recorded}clean_up")), expected);
        let failed = run(shell, &format!("{recorded}(fail 'no space') 2>&1; echo $?"));
        assert_eq!(
            failed,
            format!("{expected}\nebbtide-supervisor: no space\n1")
        );
    });
}

#[test]
fn only_backends_of_this_data_directory_are_killed() {
    in_each_shell(|shell| {
        let path = |name: &str| shell.scratch.path(name);
        for dir in ["data", "data2"] {
            std::fs::create_dir(path(dir)).unwrap();
        }
        let postgres = path("bin/postgres");
        let backend = Sleeper::start_copy(&postgres, &path("data"));
        let of_another_server = Sleeper::start_copy(&path("bin2/postgres"), &path("data"));
        let of_another_directory = {
            // The file of a running program cannot be copied over.
            symlink("postgres", path("bin/linked")).unwrap();
            Sleeper::start_as(&path("bin/linked"), &path("data2"))
        };
        let another_program = Sleeper::start_as(Path::new("/bin/sleep"), &path("data"));
        let all = [
            &backend,
            &of_another_server,
            &of_another_directory,
            &another_program,
        ];
        // A mistake in the conditions must not end processes outside of this test.
        let pids = all.map(|sleeper| sleeper.process.pid.as_str()).join("|");
        let lines = format!(
            "kill() {{
                case $2 in
                    {pids}) command kill \"$@\" ;;
                    *) echo \"another process would get $1: $2\"; exit 1 ;;
                esac
            }}
            kill_backends
            true"
        );
        run(shell, &lines);
        wait_until("the backend ends", || !backend.process.is_alive());
        for other in &all[1..] {
            assert!(other.process.is_alive(), "{other:?}");
        }
    });
}

#[test]
fn only_this_versions_directory_in_a_tablespace_is_deleted() {
    in_each_shell(|shell| {
        let write = |name: &str| shell.scratch.write(name, "");
        for file in [
            "space one/PG_15_202209061/1/2",
            "space one/PG_16_202307071/1/2",
            "space one/other/file",
            "data/pg_tblspc/not_a_link/PG_15_202209061/file",
        ] {
            write(file);
        }
        let lines = "remove_tablespaces\ntrue";
        // Without the file of the version, nothing is known and nothing is deleted.
        run(shell, lines);
        let space = shell.scratch.path("space one");
        symlink(&space, shell.scratch.path("data/pg_tblspc/16400")).unwrap();
        run(shell, lines);
        assert_eq!(names_in(&space).len(), 3);
        shell.scratch.write("data/PG_VERSION", "15\n");
        run(shell, lines);
        let mut left = names_in(&space);
        left.sort();
        assert_eq!(left, ["PG_16_202307071", "other"]);
        let not_a_link = shell.scratch.path("data/pg_tblspc/not_a_link");
        assert_eq!(names_in(&not_a_link), ["PG_15_202209061"]);
    });
}
