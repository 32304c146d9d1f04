//! What the driver takes from the environment and no session of ours may have.
//!
//! Every constructor of sqlx's `PgConnectOptions` reads `PGOPTIONS` into the start-up parameter `options`, and no method
//! takes it out again: `options` appends. The start-up packet is a list of strings that each end with a zero byte
//! (<https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-STARTUPMESSAGE>), and
//! the driver writes its strings without looking for such a byte. So a zero byte within `options` ends the parameter, and
//! what follows begins a second parameter `options`. PostgreSQL keeps one value for each name, the last
//! (`ProcessStartupPacket` assigns `port->cmdline_options` for every `options` that it meets, in every version).
//! What stood in `PGOPTIONS` thus never reaches the server's parser, legal or not.

use sqlx::postgres::PgConnectOptions;
use url::Url;

/// Ends the parameter `options`, and begins a second one.
const RESTART: &str = "\0options\0";

/// The value of `PGOPTIONS`, as the driver has read it.
fn settings() -> Option<String> {
    PgConnectOptions::new_without_pgpass()
        .get_options()
        .map(str::to_owned)
}

/// The driver's options without a setting from the environment.
///
/// A password from `PGPASSWORD` belongs to another server. Ours would not ask for it, but `to_url_lossy` shows it.
pub(super) fn none_of() -> PgConnectOptions {
    let options = PgConnectOptions::new_without_pgpass().password("");
    match options.get_options() {
        // The setting before the zero byte ends with the parameter that the server drops.
        Some(_) => options.options([("ebbtide.dropped", RESTART)]),
        None => options,
    }
}

/// The driver's options for a URL whose settings, and the environment's, give way to `session`.
///
/// # Errors
/// The driver cannot read the URL.
pub(super) fn only_settings(url: &Url, session: &str) -> Result<PgConnectOptions, sqlx::Error> {
    let restart = if settings().is_some() { RESTART } else { "" };
    let mut url = url.clone();
    let others = super::pairs(&url)
        .into_iter()
        .filter(|pair| !super::is_setting(pair));
    let others: Vec<String> = others.map(str::to_owned).collect();
    if restart.is_empty() && session.is_empty() {
        url.set_query(
            Some(&others.join("&"))
                .filter(|query| !query.is_empty())
                .map(String::as_str),
        );
    } else {
        let ours = format!(
            "options={}",
            super::percent_encode(&format!("{restart}{session}"))
        );
        url.set_query(Some(&[others, vec![ours]].concat().join("&")));
    }
    url.as_str().parse()
}

/// The settings in options that the driver has read from a URL: those of the environment come first.
pub(super) fn of_url(options: &PgConnectOptions) -> String {
    let all = options.get_options().unwrap_or_default();
    let own = settings()
        .and_then(|inherited| all.strip_prefix(&inherited))
        .unwrap_or(all);
    own.strip_prefix(' ').unwrap_or(own).to_owned()
}
