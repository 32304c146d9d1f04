//! Which tables a run of scripts says it leaves behind, read from the text alone.
//!
//! A claim that is not kept fails somebody's build, so the scan rather forgets a claim than holds a wrong one: whatever
//! might drop or rename a table takes its claim away. A `ROLLBACK` does not: a table lost that way is what the claims
//! are there to find.

use std::collections::{BTreeMap, BTreeSet};

use super::relation::{Name, Relation, Words};
use super::script::{Script, Statement};
use crate::lexer::Token;

/// Where a script says that a table exists afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The name of the script.
    pub(crate) script: String,
    /// The line of the statement that gave the table its name, counted from 1.
    pub(crate) line: usize,
    /// The name had no schema after the scripts had touched `search_path`, so the table may be in any schema. Otherwise
    /// a claim without a schema means the default `search_path`.
    pub(crate) any_schema: bool,
}

/// The tables that exist after the scripts, run in this order, by name as written and folded: `table` or
/// `schema.table`.
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

/// The scripts and lines that create the table, view or materialized view which an error calls `table`.
pub(crate) fn creators_of<'a>(
    table: &str,
    scripts: impl IntoIterator<Item = &'a Script>,
) -> Vec<(String, usize)> {
    let wanted = match table.rsplit_once('.') {
        Some((schema, table)) => Name {
            schema: Some(schema.to_owned()),
            table: table.to_owned(),
        },
        None => Name {
            schema: None,
            table: table.to_owned(),
        },
    };
    let mut creators = Vec::new();
    for script in scripts {
        for statement in script.statements() {
            let mut words = Words::of(statement);
            if words.accept(&["create"])
                && words
                    .created()
                    .is_some_and(|(_, name)| name.may_be(&wanted))
            {
                creators.push((
                    script.name().to_owned(),
                    script.position_of_byte(statement.offset()).line,
                ));
            }
        }
    }
    creators
}

#[derive(Default)]
struct Scan {
    claims: BTreeMap<Name, Claim>,
    /// Parents and the partitions or heirs that a drop takes along.
    heirs: BTreeSet<(Name, Name)>,
    /// Bodies of functions, which may run at any later time.
    bodies: Vec<String>,
    search_path_touched: bool,
}

impl Scan {
    fn follow(&mut self, script: &Script, statement: Statement<'_>) {
        self.search_path_touched |= touches_search_path(statement);
        let literals = statement.tokens().filter_map(|token| match token {
            Token::Literal(text) => Some(text),
            Token::Word(_) | Token::Quoted(_) | Token::Symbol(_) => None,
        });
        if statement.starts_with(&["create"]) {
            self.bodies.extend(
                literals
                    .filter(|text| takes_tables_away(text))
                    .map(str::to_owned),
            );
        } else {
            literals.for_each(|text| self.doubt(text));
        }

        let claim = |any_schema: bool| Claim {
            script: script.name().to_owned(),
            line: script.position_of_byte(statement.offset()).line,
            any_schema,
        };
        match Effect::of(statement) {
            Effect::Create(table, parents) => {
                self.heirs
                    .extend(parents.into_iter().map(|parent| (parent, table.clone())));
                let any_schema = table.schema.is_none() && self.search_path_touched;
                self.claims
                    .entry(table)
                    .or_insert_with(|| claim(any_schema));
            }
            Effect::Drop(tables) => tables.into_iter().for_each(|table| self.drop(table)),
            Effect::DropSchemas(schemas) => {
                schemas.iter().for_each(|schema| self.drop_schema(schema))
            }
            Effect::Rename(from, to) => {
                let any_schema = to.schema.is_none() && self.search_path_touched;
                self.rename(&from, &to, claim(any_schema));
            }
            Effect::Inherit(parent, child) => self.heirs.extend([(parent, child)]),
            Effect::RollbackTo => self.claims.retain(|_, claim| claim.script != script.name()),
            Effect::Everything => self.claims.clear(),
            Effect::Unknown => self.doubt(statement.text()),
            Effect::Nothing => {}
        }
    }

    fn finish(mut self) -> BTreeMap<String, Claim> {
        for body in std::mem::take(&mut self.bodies) {
            self.doubt(&body);
        }
        self.claims
            .into_iter()
            .map(|(name, claim)| (name.to_string(), claim))
            .collect()
    }

