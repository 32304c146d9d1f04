//! Shortages of system resources other than disk space: how programs report them, and the remedies.

use std::io;

/// A resource that a process or the system can run out of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scarcity {
    Processes,
    OpenFiles,
    Memory,
    /// System V shared memory segments and semaphores. Their shortage is reported as `ENOSPC`, like
    /// a full disk.
    SharedMemory,
}

/// Parts of messages in the C locale, each with its shortage. The first entry that matches counts.
const MESSAGES: [(&str, Scarcity); 14] = [
    // <https://www.postgresql.org/docs/current/kernel-resources.html#SYSVIPC>
    ("could not create semaphores", Scarcity::SharedMemory),
    (
        "could not create shared memory segment: No space left",
        Scarcity::SharedMemory,
    ),
    ("could not map anonymous shared memory", Scarcity::Memory),
    // `initdb` and `COPY .. FROM PROGRAM` start a shell. When the system refuses the process, glibc
    // reports a lack of memory.
    ("could not execute command", Scarcity::Processes),
    ("popen failure", Scarcity::Processes),
    ("insufficient file descriptors", Scarcity::OpenFiles),
    ("Too many open files", Scarcity::OpenFiles),
    ("Cannot fork", Scarcity::Processes),
    ("could not fork", Scarcity::Processes),
    ("fork: retry", Scarcity::Processes),
    ("Resource temporarily unavailable", Scarcity::Processes),
    ("Cannot allocate memory", Scarcity::Memory),
    ("failed to map segment from shared object", Scarcity::Memory),
    ("out of memory", Scarcity::Memory),
];

impl Scarcity {
    /// Returns the shortage behind the error of a call that opens a file or a socket.
    ///
    /// `EAGAIN` is left out, because connecting to a Unix socket whose queue is full also fails
    /// with it.
    pub(crate) fn of_open(error: &io::Error) -> Option<Self> {
        let code = rustix::io::Errno::from_io_error(error)?;
        match code {
            rustix::io::Errno::MFILE | rustix::io::Errno::NFILE => Some(Self::OpenFiles),
            rustix::io::Errno::NOMEM => Some(Self::Memory),
            _ => None,
        }
    }

    /// Returns the shortage behind the error of a call that starts a process or a thread.
    pub(crate) fn of_start(error: &io::Error) -> Option<Self> {
        if rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::AGAIN) {
            return Some(Self::Processes);
        }
        Self::of_open(error)
    }

    /// Returns the shortage that a program's output reports.
    pub(crate) fn in_text(text: &str) -> Option<Self> {
        MESSAGES
            .iter()
            .find(|(part, _)| text.contains(part))
            .map(|(_, scarcity)| *scarcity)
    }

    /// A clause that completes an error message.
    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::Processes => "this user may start no more processes or threads",
            Self::OpenFiles => "this process may open no more files",
            Self::Memory => "the system gives no more memory",
            Self::SharedMemory => "the system gives no more shared memory segments or semaphores",
        }
    }

    pub(crate) fn help(self) -> &'static str {
        match self {
            Self::Processes => {
                "raise the limit of processes (`ulimit -u`, or a container's `--pids-limit`), or \
                 run fewer tests at once: a server takes about ten, and one for each connection"
            }
            Self::OpenFiles => "raise the limit of open files, for example with `ulimit -n 1024`",
            Self::Memory => {
                "free memory, or raise the limit (`ulimit -v`, or a container's `--memory`); \
                 `shared_buffers` and `max_connections` in `server.settings` decide how much a \
                 server takes"
            }
            Self::SharedMemory => {
                "raise kernel.shmmni and kernel.sem with `sysctl`, or remove what a killed program \
                 has left: `ipcs` lists it, `ipcrm` removes it"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_of_semaphores_is_not_taken_for_a_full_disk() {
        let log = "FATAL:  could not create semaphores: No space left on device";
        assert_eq!(Scarcity::in_text(log), Some(Scarcity::SharedMemory));
        assert_eq!(
            Scarcity::in_text("could not write to file \"base/1\": No space left on device"),
            None
        );
    }
}
