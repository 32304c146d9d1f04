//! How to reach a server: connection parameters, URL, redaction.

mod accepted_url;
mod inherited;
mod own;
mod program;
mod role;
#[cfg(feature = "container")]
mod tcp;
mod url_text;
mod version_and_role;

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions as _, Connection as _};
use url::Position;

use crate::error::Result;
use crate::sql_error;
use crate::wait::Polling;
use url_text::{is_setting, pairs, percent_encode};

pub(crate) use role::RoleLogin;
pub(crate) use version_and_role::{RoleKind, VersionAndRole};

/// The database that administrative sessions connect to. Every new cluster has it.
pub(crate) const ADMIN_DATABASE: &str = "postgres";

/// The port. With a Unix socket it is only a part of the socket's file name.
pub(crate) const PORT: u16 = 5432;

/// Help for a URL that cannot be parsed.
pub(crate) const URL_HELP: &str = "write the URL as \
     postgres://user:password@host:5432/database?sslmode=require; percent-encode special \
     characters of the password (%XX)";

/// Makes a server on another machine detect within a minute that this machine is gone.
///
/// The server then ends the sessions and frees their locks. The settings have no effect on a Unix
/// socket.
/// <https://www.postgresql.org/docs/current/runtime-config-connection.html#GUC-TCP-KEEPALIVES-IDLE>
const KEEPALIVES: [(&str, &str); 3] = [
    ("tcp_keepalives_idle", "30"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "3"),
];

/// How long connecting is retried while the server reports `too_many_connections`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Where a server listens, and the role and the settings with which we connect.
#[derive(Clone)]
pub(crate) struct ConnParams {
    options: PgConnectOptions,
    /// The URL's part before the database's name, and its parameters.
    url: (String, Vec<String>),
    /// The start-up parameter `options` of every session that uses the URL.
    session: String,
    /// The database that administrative sessions connect to, and that advisory locks belong to.
    admin: String,
    credentials: Credentials,
    /// The server's version and our role's kind, once a connection has shown them.
    version_and_role: Option<VersionAndRole>,
}

/// Whether libpq's variables may complete the parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Credentials {
    /// The parameters are complete, because ebbtide has started the server.
    Complete,
    /// The driver completes a user's URL from `PGPASSWORD`, `PGSSLMODE` and similar variables. A
    /// child process may do the same.
    FromEnvironment,
}

impl ConnParams {
    /// A server that trusts every process that can reach its socket's directory.
    pub(crate) fn socket(dir: &Path, user: &str) -> Self {
        // A host that begins with a slash is a socket's directory.
        // https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS
        let host = percent_encode(&dir.to_string_lossy());
        Self {
            options: plain(user).socket(dir).port(PORT),
            url: (
                format!("postgres://{}@{host}:{PORT}/", percent_encode(user)),
                Vec::new(),
            ),
            session: String::new(),
            admin: ADMIN_DATABASE.to_owned(),
            credentials: Credentials::Complete,
            version_and_role: None,
        }
    }

    /// A server that ebbtide does not run, at a URL in any form that [`accepted_url`] lists.
    ///
    /// `settings` become parameters of every session.
    ///
    /// # Errors
    /// The URL, or one of its parameters, cannot be parsed.
    pub(crate) fn external(
        url: &str,
        settings: &BTreeMap<String, String>,
    ) -> Result<Self, sqlx::Error> {
        let parsed = accepted_url::parse(url)?;
        let given: PgConnectOptions = parsed.as_str().parse()?;
        let session = inherited::settings_of_url(&given.options(settings));
        let replaced = |pair: &&str| is_setting(pair) || pair.split('=').next() == Some("dbname");
        let kept = pairs(&parsed)
            .into_iter()
            .filter(|pair| !replaced(pair))
            .map(str::to_owned)
            .collect();
        Ok(Self {
            options: inherited::with_only_settings(&parsed, &session)?.options(KEEPALIVES),
            url: (format!("{}/", &parsed[..Position::BeforePath]), kept),
            session,
            admin: ADMIN_DATABASE.to_owned(),
            credentials: Credentials::FromEnvironment,
            version_and_role: None,
        })
    }

