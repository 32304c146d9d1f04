//! How to reach a server: connection parameters, URL, redaction.

mod inherited;
mod own;
mod program;

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions as _, Connection as _};
use url::{Position, Url};

use crate::error::Result;
use crate::sql_error;
use crate::wait::Patience;

pub(crate) use own::{Known, RoleKind};

/// The database that every server has and that administration goes through.
pub(crate) const ADMIN_DATABASE: &str = "postgres";

/// The port, which for a Unix socket is only a part of the socket's file name.
pub(crate) const PORT: u16 = 5432;

/// What to do about a URL that cannot be read.
pub(crate) const WRITE_URL: &str = "it reads like postgres://user:password@host:5432/database?sslmode=require; write special \
     characters of a password as %XX";

/// A server on another machine learns within a minute that this one is gone, and frees what its sessions held. On a Unix
/// socket they say nothing.
/// <https://www.postgresql.org/docs/current/runtime-config-connection.html#GUC-TCP-KEEPALIVES-IDLE>
const KEEPALIVES: [(&str, &str); 3] = [
    ("tcp_keepalives_idle", "30"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "3"),
];

/// How long a server may be without a connection for us before that is an error.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Where a server listens and who we are there.
#[derive(Clone)]
pub(crate) struct ConnParams {
    options: PgConnectOptions,
    /// What stands before the database's name in a URL, and the parameters behind it.
    url: (String, Vec<String>),
    /// The settings of every session that a URL names.
    session: String,
    /// The database that administration goes through, and that advisory locks belong to.
    admin: String,
    identity: Identity,
    /// The server's version and our role's rights, once we are connected.
    known: Option<Known>,
}

/// Whose variables may complete what the parameters leave open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Identity {
    /// Nothing is open: the server is ours.
    Ours,
    /// The driver completes a URL by `PGPASSWORD`, `PGSSLMODE` and the like, and so may a child process.
    OfUser,
}

