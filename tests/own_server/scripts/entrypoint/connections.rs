//! When a container is unused: connections as the kernel shows them, files that keep it, and time.

use super::super::shell::{Shell, functions, in_each_shell};
use super::{ENTRYPOINT, run};

/// A table of `/proc/net/tcp` with these rows of local address, remote address and state.
fn write_table(shell: &Shell, name: &str, rows: &[(&str, &str, &str)]) {
    let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n";
    let rows = rows.iter().enumerate();
    let rows = rows.map(|(number, (local, remote, state))| {
        format!(
            "   {number}: {local} {remote} {state} 00000000:00000000 00:00000000 00000000     0\n"
        )
    });
    let table: Vec<String> = std::iter::once(head.to_owned()).chain(rows).collect();
    shell.scratch.write(&format!("net/{name}"), &table.concat());
}

/// Counters of `/proc/net/snmp`.
fn write_counters(shell: &Shell, passive_opens: u32, current: u32) {
    shell
        .scratch
        .write("net/snmp", &counters(passive_opens, current));
}

fn counters(passive_opens: u32, current: u32) -> String {
    format!(
        "Ip: Forwarding DefaultTTL InReceives\nIp: 1 64 77\n\
         Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs\n\
         Tcp: 1 200 120000 -1 31 {passive_opens} 33 34 {current} 36\n"
    )
}

const LISTENING: (&str, &str, &str) = ("00000000:1538", "00000000:0000", "0A");
const SERVER_END: (&str, &str, &str) = ("0100007F:1538", "0100007F:D431", "01");
const CLIENT_END: (&str, &str, &str) = ("0100007F:D431", "0100007F:1538", "01");

#[test]
fn a_socket_is_found_by_the_local_port_and_the_state() {
    in_each_shell(|shell| {
        let find = "has_socket 0A && echo listens; has_socket 01 && echo serves; true";
        assert_eq!(run(shell, find), "", "without tables");
        let closing = ("0100007F:1538", "0100007F:D431", "06");
        let another_port = ("0100007F:1539", "0100007F:D431", "01");
        let another_local_port = ("1538007F:0016", "0100007F:D431", "01");
        for (rows, expected) in [
            (vec![], ""),
            (vec![LISTENING], "listens"),
            (vec![LISTENING, SERVER_END, CLIENT_END], "listens\nserves"),
            (vec![CLIENT_END, LISTENING], "listens"),
            (vec![closing, another_port, another_local_port], ""),
            // The container's server accepts connections of its own only from the other end.
            (vec![CLIENT_END], ""),
        ] {
            for name in ["tcp", "tcp6"] {
                write_table(shell, name, &rows);
                assert_eq!(run(shell, find), expected, "{name}: {rows:?}");
                std::fs::remove_file(shell.scratch.path(&format!("net/{name}"))).unwrap();
            }
        }
    });
}

#[test]
fn the_counters_are_those_that_the_kernel_names() {
    in_each_shell(|shell| {
        write_counters(shell, 20, 3);
        let counters = "read_counters; echo $accepted $connections";
        assert_eq!(run(shell, counters), "20 3");
        // The kernel of this machine, which may add columns.
        let real = || {
            let table = std::fs::read_to_string("/proc/net/snmp").unwrap();
            let rows: Vec<Vec<&str>> = table
                .lines()
                .filter(|line| line.starts_with("Tcp:"))
                .map(|line| line.split_whitespace().collect())
                .collect();
            let column = rows[0].iter().position(|name| *name == "PassiveOpens");
            rows[1][column.unwrap()].parse::<u64>().unwrap()
        };
        let before = real();
        let lines = format!("{}\nread_counters; echo $accepted", functions(ENTRYPOINT));
        let found: u64 = run(shell, &lines).parse().unwrap();
        assert!((before..=real()).contains(&found), "{before} {found}");
    });
}

