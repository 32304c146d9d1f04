//! Whether the tests of this process wait for each other's connections.
//!
//! ```text
//!   server A: all permits held by test one, which waits at server B
//!   server B: all permits held by test two, which waits at server A     no permit ever comes back
//! ```
//!
//! A test that opens one database after the other holds permits while it waits for more. A server
//! is stalled if this process holds all of its permits, and every test that holds one waits at
//! stalled servers. Usually that is the same server.

use std::time::Duration;

use super::permit_usage::PermitUsage;
use super::permits::Permits;
use super::permits_of_process;

impl Permits {
    /// How long this process has been stalled on this server, or zero if it is not. The time counts
    /// from the last release of a permit of any stalled server.
    ///
    /// `collected` is the number of permits that the calling test has collected. The server's
    /// capacity as `collected` excludes other processes from the calculation.
    pub(crate) fn stalled_for(&self, collected: usize) -> Duration {
        let mut all: Vec<PermitUsage> = permits_of_process::all()
            .iter()
            .filter(|permits| permits.server() != self.server())
            .map(|permits| permits.usage(0))
            .collect();
        all.push(self.usage(collected));
        let stalled = stalled(&all);
        if !stalled.iter().any(|usage| usage.server == self.server()) {
            return Duration::ZERO;
        }
        let since = stalled.iter().map(|usage| usage.last_release.elapsed());
        since.min().unwrap_or_default()
    }
}

/// The servers that are stalled: all that are full, without those at which a test can go on, until
/// no more are removed.
fn stalled(all: &[PermitUsage]) -> Vec<&PermitUsage> {
    let mut stalled: Vec<&PermitUsage> = all.iter().filter(|usage| usage.is_full).collect();
    loop {
        let is_stuck = |test: &String| {
            let mut waits_at = all.iter().filter(|usage| usage.waiting.contains(test));
            waits_at.clone().next().is_some()
                && waits_at.all(|usage| stalled.iter().any(|one| one.server == usage.server))
        };
        // The permits of idle lanes belong to no test: the test with the turn reclaims them, and
        // each release counts.
        let remaining: Vec<&PermitUsage> = stalled
            .iter()
            .copied()
            .filter(|usage| usage.holding.iter().all(is_stuck))
            .collect();
        if remaining.len() == stalled.len() {
            return stalled;
        }
        stalled = remaining;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// The servers that are stalled. Each has a name, and the tests that hold and wait.
    fn stalled_of(servers: &[(&str, &[&str], &[&str])]) -> Vec<String> {
        let set = |tests: &[&str]| tests.iter().map(ToString::to_string).collect();
        let all: Vec<PermitUsage> = servers
            .iter()
            .map(|(server, holding, waiting)| PermitUsage {
                server: (*server).to_owned(),
                is_full: !holding.is_empty(),
                holding: set(holding),
                waiting: set(waiting),
                last_release: Instant::now(),
            })
            .collect();
        let stalled = stalled(&all).into_iter();
        stalled.map(|usage| usage.server.clone()).collect()
    }

    #[test]
    fn a_server_is_stalled_when_all_that_hold_its_permits_wait_at_stalled_servers() {
        // On one server.
        assert_eq!(
            stalled_of(&[("a", &["one", "two"], &["one", "two"])]),
            ["a"]
        );
        assert_eq!(stalled_of(&[("a", &["one", "two"], &["one"])]), [""; 0]);
        // Each holds one server and waits at the other.
        let circle: [(&str, &[&str], &[&str]); 2] =
            [("a", &["one"], &["two"]), ("b", &["two"], &["one"])];
        assert_eq!(stalled_of(&circle), ["a", "b"]);
        // The one at the end can go on, and then all others.
        let chain: [(&str, &[&str], &[&str]); 3] = [
            ("a", &["one"], &["three"]),
            ("b", &["two"], &["one"]),
            ("c", &["four"], &["two"]),
        ];
        assert_eq!(stalled_of(&chain), [""; 0]);
        // Another process may release permits of the other server, or it has free ones.
        let elsewhere: [(&str, &[&str], &[&str]); 2] = [("a", &["one"], &[]), ("b", &[], &["one"])];
        assert_eq!(stalled_of(&elsewhere), [""; 0]);
    }
}