    /// The same server, with another database for administrative sessions.
    pub(crate) fn with_admin_database(self, admin: &str) -> Self {
        Self {
            admin: admin.to_owned(),
            ..self
        }
    }

    /// The same server, for sessions that log the plans of statements slower than `slower_than`.
    ///
    /// Only a superuser may set these parameters.
    /// <https://www.postgresql.org/docs/current/auto-explain.html>
    pub(crate) fn logging_plans(&self, slower_than: Duration) -> Self {
        let milliseconds = slower_than.as_millis().to_string();
        let settings = [
            ("session_preload_libraries", "auto_explain"),
            ("auto_explain.log_min_duration", milliseconds.as_str()),
            ("auto_explain.log_analyze", "on"),
        ];
        self.with_settings(&settings)
    }

    /// The same server, for sessions whose transactions are read-only by default.
    ///
    /// Rows that such a session wrote to a lane would stay there.
    pub(crate) fn read_only(&self) -> Self {
        self.with_settings(&[("default_transaction_read_only", "on")])
    }

    /// The same server, for sessions that write even if the server's default is read-only.
    pub(crate) fn read_write(&self) -> Self {
        self.with_settings(&[("default_transaction_read_only", "off")])
    }

    fn with_settings(&self, settings: &[(&str, &str)]) -> Self {
        let mut changed = self.clone();
        changed.options = changed.options.options(settings.iter().copied());
        for (name, value) in settings {
            let space = if changed.session.is_empty() { "" } else { " " };
            write!(changed.session, "{space}-c {name}={value}")
                .expect("writing to a string does not fail");
        }
        changed
    }

    /// The database that administrative sessions connect to.
    pub(crate) fn admin(&self) -> &str {
        &self.admin
    }

    /// The database that the URL names. Without one, PostgreSQL takes the user's name.
    pub(crate) fn own_database(&self) -> &str {
        self.options.get_database().unwrap_or(self.user())
    }

    pub(crate) fn user(&self) -> &str {
        self.options.get_username()
    }

    /// The name or address of the server's machine, or `None` for a Unix socket.
    pub(crate) fn host(&self) -> Option<&str> {
        let host = self.options.get_host();
        (self.options.get_socket().is_none() && !host.starts_with('/')).then_some(host)
    }

    /// Where the server listens, for messages.
    pub(crate) fn place(&self) -> String {
        let port = self.options.get_port();
        match (self.host(), self.options.get_socket()) {
            (Some(host), _) => format!("{host}:{port}"),
            (None, Some(dir)) => format!("{}/.s.PGSQL.{port}", dir.display()),
            (None, None) => format!("{}/.s.PGSQL.{port}", self.options.get_host()),
        }
    }

    /// The driver's options for one database, with our application name and without the driver's
    /// statement log.
    pub(crate) fn options(&self, database: &str) -> PgConnectOptions {
        self.options
            .clone()
            .database(database)
            .application_name("ebbtide")
            .disable_statement_logging()
    }

    /// The URL of one database, in a form that libpq, sqlx and psql accept.
    pub(crate) fn url(&self, database: &str) -> String {
        let mut parameters = self.url.1.clone();
        if !self.session.is_empty() {
            // One parameter for all settings: of several, the driver would join them, but libpq
            // would take only the last.
            parameters.push(format!("options={}", percent_encode(&self.session)));
        }
        let query = if parameters.is_empty() {
            String::new()
        } else {
            format!("?{}", parameters.join("&"))
        };
        format!("{}{}{query}", self.url.0, percent_encode(database))
    }

    /// Connects to a database for the user's SQL: the session has no settings of ours.
    pub(crate) async fn connect(&self, database: &str) -> Result<PgConnection> {
        open(&self.options(database)).await.map_err(|error| {
            sql_error::failed(&format!("connecting to database {database}"), error)
        })
    }
}

