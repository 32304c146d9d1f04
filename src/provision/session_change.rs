//! The statement because of which a migration tool no longer finds its ledger.

use super::effect::changes_search_path;
use super::sql_script::{Script, Statement};

/// The place and the lines of the last statement in the scripts that changed the session's
/// `search_path` or role. A tool writes its ledger in the session of the migrations, so such a
/// statement decides which table that is, and whether the role may write to it.
pub(super) fn last_session_change<'a>(
    scripts: impl DoubleEndedIterator<Item = &'a Script>,
) -> Option<String> {
    scripts.rev().find_map(|script| {
        let statements = script.statements();
        let last = statements.into_iter().rfind(|it| changes_session(*it))?;
        Some(script.excerpt(last.offset()))
    })
}

fn changes_session(statement: Statement<'_>) -> bool {
    let sets_role: [&[&str]; 6] = [
        &["set", "role"],
        &["set", "local", "role"],
        &["set", "session", "role"],
        &["set", "session", "authorization"],
        &["set", "local", "session", "authorization"],
        &["set", "session", "session", "authorization"],
    ];
    // A function with a `search_path` of its own does not change the session's, whether CREATE or
    // ALTER sets it.
    let is_call = ["set", "select", "do", "call"]
        .iter()
        .any(|keyword| statement.starts_with(&[keyword]));
    sets_role.iter().any(|words| statement.starts_with(words))
        || (is_call && changes_search_path(statement))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_statement_that_changes_path_or_role_is_shown() {
        let first = Script::new("1.sql", "set search_path = app;\nset local role reader;\n");
        let second = Script::new(
            "2.sql",
            "create function f() returns int language sql set search_path = app as 'select 1';
             alter function f() set search_path = app; alter role app set search_path = app;",
        );
        let found = last_session_change([&first, &second].into_iter());
        assert!(found.is_some_and(|found| found.starts_with("1.sql:2:1\n")));
        assert_eq!(last_session_change([&second].into_iter()), None);
    }
}
