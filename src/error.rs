//! One opaque error for the whole crate.
//!
//! `Display` prints one layer only, so that error chains read well. `Debug` is the report a person
//! reads, because a test that returns `Err` or unwraps prints `Debug`: the message, the causes, the
//! evidence (a log's tail, an excerpt of SQL) and the remedy.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::scarcity::Scarcity;

/// The result of most operations in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, coarse enough to match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A value from the builder, an environment variable or `ebbtide.toml` is not usable.
    Config,
    /// The wanted backend cannot be used on this machine or in this build.
    BackendUnavailable,
    /// The container engine has no such image and cannot get it, or the image is not one of PostgreSQL's.
    ImageUnavailable,
    /// The server does not let this role in, or does not let it create databases.
    AccessDenied,
    /// The server has no connection left for us.
    OutOfConnections,
    /// No PostgreSQL server binaries were found, or none of the wanted major version.
    BinariesNotFound,
    /// The directory for sockets, locks and data cannot be used.
    StateDir,
    /// There is no space left where the server keeps its data.
    OutOfSpace,
    /// The server did not start.
    ServerStart,
    /// The server went away while it was in use.
    ServerLost,
    /// An extension is not available on the server.
    ExtensionUnavailable,
    /// An extension is available but could not be installed.
    ExtensionInstall,
    /// The migrations cannot be found or read.
    MigrationSource,
    /// A migration failed.
    Migration,
    /// The migrations succeeded and left no table behind.
    NothingMigrated,
    /// The migration ledger and the database disagree.
    LedgerMismatch,
    /// A seed file cannot be read or was refused by the database.
    Seed,
    /// The provisioned database is not what `expect` declares.
    Expectation,
    /// A step did not finish within its limit.
    Timeout,
    /// The test ended the transaction that ebbtide had opened for it.
    TransactionEscaped,
    /// The test is over, and something that it started still uses its database.
    StillInUse,
    /// A deferred constraint did not hold at the end of the test.
    ConstraintViolated,
    /// The database refused a statement.
    Database,
    /// Reading or writing a file failed.
    Io,
    /// Something that is not ebbtide's failed, such as an argument that a test makes for itself.
    Other,
}

/// Any failure of this crate.
///
/// Cloning is cheap: when the shared set-up of a process fails, every test of that process is told so.
#[derive(Clone)]
pub struct Error {
    inner: Arc<Inner>,
}

struct Inner {
    kind: ErrorKind,
    message: String,
    help: Option<String>,
    evidence: Vec<(String, String)>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// What went wrong, to match on.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// What to do about it, where that is known.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        // Whatever could not be opened or read: the shortage is what to remove.
        self.shortage()
            .map(Scarcity::help)
            .or(self.inner.help.as_deref())
    }

    /// What the system has run out of, where a cause is a refused call.
    fn shortage(&self) -> Option<Scarcity> {
        let mut cause = self.source();
        while let Some(error) = cause {
            if let Some(scarcity) = error.downcast_ref().and_then(Scarcity::of_open) {
                return Some(scarcity);
            }
            cause = error.source();
        }
        None
    }

    /// A failure that is not ebbtide's, such as that of an argument that a test makes for itself.
    ///
    /// # Examples
    /// ```no_run
    /// # use ebbtide::{TestArg, TestContext};
    /// struct Key(String);
    ///
    /// impl TestArg for Key {
    ///     async fn from_test(_: &TestContext) -> ebbtide::Result<Self> {
    ///         std::fs::read_to_string("tests/key.pem").map(Key).map_err(ebbtide::Error::other)
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn other(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(ErrorKind::Other, "something of the test's own failed").with_source(cause)
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let inner = Inner {
            kind,
            message: message.into(),
            help: None,
            evidence: Vec::new(),
            source: None,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    pub(crate) fn with_help(self, help: impl Into<String>) -> Self {
        self.change(|inner| inner.help = Some(help.into()))
    }

    /// Adds a titled block of text to the report. Empty blocks are left out.
    pub(crate) fn with_evidence(self, title: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        if text.trim().is_empty() {
            return self;
        }
        self.change(|inner| inner.evidence.push((title.into(), text)))
    }

    pub(crate) fn with_source(self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.change(|inner| inner.source = Some(source.into()))
    }

    /// The text of an earlier block.
    #[cfg(feature = "container")]
    pub(crate) fn evidence(&self, title: &str) -> Option<&str> {
        self.inner
            .evidence
            .iter()
            .find(|(found, _)| found == title)
            .map(|(_, text)| text.as_str())
    }

    fn change(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        // An error is put together by its only owner and shared afterwards.
        let inner =
            Arc::get_mut(&mut self.inner).expect("errors are completed before they are cloned");
        change(inner);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.inner.message)?;
        let mut cause = self.source();
        let mut said = self.inner.message.clone();
        while let Some(error) = cause {
            let text = told(error);
            // Many libraries repeat their source in their own text; once is enough.
            if !said.contains(&text) {
                write!(f, "\n  caused by: {text}")?;
            }
            said = text;
            // The driver's own error tells its causes itself.
            cause = if error.is::<sqlx::Error>() {
                None
            } else {
                error.source()
            };
        }
        for (title, text) in &self.inner.evidence {
            write!(f, "\n  {title}:")?;
            for line in text.trim_end().lines() {
                write!(f, "\n    {line}")?;
            }
        }
        if let Some(help) = self.help() {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

/// What a cause says. The driver adds a line to a server's refusal, and means one of the server's own source code.
pub(crate) fn told(cause: &(dyn StdError + 'static)) -> String {
    match cause.downcast_ref() {
        Some(sqlx::Error::Database(refused)) => refused.message().to_owned(),
        _ => cause.to_string(),
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner
            .source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_is_what_the_help_is_about_whatever_met_it() {
        let refused = || std::io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error());
        let help = Some(Scarcity::OpenFiles.help());
        for cause in [
            Box::<dyn StdError + Send + Sync>::from(refused()),
            Box::from(sqlx::Error::Io(refused())),
        ] {
            let error = Error::new(ErrorKind::BinariesNotFound, "no PostgreSQL").with_source(cause);
            assert_eq!(error.with_help("install it").help(), help);
        }
    }

    #[test]
    fn the_report_holds_causes_evidence_and_help_in_order() {
        let cause = std::io::Error::other("disk on fire");
        let error = Error::new(ErrorKind::ServerStart, "the server did not start")
            .with_source(cause)
            .with_evidence("log", "line 1\nline 2\n")
            .with_evidence("nothing", "  ")
            .with_help("call the fire brigade");
        assert_eq!(
            format!("{error:?}"),
            "the server did not start\n  caused by: disk on fire\n  log:\n    line 1\n    line 2\n  help: call the fire brigade"
        );
        assert_eq!(error.to_string(), "the server did not start");
        assert_eq!(error.kind(), ErrorKind::ServerStart);
    }
}
