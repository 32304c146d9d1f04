//! One opaque error for the whole crate.
//!
//! `Display` prints one layer only, so that error chains read well. `Debug` is the report for a
//! person, because a test that returns `Err` or unwraps prints `Debug`. The report has the message,
//! the causes, the evidence (the end of a log, an excerpt of SQL) and the remedy.

use std::error::Error as StdError;
use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::scarcity::Scarcity;

/// The result of most operations in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, coarse enough to match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A value from the builder, an environment variable or `ebbtide.toml` is not usable.
    Config,
    /// The requested backend cannot be used on this machine or in this build, or the external
    /// server cannot be used.
    BackendUnavailable,
    /// The container engine does not have the image and cannot pull it, or the image does not
    /// contain PostgreSQL.
    ImageUnavailable,
    /// The server rejects the login, its certificate fails verification, or the role lacks a
    /// required privilege.
    AccessDenied,
    /// The server has no connection left.
    OutOfConnections,
    /// No PostgreSQL server binaries were found, or none of the requested major version.
    BinariesNotFound,
    /// The directory for sockets, locks and data cannot be used.
    StateDir,
    /// There is no space left where the server stores its data.
    OutOfSpace,
    /// The server did not start.
    ServerStart,
    /// The server, or the connection to it, was lost during use.
    ServerLost,
    /// An extension is not available on the server.
    ExtensionUnavailable,
    /// An extension is available but could not be installed.
    ExtensionInstall,
    /// The migrations cannot be found or read.
    MigrationSource,
    /// A migration failed, or it created an object that no copy can have.
    Migration,
    /// The migrations succeeded and created no table.
    NothingMigrated,
    /// The migration ledger and the database disagree.
    LedgerMismatch,
    /// A seed file or a fixture cannot be read, or the database refused it.
    Seed,
    /// The provisioned database is not what `expect` declares.
    Expectation,
    /// A step did not finish within its time limit.
    Timeout,
    /// The test ended the transaction that ebbtide opened for it.
    TransactionEscaped,
    /// The test has ended, and something that it started still uses its database.
    StillInUse,
    /// A database cannot be forked now: sessions on it prevent it, or it has an object that no copy
    /// can have.
    Fork,
    /// A checkpoint cannot be set or returned to.
    Checkpoint,
    /// A deferred constraint was violated at the end of the test.
    ConstraintViolated,
    /// The database refused a statement.
    Database,
    /// Reading or writing a file failed, or the system could not start a program or a thread.
    Io,
    /// Code outside ebbtide failed, for example an argument that a test creates itself.
    Other,
}

/// The error of this crate.
///
/// Cloning is cheap: when the shared set-up of a process fails, every test of that process returns
/// the error. The first test prints the full report, and each further one a line that names the
/// first.
#[derive(Clone)]
pub struct Error {
    inner: Arc<Inner>,
    /// Whether another test of this process has the full report.
    is_repeated: bool,
}

struct Inner {
    /// The first test that got this error.
    first_test: OnceLock<String>,
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

    /// What to do about it, if that is known.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        // A shortage of the system is the cause to remove, whichever step met it.
        self.shortage()
            .map(Scarcity::help)
            .or(self.inner.help.as_deref())
    }

    /// The shortage of the system that one of the causes reports.
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

    /// An error of code outside ebbtide, for example of an argument that a test creates itself.
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
        Self::new(ErrorKind::Other, "the test's own code failed").with_source(cause)
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let inner = Inner {
            first_test: OnceLock::new(),
            kind,
            message: message.into(),
            help: None,
            evidence: Vec::new(),
            source: None,
        };
        Self {
            inner: Arc::new(inner),
            is_repeated: false,
        }
    }

    /// The error as this test gets it. If another test has got the same error before, `Debug`
    /// prints one line that names that test.
    pub(crate) fn for_test(self, test: &str) -> Self {
        let first = self.inner.first_test.get_or_init(|| test.to_owned());
        let is_repeated = first != test;
        Self {
            is_repeated,
            ..self
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

    /// The text of the block with this title.
    pub(crate) fn evidence(&self, title: &str) -> Option<&str> {
        self.inner
            .evidence
            .iter()
            .find(|(found, _)| found == title)
            .map(|(_, text)| text.as_str())
    }

    fn change(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        // An error is completed before it is cloned, so it has one owner here.
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
        if let (true, Some(first)) = (self.is_repeated, self.inner.first_test.get()) {
            return write!(f, "\n  the full report is in the output of test {first}");
        }
        let mut cause = self.source();
        let mut previous = self.inner.message.clone();
        while let Some(error) = cause {
            let text = cause_message(error);
            // Many libraries repeat their source in their own text. It is printed once.
            if !previous.contains(&text) {
                write!(f, "\n  caused by: {text}")?;
            }
            previous = text;
            // The text of the driver's error includes its causes.
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

/// The message of a cause. For an error of the server it is the server's message alone. The
/// driver's text adds a line number of the server's source code, which a reader would take for one
/// of the migration.
pub(crate) fn cause_message(cause: &(dyn StdError + 'static)) -> String {
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
    fn the_help_is_about_the_shortage_whichever_error_reports_it() {
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
    fn a_shared_error_is_reported_in_full_by_the_first_test_only() {
        let shared = Error::new(ErrorKind::Migration, "migration 3 failed").with_help("mend it");
        let full = "migration 3 failed\n  help: mend it";
        let first = shared.clone().for_test("one");
        assert_eq!(format!("{first:?}"), full);
        let other = shared.clone().for_test("two");
        assert_eq!(
            format!("{other:?}"),
            "migration 3 failed\n  the full report is in the output of test one"
        );
        assert_eq!(
            (other.to_string(), other.help()),
            (shared.to_string(), Some("mend it"))
        );
        // The first test again, and code that is no test.
        assert_eq!(format!("{:?}", other.for_test("one")), full);
        assert_eq!(format!("{shared:?}"), full);
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
