//! The session of a guarded transaction: its settings from the start, and what is known of it.

/// Whether a session has had a guarded transaction before.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Session<'a> {
    /// It has not. The message checks the server's identity, where the server has one: another
    /// server may listen at the address by now. sqlx begins the transaction, so it counts the
    /// user's `begin` as a savepoint from then on. `settings` are `SET` statements, which outlive
    /// the transaction.
    New {
        server: Option<&'a str>,
        settings: &'a str,
    },
    /// It has. `session_count` is how many sessions the database had ever had when that transaction
    /// ended, if known.
    Used { session_count: Option<u64> },
}

/// As which role a session is logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionLogin {
    /// The role that sealed the template.
    Administrator,
    /// Another role, which has no rights on ebbtide's own objects but those granted to all.
    OtherRole,
}

/// The settings with which every session of a test starts, as names and values.
pub(crate) fn start_settings(version_num: u32) -> Vec<(&'static str, &'static str)> {
    let mut settings = vec![
        // A statement outside the guarded transaction cannot write
        // (https://www.postgresql.org/docs/current/runtime-config-client.html).
        ("default_transaction_read_only", "on"),
        // The guarded transaction lasts as long as the test. The server's timeouts are meant for
        // the application's transactions and must not end it.
        ("idle_in_transaction_session_timeout", "0"),
    ];
    // An unknown setting in a start-up message is an error.
    if version_num >= 170_000 {
        settings.push(("transaction_timeout", "0"));
    }
    settings
}
