//! The connection that copies templates. It stays open for a moment after a copy, because another
//! copy often follows.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use crate::server::Server;

/// How long the connection stays open without a copy.
const IDLE_TIMEOUT: Duration = Duration::from_secs(1);

/// At most one idle connection to the server's database for administration. It belongs to the
/// background runtime.
///
/// Each return starts a task that closes the connection after the timeout. The time of the return
/// identifies the task: if the connection was taken and returned meanwhile, the task leaves the
/// connection to the later task.
#[derive(Default)]
pub(super) struct AdminConnection {
    idle: Arc<Mutex<Option<(Instant, PgConnection)>>>,
}

impl AdminConnection {
    pub(super) async fn take(&self, server: &Server) -> Result<PgConnection, sqlx::Error> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some((_, mut connection)) = idle
            && connection.ping().await.is_ok()
        {
            return Ok(connection);
        }
        PgConnection::connect_with(&server.conn.own_options(server.conn.admin())).await
    }

    pub(super) fn put_back(&self, connection: PgConnection) {
        let since = Instant::now();
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some((since, connection));
        let idle = Arc::clone(&self.idle);
        tokio::spawn(async move {
            tokio::time::sleep(IDLE_TIMEOUT).await;
            let unused = idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take_if(|(returned, _)| *returned == since);
            if let Some((_, connection)) = unused {
                // Should closing fail, the server ends the session when the socket closes.
                let _ = connection.close().await;
            }
        });
    }
}

impl fmt::Debug for AdminConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminConnection").finish_non_exhaustive()
    }
}
