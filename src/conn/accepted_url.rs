//! A server's URL in the form that the driver parses.
//!
//! libpq accepts a URL whose host is empty, and SQLAlchemy one with a driver in its scheme. Both
//! stand in configurations that people share with other programs, and the driver rejects both.
//! <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS>

use url::Url;

use super::url_text::{pairs, percent_decode};

/// Parses a URL in any of these forms:
///
/// ```text
/// postgres://user:password@host:5432/database?sslmode=require
/// postgres://user@%2Fdirectory:5432/database
/// postgresql://user@/database?host=/directory&port=5432
/// postgresql+psycopg://user@host/database
/// ```
///
/// # Errors
/// The URL cannot be parsed, or names several hosts: the driver connects to one.
pub(super) fn parse(url: &str) -> Result<Url, sqlx::Error> {
    let parsed: Url = with_moved_authority(&without_driver(url))
        .parse()
        .map_err(|error| sqlx::Error::Configuration(Box::new(error)))?;
    let in_parameter = pairs(&parsed).into_iter().any(|pair| {
        pair.split_once('=')
            .is_some_and(|(name, value)| name == "host" && percent_decode(value).contains(','))
    });
    if in_parameter || parsed.host_str().is_some_and(|host| host.contains(',')) {
        return Err(sqlx::Error::Configuration(
            "it must name one host, but names several".into(),
        ));
    }
    Ok(parsed)
}

/// `postgresql+psycopg://` as `postgresql://`.
fn without_driver(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let scheme = scheme.split('+').next().unwrap_or(scheme);
            format!("{scheme}://{rest}")
        }
        None => url.to_owned(),
    }
}

/// Moves user, password and port into parameters if the host is empty. The URL's own parameters
/// follow them, because a later one counts.
fn with_moved_authority(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(authority_end);
    let (user_info, host_and_port) = authority.rsplit_once('@').unwrap_or(("", authority));
    let port = host_and_port.strip_prefix(':');
    if authority.is_empty() || !(host_and_port.is_empty() || port.is_some()) {
        return url.to_owned();
    }
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = if path.is_empty() { "/" } else { path };
    let (user, password) = match user_info.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (user_info, None),
    };
    let moved = [("user", Some(user)), ("password", password), ("port", port)];
    let moved = moved.into_iter().filter_map(|(name, value)| {
        let value = value.filter(|value| !value.is_empty())?;
        // In a parameter, the driver decodes `+` as a space.
        Some(format!("{name}={}", value.replace('+', "%2B")))
    });
    let own = Some(query.to_owned()).filter(|query| !query.is_empty());
    let parameters: Vec<String> = moved.chain(own).collect();
    format!("{scheme}://{path}?{}", parameters.join("&"))
}

#[cfg(test)]
mod tests {
    use sqlx::postgres::PgConnectOptions;

    use super::*;

    /// User, host or socket, port and database, as the driver reads them.
    fn read(url: &str) -> String {
        let parsed = parse(url).expect("the URL reads");
        let options: PgConnectOptions = parsed.as_str().parse().expect("the driver reads it");
        let place = match options.get_socket() {
            Some(dir) => dir.display().to_string(),
            None => options.get_host().to_owned(),
        };
        let database = options.get_database().unwrap_or("none");
        format!(
            "{} {place} {} {database}",
            options.get_username(),
            options.get_port()
        )
    }

    #[test]
    fn every_documented_form_reads() {
        for (url, expected) in [
            (
                "postgres://me:pw@db:6543/app?sslmode=disable",
                "me db 6543 app",
            ),
            ("postgresql://me@db/app", "me db 5432 app"),
            ("postgres://me@%2Frun%2Fpg:6543/app", "me /run/pg 6543 app"),
            (
                "postgresql://me@/app?host=/run/pg&port=6543",
                "me /run/pg 6543 app",
            ),
            (
                "postgresql://me:a+b@/app?host=%2Frun%2Fpg",
                "me /run/pg 5432 app",
            ),
            (
                "postgresql://me@:6543/app?host=/run/pg",
                "me /run/pg 6543 app",
            ),
            (
                "postgresql://:6543/app?host=/run/pg&user=me",
                "me /run/pg 6543 app",
            ),
            (
                "postgresql://me@?host=/run/pg&dbname=app",
                "me /run/pg 5432 app",
            ),
            (
                "postgresql:///app?host=/run/pg&user=me",
                "me /run/pg 5432 app",
            ),
            (
                "postgresql://me@/app?host=/run/pg&user=you",
                "you /run/pg 5432 app",
            ),
            (
                "postgresql+psycopg://me@/app?host=/run/pg",
                "me /run/pg 5432 app",
            ),
            ("postgresql+asyncpg://me@db:6543/app", "me db 6543 app"),
            ("postgres://me@[::1]:6543/app", "me [::1] 6543 app"),
            ("postgres://me%40there@db/a%2Fb", "me@there db 5432 a/b"),
        ] {
            assert_eq!(read(url), expected, "{url}");
        }
        let parsed = parse("postgresql://me:a+b%2F@/app?host=/run/pg").expect("the URL reads");
        let password = parsed.query_pairs().find(|(name, _)| name == "password");
        assert_eq!(password.expect("a password").1, "a+b/");
    }

    #[test]
    fn several_hosts_are_an_error() {
        for url in [
            "postgres://me@one,two/app",
            "postgresql://me@/app?host=one%2Ctwo",
        ] {
            let error = parse(url).expect_err("two hosts");
            assert!(error.to_string().contains("must name one host"), "{error}");
        }
    }
}
