use super::*;

/// A conversation in a transaction.
fn inside() -> Conversation {
    let mut conversation = Conversation::new();
    assert_eq!(hear(&mut conversation, &[(b'Z', b"T")]), ("", "Z"));
    conversation
}

/// What the server and the client are sent.
#[derive(Debug)]
struct Sent(String, String);

impl PartialEq<(&str, &str)> for Sent {
    fn eq(&self, other: &(&str, &str)) -> bool {
        (self.0.as_str(), self.1.as_str()) == *other
    }
}

/// Our statements as angles, all else by the messages' kinds.
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

fn say_as_client(conversation: &mut Conversation, messages: &[(u8, &[u8])]) -> Sent {
    let mut out = Outbox::default();
    for (kind, body) in messages {
        assert!(conversation.hears_client());
        let mut whole = Vec::new();
        push(&mut whole, *kind, &[body]);
        conversation.hear_client(Message { whole: &whole }, &mut out);
    }
    sent(&out)
}

fn hear(conversation: &mut Conversation, messages: &[(u8, &[u8])]) -> Sent {
    let mut out = Outbox::default();
    for (kind, body) in messages {
        let mut whole = Vec::new();
        push(&mut whole, *kind, &[body]);
        conversation.hear_server(Message { whole: &whole }, &mut out);
    }
    sent(&out)
}

const DONE: (u8, &[u8]) = (b'C', b"\0");
const IN: (u8, &[u8]) = (b'Z', b"T");
const FAILED: (u8, &[u8]) = (b'Z', b"E");

#[test]
fn a_statement_is_framed_and_the_client_sees_its_own_answers_only() {
    let mut state = inside();
    assert_eq!(
        say_as_client(&mut state, &[(b'Q', b"select 1\0")]),
        ("<>SQ<>S", "")
    );
    assert!(!state.hears_client());
    let answers = [DONE, IN, (b'T', b"" as &[u8]), (b'D', b""), DONE, IN, DONE];
    assert_eq!(hear(&mut state, &answers), ("", "TDC"));
    assert_eq!(hear(&mut state, &[IN]), ("", "Z"));
    assert!(state.hears_client());
}

#[test]
fn a_failed_statement_is_undone_before_the_client_may_go_on() {
    let mut state = inside();
    say_as_client(&mut state, &[(b'Q', b"select 1/0\0")]);
    let answers = [DONE, IN, (b'E', b"" as &[u8]), FAILED, (b'E', b""), FAILED];
    assert_eq!(hear(&mut state, &answers), ("<><>S", "E"));
    assert_eq!(hear(&mut state, &[DONE, DONE, IN]), ("", "Z"));
}

#[test]
fn the_applications_transaction_is_left_alone_and_ours_goes_with_it() {
    let mut state = inside();
    assert_eq!(
        say_as_client(&mut state, &[(b'Q', b"SAVEPOINT _sqlx_savepoint_1\0")]).0,
        "<>SQ"
    );
    assert_eq!(hear(&mut state, &[DONE, IN, DONE, IN]), ("", "CZ"));
    assert_eq!(say_as_client(&mut state, &[(b'Q', b"select 1/0\0")]).0, "Q");
    assert_eq!(hear(&mut state, &[(b'E', b""), FAILED]), ("", "EZ"));
    assert_eq!(
        say_as_client(
            &mut state,
            &[(b'Q', b"ROLLBACK TO SAVEPOINT _sqlx_savepoint_1\0")]
        )
        .0,
        "Q"
    );
    assert_eq!(hear(&mut state, &[DONE, IN]), ("<>S", "C"));
    assert_eq!(hear(&mut state, &[DONE, IN]), ("", "Z"));
}

/// To one of our statements, when no `Sync` follows it.
const OURS_DONE: [(u8, &[u8]); 6] = [
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
    let mut state = inside();
    let parse = [b"s1\0", sql, b"\0\0\0"].concat();
    let messages = [(b'P', parse.as_slice()), (b'D', b"Ss1\0"), (b'S', b"")];
    assert_eq!(say_as_client(&mut state, &messages).0, "<>PD<>S");
    assert_eq!(hear(&mut state, &OURS_DONE), ("", ""));
    assert_eq!(
        hear(&mut state, &[(b'1', b""), (b't', b""), (b'n', b"")]).1,
        "1tn"
    );
    assert_eq!(hear(&mut state, &OURS_DONE), ("", ""));
    assert_eq!(hear(&mut state, &[IN]), ("", "Z"));
    state
}

