//! The tables that must exist after a series of scripts has run, read from the text alone.
//!
//! Each such table is a claim. `verify` fails the build if a claimed table is missing, so a wrong
//! claim is worse than a missing one. Every text that might drop or rename a table removes the
//! table's claim. A text that might drop a table which it does not name removes all claims. A
//! `ROLLBACK` does not remove claims: tables lost to a rollback are what the claims exist to find.
//!
//! ```text
//! CREATE TABLE ---> claim ---> RENAME, SET SCHEMA: the claim moves to the new name
//!                     |
//!                     +------> DROP, ROLLBACK TO, text with the name: the claim is removed
//!                     |
//!                     +------> a drop whose name is built at run time: all claims are removed
//! ```
//!
//! The bodies of functions are checked at the end, because they may run at any later time. Only the
//! call of a function that builds the name of a drop removes all claims.

use std::collections::{BTreeMap, BTreeSet};

use super::dynamic_sql::removes_unnamed_table;
use super::effect::{Effect, changes_search_path, creates_temporary_tables, is_call};
use super::mention;
use super::relation::{QualifiedName, routine_name};
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

/// Where a table is created if its name has no schema, before any statement changes that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DefaultSchema {
    Public,
    /// The server, the role or the plan sets another `search_path`, or the role has a schema of its
    /// own name.
    Other,
}

/// The tables that must exist after the scripts have run in this order. The names are folded to
/// lower case unless quoted: `table` or `schema.table`.
pub(crate) fn claimed_tables<'a>(
    scripts: impl IntoIterator<Item = &'a Script>,
    default_schema: DefaultSchema,
) -> BTreeMap<String, Claim> {
    let mut scan = Scan {
        is_search_path_changed: default_schema == DefaultSchema::Other,
        ..Scan::default()
    };
    for script in scripts {
        for statement in script.statements() {
            scan.follow(script, statement);
        }
    }
    scan.finish()
}

/// The state after the statements that were read so far.
#[derive(Default)]
struct Scan<'a> {
    /// Each claim with the statement that created the table.
    claims: BTreeMap<QualifiedName, (Claim, &'a str)>,
    /// Pairs of a parent and its partition or child table. Dropping the parent drops the child too.
    children: BTreeSet<(QualifiedName, QualifiedName)>,
    /// Bodies of functions that mention a drop or rename. They may run at any later time.
    bodies: Vec<String>,
    /// The functions that may remove any table, and the functions that call them.
    removers: BTreeSet<String>,
    /// A trigger, a rule or a default calls one of them, so it may run at any later time.
    may_remove_later: bool,
    is_search_path_changed: bool,
    /// Tables without a schema are temporary.
    is_path_temporary: bool,
}

