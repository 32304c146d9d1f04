//! Session advisory locks as leases: the server frees them when their session ends, however its process ended
//! (<https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS>).
//!
//! One connection holds all locks of a process, and a task owns it. When it breaks, every lease is void at once; a lane
//! that somebody else has taken since then refuses its old holder, because its database names the holder.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tokio::sync::{mpsc, oneshot};

use crate::error::{Error, ErrorKind, Result, told};
use crate::names::{DatabaseName, Fingerprint};
use crate::wait::Patience;

/// Shorter than what routers and proxies let a silent connection live.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// A server that takes longer for one lock is as good as gone.
const ANSWER: Duration = Duration::from_secs(30);
/// How long somebody may take to drop what belongs to a fingerprint that we begin to use.
const DROPPING: Duration = Duration::from_mins(1);

/// All locks of this process on one server.
#[derive(Debug, Clone)]
pub(crate) struct Locks {
    orders: mpsc::UnboundedSender<Order>,
    /// What this process is called in the lanes that it holds.
    holder: Arc<str>,
    lost: Arc<OnceLock<String>>,
}

#[derive(Debug)]
enum Order {
    /// To keep others from dropping what belongs to a fingerprint, until this process ends.
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
    /// Up to so many of the keys, those that are free.
    LockAny {
        keys: Vec<i64>,
        wanted: usize,
        answer: oneshot::Sender<Vec<Lock>>,
    },
    /// The names of databases that begin with this.
    Databases {
        prefix: String,
        answer: oneshot::Sender<Vec<String>>,
    },
}

/// How this process holds a key. One session may take a lock many times over, so the server would not refuse us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Shared,
    Exclusive,
}

/// A lock that nobody else holds. It ends with the value, or with the process.
#[derive(Debug)]
pub(crate) struct Lock {
    key: i64,
    orders: mpsc::UnboundedSender<Order>,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Without its connection there is nothing to unlock.
        let _ = self.orders.send(Order::Unlock { key: self.key });
    }
}

impl Locks {
    /// Gives the connection to a task on the current runtime, which must be the one that the connection was made on.
    pub(crate) fn keep(connection: PgConnection) -> Self {
        let (orders, queue) = mpsc::unbounded_channel();
        let lost = Arc::new(OnceLock::new());
        let task = Keeper {
            connection,
            held: HashMap::new(),
            orders: orders.downgrade(),
        };
        tokio::spawn(task.serve(queue, Arc::clone(&lost)));
        Self {
            orders,
            holder: uuid::Uuid::new_v4().simple().to_string().into(),
            lost,
        }
    }

    fn is_lost(&self) -> bool {
        self.lost.get().is_some() || self.orders.is_closed()
    }

    fn lost(&self) -> Error {
        let error = Error::new(
            ErrorKind::ServerLost,
            "the connection that holds this process's lanes is gone",
        )
        .with_help("the server's log says why it ended; run the tests again");
        match self.lost.get() {
            Some(why) => error.with_source(why.clone()),
            None => error,
        }
    }

    /// Locks up to `wanted` of the keys, those that neither this process nor another one holds.
    pub(super) async fn try_any(&self, keys: Vec<i64>, wanted: usize) -> Result<Vec<Lock>> {
        self.ask(|answer| Order::LockAny {
            keys,
            wanted,
            answer,
        })
        .await
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        self.orders.send(order(answer)).map_err(|_| self.lost())?;
        if let Ok(answer) = answered.await {
            return Ok(answer);
        }
        // The keeper says why it ends before it closes the queue.
        self.orders.closed().await;
        Err(self.lost())
    }
}

/// Owns the connection.
struct Keeper {
    connection: PgConnection,
    held: HashMap<i64, Mode>,
    orders: mpsc::WeakUnboundedSender<Order>,
}

impl Keeper {
    /// Until nobody is left to give an order, or the connection breaks: then every waiting question is answered by the
    /// end of its channel.
    async fn serve(
        mut self,
        mut queue: mpsc::UnboundedReceiver<Order>,
        lost: Arc<OnceLock<String>>,
    ) {
        let why = loop {
            let order = match tokio::time::timeout(KEEP_ALIVE, queue.recv()).await {
                Ok(Some(order)) => Some(order),
                Ok(None) => {
                    // The session's end frees what is left, with or without a farewell.
                    let _ = self.connection.close().await;
                    return;
                }
                Err(_) => None,
            };
            match tokio::time::timeout(ANSWER, self.obey(order)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => break told(&error),
                Err(_) => break format!("no answer for {} s", ANSWER.as_secs()),
            }
        };
        tracing::warn!(why, "lost the connection that holds this process's lanes");
        // Only this task sets it.
        let _ = lost.set(why);
    }

