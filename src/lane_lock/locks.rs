//! Session advisory locks, for servers that several machines share.
//!
//! The server releases them when the session ends, however the process ended
//! (<https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS>).
//!
//! One session holds all locks of this process on the server, so the locks cost one connection. A
//! task owns the connection, because locks are taken and dropped in many tasks:
//!
//! ```text
//! Locks::request ---- Request ----> LockSession (task) ---- SQL ----> session on the server
//!      ^                                  |
//!      `------- oneshot: Lock ------------'
//! Lock::drop ----- Request::Unlock ------>
//! ```
//!
//! | state | cause | consequence |
//! |---|---|---|
//! | open | | requests are answered in order |
//! | closed | the last `Locks` and the last `Lock` are dropped | the task closes the session |
//! | lost | the connection breaks, or an answer is late | every lock is void; requests fail |
//!
//! After a loss, another process may lock a lane whose old holder still runs a test. The lane's own
//! table prevents damage: it names its holder, and refuses the old one (`_ebbtide.lane`).

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tokio::sync::{mpsc, oneshot};

use crate::error::{Error, ErrorKind, Result, cause_message};
use crate::names::{DatabaseName, Fingerprint};
use crate::wait::Polling;

/// How often an idle connection is used. Routers and proxies drop connections that are idle for
/// longer.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// How long the server may take for one request before the connection counts as lost.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long to wait for a use lock while another process drops the fingerprint's databases.
const USE_LOCK_TIMEOUT: Duration = Duration::from_mins(1);

/// All locks of this process on one server.
#[derive(Debug, Clone)]
pub(crate) struct Locks {
    requests: mpsc::UnboundedSender<Request>,
    /// The name of this process in the tables of the lanes that it holds.
    holder: Arc<str>,
    /// Why the connection was lost, once it is.
    lost: Arc<OnceLock<String>>,
}

#[derive(Debug)]
enum Request {
    /// Takes a use lock, shared, until the session ends.
    Use {
        key: i64,
        answer: oneshot::Sender<bool>,
    },
    Lock {
        key: i64,
        answer: oneshot::Sender<Option<Lock>>,
    },
    Unlock {
        key: i64,
    },
    /// Takes up to `wanted` of the keys, those that are free.
    LockAny {
        keys: Vec<i64>,
        wanted: usize,
        answer: oneshot::Sender<Vec<Lock>>,
    },
    /// Lists the names of databases that begin with `prefix`.
    Databases {
        prefix: String,
        answer: oneshot::Sender<Vec<String>>,
    },
}

/// How this process holds a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Shared,
    Exclusive,
}

/// An exclusive lock. It is released when the value is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    key: i64,
    requests: mpsc::UnboundedSender<Request>,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // If the task has ended, so has the session with its locks.
        let _ = self.requests.send(Request::Unlock { key: self.key });
    }
}

impl Locks {
    /// Moves the connection into a task on the current runtime.
    ///
    /// The connection must have been made on this runtime, because its socket belongs to it.
    pub(crate) fn spawn(connection: PgConnection) -> Self {
        let (requests, queue) = mpsc::unbounded_channel();
        let lost = Arc::new(OnceLock::new());
        let session = LockSession {
            connection,
            held: HashMap::new(),
            requests: requests.downgrade(),
        };
        tokio::spawn(session.serve(queue, Arc::clone(&lost)));
        Self {
            requests,
            // Random, because processes of several machines may have the same process identifier.
            holder: uuid::Uuid::new_v4().simple().to_string().into(),
            lost,
        }
    }

    pub(super) fn is_lost(&self) -> bool {
        // A task that panicked, or ended with its runtime, has stored no cause. But its end closes
        // the queue.
        self.lost.get().is_some() || self.requests.is_closed()
    }

    fn lost(&self) -> Error {
        let error = Error::new(
            ErrorKind::ServerLost,
            "the connection that holds this process's lane locks is gone",
        )
        .with_help("the server's log shows why the connection ended; run the tests again");
        match self.lost.get() {
            Some(why) => error.with_source(why.clone()),
            None => error,
        }
    }

