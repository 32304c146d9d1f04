use super::*;

/// A conversation whose server is ready in a transaction.
fn in_transaction() -> Conversation {
    let mut conversation = Conversation::new();
    assert_eq!(from_server(&mut conversation, &[(b'Z', b"T")]), ("", "Z"));
    conversation
}

/// The messages for the server and for the client.
#[derive(Debug)]
struct Sent(String, String);

impl PartialEq<(&str, &str)> for Sent {
    fn eq(&self, other: &(&str, &str)) -> bool {
        (self.0.as_str(), self.1.as_str()) == *other
    }
}

/// Shows each message by its kind, and each statement of the relay as `<>`.
fn sent(out: &Outbox) -> Sent {
    Sent(
        kinds(&out.to_server).replace("CPBECC", "<>"),
        kinds(&out.to_client),
    )
}

fn kinds(mut bytes: &[u8]) -> String {
    let mut kinds = String::new();
    while let Some((kind, rest)) = bytes.split_first() {
        let length = u32::from_be_bytes(rest[..4].try_into().expect("a length"));
        kinds.push(char::from(*kind));
        bytes = &rest[usize::try_from(length).expect("a short message")..];
    }
    kinds
}

fn from_client(conversation: &mut Conversation, messages: &[(u8, &[u8])]) -> Sent {
    let mut out = Outbox::default();
    for (kind, body) in messages {
        assert!(conversation.accepts_client_message());
        let mut whole = Vec::new();
        push_message(&mut whole, *kind, &[body]);
        conversation.on_client_message(Message { whole: &whole }, &mut out);
    }
    sent(&out)
}

fn from_server(conversation: &mut Conversation, messages: &[(u8, &[u8])]) -> Sent {
    let mut out = Outbox::default();
    for (kind, body) in messages {
        let mut whole = Vec::new();
        push_message(&mut whole, *kind, &[body]);
        conversation.on_server_message(Message { whole: &whole }, &mut out);
    }
    sent(&out)
}

const DONE: (u8, &[u8]) = (b'C', b"\0");
const READY: (u8, &[u8]) = (b'Z', b"T");
const READY_FAILED: (u8, &[u8]) = (b'Z', b"E");

#[test]
fn a_statement_runs_in_a_savepoint_and_the_client_receives_only_its_own_replies() {
    let mut conversation = in_transaction();
    assert_eq!(
        from_client(&mut conversation, &[(b'Q', b"select 1\0")]),
        ("<>SQ<>S", "")
    );
    assert!(!conversation.accepts_client_message());
    let answers = [
        DONE,
        READY,
        (b'T', b"" as &[u8]),
        (b'D', b""),
        DONE,
        READY,
        DONE,
    ];
    assert_eq!(from_server(&mut conversation, &answers), ("", "TDC"));
    assert_eq!(from_server(&mut conversation, &[READY]), ("", "Z"));
    assert!(conversation.accepts_client_message());
}

#[test]
fn a_failed_statement_is_rolled_back_before_the_client_is_ready() {
    let mut conversation = in_transaction();
    from_client(&mut conversation, &[(b'Q', b"select 1/0\0")]);
    let answers = [
        DONE,
        READY,
        (b'E', b"" as &[u8]),
        READY_FAILED,
        (b'E', b""),
        READY_FAILED,
    ];
    assert_eq!(from_server(&mut conversation, &answers), ("<><>S", "E"));
    assert_eq!(
        from_server(&mut conversation, &[DONE, DONE, READY]),
        ("", "Z")
    );
}

#[test]
fn nothing_is_added_within_a_transaction_of_the_application() {
    let mut conversation = in_transaction();
    assert_eq!(
        from_client(
            &mut conversation,
            &[(b'Q', b"SAVEPOINT _sqlx_savepoint_1\0")]
        )
        .0,
        "<>SQ"
    );
    assert_eq!(
        from_server(&mut conversation, &[DONE, READY, DONE, READY]),
        ("", "CZ")
    );
    assert_eq!(
        from_client(&mut conversation, &[(b'Q', b"select 1/0\0")]).0,
        "Q"
    );
    assert_eq!(
        from_server(&mut conversation, &[(b'E', b""), READY_FAILED]),
        ("", "EZ")
    );
    assert_eq!(
        from_client(
            &mut conversation,
            &[(b'Q', b"ROLLBACK TO SAVEPOINT _sqlx_savepoint_1\0")]
        )
        .0,
        "Q"
    );
    assert_eq!(from_server(&mut conversation, &[DONE, READY]), ("<>S", "C"));
    assert_eq!(from_server(&mut conversation, &[DONE, READY]), ("", "Z"));
}

/// The reply to one statement of the relay that no `Sync` follows.
const RELAY_STATEMENT_DONE: [(u8, &[u8]); 6] = [
    (b'3', b""),
    (b'1', b""),
    (b'2', b""),
    DONE,
    (b'3', b""),
    (b'3', b""),
];
const EXECUTED: [(u8, &[u8]); 4] = [
    (b'B', b"\0s1\0"),
    (b'E', b"\0"),
    (b'C', b"P\0"),
    (b'S', b""),
];