impl fmt::Debug for ConnParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The options contain the password, so their own `Debug` is not used.
        f.debug_struct("ConnParams")
            .field("host", &self.options.get_host())
            .field("socket", &self.options.get_socket())
            .field("port", &self.options.get_port())
            .field("user", &self.options.get_username())
            .finish_non_exhaustive()
    }
}

/// Connects, and retries for a while if the server has no connection left.
pub(crate) async fn open(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    retry_too_many_connections(|| PgConnection::connect_with(options)).await
}

/// Calls `connect`, and retries until [`CONNECT_TIMEOUT`] while the server reports SQLSTATE 53300
/// (`too_many_connections`).
///
/// Programs other than ebbtide may use the server too, so a permit does not guarantee a connection.
///
/// # Errors
/// The driver's error. After the timeout, this is the last 53300 and not a timeout.
pub(crate) async fn retry_too_many_connections<F>(
    mut connect: impl FnMut() -> F,
) -> Result<PgConnection, sqlx::Error>
where
    F: Future<Output = Result<PgConnection, sqlx::Error>>,
{
    let mut polling = Polling::new("connecting", CONNECT_TIMEOUT);
    loop {
        match connect().await {
            Err(error) if sql_error::is_out_of_connections(&error) => {
                if polling.pause(&error).await.is_err() {
                    return Err(error);
                }
            }
            other => return other,
        }
    }
}

fn plain(user: &str) -> PgConnectOptions {
    inherited::without_settings()
        .ssl_mode(PgSslMode::Disable)
        .username(user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlx_parses_the_url_to_the_same_socket() {
        let params = ConnParams::socket(Path::new("/tmp/some directory"), "postgres");
        let url = params.url("lane_1");
        assert_eq!(
            url,
            "postgres://postgres@%2Ftmp%2Fsome%20directory:5432/lane_1"
        );
        let parsed: PgConnectOptions = url.parse().expect("sqlx reads our URL");
        assert_eq!(
            parsed.get_socket().map(std::path::PathBuf::as_path),
            Some(Path::new("/tmp/some directory"))
        );
        assert_eq!(parsed.get_database(), Some("lane_1"));
    }

    #[test]
    fn an_external_url_keeps_everything_but_its_database_and_options() {
        let settings = BTreeMap::from([("work_mem".to_owned(), "8MB".to_owned())]);
        let url = "postgres://me:s%2Fe@db.example:6432/app?sslmode=require&dbname=other&options=-c%20jit%3Doff";
        let params = ConnParams::external(url, &settings).expect("the URL reads");
        assert_eq!(params.own_database(), "other");
        assert_eq!(
            (params.host(), params.place().as_str()),
            (Some("db.example"), "db.example:6432")
        );
        let url = params.url("lane_1");
        assert_eq!(
            url,
            "postgres://me:s%2Fe@db.example:6432/lane_1?sslmode=require&options=-c%20jit%3Doff%20-c%20work_mem%3D8MB"
        );
        let parsed: PgConnectOptions = url.parse().expect("sqlx reads our URL");
        assert_eq!(parsed.get_database(), Some("lane_1"));
        assert_eq!(parsed.get_options(), Some("-c jit=off -c work_mem=8MB"));
        assert!(!format!("{params:?}").contains("s/e"), "{params:?}");
    }

    #[test]
    fn a_socket_in_a_parameter_has_no_host() {
        let params = ConnParams::external("postgres:///?host=/run/pg&user=me", &BTreeMap::new())
            .expect("the URL reads");
        assert_eq!(
            (params.host(), params.place().as_str()),
            (None, "/run/pg/.s.PGSQL.5432")
        );
        assert_eq!(
            params.url("lane_1"),
            "postgres:///lane_1?host=/run/pg&user=me"
        );
    }
}
