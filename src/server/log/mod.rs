//! The entries of a server's log about the sessions of one database.

mod entry;

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::{Duration, SystemTime};

use sqlx::postgres::PgConnection;

use super::running::{Server, ServerHandle};
use crate::error::cause_message;
use crate::names::DatabaseName;

pub(super) use entry::LOG_LINE_PREFIX;
pub(crate) use entry::LogEntry;

/// How many bytes are read from the end of the log. The entries of one test are near the end.
const MAX_BYTES_READ: u32 = 4 << 20;

impl Server {
    /// The log's entries about a database's sessions since a moment, or the reason why the log
    /// cannot be read.
    pub(crate) async fn log_of(
        &self,
        database: &DatabaseName,
        since: SystemTime,
    ) -> Result<Vec<LogEntry>, String> {
        let text = match &self.handle {
            ServerHandle::Native { instance, .. } => read_end(&instance.log()),
            #[cfg(feature = "container")]
            ServerHandle::Container(handle) => {
                handle
                    .log(since, self.write_log_mark().await.as_deref())
                    .await
            }
            ServerHandle::External(_) => self.remote_log().await,
        }?;
        // The log's times are rounded down to milliseconds.
        let since = since - Duration::from_millis(1);
        let mut entries = entry::parse(&text);
        if self.outlives_us() && entries.is_empty() {
            return Err(format!(
                "its lines must begin with ebbtide's prefix: \
                 set log_line_prefix = '{LOG_LINE_PREFIX}'"
            ));
        }
        entries.retain(|entry| entry.database == database.as_str() && entry.at >= since);
        Ok(entries)
    }

    /// Writes a line to a container's log and returns it, if the server still accepts statements.
    ///
    /// A container engine passes log lines on with a delay. When this line has arrived, all earlier
    /// lines have arrived too.
    #[cfg(feature = "container")]
    async fn write_log_mark(&self) -> Option<String> {
        let mark = format!("ebbtide reads this log: {}", uuid::Uuid::new_v4());
        let mut admin = self.admin().await.ok()?;
        let raise = sqlx::AssertSqlSafe(format!("do $$ begin raise log '{mark}'; end $$"));
        sqlx::raw_sql(raise).execute(&mut admin).await.ok()?;
        Some(mark)
    }

    /// Reads an external server's log by SQL, which needs the privilege to read server files.
    async fn remote_log(&self) -> Result<String, String> {
        let mut admin = self.admin().await.map_err(|error| error.to_string())?;
        let bytes = read_remote(&mut admin)
            .await
            .map_err(|error| cause_message(&error))?
            .ok_or_else(|| {
                "the server does not write it to a file (logging_collector = off)".to_owned()
            })?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

async fn read_remote(connection: &mut PgConnection) -> Result<Option<Vec<u8>>, sqlx::Error> {
    let limit = i64::from(MAX_BYTES_READ);
    sqlx::query_scalar(
        "select pg_read_binary_file(name, greatest(0, (pg_stat_file(name)).size - $1), $1) \
         from pg_current_logfile('stderr') name where name is not null",
    )
    .bind(limit)
    .fetch_optional(connection)
    .await
}

fn read_end(log: &Path) -> Result<String, String> {
    let read = || {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(
            length.saturating_sub(MAX_BYTES_READ.into()),
        ))?;
        let mut bytes = Vec::new();
        file.take(MAX_BYTES_READ.into()).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().map_err(|error: std::io::Error| format!("{}: {error}", log.display()))
}
