//! `expect(...)`: what the provisioned database must contain.

use std::fmt;

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens as _;

use super::entry::{Name, entries, names};
use super::{repeated, unknown};
use crate::errors::Errors;

/// One expectation.
#[derive(Debug, PartialEq)]
pub(crate) enum Expectation {
    Table(String),
    /// A table and its number of rows.
    Rows(String, u64),
    /// An enum type and its labels.
    Enum(String, Vec<String>),
    /// A Rust enum, whose type implements `PgEnum`.
    EnumOf(RustType),
}

/// The path of a Rust enum.
pub(crate) struct RustType(pub(crate) syn::Path);

/// The expectations of `expect(...)`, in order.
pub(super) fn expect(list: TokenStream, errors: &mut Errors) -> Vec<Expectation> {
    let mut found = Vec::new();
    let mut parts = UniqueNames::default();
    for part in entries(list, errors) {
        parts.insert(&part.name, errors);
        let read = match part.name.keyword().as_str() {
            "tables" => tables,
            "rows" => rows,
            "enums" => enums,
            _ => {
                errors.push(unknown(
                    "part",
                    " of `expect`",
                    &part.name,
                    &["tables", "rows", "enums"],
                ));
                continue;
            }
        };
        if let Some(list) = errors.record(part.list()) {
            if list.is_empty() {
                errors.push(part.error(format!(
                    "{0} must not be empty: list what is expected, or remove {0}",
                    part.name
                )));
            }
            found.extend(read(list, errors));
        }
    }
    found
}

fn tables(list: TokenStream, errors: &mut Errors) -> Vec<Expectation> {
    let mut unique = UniqueNames::default();
    let names = names(list, errors);
    names
        .iter()
        .map(|name| Expectation::Table(unique.insert(name, errors)))
        .collect()
}

fn rows(list: TokenStream, errors: &mut Errors) -> Vec<Expectation> {
    let mut unique = UniqueNames::default();
    let mut found = Vec::new();
    for entry in entries(list, errors) {
        let table = unique.insert(&entry.name, errors);
        found.extend(
            errors
                .record(entry.number())
                .map(|count| Expectation::Rows(table, count)),
        );
    }
    found
}

fn enums(list: TokenStream, errors: &mut Errors) -> Vec<Expectation> {
    let mut unique = UniqueNames::default();
    let mut found = Vec::new();
    let (types, list) = types_among(list);
    found.extend(types.into_iter().map(Expectation::EnumOf));
    for entry in entries(list, errors) {
        let name = unique.insert(&entry.name, errors);
        let Some(list) = errors.record(entry.list()) else {
            continue;
        };
        let mut labels = UniqueNames::default();
        if list.is_empty() {
            errors.push(entry.error(format!(
                "{} must have labels, for example `{}(\"a\", \"b\")`",
                entry.name,
                entry.name.keyword()
            )));
        }
        let labels = names(list, errors)
            .iter()
            .map(|label| labels.insert(label, errors))
            .collect();
        found.push(Expectation::Enum(name, labels));
    }
    found
}

/// Splits a list into the entries that are Rust types, and all other entries.
///
/// An entry counts as a type if it is a path of several segments, or an identifier that begins with
/// a capital letter. The types are separated here, because a path is not a name of the attribute's
/// grammar.
fn types_among(list: TokenStream) -> (Vec<RustType>, TokenStream) {
    let (mut types, mut rest, mut entry) = (Vec::new(), TokenStream::new(), TokenStream::new());
    let comma =
        |token: &TokenTree| matches!(token, TokenTree::Punct(comma) if comma.as_char() == ',');
    let mut tokens = list.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let ends = comma(&token);
        if !ends {
            entry.extend([token.clone()]);
        }
        if !ends && tokens.peek().is_some() {
            continue;
        }
        let complete = std::mem::take(&mut entry);
        if let Some(found) = RustType::parse(complete.clone()) {
            types.push(found);
        } else {
            rest.extend(complete);
            rest.extend(ends.then_some(token));
        }
    }
    (types, rest)
}

impl RustType {
    fn parse(tokens: TokenStream) -> Option<Self> {
        let path: syn::Path = syn::parse2(tokens).ok()?;
        let name = path.segments.last()?.ident.to_string();
        (path.segments.len() > 1 || name.starts_with(char::is_uppercase)).then_some(Self(path))
    }
}

impl PartialEq for RustType {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl fmt::Display for RustType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.to_token_stream().fmt(formatter)
    }
}

impl fmt::Debug for RustType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The names of one list, to find repetitions.
#[derive(Default)]
struct UniqueNames(Vec<String>);

impl UniqueNames {
    /// Adds the name and returns its text. Records an error if the name is empty or repeated.
    fn insert(&mut self, name: &Name, errors: &mut Errors) -> String {
        let text = name.text();
        if text.is_empty() {
            errors.add(name, "a name must not be empty");
        } else if self.0.contains(&text) {
            errors.add(name, repeated(name));
        }
        self.0.push(text.clone());
        text
    }
}