impl<'a> Scan<'a> {
    /// Applies the effect of one statement to the claims.
    fn follow(&mut self, script: &Script, statement: Statement<'a>) {
        if changes_search_path(statement) {
            self.is_search_path_changed = true;
            self.is_path_temporary = creates_temporary_tables(statement);
        }
        self.follow_removers(statement);
        let literals = statement.tokens().filter_map(|token| match token {
            Token::Literal(text) => Some(text),
            Token::Word(_) | Token::Quoted(_) | Token::Symbol(_) => None,
        });
        if statement.starts_with(&["create"]) {
            self.bodies.extend(
                literals
                    .filter(|text| mention::may_remove(text))
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
                self.create(table, claim, statement);
            }
            Effect::SelectInto(table) => {
                self.discard_by_call(statement.text());
                self.create(table, claim, statement);
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
            Effect::Disinherit(parent, child) => {
                self.children.remove(&(parent, child));
            }
            Effect::DropParts => self.drop_parts(statement),
            Effect::RollbackTo => self
                .claims
                .retain(|_, (claim, _)| claim.script != script.name()),
            Effect::DropOwned => self.claims.clear(),
            Effect::Unknown => self.discard_by_call(statement.text()),
            Effect::Nothing => {}
        }
    }

    /// Learns which functions may remove any table, and removes all claims where one is called.
    fn follow_removers(&mut self, statement: Statement<'_>) {
        let text = statement.text();
        let calls_remover = {
            let text = text.to_lowercase();
            self.removers
                .iter()
                .any(|function| mention::has_name(&text, function))
        };
        if let Some(function) = routine_name(statement) {
            if calls_remover || removes_unnamed_table(text) {
                self.removers.insert(function);
            }
            return;
        }
        let describes: [&[&str]; 6] = [
            &["comment"],
            &["drop"],
            &["grant"],
            &["revoke"],
            &["alter", "function"],
            &["alter", "procedure"],
        ];
        if describes.iter().any(|words| statement.starts_with(words)) {
            return;
        }
        if calls_remover || (is_call(statement) && removes_unnamed_table(text)) {
            self.claims.clear();
            let defers = ["create", "alter"];
            self.may_remove_later |=
                calls_remover && defers.iter().any(|word| statement.starts_with(&[word]));
        }
    }

    /// Removes the claims that a function may drop, and returns the others.
    fn finish(mut self) -> BTreeMap<String, Claim> {
        for body in std::mem::take(&mut self.bodies) {
            self.discard_mentioned(&body);
        }
        if self.may_remove_later {
            self.claims.clear();
        }
        self.claims
            .into_iter()
            .map(|(name, (claim, _))| (name.to_string(), claim))
            .collect()
    }

    fn create(
        &mut self,
        table: QualifiedName,
        claim: impl Fn(bool) -> Claim,
        statement: Statement<'a>,
    ) {
        if table.schema.is_none() && self.is_path_temporary {
            return;
        }
        let any_schema = table.schema.is_none() && self.is_search_path_changed;
        self.claims
            .entry(table)
            .or_insert_with(|| (claim(any_schema), statement.text()));
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

    /// Removes the claims in a schema, and those of its tables' partitions and child tables in
    /// other schemas. A claim without a schema is in `public`, unless it may be anywhere.
    fn drop_schema(&mut self, schema: &str) {
        let parents: Vec<QualifiedName> = self
            .children
            .iter()
            .map(|(parent, _)| parent)
            .filter(|parent| parent.schema.as_deref() == Some(schema))
            .cloned()
            .collect();
        for parent in parents {
            self.drop(parent);
        }
        self.claims.retain(|name, (claim, _)| match &name.schema {
            Some(own) => own != schema,
            None => schema != "public" && !claim.any_schema,
        });
    }

    /// Removes the claims of the tables that `DROP .. CASCADE` drops with an object of another
    /// kind: typed tables with their type, tables with their access method, and partitioned tables
    /// with what their key needs (a function, a type, a collation). An extension may have any.
    fn drop_parts(&mut self, statement: Statement<'_>) {
        if !statement.tokens().any(|token| token.is_word("cascade")) {
            return;
        }
        let keywords = ["drop", "if", "exists", "cascade"];
        let names = statement.tokens().filter_map(|token| match token {
            Token::Word(word) if !keywords.iter().any(|it| token.is_word(it)) => {
                Some(word.to_lowercase())
            }
            Token::Quoted(name) => Some(name.to_lowercase()),
            Token::Word(_) | Token::Symbol(_) | Token::Literal(_) => None,
        });
        let names: Vec<String> = names.collect();
        let is_dropped = |created: &str| {
            let created = created.to_lowercase();
            let mentions = |name: &str| mention::has_name(&created, name);
            ["partition", "using", "of"]
                .iter()
                .any(|word| mentions(word))
                && names.iter().any(|name| mentions(name))
        };
        let dropped = self.claims.iter();
        let dropped = dropped.filter(|(_, (_, created))| is_dropped(created));
        let dropped: Vec<QualifiedName> = dropped.map(|(name, _)| name.clone()).collect();
        for table in dropped {
            self.drop(table);
        }
    }

    /// Moves a claim to the new name. The old name may also mean a table of another schema, so
    /// every claim that it can mean is removed. The pairs of parents and children are kept under
    /// both names.
    fn rename(&mut self, from: &QualifiedName, to: &QualifiedName, claim: Claim) {
        let old_claim = self.claims.remove(from);
        self.claims.retain(|name, _| !name.may_equal(from));
        if let Some((old, text)) = old_claim {
            let any_schema = claim.any_schema || (old.any_schema && to.schema.is_none());
            let claim = Claim {
                any_schema,
                ..claim
            };
            self.claims.insert(to.clone(), (claim, text));
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

    /// Removes every claim whose name occurs in a text that might drop, rename or move tables.
    fn discard_mentioned(&mut self, text: &str) {
        if mention::may_remove(text) {
            self.discard(text);
        }
    }

    /// The same for the text of a call. A function's name may begin with the verb, as in
    /// `DropGeometryTable`.
    fn discard_by_call(&mut self, text: &str) {
        if mention::may_remove_by_call(text) {
            self.discard(text);
        }
    }

    fn discard(&mut self, text: &str) {
        let text = text.to_lowercase();
        let mentions = |name: &str| mention::has_name(&text, &name.to_lowercase());
        let mentions_schemas = mentions("schema");
        let is_mentioned = |name: &QualifiedName| {
            mentions(&name.table)
                || (mentions_schemas && mentions(name.schema.as_deref().unwrap_or("public")))
        };
        self.claims.retain(|name, _| !is_mentioned(name));
    }
}

#[cfg(test)]
mod tests;