    /// Takes up to `wanted` of the keys, those that neither this nor another process holds.
    pub(super) async fn try_any(&self, keys: Vec<i64>, wanted: usize) -> Result<Vec<Lock>> {
        self.request(|answer| Request::LockAny {
            keys,
            wanted,
            answer,
        })
        .await
    }

    /// Sends a request to the task and waits for the answer.
    ///
    /// # Cancel safety
    /// The task still serves the request. A lock that arrives too late is dropped, which releases
    /// it.
    async fn request<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T> {
        // A closed queue means that the task has ended. While this `Locks` exists, the task ends
        // only with a loss.
        let (answer, answered) = oneshot::channel();
        self.requests
            .send(request(answer))
            .map_err(|_| self.lost())?;
        if let Ok(answer) = answered.await {
            return Ok(answer);
        }
        // The answer's channel closes a moment before the task stores the cause of the loss. The
        // request queue closes after that, so waiting for it makes the cause available.
        self.requests.closed().await;
        Err(self.lost())
    }
}

/// The task that owns the connection.
struct LockSession {
    connection: PgConnection,
    /// The keys that this process holds.
    ///
    /// PostgreSQL grants a session a lock that it already holds, so the server would not refuse a
    /// second holder within this process. This map does.
    held: HashMap<i64, Mode>,
    /// For the locks that the task hands out. A strong sender would keep the task alive for ever.
    requests: mpsc::WeakUnboundedSender<Request>,
}

impl LockSession {
    /// Serves requests until every sender is dropped or the connection is lost.
    ///
    /// When it returns, the channels of all waiting requests close.
    async fn serve(
        mut self,
        mut queue: mpsc::UnboundedReceiver<Request>,
        lost: Arc<OnceLock<String>>,
    ) {
        let why = loop {
            // `recv` is cancel safe, so the timeout loses no request.
            let request = match tokio::time::timeout(KEEP_ALIVE_INTERVAL, queue.recv()).await {
                Ok(Some(request)) => Some(request),
                Ok(None) => {
                    // If the connection cannot be closed in order, its end releases the locks too.
                    let _ = self.connection.close().await;
                    return;
                }
                Err(_) => None,
            };
            // The server answers each request at once, because a *try* waits for no other session.
            // A late answer means that the connection or the server does not work. After the
            // timeout it is not known which locks the server granted, so the session must end.
            match tokio::time::timeout(REQUEST_TIMEOUT, self.handle(request)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => break cause_message(&error),
                Err(_) => {
                    break format!(
                        "the server did not answer for {} s",
                        REQUEST_TIMEOUT.as_secs()
                    );
                }
            }
        };
        tracing::warn!(
            why,
            "lost the connection that holds this process's lane locks"
        );
        // Before the queue closes at the end of this function, which `Locks::request` waits for.
        // Only this task sets the cause, so setting it does not fail.
        let _ = lost.set(why);
    }

