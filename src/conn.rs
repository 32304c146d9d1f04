//! How to reach a server: connection parameters, URL, redaction.

use std::fmt::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::error::Result;
use crate::sql_error;
use crate::wait::Patience;

/// The database that every server has and that administration goes through.
pub(crate) const ADMIN_DATABASE: &str = "postgres";

/// The port, which for a Unix socket is only a part of the socket's file name.
pub(crate) const PORT: u16 = 5432;

/// How long a server may be without a connection for us before that is an error.
const CROWDED: Duration = Duration::from_secs(30);

/// Where a server listens and who we are there.
#[derive(Clone)]
pub(crate) struct ConnParams {
    options: PgConnectOptions,
    /// What stands before and after the database's name in a URL.
    url: (String, String),
}

impl ConnParams {
    /// A server that trusts whoever reaches its socket's folder.
    pub(crate) fn socket(folder: &Path, user: &str) -> Self {
        // A host that begins with a slash is a socket's folder.
        // https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS
        let host = percent_encode(&folder.to_string_lossy());
        Self {
            options: plain(user).socket(folder).port(PORT),
            url: (format!("postgres://{}@{host}:{PORT}/", percent_encode(user)), String::new()),
        }
    }

    /// A server behind a port, with a password and without encryption.
    #[cfg(feature = "container")]
    pub(crate) fn tcp(host: &str, port: u16, user: &str, password: &str) -> Self {
        let shown = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let (name, secret) = (percent_encode(user), percent_encode(password));
        Self {
            options: plain(user).host(host).port(port).password(password),
            url: (format!("postgres://{name}:{secret}@{shown}:{port}/"), String::new()),
        }
    }

    /// Options for one database, with our application name and no statement logging.
    pub(crate) fn options(&self, database: &str) -> PgConnectOptions {
        self.options.clone().database(database).application_name("ebbtide").disable_statement_logging()
    }

    /// A URL that libpq, sqlx and psql accept.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("{}{}{}", self.url.0, percent_encode(database), self.url.1)
    }

    pub(crate) async fn connect(&self, database: &str) -> Result<PgConnection> {
        open(&self.options(database))
            .await
            .map_err(|error| sql_error::failed(&format!("connecting to database {database}"), error))
    }
}

impl fmt::Debug for ConnParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the password.
        f.debug_struct("ConnParams")
            .field("host", &self.options.get_host())
            .field("socket", &self.options.get_socket())
            .field("port", &self.options.get_port())
            .field("user", &self.options.get_username())
            .finish_non_exhaustive()
    }
}

/// Connects, and waits for a while when the server has no connection left.
pub(crate) async fn open(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let mut patience = Patience::new("connecting", CROWDED);
    loop {
        match PgConnection::connect_with(options).await {
            Err(error) if sql_error::is_crowded(&error) => {
                if patience.pause(&error).await.is_err() {
                    return Err(error);
                }
            }
            other => return other,
        }
    }
}

fn plain(user: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass().ssl_mode(PgSslMode::Disable).username(user)
}

fn percent_encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a string does not fail");
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_leads_sqlx_to_the_same_socket() {
        let params = ConnParams::socket(Path::new("/tmp/some folder"), "postgres");
        let url = params.url("lane_1");
        assert_eq!(url, "postgres://postgres@%2Ftmp%2Fsome%20folder:5432/lane_1");
        let parsed: PgConnectOptions = url.parse().expect("sqlx reads our URL");
        assert_eq!(parsed.get_socket().map(std::path::PathBuf::as_path), Some(Path::new("/tmp/some folder")));
        assert_eq!(parsed.get_database(), Some("lane_1"));
    }

    #[cfg(feature = "container")]
    #[test]
    fn a_password_is_in_the_url_and_not_in_the_debug_output() {
        let params = ConnParams::tcp("127.0.0.1", 6543, "postgres", "s/e:cret");
        assert_eq!(params.url("lane_1"), "postgres://postgres:s%2Fe%3Acret@127.0.0.1:6543/lane_1");
        assert!(!format!("{params:?}").contains("cret"), "{params:?}");
    }
}
