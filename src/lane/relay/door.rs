//! Where the driver meets the relay: a socket for one connection of this process.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio::net::{UnixListener, UnixStream};
use uuid::Uuid;

use crate::conn::PORT;

/// A listener that nobody else comes through.
#[derive(Debug)]
pub(super) struct Door {
    listener: UnixListener,
    place: Place,
}

/// The directory in which the driver looks for a socket.
#[derive(Debug)]
enum Place {
    /// None: Linux has sockets that are in no file system, and go with whoever listens.
    /// <https://man7.org/linux/man-pages/man7/unix.7.html>
    Abstract(PathBuf),
    /// One that only this user can enter, and that goes with this value.
    Dir(PathBuf),
}

impl Door {
    pub(super) fn open() -> io::Result<Self> {
        if cfg!(any(target_os = "linux", target_os = "android")) {
            Self::open_abstract()
        } else {
            Self::open_dir()
        }
    }

    fn open_abstract() -> io::Result<Self> {
        Self::listen(Place::Abstract(PathBuf::from(format!("\0{}", new_name()))))
    }

    fn open_dir() -> io::Result<Self> {
        // The temporary directory's path may be too long for a socket.
        let dir = Path::new("/tmp").join(new_name());
        DirBuilder::new().mode(0o700).create(&dir)?;
        Self::listen(Place::Dir(dir))
    }

    fn listen(place: Place) -> io::Result<Self> {
        let socket = format!("{}/.s.PGSQL.{PORT}", place.dir().display());
        Ok(Self {
            listener: UnixListener::bind(socket)?,
            place,
        })
    }

    /// Options that lead here.
    pub(super) fn options(&self, real: &PgConnectOptions) -> PgConnectOptions {
        real.clone()
            .socket(self.place.dir())
            .port(PORT)
            .ssl_mode(PgSslMode::Disable)
    }

    /// The connection that this process makes. Then the door is shut.
    pub(super) async fn admit(self) -> io::Result<UnixStream> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            // An abstract socket has no permissions.
            let peer = stream
                .peer_cred()?
                .pid()
                .and_then(|pid| u32::try_from(pid).ok());
            if peer.is_none_or(|pid| pid == std::process::id()) {
                return Ok(stream);
            }
        }
    }
}

impl Place {
    fn dir(&self) -> &Path {
        match self {
            Self::Abstract(dir) | Self::Dir(dir) => dir,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Self::Dir(dir) = self {
            // An empty directory and a socket do no harm.
            let _ = std::fs::remove_dir_all(dir);
        }
    }
}

fn new_name() -> String {
    format!("ebbtide-{}", Uuid::new_v4().simple())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn admits(door: Door) {
        let options = door.options(
            &PgConnectOptions::new_without_pgpass()
                .host("elsewhere")
                .port(1),
        );
        let dir = options.get_socket().expect("the driver is led to a socket");
        let path = format!("{}/.s.PGSQL.{}", dir.display(), options.get_port());
        let (met, admitted) = (UnixStream::connect(&path).await, door.admit().await);
        assert!(
            met.is_ok() && admitted.is_ok(),
            "{path:?}: {met:?}, {admitted:?}"
        );
        assert!(UnixStream::connect(&path).await.is_err(), "it is shut");
        assert!(!dir.exists());
    }

    #[test]
    fn this_process_is_admitted_once() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            admits(Door::open().expect("a door")).await;
            admits(Door::open_dir().expect("a door")).await;
        });
    }
}
