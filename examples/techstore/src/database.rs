//! Where the database is, and the pool of connections to it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use ebbtide_example_shared::{Patience, connect};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use url::Url;

use crate::Error;

/// The URL of a database. Its `Debug` output does not have the password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(Url);

impl DatabaseUrl {
    /// From its parts, which may have any characters. A server that begins with `/` is the directory of a Unix socket.
    ///
    /// # Errors
    /// The server's name has characters that a name cannot have.
    pub fn assemble(
        user: &str,
        password: Option<&str>,
        server: &str,
        port: u16,
        name: &str,
    ) -> Result<Self, NotAUrl> {
        let password = password
            .map(|password| format!(":{}", encode(password)))
            .unwrap_or_default();
        let (host, query) = if server.starts_with('/') {
            ("localhost".to_owned(), format!("?host={}", encode(server)))
        } else if server.contains(':') {
            // An address of IPv6.
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

    /// Another database of the same server.
    #[must_use]
    pub fn with_name(&self, name: &str) -> Self {
        let mut url = self.0.clone();
        url.set_path(&encode(name));
        Self(url)
    }

    /// Whether both lead to the same database, whoever connects and however.
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

    /// What the driver needs.
    ///
    /// # Errors
    /// A parameter of the URL is not legal.
    pub fn options(&self) -> Result<PgConnectOptions, Error> {
        let options = PgConnectOptions::from_str(self.as_str()).map_err(Error::Url)?;
        Ok(options.application_name("techstore"))
    }
}

/// What means something in a URL, or might. `url`'s own setters leave `%` as it is, which is wrong for a password.
const MEANINGFUL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-');

fn encode(text: &str) -> String {
    utf8_percent_encode(text, MEANINGFUL).to_string()
}

/// A text that is no URL of PostgreSQL's with a database's name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a URL such as postgres://user:password@server:5432/database")]
pub struct NotAUrl;

impl FromStr for DatabaseUrl {
    type Err = NotAUrl;

    fn from_str(text: &str) -> Result<Self, NotAUrl> {
        let url = Url::parse(text).map_err(|_| NotAUrl)?;
        let is_ours = matches!(url.scheme(), "postgres" | "postgresql") && url.path().len() > 1;
        if is_ours { Ok(Self(url)) } else { Err(NotAUrl) }
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

/// How many connections there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolSettings {
    /// How many stay open, `POSTGRES_POOL_SIZE`.
    pub size: u32,
    /// How many more there may be for a while, `POSTGRES_MAX_OVERFLOW`.
    pub overflow: u32,
    /// How long a request waits for one, `POSTGRES_POOL_TIMEOUT` in seconds.
    pub timeout: Duration,
}

impl Default for PoolSettings {
    /// Five, ten more, half a minute.
    fn default() -> Self {
        Self {
            size: 5,
            overflow: 10,
            timeout: Duration::from_secs(30),
        }
    }
}

impl PoolSettings {
    /// As the driver calls it.
    #[must_use]
    pub fn options(self) -> PgPoolOptions {
        PgPoolOptions::new()
            .min_connections(self.size)
            .max_connections(self.size + self.overflow)
            .acquire_timeout(self.timeout)
            // What overflows goes when nobody has used it for a minute.
            .idle_timeout(Duration::from_mins(1))
            // The pre-ping: who gets a connection gets one that answers.
            .test_before_acquire(true)
    }
}

/// Waits for the server, and makes a pool.
///
/// # Errors
/// The server does not come, or refuses the connection.
pub async fn open(
    url: &DatabaseUrl,
    pool: PoolSettings,
    patience: Patience,
) -> Result<PgPool, Error> {
    wait(url, patience).await?.close().await?;
    Ok(pool.options().connect_with(url.options()?).await?)
}

pub(crate) async fn wait(url: &DatabaseUrl, patience: Patience) -> Result<PgConnection, Error> {
    let told = |reason: &str| tracing::info!("waiting for the database: {reason}");
    Ok(connect(&url.options()?, patience, told).await?)
}
