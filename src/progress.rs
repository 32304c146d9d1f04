//! What a long wait is for: a spinner on a terminal's stderr, lines on any other.

/// Shows a step for as long as it lives. On a terminal a spinner appears after a second. Elsewhere, a line names the step
/// after two seconds, and from then on every two seconds if the step has changed.
#[derive(Debug)]
pub(crate) struct Progress {
    #[cfg(feature = "progress")]
    shown: std::sync::Arc<std::sync::Mutex<shown::Step>>,
    /// The task that waits before it shows anything.
    #[cfg(feature = "progress")]
    task: Option<tokio::task::AbortHandle>,
}

impl Progress {
    #[cfg(not(feature = "progress"))]
    pub(crate) fn start(_step: &str) -> Self {
        Self {}
    }

    #[cfg(not(feature = "progress"))]
    #[expect(
        clippy::unused_self,
        reason = "the same call shows the step when the feature is on"
    )]
    pub(crate) fn say(&self, _step: &str) {}
}

#[cfg(feature = "progress")]
mod shown {
    use std::io::{IsTerminal as _, Write as _};
    use std::sync::{Arc, Mutex, PoisonError};
    use std::time::Duration;

    use indicatif::{ProgressBar, ProgressDrawTarget};

    use super::Progress;

    const SPINNER_DELAY: Duration = Duration::from_secs(1);
    const LINE_INTERVAL: Duration = Duration::from_secs(2);

    #[derive(Debug)]
    pub(crate) struct Step {
        name: String,
        bar: Option<ProgressBar>,
        done: bool,
    }

    type Shared = Arc<Mutex<Step>>;

    impl Progress {
        pub(crate) fn start(step: &str) -> Self {
            let shown = Arc::new(Mutex::new(Step {
                name: step.to_owned(),
                bar: None,
                done: false,
            }));
            let task = tokio::runtime::Handle::try_current().ok().map(|runtime| {
                let step = Arc::clone(&shown);
                let task = if std::io::stderr().is_terminal() {
                    runtime.spawn(spin(step))
                } else {
                    runtime.spawn(write_lines(step))
                };
                task.abort_handle()
            });
            Self { shown, task }
        }

        pub(crate) fn say(&self, step: &str) {
            let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
            step.clone_into(&mut shown.name);
            if let Some(bar) = &shown.bar {
                bar.set_message(shown.name.clone());
            }
        }
    }

    impl Drop for Progress {
        fn drop(&mut self) {
            if let Some(task) = &self.task {
                task.abort();
            }
            let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
            // The task may be running at this moment, on another thread.
            shown.done = true;
            if let Some(bar) = shown.bar.take() {
                bar.finish_and_clear();
            }
        }
    }

    async fn spin(step: Shared) {
        tokio::time::sleep(SPINNER_DELAY).await;
        let mut step = step.lock().unwrap_or_else(PoisonError::into_inner);
        if step.done {
            return;
        }
        let bar = ProgressBar::new_spinner().with_message(step.name.clone());
        bar.set_draw_target(ProgressDrawTarget::stderr());
        bar.enable_steady_tick(Duration::from_millis(120));
        step.bar = Some(bar);
    }

    /// A pull reports each megabyte as a step: a line for each would fill a log.
    async fn write_lines(step: Shared) {
        let mut written = String::new();
        loop {
            tokio::time::sleep(LINE_INTERVAL).await;
            let step = step.lock().unwrap_or_else(PoisonError::into_inner);
            if step.done {
                return;
            }
            if step.name != written {
                // Past the test runner, which keeps what a test prints until its end. A closed stderr is no reason to
                // fail.
                let _ = writeln!(std::io::stderr(), "ebbtide: {}", step.name);
                step.name.clone_into(&mut written);
            }
        }
    }
}
