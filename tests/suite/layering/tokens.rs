//! The tokens of Rust code, as far as a scan for paths needs them.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A keyword or an identifier.
    Word(&'a str),
    /// `::`
    Colons,
    /// Any other sign. A literal is the sign `"`.
    Sign(char),
}

/// The tokens of a text, with the numbers of their lines.
///
/// Comments and lifetimes are left out.
pub(super) fn tokens(text: &str) -> Vec<(usize, Token<'_>)> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while let Some(first) = rest.chars().next() {
        let (length, token) = next_token(rest, first);
        tokens.extend(token.map(|token| (line, token)));
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

/// The length of the first token in bytes, and the token unless it is left out.
fn next_token(rest: &str, first: char) -> (usize, Option<Token<'_>>) {
    let literal = |length| (length, Some(Token::Sign('"')));
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), None);
    }
    if rest.starts_with("/*") {
        return (block_comment_length(rest), None);
    }
    if "\"brc".contains(first)
        && let Some(length) = string_length(rest)
    {
        return literal(length);
    }
    if first == '\'' {
        return match char_length(rest) {
            Some(length) => literal(length),
            None => (1 + word_length(&rest[1..]), None),
        };
    }
    if rest.starts_with("::") {
        return (2, Some(Token::Colons));
    }
    match word_length(rest) {
        0 if first.is_whitespace() => (rest.len() - rest.trim_start().len(), None),
        0 => (first.len_utf8(), Some(Token::Sign(first))),
        // `r#name` is the identifier `name`.
        1 if rest.starts_with("r#") => {
            let length = 2 + word_length(&rest[2..]);
            (length, Some(Token::Word(&rest[2..length])))
        }
        length => (length, Some(Token::Word(&rest[..length]))),
    }
}

fn word_length(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len())
}

/// Block comments nest.
fn block_comment_length(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// The length of a string literal with its prefix, if the text begins with one.
fn string_length(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "b", "c", "r", ""].into_iter().find(|prefix| {
        text.strip_prefix(prefix)
            .is_some_and(|rest| rest.starts_with(['"', '#']))
    })?;
    let rest = &text[prefix.len()..];
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    let body = rest[hashes..].strip_prefix('"')?;
    let start = text.len() - body.len();
    if prefix.ends_with('r') {
        let end = format!("\"{}", "#".repeat(hashes));
        return Some(start + body.find(&end).map_or(body.len(), |at| at + end.len()));
    }
    if hashes > 0 {
        return None;
    }
    let mut is_escaped = false;
    let end = body.find(|c| {
        let ends = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        ends
    });
    Some(start + end.map_or(body.len(), |at| at + 1))
}

/// The length of a character literal; `None` for a lifetime.
fn char_length(text: &str) -> Option<usize> {
    let body = &text[1..];
    let first = body.chars().next()?;
    if first == '\\' {
        // The escaped character may be a quote itself.
        let escaped = 1 + body[1..].chars().next()?.len_utf8();
        return Some(1 + escaped + body[escaped..].find('\'')? + 1);
    }
    body[first.len_utf8()..]
        .starts_with('\'')
        .then_some(first.len_utf8() + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<(usize, &str)> {
        let words = tokens(text)
            .into_iter()
            .filter_map(|(line, token)| match token {
                Token::Word(word) => Some((line, word)),
                Token::Colons | Token::Sign(_) => None,
            });
        words.collect()
    }

    #[test]
    fn comments_and_literals_have_no_words() {
        let text = r##"// one
/* two /* nested */ still a comment */ let
/// [`three`]
f("four \" five", '"', '\'', '\\', b"\"", b'"', r"\"); after
x = r#"six " seven"#; end
"a literal
over lines" last"##;
        assert_eq!(
            words(text),
            [
                (2, "let"),
                (4, "f"),
                (4, "b"),
                (4, "after"),
                (5, "x"),
                (5, "end"),
                (7, "last")
            ]
        );
    }

    #[test]
    fn a_lifetime_is_no_word_and_a_raw_identifier_is_one() {
        assert_eq!(
            words("fn f<'a>(x: &'a r#type) {}"),
            [(1, "fn"), (1, "f"), (1, "x"), (1, "type")]
        );
    }
}
