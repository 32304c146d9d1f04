//! A server that ebbtide has started in a container.

use super::url_text::percent_encode;
use super::{ADMIN_DATABASE, ConnParams, Credentials, plain};

impl ConnParams {
    /// A server at a TCP port, with a password and without encryption.
    pub(crate) fn tcp(host: &str, port: u16, user: &str, password: &str) -> Self {
        let url_host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        let (name, secret) = (percent_encode(user), percent_encode(password));
        Self {
            options: plain(user).host(host).port(port).password(password),
            url: (
                format!("postgres://{name}:{secret}@{url_host}:{port}/"),
                Vec::new(),
            ),
            session: String::new(),
            admin: ADMIN_DATABASE.to_owned(),
            credentials: Credentials::Complete,
            version_and_role: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_in_the_url_and_not_in_the_debug_output() {
        let params = ConnParams::tcp("127.0.0.1", 6543, "postgres", "s/e:cret");
        assert_eq!(
            params.url("lane_1"),
            "postgres://postgres:s%2Fe%3Acret@127.0.0.1:6543/lane_1"
        );
        assert!(!format!("{params:?}").contains("cret"), "{params:?}");
    }
}
