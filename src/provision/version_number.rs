//! Numbers in versions.

/// A number, perhaps with dashes as in diesel's `2026-01-31-120000`.
pub(super) fn number_of(text: &str) -> Option<u128> {
    let digits = text.replace('-', "");
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

/// The number with which a version or a file's name begins.
pub(super) fn number_at_start(version: &str) -> Option<u128> {
    let rest = version.trim_start_matches(|c: char| c.is_ascii_digit());
    version[..version.len() - rest.len()].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_and_leading_zeros_do_not_count() {
        assert_eq!(number_of("2026-01-31-120000"), Some(20_260_131_120_000));
        assert_eq!(number_of("007"), Some(7));
        for text in ["", "-", "v7", "7_names", "1.5"] {
            assert_eq!(number_of(text), None, "{text}");
        }
        assert_eq!(number_at_start("041_names.sql"), Some(41));
        assert_eq!(number_at_start("names.sql"), None);
    }
}
