//! The tables that must exist after a series of scripts has run, read from the text alone.
//!
//! Each such table is a claim. `verify` fails the build if a claimed table is missing, so a wrong
//! claim is worse than a missing one. Every text that might drop or rename a table removes the
//! table's claim. A `ROLLBACK` does not remove claims: tables lost to a rollback are what the
//! claims exist to find.
//!
//! ```text
//! CREATE TABLE ---> claim ---> RENAME, SET SCHEMA: the claim moves to the new name
//!                     |
//!                     +------> DROP, ROLLBACK TO, text with the name: the claim is removed
//! ```
//!
//! The bodies of functions are checked at the end, because they may run at any later time.

use std::collections::{BTreeMap, BTreeSet};

use super::effect::{Effect, changes_search_path};
use super::relation::QualifiedName;
use super::sql_script::{Script, Statement};
use crate::lexer::Token;

/// The statement because of which a table must exist afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The name of the script.
    pub(crate) script: String,
    /// The line of the statement that gave the table its name, counted from 1.
    pub(crate) line: usize,
    /// The table may be in any schema: its name has no schema, and a statement before it changed
    /// `search_path`. If false, a name without a schema means the default `search_path`.
    pub(crate) any_schema: bool,
}

/// The tables that must exist after the scripts have run in this order. The names are folded to
/// lower case unless quoted: `table` or `schema.table`.
pub(crate) fn claimed_tables<'a>(
    scripts: impl IntoIterator<Item = &'a Script>,
) -> BTreeMap<String, Claim> {
    let mut scan = Scan::default();
    for script in scripts {
        for statement in script.statements() {
            scan.follow(script, statement);
        }
    }
    scan.finish()
}

/// The state after the statements that were read so far.
#[derive(Default)]
struct Scan {
    claims: BTreeMap<QualifiedName, Claim>,
    /// Pairs of a parent and its partition or child table. Dropping the parent drops the child too.
    children: BTreeSet<(QualifiedName, QualifiedName)>,
    /// Bodies of functions that mention a drop or rename. They may run at any later time.
    bodies: Vec<String>,
    is_search_path_changed: bool,
}

impl Scan {
    /// Applies the effect of one statement to the claims.
    fn follow(&mut self, script: &Script, statement: Statement<'_>) {
        self.is_search_path_changed |= changes_search_path(statement);
        let literals = statement.tokens().filter_map(|token| match token {
            Token::Literal(text) => Some(text),
            Token::Word(_) | Token::Quoted(_) | Token::Symbol(_) => None,
        });
        if statement.starts_with(&["create"]) {
            self.bodies.extend(
                literals
                    .filter(|text| may_drop_or_rename(text))
                    .map(str::to_owned),
            );
        } else {
            literals.for_each(|text| self.discard_mentioned(text));
        }

        let claim = |any_schema: bool| Claim {
            script: script.name().to_owned(),
            line: script.position_of_byte(statement.offset()).line,
            any_schema,
        };
        match Effect::of(statement) {
            Effect::Create(table, parents) => {
                self.children
                    .extend(parents.into_iter().map(|parent| (parent, table.clone())));
                let any_schema = table.schema.is_none() && self.is_search_path_changed;
                self.claims
                    .entry(table)
                    .or_insert_with(|| claim(any_schema));
            }
            Effect::Drop(tables) => {
                for table in tables {
                    self.drop(table);
                }
            }
            Effect::DropSchemas(schemas) => {
                for schema in &schemas {
                    self.drop_schema(schema);
                }
            }
            Effect::Rename(from, to) => {
                let any_schema = to.schema.is_none() && self.is_search_path_changed;
                self.rename(&from, &to, claim(any_schema));
            }
            Effect::Inherit(parent, child) => self.children.extend([(parent, child)]),
            Effect::RollbackTo => self.claims.retain(|_, claim| claim.script != script.name()),
            Effect::DropOwned => self.claims.clear(),
            Effect::Unknown => self.discard_mentioned(statement.text()),
            Effect::Nothing => {}
        }
    }

    /// Removes the claims that a function may drop, and returns the others.
    fn finish(mut self) -> BTreeMap<String, Claim> {
        for body in std::mem::take(&mut self.bodies) {
            self.discard_mentioned(&body);
        }
        self.claims
            .into_iter()
            .map(|(name, claim)| (name.to_string(), claim))
            .collect()
    }

    /// Removes the claims of a table, and of all its partitions and child tables.
    fn drop(&mut self, table: QualifiedName) {
        let mut dropped = vec![table];
        while let Some(table) = dropped.pop() {
            self.claims.retain(|name, _| !name.may_equal(&table));
            let children = self
                .children
                .extract_if(.., |(parent, _)| parent.may_equal(&table));
            dropped.extend(children.map(|(_, child)| child));
        }
    }

    /// Removes the claims in a schema. A claim without a schema is in `public`, unless it may be
    /// anywhere.
    fn drop_schema(&mut self, schema: &str) {
        self.claims.retain(|name, claim| match &name.schema {
            Some(own) => own != schema,
            None => schema != "public" && !claim.any_schema,
        });
    }

