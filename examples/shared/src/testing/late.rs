//! A server that accepts connections late, as one does in a container that was started a moment ago.

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr as _;

use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixStream};
use url::Url;

/// A port that is ours and refuses connections until somebody listens.
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
    bound.expect("some port is free")
}

/// The same database by way of this port.
///
/// # Panics
/// This is no URL.
#[must_use]
pub fn through(port: u16, url: &str) -> String {
    let mut url = Url::parse(url).expect("it is a URL");
    let others: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(name, _)| !["host", "hostaddr", "port"].contains(&&**name))
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    url.query_pairs_mut().clear().extend_pairs(others);
    url.set_host(Some("127.0.0.1")).expect("it is an address");
    url.set_port(Some(port))
        .expect("a URL with a host may have a port");
    url.into()
}

/// Hands every connection on to the server of this URL.
///
/// # Panics
/// The server does not accept connections.
pub async fn forward(listener: TcpListener, url: String) {
    let server = PgConnectOptions::from_str(&url).expect("it is a URL of PostgreSQL's");
    loop {
        let (client, _) = listener.accept().await.expect("it listens");
        if let Some(dir) = server.get_socket() {
            let path = dir.join(format!(".s.PGSQL.{}", server.get_port()));
            tokio::spawn(copy(
                client,
                UnixStream::connect(path)
                    .await
                    .expect("the server is there"),
            ));
        } else {
            let address = (server.get_host(), server.get_port());
            tokio::spawn(copy(
                client,
                TcpStream::connect(address)
                    .await
                    .expect("the server is there"),
            ));
        }
    }
}

/// Until one of them closes.
async fn copy(mut client: TcpStream, mut server: impl AsyncRead + AsyncWrite + Unpin) {
    // A client may go without a word.
    let _ = copy_bidirectional(&mut client, &mut server).await;
}
