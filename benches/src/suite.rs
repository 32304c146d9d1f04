//! Runs the tests of `crates/compare` with `cargo nextest run`, or in one process.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ebbtide::config::Backend;
use ebbtide::{Database, Harness, Setup};

use crate::Error;

const PACKAGE: &str = "ebbtide-compare";
const FIXTURE: &str = include_str!("../../crates/compare/tests/fixtures/customers.sql");

/// How tests run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Runner {
    /// Each test in a process of its own.
    Nextest,
    /// All tests in one process, in as many threads as there are cores.
    OneProcess,
    /// All tests in one process, in so many threads.
    Threads(u8),
}

/// Which tests of a binary run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum TestCount {
    /// The modules `m0` to `m9`.
    ThreeHundred,
    SixHundred,
}

/// The server on which the tests run, and the databases for the sides that need a URL. It runs as
/// long as this value exists.
#[derive(Debug)]
pub(crate) struct Suite {
    harness: Harness,
    /// For tests on bare connections.
    bare: Database,
    /// For `#[sqlx::test]`, which keeps its table of databases in it.
    admin: Database,
}

impl Suite {
    /// Starts the server, and provisions the template that the tests with ebbtide use.
    pub(crate) async fn new() -> Result<Self, Error> {
        let harness = harness()?;
        Ok(Self {
            bare: harness.database().await?,
            admin: harness.database().await?,
            harness,
        })
    }

    pub(crate) fn harness(&self) -> &Harness {
        &self.harness
    }

    pub(crate) fn bare(&self) -> &Database {
        &self.bare
    }

    pub(crate) async fn close(self) -> Result<(), Error> {
        self.bare.close().await?;
        self.admin.close().await?;
        Ok(())
    }

    /// Runs the tests of one binary and returns their duration, without the time that cargo needs
    /// to find the binary up to date.
    pub(crate) fn run(
        &self,
        runner: Runner,
        tests: TestCount,
        binary: &str,
    ) -> Result<Duration, Error> {
        let (filter, count) = match tests {
            TestCount::ThreeHundred => ("test(/^m/)", 300),
            TestCount::SixHundred => ("all()", 600),
        };
        match runner {
            Runner::Nextest => {
                let mut command = cargo();
                command.args(["nextest", "run", "--package", PACKAGE, "--test", binary]);
                command.args(["--show-progress", "none", "-E", filter]);
                let report = self.output(&mut command)?;
                summary(&report, count)
                    .ok_or_else(|| format!("no summary of {count} tests in: {report}").into())
            }
            Runner::OneProcess | Runner::Threads(_) => {
                let mut command = Command::new(test_binary(binary)?);
                command
                    .arg("--quiet")
                    .env("CARGO_MANIFEST_DIR", package_dir())
                    .env("CARGO_PKG_NAME", PACKAGE)
                    .current_dir(package_dir());
                if matches!(tests, TestCount::ThreeHundred) {
                    command.arg("m");
                }
                if let Runner::Threads(count) = runner {
                    command.arg(format!("--test-threads={count}"));
                }
                let began = Instant::now();
                let report = self.output(&mut command)?;
                let took = began.elapsed();
                if report.contains(&format!("ok. {count} passed")) {
                    Ok(took)
                } else {
                    Err(format!("{binary} did not run {count} tests: {report}").into())
                }
            }
        }
    }

    fn output(&self, command: &mut Command) -> Result<String, Error> {
        output(
            command
                .env("EBBTIDE_BACKEND", "native")
                .env("DATABASE_URL", self.admin.url())
                .env("COMPARE_URL", self.bare.url())
                .env_remove("RUST_TEST_THREADS"),
        )
    }
}

/// A harness with the configuration of the package `ebbtide-compare`.
fn harness() -> Result<Harness, Error> {
    let harness = Harness::builder()
        .backend(Backend::Native)
        .package_root(package_dir())
        .config_file(package_dir().join("ebbtide.toml"))
        .build()?;
    Ok(harness.with_setup(Setup::new().fixture("customers.sql", FIXTURE)))
}

/// The path of a test binary of the package `ebbtide-compare`. Builds it if it is not up to date, as
/// a user's tests are built: without optimisation.
pub(crate) fn test_binary(name: &str) -> Result<PathBuf, Error> {
    let mut command = cargo();
    command.args(["test", "--no-run", "--package", PACKAGE, "--test", name]);
    let report = output(&mut command)?;
    // `Executable tests/NAME.rs (target/debug/deps/NAME-0123456789abcdef)`
    let path = report
        .lines()
        .filter(|line| line.trim_start().starts_with("Executable"))
        .find_map(|line| line.split_once('(')?.1.split_once(')'))
        .map(|(path, _)| root().join(path));
    path.ok_or_else(|| format!("cargo named no executable: {report}").into())
}

fn cargo() -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root());
    if std::env::var_os("CARGO_PROFILE_DEV_OPT_LEVEL").is_none() {
        // The repository's own profile has another level.
        command.env("CARGO_PROFILE_DEV_OPT_LEVEL", "0");
    }
    command
}

/// Runs a command to its end and returns all that it printed.
fn output(command: &mut Command) -> Result<String, Error> {
    let output = command
        .stdin(Stdio::null())
        .env("CARGO_TERM_COLOR", "never")
        .output()
        .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    let report = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    if output.status.success() {
        Ok(report)
    } else {
        Err(format!(
            "{}: {}\n{report}",
            command.get_program().display(),
            output.status
        )
        .into())
    }
}

/// The duration in nextest's line `Summary [   1.234s] 300 tests run: 300 passed, 300 skipped`.
fn summary(report: &str, count: u32) -> Option<Duration> {
    let line = report
        .lines()
        .find_map(|line| line.trim_start().strip_prefix("Summary ["))?;
    let (seconds, rest) = line.split_once("s]")?;
    let passed = rest.contains(&format!("{count} passed"));
    let seconds: f64 = seconds.trim().parse().ok()?;
    passed.then(|| Duration::from_secs_f64(seconds))
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn package_dir() -> PathBuf {
    root().join("crates/compare")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_of_nextest_has_the_time_of_the_tests() {
        let report = "   Compiling x\n------------\n     Summary [   1.250s] 300 tests run: \
                      300 passed, 300 skipped\n";
        assert_eq!(summary(report, 300), Some(Duration::from_millis(1_250)));
        assert_eq!(summary(report, 600), None, "another number of tests");
        assert_eq!(summary("no tests", 300), None);
    }
}
