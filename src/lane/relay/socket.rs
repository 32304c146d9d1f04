//! The socket to which the driver connects: it accepts one connection of this process.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio::net::{UnixListener, UnixStream};
use uuid::Uuid;

use crate::conn::PORT;

/// A listener that only this process can connect to.
#[derive(Debug)]
pub(super) struct RelaySocket {
    listener: UnixListener,
    dir: SocketDir,
}

/// The directory of the Unix socket to which the driver connects.
#[derive(Debug)]
enum SocketDir {
    /// A path that does not exist. Linux has abstract sockets, which are in no file system and end
    /// with the listener.
    /// <https://man7.org/linux/man-pages/man7/unix.7.html>
    Abstract(PathBuf),
    /// A directory that only this user can enter. It is deleted when this value is dropped.
    Created(PathBuf),
}

impl RelaySocket {
    pub(super) fn open() -> io::Result<Self> {
        if cfg!(any(target_os = "linux", target_os = "android")) {
            Self::open_abstract()
        } else {
            Self::open_dir()
        }
    }

    fn open_abstract() -> io::Result<Self> {
        // tokio takes a path with a leading zero byte as an abstract name, for the listener and for
        // the driver's connection.
        Self::listen(SocketDir::Abstract(PathBuf::from(format!(
            "\0{}",
            unique_name()
        ))))
    }

    fn open_dir() -> io::Result<Self> {
        // The path of `TMPDIR` may exceed the limit for a socket's path.
        let dir = Path::new("/tmp").join(unique_name());
        DirBuilder::new().mode(0o700).create(&dir)?;
        Self::listen(SocketDir::Created(dir))
    }

    fn listen(dir: SocketDir) -> io::Result<Self> {
        let socket = format!("{}/.s.PGSQL.{PORT}", dir.path().display());
        Ok(Self {
            listener: UnixListener::bind(socket)?,
            dir,
        })
    }

    /// The driver's options, but with this socket as the server's address.
    pub(super) fn options(&self, real: &PgConnectOptions) -> PgConnectOptions {
        real.clone()
            .socket(self.dir.path())
            .port(PORT)
            // Otherwise the driver may begin with a request for encryption, and the relay expects
            // the start-up message. The connection does not leave this process.
            .ssl_mode(PgSslMode::Disable)
    }

    /// Accepts the connection of this process, and closes the listener.
    pub(super) async fn accept(self) -> io::Result<UnixStream> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            let peer = stream
                .peer_cred()?
                .pid()
                .and_then(|pid| u32::try_from(pid).ok());
            // An abstract socket has no permissions, so another process could connect first. The
            // peer's process identifier shows that, and this loop drops the connection. Linux
            // always reports the identifier. On systems that may not, the directory keeps other
            // users out.
            if peer.is_none_or(|pid| pid == std::process::id()) {
                return Ok(stream);
            }
        }
    }
}

impl SocketDir {
    fn path(&self) -> &Path {
        match self {
            Self::Abstract(dir) | Self::Created(dir) => dir,
        }
    }
}

impl Drop for SocketDir {
    fn drop(&mut self) {
        if let Self::Created(dir) = self {
            // If it fails, a directory with only a socket stays, which does no harm.
            let _ = std::fs::remove_dir_all(dir);
        }
    }
}

fn unique_name() -> String {
    format!("ebbtide-{}", Uuid::new_v4().simple())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn assert_accepts_once(socket: RelaySocket) {
        let options = socket.options(
            &PgConnectOptions::new_without_pgpass()
                .host("elsewhere")
                .port(1),
        );
        let dir = options.get_socket().expect("the options name a socket");
        let path = format!("{}/.s.PGSQL.{}", dir.display(), options.get_port());
        let (connected, accepted) = (UnixStream::connect(&path).await, socket.accept().await);
        assert!(
            connected.is_ok() && accepted.is_ok(),
            "{path:?}: {connected:?}, {accepted:?}"
        );
        assert!(UnixStream::connect(&path).await.is_err(), "it is closed");
        assert!(!dir.exists());
    }

    #[test]
    fn the_socket_accepts_one_connection_of_this_process() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            assert_accepts_once(RelaySocket::open().expect("a socket")).await;
            assert_accepts_once(RelaySocket::open_dir().expect("a socket")).await;
        });
    }
}
