//! The text of a connection URL: its encoding, and its parameters.

use std::fmt::Write as _;

use url::Url;

/// The parameters of a URL, still encoded.
pub(super) fn pairs(url: &Url) -> Vec<&str> {
    url.query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
        .collect()
}

/// Whether a URL's parameter contains settings of the session: `options=..` or `options[NAME]=..`.
pub(super) fn is_setting(pair: &str) -> bool {
    let key = pair.split('=').next().unwrap_or_default();
    key == "options"
        || ["options[", "options%5B", "options%5b"]
            .iter()
            .any(|of| key.starts_with(of))
}

pub(super) fn percent_encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a string does not fail");
        }
        encoded
    })
}
