//! What the server wrote into its log about the sessions on one database.

mod entry;

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::{Duration, SystemTime};

use sqlx::postgres::PgConnection;

use super::{Server, ServerHandle};
use crate::error::told;
use crate::names::DatabaseName;

pub(crate) use entry::LogEntry;
pub(super) use entry::PREFIX;

/// Bytes from the log's end that are read: what one test left is near it.
const WINDOW: u32 = 4 << 20;

impl Server {
    /// What the log says of a database's sessions since a moment, or why it cannot be told.
    pub(crate) async fn log_of(
        &self,
        database: &DatabaseName,
        since: SystemTime,
    ) -> Result<Vec<LogEntry>, String> {
        let text = match &self.handle {
            ServerHandle::Native { instance, .. } => end_of(&instance.log()),
            #[cfg(feature = "container")]
            ServerHandle::Container(handle) => {
                handle.log(since, self.mark_log().await.as_deref()).await
            }
            ServerHandle::External(_) => self.remote_log().await,
        }?;
        // The log counts milliseconds.
        let since = since - Duration::from_millis(1);
        let mut entries = entry::parse(&text);
        if self.outlives_us() && entries.is_empty() {
            return Err(format!(
                "its lines do not begin as ebbtide needs it: log_line_prefix = '{PREFIX}' would do"
            ));
        }
        entries.retain(|entry| entry.database == database.as_str() && entry.at >= since);
        Ok(entries)
    }

    /// Writes a line behind which nothing is missing, if the server still writes any: an engine passes them on later.
    #[cfg(feature = "container")]
    async fn mark_log(&self) -> Option<String> {
        let mark = format!("ebbtide reads this log: {}", uuid::Uuid::new_v4());
        let mut admin = self.admin().await.ok()?;
        let raise = sqlx::AssertSqlSafe(format!("do $$ begin raise log '{mark}'; end $$"));
        sqlx::raw_sql(raise).execute(&mut admin).await.ok()?;
        Some(mark)
    }

    /// An external server's log is read through the server, by roles that may.
    async fn remote_log(&self) -> Result<String, String> {
        let mut admin = self.admin().await.map_err(|error| error.to_string())?;
        let bytes = read_remote(&mut admin).await.map_err(|error| told(&error))?.ok_or_else(|| {
            "it is not written to a file (logging_collector = off), where the server could read it to us".to_owned()
        })?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

async fn read_remote(connection: &mut PgConnection) -> Result<Option<Vec<u8>>, sqlx::Error> {
    let window = i64::from(WINDOW);
    sqlx::query_scalar(
        "select pg_read_binary_file(name, greatest(0, (pg_stat_file(name)).size - $1), $1) \
         from pg_current_logfile('stderr') name where name is not null",
    )
    .bind(window)
    .fetch_optional(connection)
    .await
}

fn end_of(log: &Path) -> Result<String, String> {
    let read = || {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(WINDOW.into())))?;
        let mut bytes = Vec::new();
        file.take(WINDOW.into()).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().map_err(|error: std::io::Error| format!("{}: {error}", log.display()))
}
