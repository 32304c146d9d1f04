//! Settings for every server that ebbtide starts. Its data is deleted, so it need not be durable.

use std::collections::BTreeMap;

use super::log::LOG_LINE_PREFIX;

/// Tuned settings, overridden by the settings of the user.
///
/// Sources: <https://www.postgresql.org/docs/current/non-durability.html> and the pages of each
/// parameter.
pub(crate) fn tuned(
    major: u32,
    user_settings: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut settings: BTreeMap<String, String> = [
        ("fsync", "off"),
        ("full_page_writes", "off"),
        ("synchronous_commit", "off"),
        ("wal_level", "minimal"),
        ("max_wal_senders", "0"),
        ("wal_init_zero", "off"),
        ("max_wal_size", "1GB"),
        ("checkpoint_timeout", "1h"),
        ("autovacuum", "off"),
        ("jit", "off"),
        // CREATE DATABASE with FILE_COPY first flushes every dirty buffer: the fewer buffers, the
        // faster the copy.
        ("shared_buffers", "32MB"),
        ("max_connections", "200"),
        // Segments are then files in the data directory and are deleted with it, also if the server
        // is killed.
        ("dynamic_shared_memory_type", "mmap"),
        ("log_min_error_statement", "error"),
        ("log_line_prefix", LOG_LINE_PREFIX),
        // The log's messages are recognised by their English labels.
        ("lc_messages", "C"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    if major >= 14 {
        // The running statement of a killed client ends within this time.
        settings.insert("client_connection_check_interval".into(), "1s".into());
    }
    for (name, value) in user_settings {
        settings.insert(name.to_ascii_lowercase(), value.clone());
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_user_override_tuned_ones() {
        let user_settings = BTreeMap::from([
            ("FSYNC".to_owned(), "on".to_owned()),
            ("timezone".to_owned(), "UTC".to_owned()),
        ]);
        let settings = tuned(15, &user_settings);
        assert_eq!(settings["fsync"], "on");
        assert_eq!(settings["timezone"], "UTC");
        assert_eq!(settings["jit"], "off");
    }
}
