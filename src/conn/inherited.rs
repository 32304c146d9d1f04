//! Keeps the environment's `PGOPTIONS` out of our sessions.
//!
//! Every constructor of sqlx's `PgConnectOptions` reads `PGOPTIONS` into the start-up parameter
//! `options`. No method removes it again: `options` appends.
//!
//! The remedy uses the format of the start-up packet, a list of strings that each end with a zero
//! byte. The driver does not check its strings for such a byte. So a zero byte within `options`
//! ends the parameter, and the text after it begins a second parameter `options`. PostgreSQL uses
//! the last value: in every version, `ProcessStartupPacket` assigns `port->cmdline_options` for
//! each `options` that it finds. The text from `PGOPTIONS` therefore never reaches the server's
//! parser, valid or not.
//! <https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-STARTUPMESSAGE>

use sqlx::postgres::PgConnectOptions;
use url::Url;

use super::url_text::{is_setting, pairs, percent_encode};

/// Ends the parameter `options`, and begins a second one.
const RESTART_OPTIONS: &str = "\0options\0";

/// The value of `PGOPTIONS`, as the driver has read it.
fn inherited_settings() -> Option<String> {
    PgConnectOptions::new_without_pgpass()
        .get_options()
        .map(str::to_owned)
}

/// The driver's options without settings from the environment.
///
/// A password from `PGPASSWORD` belongs to another server. Our server would request none,
/// but the driver's `to_url_lossy` would include this one.
pub(super) fn without_settings() -> PgConnectOptions {
    let options = PgConnectOptions::new_without_pgpass().password("");
    match options.get_options() {
        // `options` appends `-c ebbtide.dropped=` and the value. The part before the value's zero
        // byte stays in the first parameter, which the server ignores.
        Some(_) => options.options([("ebbtide.dropped", RESTART_OPTIONS)]),
        None => options,
    }
}

/// The driver's options for a URL, with `session` in place of the URL's and the environment's
/// settings.
///
/// # Errors
/// The driver cannot parse the URL.
pub(super) fn with_only_settings(
    url: &Url,
    session: &str,
) -> Result<PgConnectOptions, sqlx::Error> {
    let restart = if inherited_settings().is_some() {
        RESTART_OPTIONS
    } else {
        ""
    };
    let mut url = url.clone();
    let others = pairs(&url).into_iter().filter(|pair| !is_setting(pair));
    let others: Vec<String> = others.map(str::to_owned).collect();
    if restart.is_empty() && session.is_empty() {
        url.set_query(
            Some(&others.join("&"))
                .filter(|query| !query.is_empty())
                .map(String::as_str),
        );
    } else {
        let options = format!("options={}", percent_encode(&format!("{restart}{session}")));
        url.set_query(Some(&[others, vec![options]].concat().join("&")));
    }
    url.as_str().parse()
}

/// The settings that the driver has read from a URL, without the environment's, which come first.
pub(super) fn settings_of_url(options: &PgConnectOptions) -> String {
    let all = options.get_options().unwrap_or_default();
    let own = inherited_settings()
        .and_then(|inherited| all.strip_prefix(&inherited))
        .unwrap_or(all);
    own.strip_prefix(' ').unwrap_or(own).to_owned()
}
