//! The file `server` of an instance: what a new supervisor needs to take the server over.

use super::registry::Instance;

/// The content of the file, one item a line. After the server's start, the supervisor's function
/// `describe` writes the file (`instance.sh`).
#[derive(Debug)]
pub(super) struct ServerFile {
    /// The backend's name.
    pub(super) backend: String,
    /// The mark of the server's process, or `-` if it has none on this machine.
    pub(super) server: String,
    /// The linger with which the server was started, in seconds.
    pub(super) linger: String,
    /// The backend's own arguments.
    pub(super) arguments: Vec<String>,
}

impl ServerFile {
    /// Returns `None` if the file is missing or incomplete: the server was still being prepared.
    pub(super) fn read(instance: &Instance) -> Option<Self> {
        let text = std::fs::read_to_string(instance.dir.join("server")).ok()?;
        let mut lines = text.lines().map(str::to_owned);
        Some(Self {
            backend: lines.next()?,
            server: lines.next()?,
            linger: lines.next()?,
            arguments: lines.collect(),
        })
    }
}
