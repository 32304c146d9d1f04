//! The entries of a server's log about the sessions of one database.

mod entry;

use std::time::{Duration, SystemTime};

use super::running::Server;
use crate::names::DatabaseName;

pub(super) use entry::LOG_LINE_PREFIX;
pub(crate) use entry::LogEntry;

/// How many bytes are read from the end of the log. The entries of one test are near the end.
pub(super) const MAX_BYTES_READ: u32 = 4 << 20;

impl Server {
    /// The log's entries about a database's sessions since a moment, or the reason why the log
    /// cannot be read.
    pub(crate) async fn log_of(
        &self,
        database: &DatabaseName,
        since: SystemTime,
    ) -> Result<Vec<LogEntry>, String> {
        let text = self.handle.log(&self.conn, since).await?;
        // The log's times are rounded down to milliseconds.
        let since = since - Duration::from_millis(1);
        let mut entries = entry::parse(&text);
        // Servers of ebbtide have the prefix, so there an empty list means that nothing was logged.
        if self.outlives_us() && entries.is_empty() {
            return Err(format!(
                "its lines must begin with ebbtide's prefix: \
                 set log_line_prefix = '{LOG_LINE_PREFIX}'"
            ));
        }
        entries.retain(|entry| entry.database == database.as_str() && entry.at >= since);
        Ok(entries)
    }
}
