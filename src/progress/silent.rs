//! The stand-in for builds without the feature `progress`.

/// Shows nothing.
#[derive(Debug)]
pub(crate) struct Progress;

impl Progress {
    pub(crate) fn start(_step: &str) -> Self {
        Self
    }

    #[expect(
        clippy::unused_self,
        reason = "the same call shows the step when the feature is on"
    )]
    pub(crate) fn set_step(&self, _step: &str) {}

    /// Writes a line that remains on stderr.
    #[expect(clippy::unused_self, reason = "the same call as with the feature")]
    pub(crate) fn note(&self, text: &str) {
        use std::io::Write as _;
        // `eprintln!` would go into the test harness's capture. A closed stderr is no reason to
        // fail.
        drop(writeln!(std::io::stderr(), "ebbtide: {text}"));
    }
}