#[test]
fn a_poll_counts_only_while_nothing_uses_the_server() {
    in_each_shell(|shell| {
        let polled = |opened: u32, current: u32, rows: &[(&str, &str, &str)]| {
            write_counters(shell, opened, current);
            write_table(shell, "tcp", rows);
            run(shell, "accepted=20 idle=5; poll; echo $idle")
        };
        assert_eq!(polled(20, 0, &[LISTENING]), "6", "unused");
        assert_eq!(polled(20, 1, &[LISTENING, SERVER_END]), "0", "in use");
        assert_eq!(polled(21, 2, &[LISTENING, SERVER_END]), "0", "in use");
        assert_eq!(polled(21, 0, &[LISTENING]), "1", "used since the last poll");
        // The counter includes a connection whose client has gone while its query runs.
        let abandoned = ("0100007F:1538", "0100007F:D431", "08");
        assert_eq!(polled(20, 1, &[LISTENING, abandoned]), "6", "abandoned");
        shell
            .scratch
            .write("holds/until.9999999999.0123abcd", "kept\n");
        assert_eq!(polled(20, 0, &[LISTENING]), "0", "kept");
    });
}

#[test]
fn a_file_keeps_the_server_until_its_time_comes_and_is_deleted_then() {
    in_each_shell(|shell| {
        let has_hold = "if has_hold; then echo kept; else echo free; fi; ls $holds";
        assert_eq!(run(shell, has_hold), "free");
        let write = |name: &str| shell.scratch.write(&format!("holds/{name}"), "");
        write("until.1000000000.0123abcd");
        assert_eq!(run(shell, has_hold), "free");
        // Names that ebbtide does not write are neither used nor deleted.
        write("until..0123abcd");
        write("until.later.0123abcd");
        assert_eq!(
            run(shell, has_hold),
            "free\nuntil..0123abcd\nuntil.later.0123abcd"
        );
        write("until.9999999999.0123abcd");
        write("until.1000000000.0123abcd");
        assert_eq!(
            run(shell, has_hold),
            "kept\nuntil..0123abcd\nuntil.9999999999.0123abcd\nuntil.later.0123abcd"
        );
    });
}

/// The number of pauses until `watch` signals the main shell. `on_pause` may change what the kernel
/// shows: `$naps` is the number of the pause.
#[track_caller]
fn pauses(shell: &Shell, linger: u32, on_pause: &str) -> String {
    write_counters(shell, 20, 0);
    shell.scratch.write("net/snmp.used", &counters(20, 1));
    shell.scratch.write("net/snmp.after", &counters(21, 0));
    write_table(shell, "tcp", &[LISTENING, SERVER_END]);
    let net = shell.scratch.path("net");
    let lines = format!(
        "linger={linger} naps=0
        sleep() {{
            naps=$((naps + 1))
            [ $naps -lt 100 ] || exit 1
            cd {}
            {on_pause}
        }}
        kill() {{ [ \"$*\" = \"-USR1 $$\" ] && echo $naps; }}
        watch",
        net.display()
    );
    run(shell, &lines)
}

#[test]
fn an_unused_container_ends_two_seconds_after_the_linger() {
    in_each_shell(|shell| {
        for linger in [0, 1, 3] {
            assert_eq!(pauses(shell, linger, ":"), (linger + 2).to_string());
        }
    });
}

#[test]
fn the_time_of_a_container_begins_again_after_each_connection() {
    in_each_shell(|shell| {
        // The polls after the pauses 2 to 4 find the connection. The next one sets 1 if a connection
        // has begun and ended meanwhile, or counts from 0.
        let used = |at_end: &str| {
            format!(
                "[ $naps != 2 ] || cp snmp.used snmp
                [ $naps != 5 ] || {{ : > tcp; {at_end}; }}"
            )
        };
        assert_eq!(pauses(shell, 3, &used(":")), "10");
        assert_eq!(pauses(shell, 3, &used("cp snmp.after snmp")), "10");
        let between = "[ $naps != 3 ] || cp snmp.after snmp";
        assert_eq!(pauses(shell, 3, between), "8");
    });
}

#[test]
fn the_time_of_a_container_begins_when_its_server_accepts_connections() {
    in_each_shell(|shell| {
        write_counters(shell, 20, 0);
        let lines = "
            has_socket() { [ $1 = 0A ] && [ $naps -ge 7 ]; }
            sleep() { naps=$((naps + 1)); [ $naps -lt 100 ] || exit 1; }
            kill() { echo $naps; }
            naps=0
            watch";
        // Seven pauses without a listening socket, and five as for any unused container.
        assert_eq!(run(shell, lines), "12");
    });
}
