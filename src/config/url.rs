//! The URL of an external server, and text without passwords.

use std::fmt;
use std::ops::Range;

use percent_encoding::percent_decode_str;

/// The URL of an external server.
///
/// `Display` and `Debug` print `***` for every password, so plans and errors can be logged.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ServerUrl(String);

impl ServerUrl {
    /// The complete URL with its password. Use it to connect, and do not print it.
    #[must_use]
    pub(crate) fn expose(&self) -> &str {
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

/// A URL, a keyword string or another value with `***` for every password.
pub(super) fn redacted(url: &str) -> String {
    let mut secrets: Vec<Range<usize>> = password_parameters(url);
    secrets.extend(user_password(url));
    secrets.sort_by_key(|secret| secret.start);
    let mut safe = String::with_capacity(url.len());
    let mut copied_to = 0;
    for secret in secrets {
        // Two ranges can overlap: a user's password that contains `password=`, or a parameter with
        // an `@`.
        if secret.start >= copied_to {
            safe.push_str(&url[copied_to..secret.start]);
            safe.push_str("***");
        }
        copied_to = copied_to.max(secret.end);
    }
    safe + &url[copied_to..]
}

/// A line that does not parse, without possible secrets. Its strings have no reliable end, so
/// everything after the key is replaced.
pub(super) fn without_secrets(line: &str) -> String {
    // ASCII lower case keeps every byte position.
    let lower = line.to_ascii_lowercase();
    if !["://", "@", "pass", "secret", "token", "pwd"]
        .iter()
        .any(|marker| lower.contains(marker))
    {
        return line.to_owned();
    }
    match line.split_once('=') {
        Some((key, _)) if !key.contains(['"', '\'', '@', ':']) => format!("{key}= ***"),
        _ => "***".to_owned(),
    }
}

/// The range of the password in `user:password@`.
fn user_password(url: &str) -> Option<Range<usize>> {
    let start = url.find("://").map_or(0, |at| at + 3);
    // A password that was not percent-encoded may contain `@`, `/` or `?`. So everything up to the
    // last `@` counts as password: an unusual URL loses too much, but no password is printed in
    // part.
    let end = start + url[start..].rfind('@')?;
    let colon = start + url[start..end].find(':')?;
    Some(colon + 1..end)
}

/// The ranges of the values of parameters whose names end in `password`, such as `sslpassword`.
///
/// They occur in a URL and in a keyword string, where blanks may surround the equals sign
/// (<https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-KEYWORD-VALUE>).
fn password_parameters(url: &str) -> Vec<Range<usize>> {
    let mut secrets = Vec::new();
    let mut at = 0;
    while let Some(equals) = url[at..].find('=').map(|found| at + found) {
        at = equals + 1;
        let name = url[..equals].trim_end();
        let name = &name[name
            .rfind(|c: char| c == '&' || c == '?' || c.is_whitespace())
            .map_or(0, |end| end + 1)..];
        // The name may be percent-encoded.
        let decoded = percent_decode_str(name).decode_utf8_lossy();
        if !decoded.to_ascii_lowercase().ends_with("password") {
            continue;
        }
        let rest = &url[at..];
        let value = rest.trim_start();
        let start = at + rest.len() - value.len();
        let end = match value.strip_prefix('\'') {
            Some(quoted) => quoted.rfind('\'').map(|end| end + 2),
            None => value.find(|c: char| c == '&' || c.is_whitespace()),
        };
        let end = end.map_or(url.len(), |end| start + end);
        secrets.push(start..end);
        at = end;
    }
    secrets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_ever_printed() {
        for (url, printed) in [
            (
                "postgres://me:secret@db:5432/app",
                "postgres://me:***@db:5432/app",
            ),
            (
                "postgres://me:sec:r@et/x?y@db/app",
                "postgres://me:***@db/app",
            ),
            ("postgres://me@db/app", "postgres://me@db/app"),
            ("postgres://db:5432/app", "postgres://db:5432/app"),
            (
                "postgres://db/app?user=me&Password=secret&x=1",
                "postgres://db/app?user=me&Password=***&x=1",
            ),
            (
                "postgres://db/app?sslpassword=secret",
                "postgres://db/app?sslpassword=***",
            ),
            (
                "host=db password=secret user=me",
                "host=db password=*** user=me",
            ),
            (
                "host=db password='my secret' user=me",
                "host=db password=*** user=me",
            ),
            ("me:secret@db", "me:***@db"),
            (
                "postgres://db/app?user=me&%70assword=secret",
                "postgres://db/app?user=me&%70assword=***",
            ),
            (
                "postgres://db/app?password=se%63ret&x=1",
                "postgres://db/app?password=***&x=1",
            ),
            (
                "postgres://db:5432/app?password=se@cret",
                "postgres://db:***",
            ),
            ("postgres://me:x?password=y@db/app", "postgres://me:***"),
            (
                "host=db password = secret user=me",
                "host=db password = *** user=me",
            ),
            (
                "host=db password = 'my secret' user=me",
                "host=db password = *** user=me",
            ),
        ] {
            assert_eq!(ServerUrl::new(url).to_string(), printed);
            assert_eq!(format!("{:?}", ServerUrl::new(url)), format!("{printed:?}"));
            assert_eq!(ServerUrl::new(url).expose(), url);
        }
    }

    #[test]
    fn a_line_with_a_possible_secret_is_reduced_to_its_key() {
        for (line, safe) in [
            ("backend = = 'auto'", "backend = = 'auto'"),
            ("url = \"postgres://bob:secret@db/app", "url = ***"),
            ("url = postgres://bob:secret", "url = ***"),
            (
                "server = { url = 'host=db password=secret }",
                "server = ***",
            ),
            ("bob:secret@db/app\"\"\"", "***"),
            ("app.jwt_secret = 'abc", "app.jwt_secret = ***"),
            ("secret", "***"),
        ] {
            assert_eq!(without_secrets(line), safe);
        }
    }
}