    /// Handles one request, or keeps the connection alive if there is none.
    async fn handle(&mut self, request: Option<Request>) -> Result<(), sqlx::Error> {
        match request {
            None => self.connection.ping().await?,
            Some(Request::Use { key, answer }) => {
                // An exclusive use lock of this process means that it is dropping the fingerprint's
                // databases. The server would grant its own session the shared lock as well.
                let granted = match self.held.get(&key) {
                    Some(mode) => *mode == Mode::Shared,
                    None => self.take(key, Mode::Shared).await?,
                };
                // If the caller was cancelled, the lock stays with the process, which may use it.
                let _ = answer.send(granted);
            }
            Some(Request::Lock { key, answer }) => {
                let granted =
                    !self.held.contains_key(&key) && self.take(key, Mode::Exclusive).await?;
                let requests = self.requests.upgrade();
                // Without a sender, every `Locks` is dropped: no caller waits, and the task is
                // about to close the session, which releases the lock.
                //
                // If the caller was cancelled, dropping the unsent `Lock` releases it.
                let _ = answer.send(
                    requests
                        .filter(|_| granted)
                        .map(|requests| Lock { key, requests }),
                );
            }
            Some(Request::Unlock { key }) => {
                // No request comes between the two lines. If the statement fails, the session ends.
                self.held.remove(&key);
                sqlx::query("select pg_advisory_unlock($1)")
                    .bind(key)
                    .execute(&mut self.connection)
                    .await?;
            }
            Some(Request::LockAny {
                mut keys,
                wanted,
                answer,
            }) => {
                keys.retain(|key| !self.held.contains_key(key));
                // PostgreSQL evaluates the function row by row, and stops when the limit is
                // reached. A sort would lock the keys beyond the limit, too, and nothing would
                // unlock them.
                // https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
                let sql = "select key from unnest($1::int8[]) key \
                           where pg_try_advisory_lock(key) limit $2";
                let limit = i64::try_from(wanted).unwrap_or(i64::MAX);
                let taken: Vec<i64> = sqlx::query_scalar(sql)
                    .bind(keys)
                    .bind(limit)
                    .fetch_all(&mut self.connection)
                    .await?;
                self.held
                    .extend(taken.iter().map(|key| (*key, Mode::Exclusive)));
                let requests = self.requests.upgrade();
                let locks = taken
                    .into_iter()
                    .filter_map(|key| {
                        Some(Lock {
                            key,
                            requests: requests.clone()?,
                        })
                    })
                    .collect();
                // As above.
                let _ = answer.send(locks);
            }
            Some(Request::Databases { prefix, answer }) => {
                let names =
                    "select datname::text from pg_database where starts_with(datname::text, $1)";
                let names = sqlx::query_scalar(names)
                    .bind(prefix)
                    .fetch_all(&mut self.connection)
                    .await?;
                // If the caller was cancelled, it needs no answer.
                let _ = answer.send(names);
            }
        }
        Ok(())
    }

    /// Tries to take a lock. Returns whether the server granted it.
    async fn take(&mut self, key: i64, mode: Mode) -> Result<bool, sqlx::Error> {
        let sql = match mode {
            Mode::Shared => "select pg_try_advisory_lock_shared($1)",
            Mode::Exclusive => "select pg_try_advisory_lock($1)",
        };
        let granted = sqlx::query_scalar(sql)
            .bind(key)
            .fetch_one(&mut self.connection)
            .await?;
        if granted {
            self.held.insert(key, mode);
        }
        Ok(granted)
    }
}

/// The locks of one fingerprint's lanes.
#[derive(Debug, Clone)]
pub(crate) struct SessionLaneLocks {
    locks: Locks,
    fingerprint: Fingerprint,
}

impl SessionLaneLocks {
    pub(crate) fn of(locks: &Locks, fingerprint: &Fingerprint) -> Self {
        Self {
            locks: locks.clone(),
            fingerprint: fingerprint.clone(),
        }
    }

    /// Takes the fingerprint's use lock, shared, until this process ends.
    ///
    /// While a process holds it, no other process drops the template or its lanes. The wait is for
    /// a process that is dropping them at this moment and holds the lock exclusively.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] after a minute, [`ErrorKind::ServerLost`] if the connection is lost.
    pub(crate) async fn take_use_lock(&self) -> Result<()> {
        let key = key("use", &self.fingerprint, 0);
        let mut polling = Polling::new("locking a template for use", USE_LOCK_TIMEOUT);
        while !self
            .locks
            .request(|answer| Request::Use { key, answer })
            .await?
        {
            polling.pause("another process is dropping it").await?;
        }
        Ok(())
    }

    /// Takes the use lock exclusively, or returns `None` if any process uses the fingerprint.
    ///
    /// This process counts too: it holds the use lock of every fingerprint that it has used.
    pub(crate) async fn lock_all(&self) -> Result<Option<Lock>> {
        let key = key("use", &self.fingerprint, 0);
        self.locks
            .request(|answer| Request::Lock { key, answer })
            .await
    }

