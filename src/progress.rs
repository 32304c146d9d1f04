//! A spinner on a terminal's stderr for steps that take over a second.

/// Shows a step for as long as it lives. Nothing is drawn in the first second, or when stderr is no terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    #[cfg(feature = "progress")]
    spinner: std::sync::Arc<std::sync::Mutex<Spinner>>,
}

impl Progress {
    #[cfg(not(feature = "progress"))]
    pub(crate) fn start(_step: &str) -> Self {
        Self {}
    }

    #[cfg(not(feature = "progress"))]
    #[expect(clippy::unused_self, reason = "the same call draws when the feature is on")]
    pub(crate) fn say(&self, _step: &str) {}
}

#[cfg(feature = "progress")]
pub(crate) use drawn::Spinner;

#[cfg(feature = "progress")]
mod drawn {
    use std::io::IsTerminal as _;
    use std::sync::{Arc, Mutex, PoisonError};
    use std::time::Duration;

    use indicatif::{ProgressBar, ProgressDrawTarget};

    use super::Progress;

    const PATIENCE: Duration = Duration::from_secs(1);

    #[derive(Debug)]
    pub(crate) struct Spinner {
        step: String,
        bar: Option<ProgressBar>,
        done: bool,
    }

    impl Progress {
        pub(crate) fn start(step: &str) -> Self {
            let spinner = Arc::new(Mutex::new(Spinner { step: step.to_owned(), bar: None, done: false }));
            if std::io::stderr().is_terminal()
                && let Ok(runtime) = tokio::runtime::Handle::try_current()
            {
                let later = Arc::clone(&spinner);
                runtime.spawn(async move {
                    tokio::time::sleep(PATIENCE).await;
                    later.lock().unwrap_or_else(PoisonError::into_inner).show();
                });
            }
            Self { spinner }
        }

        pub(crate) fn say(&self, step: &str) {
            let mut spinner = self.spinner.lock().unwrap_or_else(PoisonError::into_inner);
            step.clone_into(&mut spinner.step);
            if let Some(bar) = &spinner.bar {
                bar.set_message(spinner.step.clone());
            }
        }
    }

    impl Drop for Progress {
        fn drop(&mut self) {
            let mut spinner = self.spinner.lock().unwrap_or_else(PoisonError::into_inner);
            spinner.done = true;
            if let Some(bar) = spinner.bar.take() {
                bar.finish_and_clear();
            }
        }
    }

    impl Spinner {
        fn show(&mut self) {
            if self.done {
                return;
            }
            let bar = ProgressBar::new_spinner().with_message(self.step.clone());
            bar.set_draw_target(ProgressDrawTarget::stderr());
            bar.enable_steady_tick(Duration::from_millis(120));
            self.bar = Some(bar);
        }
    }
}