    fn drop(&mut self, table: Name) {
        let mut doomed = vec![table];
        while let Some(table) = doomed.pop() {
            self.claims.retain(|name, _| !name.may_be(&table));
            let heirs = self
                .heirs
                .extract_if(.., |(parent, _)| parent.may_be(&table));
            doomed.extend(heirs.map(|(_, child)| child));
        }
    }

    fn drop_schema(&mut self, schema: &str) {
        self.claims.retain(|name, claim| match &name.schema {
            Some(own) => own != schema,
            None => schema != "public" && !claim.any_schema,
        });
    }

    fn rename(&mut self, from: &Name, to: &Name, claim: Claim) {
        let known = self.claims.remove(from);
        self.claims.retain(|name, _| !name.may_be(from));
        if let Some(old) = known {
            let any_schema = claim.any_schema || (old.any_schema && to.schema.is_none());
            self.claims.insert(
                to.clone(),
                Claim {
                    any_schema,
                    ..claim
                },
            );
        }
        let moved = |name: &Name| {
            if name.may_be(from) {
                to.clone()
            } else {
                name.clone()
            }
        };
        let heirs: Vec<_> = self
            .heirs
            .iter()
            .map(|(parent, child)| (moved(parent), moved(child)))
            .collect();
        self.heirs.extend(heirs);
    }

    /// Takes away every claim that this text might drop or rename.
    fn doubt(&mut self, text: &str) {
        if !takes_tables_away(text) {
            return;
        }
        let text = text.to_lowercase();
        let names = |name: &str| {
            has_word(&text, &name.to_lowercase(), |c| {
                c.is_alphanumeric() || c == '_'
            })
        };
        let schemas = names("schema");
        let doubtful = |name: &Name| {
            names(&name.table) || (schemas && names(name.schema.as_deref().unwrap_or("public")))
        };
        self.claims.retain(|name, _| !doubtful(name));
    }
}

/// What a statement does to the tables.
enum Effect {
    /// The table, and the parents whose drop takes it along.
    Create(Name, Vec<Name>),
    Drop(Vec<Name>),
    DropSchemas(Vec<String>),
    /// From, to.
    Rename(Name, Name),
    /// Parent, child.
    Inherit(Name, Name),
    /// Back to a savepoint, which is no accident.
    RollbackTo,
    Everything,
    /// It may run anything, or it does not read as expected.
    Unknown,
    Nothing,
}

impl Effect {
    fn of(statement: Statement<'_>) -> Self {
        let mut words = Words::of(statement);
        if words.accept(&["create"]) {
            Self::of_create(&mut words)
        } else if words.accept(&["drop"]) {
            Self::of_drop(&mut words).unwrap_or(Self::Unknown)
        } else if words.accept(&["alter", "table"]) {
            Self::of_alter_table(&mut words).unwrap_or(Self::Unknown)
        } else if words.accept(&["alter", "schema"]) {
            let schema = words.identifier();
            if words.accept(&["rename"]) {
                Self::DropSchemas(schema.into_iter().collect())
            } else {
                Self::Nothing
            }
        } else if words.accept(&["rollback"]) {
            let to: [&[&str]; 3] = [&["to"], &["work", "to"], &["transaction", "to"]];
            if to.iter().any(|keywords| words.accept(keywords)) {
                Self::RollbackTo
            } else {
                Self::Nothing
            }
        } else if ["do", "call", "select", "with", "execute"]
            .iter()
            .any(|keyword| words.accept(&[keyword]))
        {
            Self::Unknown
        } else {
            Self::Nothing
        }
    }

    fn of_create(words: &mut Words<'_>) -> Self {
        match words.created() {
            Some((Relation::Table, table)) if table.schema.as_deref() != Some("pg_temp") => {
                Self::Create(table, words.parents())
            }
            Some((Relation::Table | Relation::View, _)) | None => Self::Nothing,
        }
    }

    fn of_drop(words: &mut Words<'_>) -> Option<Self> {
        if words.accept(&["table"]) {
            words.accept(&["if", "exists"]);
            Some(Self::Drop(words.names()?))
        } else if words.accept(&["schema"]) {
            words.accept(&["if", "exists"]);
            Some(Self::DropSchemas(
                words.names()?.into_iter().map(|name| name.table).collect(),
            ))
        } else if words.accept(&["owned"]) {
            Some(Self::Everything)
        } else {
            Some(Self::Nothing)
        }
    }

