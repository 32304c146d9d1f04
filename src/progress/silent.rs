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
}
