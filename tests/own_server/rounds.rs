//! Repeats a scenario in which a process ends at a random moment, in each way in which a process
//! can end.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::support::random::{Random, number_in};

/// The environment variable for the number of rounds. Each test has a small default.
const ROUNDS_VARIABLE: &str = "EBBTIDE_LEAK_ROUNDS";
/// The environment variable for the seed. A failed run is repeated with the seed that it printed.
const SEED_VARIABLE: &str = "EBBTIDE_LEAK_SEED";
const ENDINGS: [&str; 5] = ["kill", "interrupt", "abort", "panic", "return"];
/// The number of rounds that run at the same time: a round mostly waits.
const PARALLEL_ROUNDS: usize = 3;

/// One process, and how and when it ends.
#[derive(Debug)]
pub struct Round {
    pub ending: &'static str,
    /// The time from the worker's command to its end.
    pub delay: Duration,
    pub storage: &'static str,
}

impl Round {
    /// The command to send to the [worker](crate::worker).
    pub fn command(&self) -> String {
        format!("end {} {}", self.ending, self.delay.as_millis())
    }

    /// Asserts that the process ended as this round requires, and not earlier because of a failure.
    /// `stderr_file` explains an unexpected end.
    pub fn assert_ended(&self, status: ExitStatus, stderr_file: &Path) {
        let actual = (status.code(), status.signal());
        let expected = match self.ending {
            "kill" => (None, Some(9)),
            "interrupt" => (None, Some(2)),
            "abort" => (None, Some(6)),
            "panic" => (Some(101), None),
            _ => (Some(0), None),
        };
        assert_eq!(
            actual,
            expected,
            "{self:?}: {}",
            std::fs::read_to_string(stderr_file).unwrap()
        );
    }
}

/// Runs `default_count` rounds, or the number in the environment, with delays up to `max_delay`.
///
/// `round` returns the time from the process's end until nothing was left. The median, the longest
/// time and the seed are printed.
pub fn run(default_count: usize, max_delay: Duration, round: impl Fn(&Round) -> Duration + Sync) {
    let seed = number_in(SEED_VARIABLE).unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        now.as_secs() << 30 ^ u64::from(now.subsec_nanos()) ^ u64::from(std::process::id())
    });
    println!("{SEED_VARIABLE}={seed}");
    let count =
        number_in(ROUNDS_VARIABLE).map_or(default_count, |count| usize::try_from(count).unwrap());
    let mut random = Random(seed);
    let all: Vec<Round> = (0..count)
        .map(|number| Round {
            ending: ENDINGS[number % ENDINGS.len()],
            delay: max_delay.mul_f64(random.next_fraction()),
            storage: if random.next_fraction() < 0.5 {
                "memory"
            } else {
                "disk"
            },
        })
        .collect();
    let (next, times) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL_ROUNDS {
            scope.spawn(|| {
                while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let took = round(one);
                    times
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push((took, one));
                }
            });
        }
    });
    let mut times = times.into_inner().unwrap();
    times.sort_by_key(|(took, _)| *took);
    if let (Some((median, _)), Some((longest, one))) = (times.get(times.len() / 2), times.last()) {
        println!(
            "{count} rounds; nothing was left after {median:.1?} (median) and {longest:.1?} (longest, {one:?})"
        );
    }
}
