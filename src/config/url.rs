//! The URL of an external server, which prints without its password.

use std::fmt;

/// The URL of an external server.
///
/// `Display` and `Debug` replace every password by `***`, so that plans and errors may be logged.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl(String);

impl ServerUrl {
    /// The whole URL, with the password, to connect and not to print.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub(crate) fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&redacted(&self.0))
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", redacted(&self.0))
    }
}

fn redacted(url: &str) -> String {
    without_parameter(&without_user_password(url))
}

/// `user:secret@` becomes `user:***@`.
fn without_user_password(url: &str) -> String {
    let start = url.find("://").map_or(0, |at| at + 3);
    // A careless password may hold `@`, `/` or `?`. Up to the last `@` everything may be part of it, and
    // hiding too much of an unusual URL is better than showing half a password.
    let Some(end) = url[start..].rfind('@').map(|at| start + at) else { return url.to_owned() };
    match url[start..end].find(':') {
        Some(colon) => format!("{}:***{}", &url[..start + colon], &url[end..]),
        None => url.to_owned(),
    }
}

/// `password=secret` (and `sslpassword=`, and the same in a keyword string) becomes `password=***`.
fn without_parameter(url: &str) -> String {
    const NAME: &str = "password=";
    let mut rest = url;
    let mut safe = String::with_capacity(url.len());
    // ASCII lower case keeps every byte position.
    while let Some(at) = rest.to_ascii_lowercase().find(NAME) {
        let (before, secret) = rest.split_at(at + NAME.len());
        let end = match secret.strip_prefix('\'') {
            Some(quoted) => quoted.rfind('\'').map(|at| at + 2),
            None => secret.find(|c: char| c == '&' || c.is_whitespace()),
        };
        safe.push_str(before);
        safe.push_str("***");
        rest = &secret[end.unwrap_or(secret.len())..];
    }
    safe + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_ever_printed() {
        for (url, printed) in [
            ("postgres://me:secret@db:5432/app", "postgres://me:***@db:5432/app"),
            ("postgres://me:sec:r@et/x?y@db/app", "postgres://me:***@db/app"),
            ("postgres://me@db/app", "postgres://me@db/app"),
            ("postgres://db:5432/app", "postgres://db:5432/app"),
            ("postgres://db/app?user=me&Password=secret&x=1", "postgres://db/app?user=me&Password=***&x=1"),
            ("postgres://db/app?sslpassword=secret", "postgres://db/app?sslpassword=***"),
            ("host=db password=secret user=me", "host=db password=*** user=me"),
            ("host=db password='my secret' user=me", "host=db password=*** user=me"),
            ("me:secret@db", "me:***@db"),
        ] {
            assert_eq!(ServerUrl::new(url).to_string(), printed);
            assert_eq!(format!("{:?}", ServerUrl::new(url)), format!("{printed:?}"));
            assert_eq!(ServerUrl::new(url).expose(), url);
        }
    }
}