fn prepared(sql: &[u8]) -> Conversation {
    let mut conversation = in_transaction();
    let parse = [b"s1\0", sql, b"\0\0\0"].concat();
    let messages = [(b'P', parse.as_slice()), (b'D', b"Ss1\0"), (b'S', b"")];
    assert_eq!(from_client(&mut conversation, &messages).0, "<>PD<>S");
    assert_eq!(
        from_server(&mut conversation, &RELAY_STATEMENT_DONE),
        ("", "")
    );
    assert_eq!(
        from_server(&mut conversation, &[(b'1', b""), (b't', b""), (b'n', b"")]).1,
        "1tn"
    );
    assert_eq!(
        from_server(&mut conversation, &RELAY_STATEMENT_DONE),
        ("", "")
    );
    assert_eq!(from_server(&mut conversation, &[READY]), ("", "Z"));
    conversation
}

#[test]
fn an_extended_query_runs_in_a_savepoint() {
    let mut conversation = prepared(b"insert into t values (1)");
    assert_eq!(from_client(&mut conversation, &EXECUTED).0, "<>BEC<>S");
    from_server(&mut conversation, &RELAY_STATEMENT_DONE);
    assert_eq!(
        from_server(
            &mut conversation,
            &[(b'2', b""), (b'D', b""), DONE, (b'N', b""), (b'3', b"")]
        )
        .1,
        "2DCN3"
    );
    assert_eq!(from_server(&mut conversation, &RELAY_STATEMENT_DONE).1, "");
    assert_eq!(from_server(&mut conversation, &[READY]), ("", "Z"));

    assert_eq!(from_client(&mut conversation, &EXECUTED).0, "<>BEC<>S");
    from_server(&mut conversation, &RELAY_STATEMENT_DONE);
    assert_eq!(
        from_server(&mut conversation, &[(b'2', b""), (b'E', b""), READY_FAILED]),
        ("<><>S", "2E")
    );
    assert_eq!(
        from_server(&mut conversation, &[DONE, DONE, READY]),
        ("", "Z")
    );
    assert!(conversation.accepts_client_message());
}

#[test]
fn the_client_receives_an_error_that_makes_the_server_skip_its_messages() {
    let mut conversation = prepared(b"select 1");
    assert_eq!(from_client(&mut conversation, &EXECUTED).0, "<>BEC<>S");
    assert_eq!(
        from_server(&mut conversation, &[(b'3', b""), (b'E', b""), READY_FAILED]),
        ("", "EZ")
    );
    assert!(conversation.accepts_client_message());
}

#[test]
fn a_prepared_savepoint_is_recognised_when_it_is_executed() {
    let mut conversation = prepared(b"savepoint a");
    assert_eq!(from_client(&mut conversation, &EXECUTED).0, "<>BECS");
    from_server(&mut conversation, &RELAY_STATEMENT_DONE);
    assert_eq!(
        from_server(&mut conversation, &[(b'2', b""), DONE, (b'3', b""), READY]).1,
        "2C3Z"
    );
    assert_eq!(
        from_client(&mut conversation, &[(b'Q', b"select 1\0")]).0,
        "Q"
    );
}

#[test]
fn nothing_is_added_outside_a_transaction_or_to_a_batch_that_ends_it() {
    let mut conversation = Conversation::new();
    from_server(&mut conversation, &[(b'Z', b"I")]);
    assert_eq!(
        from_client(&mut conversation, &[(b'Q', b"begin; savepoint _ebbtide\0")]).0,
        "Q"
    );
    from_server(&mut conversation, &[DONE, DONE, READY]);
    assert_eq!(
        from_client(
            &mut conversation,
            &[(b'Q', b"insert into t values (1); commit\0")]
        )
        .0,
        "Q"
    );
    assert_eq!(
        from_server(&mut conversation, &[DONE, (b'E', b""), (b'Z', b"I")]),
        ("", "CEZ")
    );
}

#[test]
fn the_end_of_the_transaction_destroys_the_relays_savepoint() {
    let mut conversation = in_transaction();
    from_client(&mut conversation, &[(b'Q', b"savepoint a\0")]);
    from_server(&mut conversation, &[DONE, READY, DONE, READY]);
    assert_eq!(
        from_client(&mut conversation, &[(b'Q', b"rollback and chain\0")]).0,
        "Q"
    );
    assert_eq!(from_server(&mut conversation, &[DONE, READY]), ("", "CZ"));
    assert_eq!(
        from_client(&mut conversation, &[(b'Q', b"select 1\0")]).0,
        "<>SQ<>S"
    );
}

#[test]
fn data_is_forwarded_during_a_copy_and_ignored_after_it_has_failed() {
    let mut conversation = in_transaction();
    assert_eq!(
        from_client(&mut conversation, &[(b'Q', b"copy t from stdin\0")]).0,
        "<>SQ"
    );
    assert_eq!(
        from_server(&mut conversation, &[DONE, READY, (b'G', b"")]).1,
        "G"
    );
    assert_eq!(from_client(&mut conversation, &[(b'd', b"1\n")]).0, "d");
    assert_eq!(
        from_server(&mut conversation, &[(b'E', b""), READY_FAILED]),
        ("<><>S", "E")
    );
    assert_eq!(from_server(&mut conversation, &[DONE, DONE, READY]).1, "Z");
    assert_eq!(
        from_client(&mut conversation, &[(b'd', b"2\n"), (b'c', b"")]).0,
        ""
    );
    assert_eq!(
        from_client(&mut conversation, &[(b'Q', b"select 1\0")]).0,
        "<>SQ<>S"
    );
}
