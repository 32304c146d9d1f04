//! A proxy between ebbtide and the container engine, with which a test chooses the moment of a
//! failure.
//!
//! ```text
//!   ebbtide  --- requests --->  EngineProxy  --- requests --->  engine
//!            <-- responses ---               <-- responses ---
//! ```
//!
//! A test waits until the proxy has read a certain request. Then it kills the client, or cuts the
//! connections. Without the proxy, a test could only guess when a client is between two requests.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use crate::support::wait::HANG_LIMIT;

use crate::daemon::{Daemon, Stream};

/// What the proxy does with requests that contain a text.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Watch {
    /// Forwards the request to the engine, then reports it to the test.
    Forward(&'static str),
    /// Reports the request to the test, and never forwards it.
    Withhold(&'static str),
    Nothing,
}

impl Watch {
    fn text(self) -> Option<&'static str> {
        match self {
            Self::Forward(text) | Self::Withhold(text) => Some(text),
            Self::Nothing => None,
        }
    }
}

/// Listens on an address of its own and forwards everything to the engine. Dropping it cuts all
/// connections.
pub(crate) struct EngineProxy {
    /// The proxy's address, to use in the engine's place.
    pub(crate) daemon: Daemon,
    seen: Receiver<()>,
    shared: Arc<Shared>,
}

/// What the threads of a proxy share.
struct Shared {
    engine: Daemon,
    watch: Watch,
    is_cut: AtomicBool,
    /// Both ends of every connection, so that `cut` can close them.
    ends: Mutex<Vec<Box<dyn Stream>>>,
}

impl EngineProxy {
    /// Listens on a Unix socket at this path.
    pub(crate) fn on_socket(path: &Path, watch: Watch) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        Self::new(format!("unix://{}", path.display()), watch, move || {
            Ok(Box::new(listener.accept()?.0))
        })
    }

    /// Listens on a free port of the loopback interface.
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
        let shared = Shared {
            engine: Daemon::of_this_machine(),
            watch,
            is_cut: AtomicBool::new(false),
            ends: Mutex::default(),
        };
        let shared = Arc::new(shared);
        let (seen_sender, seen) = channel();
        let listening = Arc::clone(&shared);
        std::thread::spawn(move || {
            while let Ok(client) = accept() {
                if listening.is_cut.load(Ordering::SeqCst) {
                    // This drops the listener, so the system refuses later connections.
                    break;
                }
                listening.connect(client.as_ref(), &seen_sender);
            }
        });
        Self {
            daemon: Daemon { url },
            seen,
            shared,
        }
    }

    /// Waits until the proxy has read the watched request.
    #[track_caller]
    pub(crate) fn wait_until_seen(&self) {
        self.seen
            .recv_timeout(HANG_LIMIT)
            .expect("the watched request must arrive");
    }

    /// Closes all connections, and accepts no further ones.
    ///
    /// The listener's thread blocks in `accept`. So this function first sets `is_cut` and then
    /// connects once: the thread wakes up, reads `is_cut` and ends.
    pub(crate) fn cut(&self) {
        self.shared.is_cut.store(true, Ordering::SeqCst);
        drop(self.daemon.connect());
        for end in self.shared.ends.lock().unwrap().drain(..) {
            end.end(Shutdown::Both);
        }
    }
}

impl Drop for EngineProxy {
    fn drop(&mut self) {
        self.cut();
    }
}

impl Shared {
    /// Forwards both directions of one connection, each in a thread. Only what the client sends is
    /// watched.
    fn connect(self: &Arc<Self>, client: &dyn Stream, seen_sender: &Sender<()>) {
        let engine = self.engine.connect().unwrap();
        self.ends
            .lock()
            .unwrap()
            .extend([client.another(), engine.another()]);
        for (from, to, seen_sender) in [
            (
                client.another(),
                engine.another(),
                Some(seen_sender.clone()),
            ),
            (engine.another(), client.another(), None),
        ] {
            let shared = Arc::clone(self);
            std::thread::spawn(move || shared.forward(from, to, seen_sender.as_ref()));
        }
    }

    /// Copies bytes until one end closes.
    ///
    /// The text is searched in the bytes of one read, so a request is recognised only if its head
    /// arrives in one piece.
    fn forward(
        &self,
        mut from: Box<dyn Stream>,
        mut to: Box<dyn Stream>,
        seen_sender: Option<&Sender<()>>,
    ) {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let bytes = &buffer[..length];
            let is_watched = self
                .watch
                .text()
                .is_some_and(|text| String::from_utf8_lossy(bytes).contains(text));
            let seen_sender = seen_sender.filter(|_| is_watched);
            let is_withheld = seen_sender.is_some() && matches!(self.watch, Watch::Withhold(_));
            if !is_withheld && to.write_all(bytes).is_err() {
                break;
            }
            if let Some(seen_sender) = seen_sender {
                // Sending fails after the test has dropped the proxy.
                let _ = seen_sender.send(());
            }
        }
        to.end(Shutdown::Write);
    }
}
