//! Settings for every server that we start: its data is thrown away, so durability buys nothing.

use std::collections::BTreeMap;

use super::log::PREFIX;

/// Tuned settings, overridden by the user's.
///
/// Sources: <https://www.postgresql.org/docs/current/non-durability.html> and the pages of each parameter.
pub(crate) fn tuned(major: u32, users: &BTreeMap<String, String>) -> BTreeMap<String, String> {
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
        // A copy flushes every dirty buffer of the server first: few buffers, quick copies.
        ("shared_buffers", "32MB"),
        ("max_connections", "200"),
        // Segments in the data directory go with it, also when the server is killed.
        ("dynamic_shared_memory_type", "mmap"),
        ("log_min_error_statement", "error"),
        ("log_line_prefix", PREFIX),
        // Its messages are read by their labels.
        ("lc_messages", "C"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    if major >= 14 {
        // A killed client's running statement ends within this time.
        settings.insert("client_connection_check_interval".into(), "1s".into());
    }
    for (name, value) in users {
        settings.insert(name.to_ascii_lowercase(), value.clone());
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_settings_win() {
        let users = BTreeMap::from([
            ("FSYNC".to_owned(), "on".to_owned()),
            ("timezone".to_owned(), "UTC".to_owned()),
        ]);
        let settings = tuned(15, &users);
        assert_eq!(settings["fsync"], "on");
        assert_eq!(settings["timezone"], "UTC");
        assert_eq!(settings["jit"], "off");
    }
}
