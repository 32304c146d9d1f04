//! Processes that end at random moments, in whichever way, round after round.
#![allow(
    unreachable_pub,
    missing_docs,
    clippy::allow_attributes,
    clippy::unwrap_used,
    reason = "it is code of tests"
)]
#![expect(
    clippy::print_stdout,
    reason = "a seed repeats a run, and the times are worth knowing"
)]

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How many rounds; a few are played when it is not set.
const ROUNDS: &str = "EBBTIDE_LEAK_ROUNDS";
/// The seed of a run that is to be repeated.
const SEED: &str = "EBBTIDE_LEAK_SEED";
const ENDINGS: [&str; 5] = ["kill", "interrupt", "abort", "panic", "return"];
/// Played side by side: most of a round is waiting.
const AT_ONCE: usize = 3;

/// One process, and how and when it ends.
#[derive(Debug)]
pub struct Round {
    pub ending: &'static str,
    /// After its first order.
    pub moment: Duration,
    pub storage: &'static str,
}

impl Round {
    /// What the process is told.
    pub fn order(&self) -> String {
        format!("doomed {} {}", self.ending, self.moment.as_millis())
    }

    /// Asserts that it ended so, and not because something failed before. What it said is in the file.
    pub fn assert_ended(&self, status: ExitStatus, said: &Path) {
        let ended = (status.code(), status.signal());
        let expected = match self.ending {
            "kill" => (None, Some(9)),
            "interrupt" => (None, Some(2)),
            "abort" => (None, Some(6)),
            "panic" => (Some(101), None),
            _ => (Some(0), None),
        };
        assert_eq!(
            ended,
            expected,
            "{self:?}: {}",
            std::fs::read_to_string(said).unwrap()
        );
    }
}

/// Plays `few` rounds, or as many as the environment says, with moments up to `latest`. Each tells how long it took until
/// nothing was left; the longest time is printed, and the seed.
pub fn play(few: usize, latest: Duration, round: impl Fn(&Round) -> Duration + Sync) {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().expect(name))
    };
    let seed = number(SEED).unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        now.as_secs() << 30 ^ u64::from(now.subsec_nanos()) ^ u64::from(std::process::id())
    });
    println!("{SEED}={seed}");
    let count = number(ROUNDS).map_or(few, |count| usize::try_from(count).unwrap());
    let mut dice = Dice(seed);
    let all: Vec<Round> = (0..count)
        .map(|number| Round {
            ending: ENDINGS[number % ENDINGS.len()],
            moment: latest.mul_f64(dice.throw()),
            storage: if dice.throw() < 0.5 { "memory" } else { "disk" },
        })
        .collect();
    let (next, times) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
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

/// Numbers that look random (`SplitMix64`).
struct Dice(u64);

impl Dice {
    /// From 0 to 1.
    fn throw(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        f64::from(u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap()) / f64::from(u32::MAX)
    }
}