    async fn obey(&mut self, order: Option<Order>) -> Result<(), sqlx::Error> {
        match order {
            None => self.connection.ping().await?,
            Some(Order::Use { key, answer }) => {
                let granted = match self.held.get(&key) {
                    Some(mode) => *mode == Mode::Shared,
                    None => self.take(key, Mode::Shared).await?,
                };
                // Whoever asked and went may ask again.
                let _ = answer.send(granted);
            }
            Some(Order::Lock { key, answer }) => {
                let granted =
                    !self.held.contains_key(&key) && self.take(key, Mode::Exclusive).await?;
                let orders = self.orders.upgrade();
                // Not received, or received and not looked at, it unlocks itself.
                let _ = answer.send(
                    orders
                        .filter(|_| granted)
                        .map(|orders| Lock { key, orders }),
                );
            }
            Some(Order::Unlock { key }) => {
                self.held.remove(&key);
                sqlx::query("select pg_advisory_unlock($1)")
                    .bind(key)
                    .execute(&mut self.connection)
                    .await?;
            }
            Some(Order::LockAny {
                mut keys,
                wanted,
                answer,
            }) => {
                keys.retain(|key| !self.held.contains_key(key));
                // The function is evaluated row by row, and not any more when the limit is reached.
                let sql = "select key from unnest($1::int8[]) key where pg_try_advisory_lock(key) limit $2";
                let limit = i64::try_from(wanted).unwrap_or(i64::MAX);
                let taken: Vec<i64> = sqlx::query_scalar(sql)
                    .bind(keys)
                    .bind(limit)
                    .fetch_all(&mut self.connection)
                    .await?;
                self.held
                    .extend(taken.iter().map(|key| (*key, Mode::Exclusive)));
                let orders = self.orders.upgrade();
                let locks = taken
                    .into_iter()
                    .filter_map(|key| {
                        Some(Lock {
                            key,
                            orders: orders.clone()?,
                        })
                    })
                    .collect();
                // As above.
                let _ = answer.send(locks);
            }
            Some(Order::Databases { prefix, answer }) => {
                let names =
                    "select datname::text from pg_database where starts_with(datname::text, $1)";
                let names = sqlx::query_scalar(names)
                    .bind(prefix)
                    .fetch_all(&mut self.connection)
                    .await?;
                // As above.
                let _ = answer.send(names);
            }
        }
        Ok(())
    }

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

    /// Tells everybody that this process uses the fingerprint, so that nobody drops its template.
    pub(crate) async fn announce(&self) -> Result<()> {
        let key = key("use", &self.fingerprint, 0);
        let mut patience = Patience::new("beginning to use a template", DROPPING);
        while !self.locks.ask(|answer| Order::Use { key, answer }).await? {
            patience.pause("somebody drops an old one").await?;
        }
        Ok(())
    }

    /// Everything of the fingerprint, unless anybody uses it, this process included.
    pub(crate) async fn lock_all(&self) -> Result<Option<Lock>> {
        let key = key("use", &self.fingerprint, 0);
        self.locks.ask(|answer| Order::Lock { key, answer }).await
    }

    pub(crate) async fn try_lease(&self, number: usize) -> Result<Option<SessionLaneLock>> {
        self.announce().await?;
        let key = key("lane", &self.fingerprint, number);
        let lock = self.locks.ask(|answer| Order::Lock { key, answer }).await?;
        Ok(lock.map(|lock| SessionLaneLock {
            number,
            locks: self.locks.clone(),
            _lock: lock,
        }))
    }

    /// Numbers of the lanes that have a database, lowest first.
    pub(crate) async fn existing(&self) -> Result<Vec<usize>> {
        let prefix = DatabaseName::lanes(&self.fingerprint);
        let names = self
            .locks
            .ask(|answer| Order::Databases {
                prefix: prefix.clone(),
                answer,
            })
            .await?;
        let number = |name: &String| name.strip_prefix(&prefix)?.split('_').next()?.parse().ok();
        let mut numbers: Vec<usize> = names.iter().filter_map(number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }
}

/// The lease of one lane. It ends with the value, or with the process's connection for locks.
#[derive(Debug)]
pub(crate) struct SessionLaneLock {
    pub(crate) number: usize,
    locks: Locks,
    _lock: Lock,
}

impl SessionLaneLock {
    /// Whether somebody else may have the lane by now.
    pub(crate) fn is_void(&self) -> bool {
        self.locks.is_lost()
    }

    /// The lane's database, if there is exactly one.
    pub(crate) async fn database(&self, fingerprint: &Fingerprint) -> Result<Option<DatabaseName>> {
        let prefix = DatabaseName::lanes_numbered(fingerprint, self.number);
        let names = self
            .locks
            .ask(|answer| Order::Databases { prefix, answer })
            .await?;
        match &names[..] {
            [name] => DatabaseName::ours(name).map(Some),
            _ => Ok(None),
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.is_void() {
            Err(self.locks.lost())
        } else {
            Ok(())
        }
    }

    /// What this process is called in the lanes that it holds.
    pub(crate) fn holder(&self) -> &str {
        &self.locks.holder
    }
}

/// The key of a permit for a connection.
pub(super) fn permit_key(number: usize) -> i64 {
    hashed(&format!("ebbtide permit {number}"))
}

/// The key of the right to collect permits.
pub(super) fn turn_key() -> i64 {
    hashed("ebbtide turn")
}

/// Keys of different purposes, and those that templates are built under, never meet in practice: they are hashes.
fn key(purpose: &str, fingerprint: &Fingerprint, number: usize) -> i64 {
    hashed(&format!("ebbtide {purpose} {fingerprint} {number}"))
}

fn hashed(text: &str) -> i64 {
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
