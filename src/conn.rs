//! How to reach a server: connection parameters, URL, redaction.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::error::Result;
use crate::sql_error;

/// The database that every server has and that administration goes through.
pub(crate) const ADMIN_DATABASE: &str = "postgres";

/// The port, which for a Unix socket is only a part of the socket's file name.
pub(crate) const PORT: u16 = 5432;

/// Where a server listens and who we are there.
#[derive(Debug, Clone)]
pub(crate) struct ConnParams {
    socket_folder: PathBuf,
    user: String,
}

impl ConnParams {
    pub(crate) fn socket(socket_folder: &Path, user: &str) -> Self {
        Self { socket_folder: socket_folder.to_owned(), user: user.to_owned() }
    }

    /// Options for one database, with our application name and no statement logging.
    pub(crate) fn options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.socket_folder)
            .port(PORT)
            .ssl_mode(PgSslMode::Disable)
            .username(&self.user)
            .database(database)
            .application_name("ebbtide")
            .disable_statement_logging()
    }

    /// A URL that libpq, sqlx and psql accept.
    pub(crate) fn url(&self, database: &str) -> String {
        // A host that begins with a slash is a socket's folder.
        // https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS
        let folder = percent_encode(&self.socket_folder.to_string_lossy());
        format!("postgres://{}@{folder}:{PORT}/{}", percent_encode(&self.user), percent_encode(database))
    }

    pub(crate) async fn connect(&self, database: &str) -> Result<PgConnection> {
        PgConnection::connect_with(&self.options(database))
            .await
            .map_err(|error| sql_error::failed(&format!("connecting to database {database}"), error))
    }
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
        assert_eq!(parsed.get_socket().map(PathBuf::as_path), Some(Path::new("/tmp/some folder")));
        assert_eq!(parsed.get_database(), Some("lane_1"));
    }
}