    /// Moves a claim to the new name. The old name may also mean a table of another schema, so
    /// every claim that it can mean is removed. The pairs of parents and children are kept under
    /// both names.
    fn rename(&mut self, from: &QualifiedName, to: &QualifiedName, claim: Claim) {
        let old_claim = self.claims.remove(from);
        self.claims.retain(|name, _| !name.may_equal(from));
        if let Some(old) = old_claim {
            let any_schema = claim.any_schema || (old.any_schema && to.schema.is_none());
            self.claims.insert(
                to.clone(),
                Claim {
                    any_schema,
                    ..claim
                },
            );
        }
        let renamed = |name: &QualifiedName| {
            if name.may_equal(from) {
                to.clone()
            } else {
                name.clone()
            }
        };
        let children: Vec<_> = self
            .children
            .iter()
            .map(|(parent, child)| (renamed(parent), renamed(child)))
            .collect();
        self.children.extend(children);
    }

    /// Removes every claim whose name occurs in a text that might drop or rename tables.
    fn discard_mentioned(&mut self, text: &str) {
        if !may_drop_or_rename(text) {
            return;
        }
        let text = text.to_lowercase();
        let mentions = |name: &str| {
            has_word(&text, &name.to_lowercase(), |c| {
                c.is_alphanumeric() || c == '_'
            })
        };
        let mentions_schemas = mentions("schema");
        let is_mentioned = |name: &QualifiedName| {
            mentions(&name.table)
                || (mentions_schemas && mentions(name.schema.as_deref().unwrap_or("public")))
        };
        self.claims.retain(|name, _| !is_mentioned(name));
    }
}

/// Whether the words `drop` or `rename` occur, also as part of a name: the call
/// `drop_old_tables('users')` may drop a table.
fn may_drop_or_rename(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["drop", "rename"]
        .iter()
        .any(|verb| has_word(&text, verb, char::is_alphabetic))
}