#[test]
fn an_extended_query_is_framed_by_its_answers() {
    let mut state = prepared(b"insert into t values (1)");
    assert_eq!(say_as_client(&mut state, &EXECUTED).0, "<>BEC<>S");
    hear(&mut state, &OURS_DONE);
    assert_eq!(
        hear(
            &mut state,
            &[(b'2', b""), (b'D', b""), DONE, (b'N', b""), (b'3', b"")]
        )
        .1,
        "2DCN3"
    );
    assert_eq!(hear(&mut state, &OURS_DONE).1, "");
    assert_eq!(hear(&mut state, &[IN]), ("", "Z"));

    assert_eq!(say_as_client(&mut state, &EXECUTED).0, "<>BEC<>S");
    hear(&mut state, &OURS_DONE);
    assert_eq!(
        hear(&mut state, &[(b'2', b""), (b'E', b""), FAILED]),
        ("<><>S", "2E")
    );
    assert_eq!(hear(&mut state, &[DONE, DONE, IN]), ("", "Z"));
    assert!(state.hears_client());
}

#[test]
fn an_error_before_the_clients_messages_is_told_to_it() {
    let mut state = prepared(b"select 1");
    assert_eq!(say_as_client(&mut state, &EXECUTED).0, "<>BEC<>S");
    assert_eq!(
        hear(&mut state, &[(b'3', b""), (b'E', b""), FAILED]),
        ("", "EZ")
    );
    assert!(state.hears_client());
}

#[test]
fn a_prepared_savepoint_is_known_when_it_is_executed() {
    let mut state = prepared(b"savepoint a");
    assert_eq!(say_as_client(&mut state, &EXECUTED).0, "<>BECS");
    hear(&mut state, &OURS_DONE);
    assert_eq!(
        hear(&mut state, &[(b'2', b""), DONE, (b'3', b""), IN]).1,
        "2C3Z"
    );
    assert_eq!(say_as_client(&mut state, &[(b'Q', b"select 1\0")]).0, "Q");
}

#[test]
fn nothing_is_added_outside_a_transaction_or_to_what_ends_it() {
    let mut state = Conversation::new();
    hear(&mut state, &[(b'Z', b"I")]);
    assert_eq!(
        say_as_client(&mut state, &[(b'Q', b"begin; savepoint _ebbtide\0")]).0,
        "Q"
    );
    hear(&mut state, &[DONE, DONE, IN]);
    assert_eq!(
        say_as_client(&mut state, &[(b'Q', b"insert into t values (1); commit\0")]).0,
        "Q"
    );
    assert_eq!(
        hear(&mut state, &[DONE, (b'E', b""), (b'Z', b"I")]),
        ("", "CEZ")
    );
}

#[test]
fn nothing_is_left_to_release_when_the_transaction_has_gone() {
    let mut state = inside();
    say_as_client(&mut state, &[(b'Q', b"savepoint a\0")]);
    hear(&mut state, &[DONE, IN, DONE, IN]);
    assert_eq!(
        say_as_client(&mut state, &[(b'Q', b"rollback and chain\0")]).0,
        "Q"
    );
    assert_eq!(hear(&mut state, &[DONE, IN]), ("", "CZ"));
    assert_eq!(
        say_as_client(&mut state, &[(b'Q', b"select 1\0")]).0,
        "<>SQ<>S"
    );
}

#[test]
fn the_client_may_talk_during_a_copy_and_is_not_heard_after_it() {
    let mut state = inside();
    assert_eq!(
        say_as_client(&mut state, &[(b'Q', b"copy t from stdin\0")]).0,
        "<>SQ"
    );
    assert_eq!(hear(&mut state, &[DONE, IN, (b'G', b"")]).1, "G");
    assert_eq!(say_as_client(&mut state, &[(b'd', b"1\n")]).0, "d");
    assert_eq!(hear(&mut state, &[(b'E', b""), FAILED]), ("<><>S", "E"));
    assert_eq!(hear(&mut state, &[DONE, DONE, IN]).1, "Z");
    assert_eq!(
        say_as_client(&mut state, &[(b'd', b"2\n"), (b'c', b"")]).0,
        ""
    );
    assert_eq!(
        say_as_client(&mut state, &[(b'Q', b"select 1\0")]).0,
        "<>SQ<>S"
    );
}