    /// Takes the lane lock, or returns `None` if another holder has it.
    pub(crate) async fn try_lock(&self, number: usize) -> Result<Option<SessionLaneLock>> {
        // The use lock comes first. In the other order, a clean-up could take the use lock
        // exclusively in between and drop the lane.
        self.take_use_lock().await?;
        let key = key("lane", &self.fingerprint, number);
        let lock = self
            .locks
            .request(|answer| Request::Lock { key, answer })
            .await?;
        Ok(lock.map(|lock| SessionLaneLock {
            number,
            locks: self.locks.clone(),
            _lock: lock,
        }))
    }

    /// Numbers of the lanes that have a database, lowest first.
    pub(crate) async fn existing(&self) -> Result<Vec<usize>> {
        let prefix = DatabaseName::all_lanes_prefix(&self.fingerprint);
        let names = self
            .locks
            .request(|answer| Request::Databases {
                prefix: prefix.clone(),
                answer,
            })
            .await?;
        let number = |name: &String| name.strip_prefix(&prefix)?.split('_').next()?.parse().ok();
        let mut numbers: Vec<usize> = names.iter().filter_map(number).collect();
        numbers.sort_unstable();
        // A lane has two databases if its old holder lost the lock session during a copy, and the
        // next holder made another copy.
        numbers.dedup();
        Ok(numbers)
    }
}

/// The lock of one lane. It is released when the value is dropped or the lock session ends.
#[derive(Debug)]
pub(crate) struct SessionLaneLock {
    pub(crate) number: usize,
    locks: Locks,
    _lock: Lock,
}

impl SessionLaneLock {
    /// Whether the lock session is lost, so that another process may have the lane.
    pub(crate) fn is_void(&self) -> bool {
        self.locks.is_lost()
    }

    /// The lane's database, if there is exactly one.
    ///
    /// With none or with several, the caller copies the lane.
    pub(crate) async fn database(&self, fingerprint: &Fingerprint) -> Result<Option<DatabaseName>> {
        let prefix = DatabaseName::lane_prefix(fingerprint, self.number);
        let names = self
            .locks
            .request(|answer| Request::Databases { prefix, answer })
            .await?;
        // Of several databases, none is known to be the holder's. Copying the lane drops all.
        match &names[..] {
            [name] => DatabaseName::parse(name).map(Some),
            _ => Ok(None),
        }
    }

    /// # Errors
    /// [`ErrorKind::ServerLost`] if the lock session is lost.
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_void() {
            Err(self.locks.lost())
        } else {
            Ok(())
        }
    }

    /// The name of this process in the tables of the lanes that it holds.
    pub(crate) fn holder(&self) -> &str {
        &self.locks.holder
    }
}

/// The key of a permit.
pub(super) fn permit_key(number: usize) -> i64 {
    hash_key(&format!("ebbtide permit {number}"))
}

/// The key of the right to collect permits.
pub(super) fn turn_key() -> i64 {
    hash_key("ebbtide turn")
}

/// The key of a fingerprint's lock for one purpose.
///
/// Keys are 64 bits of a hash. So keys of different purposes do not collide in practice, nor do
/// they with [`Fingerprint::build_key`].
fn key(purpose: &str, fingerprint: &Fingerprint, number: usize) -> i64 {
    hash_key(&format!("ebbtide {purpose} {fingerprint} {number}"))
}

fn hash_key(text: &str) -> i64 {
    let hash = Sha256::digest(text);
    i64::from_be_bytes(
        hash[..8]
            .try_into()
            .expect("a hash is longer than eight bytes"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_purpose_and_lane_has_a_key_of_its_own() {
        let fingerprint = Fingerprint::from_hash(&[1; 32]);
        let mut keys: Vec<i64> = (0..64)
            .map(|number| key("lane", &fingerprint, number))
            .collect();
        keys.extend([key("use", &fingerprint, 0), fingerprint.build_key()]);
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 66);
    }
}
