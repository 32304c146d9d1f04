//! A way to the engine that a test watches, holds up or cuts.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::daemon::{Daemon, Stream};

/// What happens to the first request that holds a certain text.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Watch {
    /// The test is told, and the engine gets it.
    Tell(&'static str),
    /// The test is told, and the engine never gets it.
    Withhold(&'static str),
    Nothing,
}

impl Watch {
    fn text(self) -> Option<&'static str> {
        match self {
            Self::Tell(text) | Self::Withhold(text) => Some(text),
            Self::Nothing => None,
        }
    }
}

/// Listens on an address of its own and passes everything on to the engine. Dropped, it is cut.
pub(crate) struct Relay {
    pub(crate) daemon: Daemon,
    seen: Receiver<()>,
    line: Arc<Line>,
}

struct Line {
    engine: Daemon,
    watch: Watch,
    is_cut: AtomicBool,
    ends: Mutex<Vec<Box<dyn Stream>>>,
}

impl Relay {
    /// Listens on a socket of this name.
    pub(crate) fn on_socket(path: &Path, watch: Watch) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        Self::new(format!("unix://{}", path.display()), watch, move || {
            Ok(Box::new(listener.accept()?.0))
        })
    }

    /// Listens on a port of this machine.
    pub(crate) fn on_port() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("tcp://{}", listener.local_addr().unwrap());
        Self::new(url, Watch::Nothing, move || {
            Ok(Box::new(listener.accept()?.0))
        })
    }

    fn new(
        url: String,
        watch: Watch,
        accept: impl Fn() -> std::io::Result<Box<dyn Stream>> + Send + 'static,
    ) -> Self {
        let line = Line {
            engine: Daemon::of_this_machine(),
            watch,
            is_cut: AtomicBool::new(false),
            ends: Mutex::default(),
        };
        let line = Arc::new(line);
        let (tell, seen) = channel();
        let lines = Arc::clone(&line);
        std::thread::spawn(move || {
            while let Ok(client) = accept() {
                if lines.is_cut.load(Ordering::SeqCst) {
                    // With the listener, so that whoever comes now is refused.
                    break;
                }
                lines.connect(client.as_ref(), &tell);
            }
        });
        Self {
            daemon: Daemon { url },
            seen,
            line,
        }
    }

    /// Waits until the watched request has come.
    #[track_caller]
    pub(crate) fn wait_until_seen(&self) {
        self.seen
            .recv_timeout(Duration::from_secs(30))
            .expect("the request comes");
    }

    /// Ends all connections, and takes no more.
    pub(crate) fn cut(&self) {
        self.line.is_cut.store(true, Ordering::SeqCst);
        // The listener wakes up.
        drop(self.daemon.connect());
        for end in self.line.ends.lock().unwrap().drain(..) {
            end.end(Shutdown::Both);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.cut();
    }
}

impl Line {
    fn connect(self: &Arc<Self>, client: &dyn Stream, tell: &Sender<()>) {
        let engine = self.engine.connect().unwrap();
        self.ends
            .lock()
            .unwrap()
            .extend([client.another(), engine.another()]);
        for (from, to, tell) in [
            (client.another(), engine.another(), Some(tell.clone())),
            (engine.another(), client.another(), None),
        ] {
            let line = Arc::clone(self);
            std::thread::spawn(move || line.pass(from, to, tell.as_ref()));
        }
    }

    fn pass(&self, mut from: Box<dyn Stream>, mut to: Box<dyn Stream>, tell: Option<&Sender<()>>) {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let bytes = &buffer[..length];
            let is_watched = self
                .watch
                .text()
                .is_some_and(|text| String::from_utf8_lossy(bytes).contains(text));
            let told = tell.filter(|_| is_watched);
            let is_withheld = told.is_some() && matches!(self.watch, Watch::Withhold(_));
            if !is_withheld && to.write_all(bytes).is_err() {
                break;
            }
            if let Some(test) = told {
                // It may have seen enough.
                let _ = test.send(());
            }
        }
        to.end(Shutdown::Write);
    }
}
