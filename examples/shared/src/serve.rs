//! Serving on a port.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A service that accepts requests. It goes on when this is dropped.
#[derive(Debug)]
#[must_use = "a program that ends takes its service with it"]
pub struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<io::Result<()>>,
}

/// Starts to serve. Port 0 is any that is free.
///
/// # Errors
/// The address is in use, or not one of this machine.
pub async fn start(address: SocketAddr, router: Router) -> io::Result<Running> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let (stop, stopped) = oneshot::channel();
    let until = async move {
        if stopped.await.is_err() {
            // Nobody will stop it.
            std::future::pending::<()>().await;
        }
    };
    let serving = axum::serve(listener, router).with_graceful_shutdown(until);
    tracing::info!("serving on {address}");
    Ok(Running {
        address,
        stop,
        server: tokio::spawn(serving.into_future()),
    })
}

impl Running {
    /// Where it accepts requests.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers what was asked already, and ends.
    ///
    /// # Errors
    /// The service has failed.
    pub async fn stop(self) -> io::Result<()> {
        // It may have ended by itself: then its own result tells.
        let _ = self.stop.send(());
        self.server.await.map_err(io::Error::other)?
    }
}
