//! Progress as a spinner or as lines.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget};
use tokio::task::AbortHandle;

const SPINNER_DELAY: Duration = Duration::from_secs(1);
const LINE_INTERVAL: Duration = Duration::from_secs(2);

/// Shows a step until it is dropped.
///
/// On a terminal, a spinner appears after one second. Elsewhere, a line names the step after two
/// seconds. Every two seconds after that, another line follows if the step has changed.
#[derive(Debug)]
pub(crate) struct Progress {
    step: Shared,
    /// The task that shows the step. It starts with a delay, so a short step shows nothing.
    task: Option<AbortHandle>,
}

impl Progress {
    pub(crate) fn start(step: &str) -> Self {
        let shared = Arc::new(Mutex::new(Step {
            name: step.to_owned(),
            bar: None,
            done: false,
        }));
        let task = tokio::runtime::Handle::try_current().ok().map(|runtime| {
            let step = Arc::clone(&shared);
            let task = if std::io::stderr().is_terminal() {
                runtime.spawn(spin(step))
            } else {
                runtime.spawn(write_lines(step))
            };
            task.abort_handle()
        });
        Self { step: shared, task }
    }

    pub(crate) fn set_step(&self, step: &str) {
        let mut current = self.step.lock().unwrap_or_else(PoisonError::into_inner);
        step.clone_into(&mut current.name);
        if let Some(bar) = &current.bar {
            bar.set_message(current.name.clone());
        }
    }
}

impl Progress {
    /// Writes a line that remains on stderr.
    pub(crate) fn note(&self, text: &str) {
        let current = self.step.lock().unwrap_or_else(PoisonError::into_inner);
        let line = format!("ebbtide: {text}");
        match &current.bar {
            Some(bar) => bar.println(line),
            // `eprintln!` would go into the test harness's capture. A closed stderr is no reason to
            // fail.
            None => drop(writeln!(std::io::stderr(), "{line}")),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
        let mut current = self.step.lock().unwrap_or_else(PoisonError::into_inner);
        // `abort` stops the task only at its next await. Until then, `done` keeps it from
        // writing after this.
        current.done = true;
        if let Some(bar) = current.bar.take() {
            bar.finish_and_clear();
        }
    }
}

#[derive(Debug)]
struct Step {
    name: String,
    bar: Option<ProgressBar>,
    done: bool,
}

type Shared = Arc<Mutex<Step>>;

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

/// Writes a line at intervals and not for each step: a pull reports each megabyte as a step.
async fn write_lines(step: Shared) {
    let mut written = String::new();
    loop {
        tokio::time::sleep(LINE_INTERVAL).await;
        let step = step.lock().unwrap_or_else(PoisonError::into_inner);
        if step.done {
            return;
        }
        if step.name != written {
            // `eprintln!` would go into the test harness's capture, which shows output only
            // after the test. A closed stderr is no reason to fail.
            let _ = writeln!(std::io::stderr(), "ebbtide: {}", step.name);
            step.name.clone_into(&mut written);
        }
    }
}