    fn of_alter_table(words: &mut Words<'_>) -> Option<Self> {
        words.accept(&["if", "exists"]);
        words.accept(&["only"]);
        let table = words.name()?;
        words.symbol('*');
        if words.accept(&["rename", "to"]) {
            let to = Name {
                schema: table.schema.clone(),
                table: words.identifier()?,
            };
            Some(Self::Rename(table, to))
        } else if words.accept(&["set", "schema"]) {
            let to = Name {
                schema: Some(words.identifier()?),
                table: table.table.clone(),
            };
            Some(Self::Rename(table, to))
        } else if words.accept(&["attach", "partition"]) {
            Some(Self::Inherit(table, words.name()?))
        } else if words.accept(&["inherit"]) {
            Some(Self::Inherit(words.name()?, table))
        } else {
            Some(Self::Nothing)
        }
    }
}

/// `SET SCHEMA 'x'` is another spelling of `SET search_path`
/// (<https://www.postgresql.org/docs/current/sql-set.html>).
fn touches_search_path(statement: Statement<'_>) -> bool {
    let set_schema: [&[&str]; 3] = [
        &["set", "schema"],
        &["set", "local", "schema"],
        &["set", "session", "schema"],
    ];
    set_schema
        .iter()
        .any(|keywords| statement.starts_with(keywords))
        || statement.tokens().any(|token| match token {
            Token::Word(text) | Token::Literal(text) => {
                text.to_ascii_lowercase().contains("search_path")
            }
            Token::Quoted(name) => name == "search_path",
            Token::Symbol(_) => false,
        })
}

/// Whether the words `drop` or `rename` occur, also as part of a name: `drop_old_tables('users')` is a call.
fn takes_tables_away(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["drop", "rename"]
        .iter()
        .any(|verb| has_word(&text, verb, char::is_alphabetic))
}

