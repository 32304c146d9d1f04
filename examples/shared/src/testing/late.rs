//! A server that accepts connections late, like one in a container that has just been started.

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr as _;

use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixStream};
use url::Url;

/// Reserves a port. It refuses connections until `listen` is called on the socket.
///
/// # Panics
/// No port is free.
#[must_use]
pub fn reserved_port() -> (TcpSocket, u16) {
    let bound = TcpSocket::new_v4().and_then(|socket| {
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let port = socket.local_addr()?.port();
        Ok((socket, port))
    });
    bound.expect("a port is free")
}

/// The URL of the same database, through this port on 127.0.0.1.
///
/// # Panics
/// The text is not a URL.
#[must_use]
pub fn with_port(port: u16, url: &str) -> String {
    let mut url = Url::parse(url).expect("the caller passes a URL");
    let others: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(name, _)| !["host", "hostaddr", "port"].contains(&&**name))
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    url.query_pairs_mut().clear().extend_pairs(others);
    url.set_host(Some("127.0.0.1"))
        .expect("the host is an IP address");
    url.set_port(Some(port))
        .expect("a URL with a host may have a port");
    url.into()
}

/// Forwards every connection to the server of this URL.
///
/// # Panics
/// The server does not accept connections.
pub async fn forward(listener: TcpListener, url: String) {
    let server = PgConnectOptions::from_str(&url).expect("the caller passes a PostgreSQL URL");
    loop {
        let (client, _) = listener
            .accept()
            .await
            .expect("the listener accepts connections");
        if let Some(dir) = server.get_socket() {
            let path = dir.join(format!(".s.PGSQL.{}", server.get_port()));
            tokio::spawn(copy(
                client,
                UnixStream::connect(path)
                    .await
                    .expect("the server accepts connections"),
            ));
        } else {
            let address = (server.get_host(), server.get_port());
            tokio::spawn(copy(
                client,
                TcpStream::connect(address)
                    .await
                    .expect("the server accepts connections"),
            ));
        }
    }
}

/// Copies in both directions until both sides have closed.
async fn copy(mut client: TcpStream, mut server: impl AsyncRead + AsyncWrite + Unpin) {
    // A client may disconnect without a Terminate message, which is an error here.
    let _ = copy_bidirectional(&mut client, &mut server).await;
}
