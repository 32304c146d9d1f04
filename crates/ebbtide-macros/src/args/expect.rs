//! `expect(...)`: what the provisioned database must hold.

use std::fmt;

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens as _;

use super::entry::{Name, entries, names};
use super::unknown;
use crate::errors::Errors;

#[derive(Debug, PartialEq)]
pub(crate) enum Expectation {
    Table(String),
    Rows(String, u64),
    Enum(String, Vec<String>),
    /// A type that has its labels.
    EnumOf(RustType),
}

/// A Rust enum, where it is found.
pub(crate) struct RustType(pub(crate) syn::Path);

pub(super) fn expect(list: TokenStream, errors: &mut Errors) -> Vec<Expectation> {
    let mut found = Vec::new();
    let mut parts = Once::default();
    for part in entries(list, errors) {
        parts.see(&part.name, errors);
        let read = match part.name.keyword().as_str() {
            "tables" => tables,
            "rows" => rows,
            "enums" => enums,
            _ => {
                errors.push(unknown(
                    "part of `expect`",
                    &part.name,
                    &["tables", "rows", "enums"],
                ));
                continue;
            }
        };
        if let Some(list) = errors.note(part.list()) {
            if list.is_empty() {
                errors.push(part.error(format!("{} is empty: name what is expected", part.name)));
            }
            found.extend(read(list, errors));
        }
    }
    found
}

fn tables(list: TokenStream, errors: &mut Errors) -> Vec<Expectation> {
    let mut seen = Once::default();
    let names = names(list, errors);
    names
        .iter()
        .map(|name| Expectation::Table(seen.see(name, errors)))
        .collect()
}

fn rows(list: TokenStream, errors: &mut Errors) -> Vec<Expectation> {
    let mut seen = Once::default();
    let mut found = Vec::new();
    for entry in entries(list, errors) {
        let table = seen.see(&entry.name, errors);
        found.extend(
            errors
                .note(entry.number())
                .map(|count| Expectation::Rows(table, count)),
        );
    }
    found
}

fn enums(list: TokenStream, errors: &mut Errors) -> Vec<Expectation> {
    let mut seen = Once::default();
    let mut found = Vec::new();
    let (types, list) = types_among(list);
    found.extend(types.into_iter().map(Expectation::EnumOf));
    for entry in entries(list, errors) {
        let name = seen.see(&entry.name, errors);
        let Some(list) = errors.note(entry.list()) else {
            continue;
        };
        let mut labels = Once::default();
        if list.is_empty() {
            errors.push(entry.error(format!(
                "{} wants its labels: `name(\"a\", \"b\")`",
                entry.name
            )));
        }
        let labels = names(list, errors)
            .iter()
            .map(|label| labels.see(label, errors))
            .collect();
        found.push(Expectation::Enum(name, labels));
    }
    found
}

/// The pieces that are types and nothing else, and the rest: a Rust type has a path, or begins with a capital letter.
fn types_among(list: TokenStream) -> (Vec<RustType>, TokenStream) {
    let (mut types, mut rest, mut piece) = (Vec::new(), TokenStream::new(), TokenStream::new());
    let comma =
        |token: &TokenTree| matches!(token, TokenTree::Punct(comma) if comma.as_char() == ',');
    let mut tokens = list.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let ends = comma(&token);
        if !ends {
            piece.extend([token.clone()]);
        }
        if !ends && tokens.peek().is_some() {
            continue;
        }
        let whole = std::mem::take(&mut piece);
        if let Some(found) = RustType::read(whole.clone()) {
            types.push(found);
        } else {
            rest.extend(whole);
            rest.extend(ends.then_some(token));
        }
    }
    (types, rest)
}

impl RustType {
    fn read(tokens: TokenStream) -> Option<Self> {
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

/// Notices a name that comes a second time.
#[derive(Default)]
struct Once(Vec<String>);

impl Once {
    fn see(&mut self, name: &Name, errors: &mut Errors) -> String {
        let meant = name.meant();
        if meant.is_empty() {
            errors.add(name, "this name is empty");
        } else if self.0.contains(&meant) {
            errors.add(name, format!("{name} is given twice"));
        }
        self.0.push(meant.clone());
        meant
    }
}
