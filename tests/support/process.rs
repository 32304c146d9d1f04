//! Processes and shared memory, as Linux shows them in `/proc`.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use super::{names_in, wait_until};

/// The unit of start times in `/proc/PID/stat`: clock ticks per second, 100 on every usual Linux.
const USER_HZ: u64 = 100;

/// A process. Its start time distinguishes it from a later process with the same pid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub pid: String,
    pub start_time: String,
    pub arguments: Vec<String>,
    pub working_dir: String,
}

impl Process {
    /// This test process.
    pub fn own() -> Self {
        Self::find(&std::process::id().to_string()).expect("this process is alive")
    }

    /// Returns `None` for a process that has ended.
    pub fn find(pid: &str) -> Option<Self> {
        let dir = Path::new("/proc").join(pid);
        let start_time = start_time(pid)?;
        let arguments = std::fs::read(dir.join("cmdline")).ok()?;
        let arguments = arguments
            .split(|byte| *byte == 0)
            .map(|argument| String::from_utf8_lossy(argument).into_owned())
            .collect();
        let working_dir = std::fs::read_link(dir.join("cwd")).unwrap_or_default();
        Some(Self {
            pid: pid.to_owned(),
            start_time,
            arguments,
            working_dir: working_dir.to_string_lossy().into_owned(),
        })
    }

    /// System V segments that this process created.
    ///
    /// The system's table has the creator's pid but not its start time. A segment that is older
    /// than this process belongs to an earlier process with the same pid.
    pub fn shared_memory(&self) -> Vec<String> {
        let stat = std::fs::read_to_string("/proc/stat").unwrap();
        let booted: u64 = stat
            .lines()
            .find_map(|line| line.strip_prefix("btime "))
            .unwrap()
            .parse()
            .unwrap();
        let began = booted + self.start_time.parse::<u64>().unwrap() / USER_HZ - 1;
        let made = |segment: &String| {
            let words: Vec<&str> = segment.split_whitespace().collect();
            words[14].parse::<u64>().unwrap() >= began
        };
        segments_with(SegmentColumn::CreatorPid, &self.pid)
            .into_iter()
            .filter(made)
            .collect()
    }

    /// `PID.START`, by which ebbtide's files and labels identify a process.
    pub fn mark(&self) -> String {
        format!("{}.{}", self.pid, self.start_time)
    }

    pub fn is_alive(&self) -> bool {
        start_time(&self.pid).as_ref() == Some(&self.start_time)
    }

    /// Sends a signal, unless the process has ended and another one may have its pid.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid.parse().unwrap()).unwrap();
        if self.is_alive() {
            // It may have ended since the line above, which is as good.
            let _ = kill_process(pid, signal);
        }
    }

    /// Kills the process and waits for its end.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
        wait_until("the killed process has ended", || !self.is_alive());
    }
}

/// Asserts that none of these processes has left a System V segment. `context` is for the message.
#[track_caller]
pub fn assert_no_shared_memory(processes: &[Process], context: &str) {
    let segments: Vec<String> = processes.iter().flat_map(Process::shared_memory).collect();
    assert!(segments.is_empty(), "{context}: {segments:?}");
}

/// A column of `/proc/sysvipc/shm`.
///
/// <https://man7.org/linux/man-pages/man5/proc_sysvipc.5.html>
#[derive(Debug, Clone, Copy)]
pub enum SegmentColumn {
    Id = 1,
    CreatorPid = 4,
}

/// The system's table of System V segments.
pub fn segment_table() -> String {
    std::fs::read_to_string("/proc/sysvipc/shm").unwrap()
}

/// The System V segments with a value in a column of the system's table.
pub fn segments_with(column: SegmentColumn, value: &str) -> Vec<String> {
    let table = segment_table();
    let wanted = table
        .lines()
        .filter(|line| line.split_whitespace().nth(column as usize) == Some(value));
    wanted.map(|line| format!("segment {line}")).collect()
}

/// A process's start time, in clock ticks since the machine booted. `None` if it has ended.
///
/// <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>
fn start_time(pid: &str) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    // A zombie (Z) or dead (X) process has ended, and only its parent has not waited for it yet.
    (!["Z", "X"].contains(&fields[0])).then(|| fields[19].to_owned())
}

/// All processes of this machine that this user can read.
pub fn processes() -> Vec<Process> {
    let numbers = names_in(Path::new("/proc"))
        .into_iter()
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    numbers.filter_map(|pid| Process::find(&pid)).collect()
}
