//! Whether a text that ebbtide does not parse, such as the body of a function, may remove a table.

/// Whether a text may drop, rename or move a table. The verbs count as a part of a name, too: the
/// call `drop_old_tables('users')` may drop a table.
pub(super) fn may_remove(text: &str) -> bool {
    may_remove_with(text, |word, verb| word == verb)
}

/// The same for a call, where a word may also begin with the verb, as in `DropGeometryTable`.
pub(super) fn may_remove_by_call(text: &str) -> bool {
    may_remove_with(text, |word, verb| word.starts_with(verb))
}

fn may_remove_with(text: &str, is_verb: impl Fn(&str, &str) -> bool) -> bool {
    let text = text.to_ascii_lowercase();
    let words = text.split(|c: char| !c.is_alphabetic());
    let mut previous = "";
    for word in words.filter(|word| !word.is_empty()) {
        let moves = previous == "set" && word == "schema";
        if moves || ["drop", "rename"].iter().any(|verb| is_verb(word, verb)) {
            return true;
        }
        previous = word;
    }
    false
}

/// Whether a name occurs in a text as a whole. Both are in lower case.
pub(super) fn has_name(text: &str, name: &str) -> bool {
    let belongs = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(name).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + name.len()..]);
        !before.chars().next_back().is_some_and(belongs)
            && !after.chars().next().is_some_and(belongs)
    })
}