impl ConnParams {
    /// A server that trusts whoever reaches its socket's directory.
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
            identity: Identity::Ours,
            known: None,
        }
    }

    /// A server behind a port, with a password and without encryption.
    #[cfg(feature = "container")]
    pub(crate) fn tcp(host: &str, port: u16, user: &str, password: &str) -> Self {
        let shown = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        let (name, secret) = (percent_encode(user), percent_encode(password));
        Self {
            options: plain(user).host(host).port(port).password(password),
            url: (
                format!("postgres://{name}:{secret}@{shown}:{port}/"),
                Vec::new(),
            ),
            session: String::new(),
            admin: ADMIN_DATABASE.to_owned(),
            identity: Identity::Ours,
            known: None,
        }
    }

    /// A server that somebody else runs, reached as its URL and the driver's rules for it say. The settings hold for
    /// every session, as far as a session may set them.
    ///
    /// # Errors
    /// The URL, or one of its parameters, cannot be read.
    pub(crate) fn external(
        url: &str,
        settings: &BTreeMap<String, String>,
    ) -> Result<Self, sqlx::Error> {
        let shown: Url = url
            .parse()
            .map_err(|error| sqlx::Error::Configuration(Box::new(error)))?;
        let given: PgConnectOptions = url.parse()?;
        let session = inherited::of_url(&given.options(settings));
        let replaced = |pair: &&str| is_setting(pair) || pair.split('=').next() == Some("dbname");
        let kept = pairs(&shown)
            .into_iter()
            .filter(|pair| !replaced(pair))
            .map(str::to_owned)
            .collect();
        Ok(Self {
            options: inherited::only_settings(&shown, &session)?.options(KEEPALIVES),
            url: (format!("{}/", &shown[..Position::BeforePath]), kept),
            session,
            admin: ADMIN_DATABASE.to_owned(),
            identity: Identity::OfUser,
            known: None,
        })
    }

    /// The same server, administered through another database.
    pub(crate) fn through(self, admin: &str) -> Self {
        Self {
            admin: admin.to_owned(),
            ..self
        }
    }

    /// The same server, with the plans of statements that take longer in its log: for superusers only.
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

    /// The same server for who only looks: what such a session wrote to a lane would stay.
    pub(crate) fn looking(&self) -> Self {
        self.with_settings(&[("default_transaction_read_only", "on")])
    }

    /// The same server for sessions that make something, whatever its default for transactions is.
    pub(crate) fn writing(&self) -> Self {
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

    /// The database that administration goes through.
    pub(crate) fn admin(&self) -> &str {
        &self.admin
    }

    /// The database that the URL itself names, or the one that a server takes for it.
    pub(crate) fn own_database(&self) -> &str {
        self.options.get_database().unwrap_or(self.user())
    }

    pub(crate) fn user(&self) -> &str {
        self.options.get_username()
    }

    /// The name or address of the server's machine; none for a Unix socket.
    pub(crate) fn host(&self) -> Option<&str> {
        let host = self.options.get_host();
        (self.options.get_socket().is_none() && !host.starts_with('/')).then_some(host)
    }

    /// Where the server listens, for people.
    pub(crate) fn place(&self) -> String {
        let port = self.options.get_port();
        match (self.host(), self.options.get_socket()) {
            (Some(host), _) => format!("{host}:{port}"),
            (None, Some(dir)) => format!("{}/.s.PGSQL.{port}", dir.display()),
            (None, None) => format!("{}/.s.PGSQL.{port}", self.options.get_host()),
        }
    }

    /// Options for one database, with our application name and no statement logging.
    pub(crate) fn options(&self, database: &str) -> PgConnectOptions {
        self.options
            .clone()
            .database(database)
            .application_name("ebbtide")
            .disable_statement_logging()
    }

    /// A URL that libpq, sqlx and psql accept.
    pub(crate) fn url(&self, database: &str) -> String {
        let mut parameters = self.url.1.clone();
        if !self.session.is_empty() {
            // As one parameter: the driver would put several together, and libpq take the last.
            parameters.push(format!("options={}", percent_encode(&self.session)));
        }
        let query = if parameters.is_empty() {
            String::new()
        } else {
            format!("?{}", parameters.join("&"))
        };
        format!("{}{}{query}", self.url.0, percent_encode(database))
    }

    pub(crate) async fn connect(&self, database: &str) -> Result<PgConnection> {
        open(&self.options(database)).await.map_err(|error| {
            sql_error::failed(&format!("connecting to database {database}"), error)
        })
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
    patiently(|| PgConnection::connect_with(options)).await
}

/// Tries to connect for as long as a server without a connection left is waited for.
pub(crate) async fn patiently<F>(
    mut connect: impl FnMut() -> F,
) -> Result<PgConnection, sqlx::Error>
where
    F: Future<Output = Result<PgConnection, sqlx::Error>>,
{
    let mut patience = Patience::new("connecting", CONNECT_TIMEOUT);
    loop {
        match connect().await {
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
    inherited::none_of()
        .ssl_mode(PgSslMode::Disable)
        .username(user)
}

/// The parameters of a URL as they are written.
fn pairs(url: &Url) -> Vec<&str> {
    url.query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
        .collect()
}

/// Whether a parameter of a URL names settings of the session.
fn is_setting(pair: &str) -> bool {
    let key = pair.split('=').next().unwrap_or_default();
    key == "options"
        || ["options[", "options%5B", "options%5b"]
            .iter()
            .any(|of| key.starts_with(of))
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

    #[cfg(feature = "container")]
    #[test]
    fn a_password_is_in_the_url_and_not_in_the_debug_output() {
        let params = ConnParams::tcp("127.0.0.1", 6543, "postgres", "s/e:cret");
        assert_eq!(
            params.url("lane_1"),
            "postgres://postgres:s%2Fe%3Acret@127.0.0.1:6543/lane_1"
        );
        assert!(!format!("{params:?}").contains("cret"), "{params:?}");
    }

    #[test]
    fn a_url_of_the_users_own_keeps_all_but_its_database_and_options() {
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
