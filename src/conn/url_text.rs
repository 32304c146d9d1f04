//! The text of a connection URL: its encoding, and its parameters.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::Url;

const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

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

/// Encodes every character except those that RFC 3986 calls unreserved
/// (<https://www.rfc-editor.org/rfc/rfc3986#section-2.3>).
pub(super) fn percent_encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// In these parts of a URL, unlike in form data, `+` is a plus and not a space.
pub(super) fn percent_decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
