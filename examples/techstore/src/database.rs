//! The URL of the database, and the pool of connections to it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use ebbtide_example_shared::{RetryPolicy, connect};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use url::Url;

use crate::Error;

/// The URL of a database. Its `Debug` output omits the password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(Url);

impl DatabaseUrl {
    /// Builds the URL from its parts, which may contain any characters. A server that begins with
    /// `/` is the directory of a Unix socket.
    ///
    /// # Errors
    /// The server is not a valid host name.
    pub fn assemble(
        user: &str,
        password: Option<&str>,
        server: &str,
        port: u16,
        name: &str,
    ) -> Result<Self, InvalidUrl> {
        let password = password
            .map(|password| format!(":{}", encode(password)))
            .unwrap_or_default();
        let (host, query) = if server.starts_with('/') {
            ("localhost".to_owned(), format!("?host={}", encode(server)))
        } else if server.contains(':') {
            // An IPv6 address.
            (format!("[{server}]"), String::new())
        } else {
            (server.to_owned(), String::new())
        };
        format!(
            "postgres://{}{password}@{host}:{port}/{}{query}",
            encode(user),
            encode(name)
        )
        .parse()
    }

    /// The whole URL, with the password.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The database's name.
    #[must_use]
    pub fn name(&self) -> String {
        percent_decode_str(self.0.path().trim_start_matches('/'))
            .decode_utf8_lossy()
            .into_owned()
    }

    /// The URL of another database on the same server.
    #[must_use]
    pub fn with_name(&self, name: &str) -> Self {
        let mut url = self.0.clone();
        url.set_path(&encode(name));
        Self(url)
    }

    /// Whether both URLs have the same server and database. It ignores the role and the options.
    pub(crate) fn is_same_database(&self, other: &Self) -> bool {
        let place = |url: &Self| {
            let parameter = url
                .0
                .query_pairs()
                .find(|(name, _)| name == "host")
                .map(|(_, host)| host.into_owned());
            let host = parameter.or_else(|| url.0.host_str().map(str::to_owned));
            (host, url.0.port().unwrap_or(5432), url.name())
        };
        place(self) == place(other)
    }

    /// The driver's options for a connection.
    ///
    /// # Errors
    /// A parameter of the URL is invalid.
    pub fn options(&self) -> Result<PgConnectOptions, Error> {
        let options = PgConnectOptions::from_str(self.as_str()).map_err(Error::Url)?;
        Ok(options.application_name("techstore"))
    }
}

/// The characters to encode: all that can be special in a URL. The setters of the crate `url` do
/// not encode `%`, which would change a password that contains it.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-');

fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// A text that is not a PostgreSQL URL with a database name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a URL such as postgres://user:password@server:5432/database")]
pub struct InvalidUrl;

impl FromStr for DatabaseUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let url = Url::parse(text).map_err(|_| InvalidUrl)?;
        let is_valid = matches!(url.scheme(), "postgres" | "postgresql") && url.path().len() > 1;
        if is_valid {
            Ok(Self(url))
        } else {
            Err(InvalidUrl)
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "DatabaseUrl({} on {})",
            self.name(),
            self.0.host_str().unwrap_or("localhost")
        )
    }
}

/// The size and the timeout of the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolSettings {
    /// The number of connections that stay open, `POSTGRES_POOL_SIZE`.
    pub size: u32,
    /// The number of additional connections under load, `POSTGRES_MAX_OVERFLOW`.
    pub overflow: u32,
    /// How long a request waits for a connection, `POSTGRES_POOL_TIMEOUT` in seconds.
    pub timeout: Duration,
}

impl Default for PoolSettings {
    /// 5 connections, 10 additional ones, 30 seconds.
    fn default() -> Self {
        Self {
            size: 5,
            overflow: 10,
            timeout: Duration::from_secs(30),
        }
    }
}

impl PoolSettings {
    /// The driver's options for the pool.
    #[must_use]
    pub fn options(self) -> PgPoolOptions {
        PgPoolOptions::new()
            .min_connections(self.size)
            .max_connections(self.size + self.overflow)
            .acquire_timeout(self.timeout)
            // Closes additional connections that were idle for a minute.
            .idle_timeout(Duration::from_mins(1))
            // The pre-ping: the pool tests a connection before it returns it.
            .test_before_acquire(true)
    }
}

/// Waits for the server, and creates a pool.
///
/// # Errors
/// The server does not accept connections in time, or rejects this one.
pub async fn open(
    url: &DatabaseUrl,
    pool: PoolSettings,
    retry: RetryPolicy,
) -> Result<PgPool, Error> {
    wait(url, retry).await?.close().await?;
    Ok(pool.options().connect_with(url.options()?).await?)
}

pub(crate) async fn wait(url: &DatabaseUrl, retry: RetryPolicy) -> Result<PgConnection, Error> {
    let on_retry = |reason: &str| tracing::info!("waiting for the database: {reason}");
    Ok(connect(&url.options()?, retry, on_retry).await?)
}
