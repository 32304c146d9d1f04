//! Where the code of a crate depends on its features.
//!
//! A feature is chosen at a door: at a `mod` or `use` declaration, or at an item of a list, as in
//! `[A, #[cfg(feature = "b")] B]`. Below a door, code has no conditions.

use super::tokens::{Token, tokens};

/// The lines on which a condition on a feature stands elsewhere than at a door.
pub(super) fn conditions_inside(text: &str) -> Vec<usize> {
    let tokens = tokens(text);
    let lines = tokens.iter().map(|(line, _)| *line);
    let tokens: Vec<Token<'_>> = tokens.iter().map(|(_, token)| *token).collect();
    let mut open = Vec::new();
    let mut inside = vec![false; tokens.len()];
    let mut at = 0;
    while at < tokens.len() {
        if let Some(end) = attribute_end(&tokens, at) {
            let is_door =
                is_outer(&tokens, at) && (opens_door(&tokens, end) || open.last() == Some(&'['));
            inside[at] = has_condition(&tokens[at..end]) && !is_door;
            at = end;
            continue;
        }
        match tokens[at] {
            Token::Sign(sign @ ('(' | '[' | '{')) => open.push(sign),
            Token::Sign(')' | ']' | '}') => drop(open.pop()),
            // `cfg!(feature = "x")`
            _ => inside[at] = is_condition(&tokens[at..]),
        }
        at += 1;
    }
    let lines = lines.zip(inside).filter(|(_, inside)| *inside);
    lines.map(|(line, _)| line).collect()
}

/// The position after the attribute that begins here.
fn attribute_end(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    let open = match tokens.get(at..)? {
        [Token::Sign('#'), Token::Sign('['), ..] => at + 1,
        [Token::Sign('#'), Token::Sign('!'), Token::Sign('['), ..] => at + 2,
        _ => return None,
    };
    let mut depth = 0;
    let length = tokens[open..].iter().position(|token| {
        match token {
            Token::Sign('[') => depth += 1,
            Token::Sign(']') => depth -= 1,
            _ => {}
        }
        depth == 0
    })?;
    Some(open + length + 1)
}

fn is_outer(tokens: &[Token<'_>], at: usize) -> bool {
    tokens.get(at + 1) == Some(&Token::Sign('['))
}

/// Whether a `mod` or `use` follows here, perhaps after more attributes and a visibility.
fn opens_door(tokens: &[Token<'_>], mut at: usize) -> bool {
    while let Some(end) = attribute_end(tokens, at) {
        at = end;
    }
    let mut rest = tokens[at..].iter();
    let mut next = rest.next();
    if next == Some(&Token::Word("pub")) {
        next = rest.next();
        if next == Some(&Token::Sign('(')) {
            rest.by_ref().find(|token| **token == Token::Sign(')'));
            next = rest.next();
        }
    }
    matches!(next, Some(Token::Word("mod" | "use")))
}

fn has_condition(attribute: &[Token<'_>]) -> bool {
    (0..attribute.len()).any(|at| is_condition(&attribute[at..]))
}

/// Whether `feature = ".."` stands here.
fn is_condition(tokens: &[Token<'_>]) -> bool {
    tokens.starts_with(&[Token::Word("feature"), Token::Sign('='), Token::Sign('"')])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_is_a_module_a_use_or_an_item_of_a_list() {
        for door in [
            "#[cfg(feature = \"a\")] mod a;",
            "#[cfg(not(feature = \"a\"))]\n#[path = \"b.rs\"]\npub(in crate::m) mod a;",
            "#[cfg_attr(not(feature = \"a\"), path = \"b.rs\")] mod a;",
            "#[cfg(all(unix, feature = \"a\"))] pub use a::{B, c};",
            "const ALL: [u8; 2] = [1, #[cfg(feature = \"a\")] 2];",
            "fn f() { vec![g(), #[cfg(feature = \"a\")] h()] }",
            "#[cfg(test)] fn f() { x.feature = 1 } // cfg(feature = \"a\")",
            "/// `#[cfg(feature = \"a\")]`\nfn f() { g(\"feature = \\\"a\\\"\") }",
        ] {
            assert_eq!(conditions_inside(door), [0; 0], "{door}");
        }
    }

    #[test]
    fn every_other_condition_is_reported_with_its_line() {
        for (inside, line) in [
            ("#[cfg(feature = \"a\")] fn f() {}", 1),
            (
                "struct S {\n#[cfg(feature = \"a\")]\npub(crate) a: u8,\n}",
                2,
            ),
            ("enum E { A, #[cfg(feature = \"a\")] B }", 1),
            (
                "match x {\n[A, B] => 1,\n#[cfg(feature = \"a\")]\nC => 2\n}",
                3,
            ),
            ("#[cfg_attr(feature = \"a\", derive(Debug))] struct S;", 1),
            ("#![cfg(feature = \"a\")]\nmod m;", 1),
            ("fn f() {\nif cfg!(feature = \"a\") {} }", 2),
            ("fn f() { [1, g(#[cfg(feature = \"a\")] 2)] }", 1),
            ("#[cfg(feature = \"a\")] impl S { }\nmod m;", 1),
        ] {
            assert_eq!(conditions_inside(inside), [line], "{inside}");
        }
    }
}
