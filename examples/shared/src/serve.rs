//! A service on a port.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A service that accepts requests. It keeps running if this value is dropped.
#[derive(Debug)]
#[must_use = "the service ends when the program ends"]
pub struct RunningServer {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<io::Result<()>>,
}

/// Starts a service. Port 0 means any free port.
///
/// # Errors
/// The address is in use, or does not belong to this machine.
pub async fn start(address: SocketAddr, router: Router) -> io::Result<RunningServer> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let (stop, stop_requested) = oneshot::channel();
    let until = async move {
        if stop_requested.await.is_err() {
            // The sender was dropped without a request, so the service runs until the program ends.
            std::future::pending::<()>().await;
        }
    };
    let serving = axum::serve(listener, router).with_graceful_shutdown(until);
    tracing::info!("serving on {address}");
    Ok(RunningServer {
        address,
        stop,
        server: tokio::spawn(serving.into_future()),
    })
}

impl RunningServer {
    /// The address on which the service accepts requests.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops the service after it has responded to all accepted requests.
    ///
    /// # Errors
    /// The service failed.
    pub async fn stop(self) -> io::Result<()> {
        // An error means that the service has already ended. Its result below contains the reason.
        let _ = self.stop.send(());
        self.server.await.map_err(io::Error::other)?
    }
}
