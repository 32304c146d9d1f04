//! The first pass: whether the bytes of a file contain a word that makes it worth reading the tokens.

use std::io::Read;

use super::shared_names::{SERVER_WIDE_FUNCTIONS, SHARED_CATALOGS};

/// How many bytes are read at a time. Seeds may be large.
pub(super) const CHUNK_BYTES: usize = 64 << 10;
/// How many bytes before a word are inspected. So many bytes of each chunk are kept for the next.
const CONTEXT_BYTES: usize = 256;

/// Whether a text may contain a statement that affects the whole server.
///
/// Every test process inspects every file. So this pass reads the bytes once, in chunks, and keeps
/// none of them: reading all tokens takes ten times as long. The end of each chunk is inspected
/// again together with the next one, because a word needs the bytes before it.
pub(in crate::provision) fn may_be_server_wide(mut text: impl Read) -> std::io::Result<bool> {
    let mut window = Vec::with_capacity(CHUNK_BYTES + CONTEXT_BYTES);
    loop {
        let carried = window.len().saturating_sub(CONTEXT_BYTES);
        window.drain(..carried);
        let chunk_start = window.len();
        if text
            .by_ref()
            .take(CHUNK_BYTES as u64)
            .read_to_end(&mut window)?
            == 0
        {
            return Ok(false);
        }
        window[chunk_start..].make_ascii_lowercase();
        if has_candidate_word(&window) {
            return Ok(true);
        }
    }
}

/// Whether one of the words of a text makes it worth reading its tokens.
fn has_candidate_word(text: &[u8]) -> bool {
    let mut at = 0;
    let mut is_inside_word = false;
    while at < text.len() {
        let byte = text[at];
        let is_letter = byte == b'_' || byte.is_ascii_alphanumeric();
        if is_letter && !is_inside_word && is_candidate_word(text, at) {
            return true;
        }
        is_inside_word = is_letter;
        at += 1;
    }
    false
}

/// Whether the word at this byte is one that the scan looks for, after the text that such a word
/// follows. The text is in lower case.
fn is_candidate_word(text: &[u8], at: usize) -> bool {
    let word = &text[at..];
    let objects: &[&str] = match word[0] {
        b'p' => return word.starts_with(b"pg_") && starts_with_shared_name(word),
        b'r' => &["role", "revoke"],
        b'u' => &["user"],
        b'g' => &["group", "grant"],
        b'd' => &["database"],
        b't' => &["tablespace"],
        b's' => &["subscription", "system"],
        b'o' => &["owned"],
        _ => return false,
    };
    let Some(object) = objects
        .iter()
        .find(|object| word.starts_with(object.as_bytes()))
    else {
        return false;
    };
    let before = text[at.saturating_sub(CONTEXT_BYTES)..at].trim_ascii_end();
    // GRANT and REVOKE begin a statement; the other words follow a verb. A comment may precede
    // both.
    let allowed: &[&str] = match *object {
        "grant" | "revoke" => &[";", "'", "$", "begin", "then", "else", "loop"],
        _ => &["create", "alter", "drop", "reassign", "on"],
    };
    let line = before
        .rsplit(|byte| *byte == b'\n')
        .next()
        .unwrap_or(before);
    // The word may also follow the data of COPY or a psql command, whose lines contain a backslash.
    before.is_empty()
        || before.ends_with(b"*/")
        || line.contains(&b'\\')
        || line.windows(2).any(|pair| pair == b"--")
        || allowed.iter().any(|end| before.ends_with(end.as_bytes()))
}

/// Whether the word begins with the name of a shared catalog or of a server-wide function.
fn starts_with_shared_name(word: &[u8]) -> bool {
    SHARED_CATALOGS
        .iter()
        .chain(&SERVER_WIDE_FUNCTIONS)
        .any(|name| word.starts_with(name.as_bytes()))
}