/// Whether `word` occurs in `text` with no character next to it that would belong to it.
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
    fn left_by(text: &str) -> String {
        claims(&format!(
            "create table a (); create table b (); create table s.c (); {text}"
        ))
        .join(" ")
    }

    #[test]
    fn every_lasting_table_is_claimed_under_its_folded_name() {
        let text = r#"
            CREATE TABLE Users (id int); create unlogged table if not exists App."Log" (); create table "q""x" ();
            create table if (id int); create table p partition of parent default; create table copy as select 1;
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
    fn what_does_not_last_or_is_no_table_is_not_claimed() {
        let temporary =
            "create temp table t (); create temporary table t (); create global temp table t ();
            create local temporary table t (); create table pg_temp.t ()";
        let other = "create view t as select 1; create index t on u (a); create table \"a.b\" (); create table;
            -- create table t ();
            do $$ create table t () $$";
        assert_eq!(
            [temporary, other, ""].map(claims),
            [const { Vec::<String>::new() }; 3]
        );
    }

    #[test]
    fn a_claim_points_at_the_statement_that_gave_the_name() {
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
    fn drops_take_claims_away() {
        assert_eq!(left_by("drop table if exists A, s.c cascade"), "b");
        assert_eq!(left_by("drop table \"A\", public.b"), "a s.c");
        assert_eq!(left_by("drop table c"), "a b");
        assert_eq!(
            left_by("drop table \"x.y\", b"),
            "a s.c",
            "a list that cannot be read"
        );
        assert_eq!(left_by("drop schema if exists S cascade"), "a b");
        assert_eq!(left_by("drop schema x, public"), "s.c");
        assert_eq!(left_by("alter schema s rename to t"), "a b");
        assert_eq!(left_by("drop owned by me"), "");
        assert_eq!(left_by("drop table a; create table a ()"), "a b s.c");
    }

    #[test]
    fn what_only_sounds_like_a_drop_changes_nothing() {
        for text in [
            "drop index a_idx; drop trigger t on a; drop view if exists v",
            "alter table a drop column b, drop constraint c",
            "alter table a rename column b to c; alter table a rename b to d; alter table a rename constraint b to c",
            "alter table a set (fillfactor = 70); alter schema s owner to me",
            "insert into a values ('drop', 'b'); comment on table a is 'a gumdrop, dropped'",
            "do $$ begin drop table aa; update a_b set x = 1; end $$",
            "-- drop table a",
        ] {
            assert_eq!(left_by(text), "a b s.c", "{text}");
        }
    }

    #[test]
    fn renamed_and_moved_tables_are_claimed_under_their_new_name() {
        assert_eq!(
            left_by("alter table if exists only a * rename to \"Z\""),
            "Z b s.c"
        );
        assert_eq!(
            left_by("alter table s.c rename to d; alter table b set schema S"),
            "a s.b s.d"
        );
        assert_eq!(left_by("drop table a; alter table b rename to a"), "a s.c");
        assert_eq!(left_by("alter table x rename to y"), "a b s.c");
        assert_eq!(
            left_by("alter table public.a rename to y"),
            "b s.c",
            "perhaps this a, perhaps not"
        );
    }

    #[test]
    fn partitions_and_heirs_go_with_their_parent() {
        let parts =
            "create table a1 partition of a default; create table a2 partition of a1 default;";
        assert_eq!(left_by(&format!("{parts} drop table a")), "b s.c");
        assert_eq!(
            left_by(&format!("{parts} alter table a rename to z; drop table z")),
            "b s.c"
        );
        assert_eq!(
            left_by("create table d (x int) inherits (b, s.c); drop table s.c cascade"),
            "a b"
        );
        assert_eq!(
            left_by("alter table a attach partition b default; drop table a"),
            "s.c"
        );
        assert_eq!(
            left_by("alter table a inherit s.c; drop table s.c cascade"),
            "b"
        );
        let swaps = "alter table a rename to z; alter table z rename to a;".repeat(40);
        assert_eq!(left_by(&format!("{parts} {swaps} drop table a")), "b s.c");
    }

    #[test]
    fn opaque_text_that_names_a_table_takes_its_claim() {
        assert_eq!(
            left_by("do $$ begin execute 'DROP TABLE ' || 'A'; end $$"),
            "b s.c"
        );
        assert_eq!(
            left_by("do $$ begin drop schema if exists s cascade; end $$"),
            "a b"
        );
        assert_eq!(left_by("call rename_table('a', 'z')"), "b s.c");
        assert_eq!(left_by("select drop_tables('{b,c}')"), "a");
        assert_eq!(left_by("alter table 'b' rename to z"), "a s.c");
    }

    #[test]
    fn a_function_may_drop_tables_that_come_after_it() {
        let text = "create function f() returns void language sql as $$ drop table a $$; create table a ();";
        assert!(claims(&format!("{text} select f();")).is_empty());
    }

    #[test]
    fn only_a_rollback_to_a_savepoint_takes_the_claims_of_its_script() {
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
    fn a_touched_search_path_leaves_the_schema_open() {
        for touch in [
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
                format!("create table a (); {touch}; create table s.b ();"),
            );
            let second = Script::new("2.sql", "create table c (); alter table c rename to d;");
            let found: Vec<_> = claimed_tables([&first, &second])
                .into_iter()
                .map(|(name, claim)| (name, claim.any_schema))
                .collect();
            let expected = [("a", false), ("d", true), ("s.b", false)]
                .map(|(name, any)| (name.to_owned(), any));
            assert_eq!(found, expected, "{touch}");
        }
        assert!(
            claims("set search_path = app; create table a (); drop schema app cascade").is_empty()
        );
    }

    #[test]
    fn creators_are_found_among_tables_and_views() {
        let first = Script::new(
            "1.sql",
            "select 1;\ncreate table Users ();\ncreate temp table users ();",
        );
        let second = Script::new(
            "2.sql",
            "create or replace view app.users as select 1; create table u ();",
        );
        let third = Script::new(
            "3.sql",
            "create materialized view if not exists other.\"users\" as select 1;",
        );
        let found = |name| -> Vec<_> {
            let found = creators_of(name, [&first, &second, &third]);
            found
                .into_iter()
                .map(|(script, line)| format!("{script}:{line}"))
                .collect()
        };
        assert_eq!(found("users"), ["1.sql:2", "2.sql:1", "3.sql:1"]);
        assert_eq!(found("app.users"), ["1.sql:2", "2.sql:1"]);
        assert!(found("Users").is_empty() && found("user").is_empty());
    }
}