/// Whether `word` occurs in `text` with no neighbouring character that would belong to the word.
fn has_word(text: &str, word: &str, belongs: impl Fn(char) -> bool) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + word.len()..]);
        !before.chars().next_back().is_some_and(&belongs)
            && !after.chars().next().is_some_and(&belongs)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(text: &str) -> Vec<String> {
        claimed_tables(&[Script::new("x.sql", text)])
            .into_keys()
            .collect()
    }

    /// Claims after creating `a`, `b` and `s.c` and then running `text`.
    fn claims_after(text: &str) -> String {
        claims(&format!(
            "create table a (); create table b (); create table s.c (); {text}"
        ))
        .join(" ")
    }

    #[test]
    fn every_permanent_table_is_claimed_under_its_folded_name() {
        let text = r#"
            CREATE TABLE Users (id int); create unlogged table if not exists App."Log" ();
            create table "q""x" ();
            create table if (id int); create table p partition of parent default;
            create table copy as select 1;
            create table db.s.deep ();"#;
        assert_eq!(
            claims(text),
            ["app.Log", "copy", "if", "p", "q\"x", "s.deep", "users"]
        );
        assert_eq!(
            claims(&format!("create table {} ()", "é".repeat(40))),
            ["é".repeat(31)]
        );
    }

    #[test]
    fn temporary_tables_and_other_objects_are_not_claimed() {
        let temporary =
            "create temp table t (); create temporary table t (); create global temp table t ();
            create local temporary table t (); create table pg_temp.t ()";
        let other = "create view t as select 1; create index t on u (a); create table \"a.b\" ();
            create table;
            -- create table t ();
            do $$ create table t () $$";
        assert_eq!(
            [temporary, other, ""].map(claims),
            [const { Vec::<String>::new() }; 3]
        );
    }

    #[test]
    fn a_claim_has_the_line_of_the_statement_that_named_the_table() {
        let first = Script::new(
            "1.sql",
            "-- users\n\ncreate table users ();\ncreate table users2 ();",
        );
        let second = Script::new(
            "2.sql",
            "create table if not exists users ();\nalter table users2 rename to u2;",
        );
        let found = claimed_tables([&first, &second]);
        let claim = |script: &str, line| Claim {
            script: script.to_owned(),
            line,
            any_schema: false,
        };
        let expected = [
            ("u2".to_owned(), claim("2.sql", 2)),
            ("users".to_owned(), claim("1.sql", 3)),
        ];
        assert_eq!(found, BTreeMap::from(expected));
    }

    #[test]
    fn a_drop_removes_the_claim() {
        assert_eq!(claims_after("drop table if exists A, s.c cascade"), "b");
        assert_eq!(claims_after("drop table \"A\", public.b"), "a s.c");
        assert_eq!(claims_after("drop table c"), "a b");
        assert_eq!(
            claims_after("drop table \"x.y\", b"),
            "a s.c",
            "a list that cannot be read"
        );
        assert_eq!(claims_after("drop schema if exists S cascade"), "a b");
        assert_eq!(claims_after("drop schema x, public"), "s.c");
        assert_eq!(claims_after("alter schema s rename to t"), "a b");
        assert_eq!(claims_after("drop owned by me"), "");
        assert_eq!(claims_after("drop table a; create table a ()"), "a b s.c");
    }

    #[test]
    fn a_statement_that_drops_no_table_removes_no_claim() {
        for text in [
            "drop index a_idx; drop trigger t on a; drop view if exists v",
            "alter table a drop column b, drop constraint c",
            "alter table a rename column b to c; alter table a rename b to d; alter table a rename \
             constraint b to c",
            "alter table a set (fillfactor = 70); alter schema s owner to me",
            "insert into a values ('drop', 'b'); comment on table a is 'a gumdrop, dropped'",
            "do $$ begin drop table aa; update a_b set x = 1; end $$",
            "-- drop table a",
        ] {
            assert_eq!(claims_after(text), "a b s.c", "{text}");
        }
    }

    #[test]
    fn renamed_and_moved_tables_are_claimed_under_their_new_name() {
        assert_eq!(
            claims_after("alter table if exists only a * rename to \"Z\""),
            "Z b s.c"
        );
        assert_eq!(
            claims_after("alter table s.c rename to d; alter table b set schema S"),
            "a s.b s.d"
        );
        assert_eq!(
            claims_after("drop table a; alter table b rename to a"),
            "a s.c"
        );
        assert_eq!(claims_after("alter table x rename to y"), "a b s.c");
        assert_eq!(
            claims_after("alter table public.a rename to y"),
            "b s.c",
            "public.a may be the table a, or another one"
        );
    }

    #[test]
    fn partitions_and_child_tables_are_dropped_with_their_parent() {
        let parts =
            "create table a1 partition of a default; create table a2 partition of a1 default;";
        assert_eq!(claims_after(&format!("{parts} drop table a")), "b s.c");
        assert_eq!(
            claims_after(&format!("{parts} alter table a rename to z; drop table z")),
            "b s.c"
        );
        assert_eq!(
            claims_after("create table d (x int) inherits (b, s.c); drop table s.c cascade"),
            "a b"
        );
        assert_eq!(
            claims_after("alter table a attach partition b default; drop table a"),
            "s.c"
        );
        assert_eq!(
            claims_after("alter table a inherit s.c; drop table s.c cascade"),
            "b"
        );
        let swaps = "alter table a rename to z; alter table z rename to a;".repeat(40);
        assert_eq!(
            claims_after(&format!("{parts} {swaps} drop table a")),
            "b s.c"
        );
    }

    #[test]
    fn text_that_may_drop_a_table_and_mentions_it_removes_its_claim() {
        assert_eq!(
            claims_after("do $$ begin execute 'DROP TABLE ' || 'A'; end $$"),
            "b s.c"
        );
        assert_eq!(
            claims_after("do $$ begin drop schema if exists s cascade; end $$"),
            "a b"
        );
        assert_eq!(claims_after("call rename_table('a', 'z')"), "b s.c");
        assert_eq!(claims_after("select drop_tables('{b,c}')"), "a");
        assert_eq!(claims_after("alter table 'b' rename to z"), "a s.c");
    }

    #[test]
    fn a_function_may_drop_tables_that_are_created_after_it() {
        let text = "create function f() returns void language sql as $$ drop table a $$; \
                    create table a ();";
        assert!(claims(&format!("{text} select f();")).is_empty());
    }

    #[test]
    fn only_a_rollback_to_a_savepoint_removes_the_claims_of_its_script() {
        let first = Script::new("1.sql", "create table a (); rollback; abort;");
        let second = Script::new(
            "2.sql",
            "savepoint s; create table b (); rollback work to s; create table c ();",
        );
        assert_eq!(
            claimed_tables([&first, &second])
                .into_keys()
                .collect::<Vec<_>>(),
            ["a", "c"]
        );
    }

    #[test]
    fn after_a_change_of_search_path_a_table_may_be_in_any_schema() {
        for change in [
            "set search_path = app",
            "SET LOCAL \"search_path\" TO app",
            "select pg_catalog.set_config('search_path', '', false)",
            "set schema 'app'",
            "set local schema 'app'",
            "alter role me set Search_Path = app",
            "do $$ begin set search_path = app; end $$",
        ] {
            let first = Script::new(
                "1.sql",
                format!("create table a (); {change}; create table s.b ();"),
            );
            let second = Script::new("2.sql", "create table c (); alter table c rename to d;");
            let found: Vec<_> = claimed_tables([&first, &second])
                .into_iter()
                .map(|(name, claim)| (name, claim.any_schema))
                .collect();
            let expected = [("a", false), ("d", true), ("s.b", false)]
                .map(|(name, any)| (name.to_owned(), any));
            assert_eq!(found, expected, "{change}");
        }
        assert!(
            claims("set search_path = app; create table a (); drop schema app cascade").is_empty()
        );
    }
}
