//! The attribute's grammar, the same at every depth: `name`, `name = value` and `name(list)` between commas.
//!
//! The pieces are cut at the commas before anything is parsed, so that an error in one leaves the others readable.
//! Values that a `macro_rules!` passes on lie in invisible groups; `syn` looks through them.

use std::fmt;

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{Ident, Lit, LitInt, LitStr, Token, parenthesized, token};

use crate::errors::Errors;

pub(super) struct Entry {
    pub(super) name: Name,
    pub(super) value: Value,
}

#[derive(Clone)]
pub(super) enum Name {
    Word(Ident),
    Text(LitStr),
}

pub(super) enum Value {
    Absent,
    Is(TokenStream),
    List(TokenStream),
}

/// The entries of a list. What cannot be read is an error and left out.
pub(super) fn entries(list: TokenStream, errors: &mut Errors) -> Vec<Entry> {
    let mut found = Vec::new();
    let mut piece = TokenStream::new();
    for token in list {
        match token {
            TokenTree::Punct(comma) if comma.as_char() == ',' => {
                if piece.is_empty() {
                    errors.add(comma, "nothing stands before this comma");
                } else {
                    found.extend(errors.note(syn::parse2(std::mem::take(&mut piece))));
                }
            }
            other => piece.extend([other]),
        }
    }
    if !piece.is_empty() {
        found.extend(errors.note(syn::parse2(piece)));
    }
    found
}

/// Names without a value, such as those of tables.
pub(super) fn names(list: TokenStream, errors: &mut Errors) -> Vec<Name> {
    let mut found = Vec::new();
    for entry in entries(list, errors) {
        match entry.value {
            Value::Absent => found.push(entry.name),
            Value::Is(_) | Value::List(_) => {
                errors.add(&entry, format!("{} takes no value here", entry.name))
            }
        }
    }
    found
}

/// String literals without a value, such as the names of files.
pub(super) fn texts(list: TokenStream, errors: &mut Errors) -> Vec<LitStr> {
    let mut found = Vec::new();
    for name in names(list, errors) {
        match name {
            Name::Text(text) => found.push(text),
            Name::Word(word) => {
                errors.add(&word, format!("expected a string: \"{}\"", word.unraw()))
            }
        }
    }
    found
}

impl Entry {
    pub(super) fn text(&self) -> syn::Result<LitStr> {
        match self.literal() {
            Some(Lit::Str(text)) => Ok(text),
            _ => Err(self.wants("a string", "\"...\"")),
        }
    }

    pub(super) fn bare(&self) -> syn::Result<()> {
        match self.value {
            Value::Absent => Ok(()),
            Value::Is(_) | Value::List(_) => {
                Err(self.error(format!("{} takes no value", self.name)))
            }
        }
    }

    pub(super) fn switch(&self) -> syn::Result<bool> {
        match self.literal() {
            Some(Lit::Bool(switch)) => Ok(switch.value),
            _ => Err(self.wants("`true` or `false`", "true")),
        }
    }

    pub(super) fn number(&self) -> syn::Result<u64> {
        let number = |number: &LitInt| {
            number
                .base10_parse()
                .ok()
                .filter(|_| number.suffix().is_empty())
        };
        match self.literal() {
            Some(Lit::Int(literal)) => {
                number(&literal).ok_or_else(|| self.wants("a whole number", "2"))
            }
            _ => Err(self.wants("a whole number", "2")),
        }
    }

    /// One of several words, written as a string.
    pub(super) fn choice<T: Copy>(&self, legal: &[(&str, T)]) -> syn::Result<T> {
        let text = self.literal().and_then(|literal| {
            if let Lit::Str(text) = literal {
                Some(text.value())
            } else {
                None
            }
        });
        let chosen = text.and_then(|text| legal.iter().find(|(word, _)| *word == text));
        chosen.map(|(_, choice)| *choice).ok_or_else(|| {
            let words: Vec<_> = legal
                .iter()
                .map(|(word, _)| format!("\"{word}\""))
                .collect();
            self.error(format!("{} is one of: {}", self.name, words.join(", ")))
        })
    }

    pub(super) fn list(&self) -> syn::Result<TokenStream> {
        match &self.value {
            Value::List(list) => Ok(list.clone()),
            Value::Absent | Value::Is(_) => Err(self.error(format!(
                "{} wants a list: `{}(...)`",
                self.name,
                self.name.plain()
            ))),
        }
    }

    /// An error at the value, or at the name when there is none.
    pub(super) fn error(&self, message: impl fmt::Display) -> syn::Error {
        match &self.value {
            Value::Is(value) if !value.is_empty() => syn::Error::new_spanned(value, message),
            Value::Is(_) | Value::Absent | Value::List(_) => {
                syn::Error::new_spanned(&self.name, message)
            }
        }
    }

    pub(super) fn literal(&self) -> Option<Lit> {
        match &self.value {
            Value::Is(value) => syn::parse2(value.clone()).ok(),
            Value::Absent | Value::List(_) => None,
        }
    }

    fn wants(&self, what: &str, example: &str) -> syn::Error {
        self.error(format!(
            "{} wants {what}: `{} = {example}`",
            self.name,
            self.name.plain()
        ))
    }
}

impl Name {
    /// The name that is meant: a raw identifier's `r#` is only there for the compiler.
    pub(super) fn meant(&self) -> String {
        match self {
            Self::Word(word) => word.unraw().to_string(),
            Self::Text(text) => text.value(),
        }
    }

    /// The name as one of the attribute's own words, which have no quotes.
    pub(super) fn keyword(&self) -> String {
        match self {
            Self::Word(_) => self.meant(),
            Self::Text(_) => self.plain(),
        }
    }

    fn plain(&self) -> String {
        self.to_token_stream().to_string()
    }
}

/// In backquotes, as it was written.
impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}`", self.plain())
    }
}

impl Parse for Entry {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let name = if input.peek(LitStr) {
            Name::Text(input.parse()?)
        } else if input.peek(Ident::peek_any) {
            Name::Word(input.call(Ident::parse_any)?)
        } else {
            return Err(input.error("expected a name or a string"));
        };
        let value = if input.is_empty() {
            Value::Absent
        } else if input.peek(Token![=]) {
            input.parse::<Token![=]>()?;
            Value::Is(input.parse()?)
        } else if input.peek(token::Paren) {
            let list;
            parenthesized!(list in input);
            Value::List(list.parse()?)
        } else {
            return Err(input.error(format!("expected `,`, `=` or `(` after {name}")));
        };
        Ok(Self { name, value })
    }
}

impl ToTokens for Name {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            Self::Word(word) => word.to_tokens(tokens),
            Self::Text(text) => text.to_tokens(tokens),
        }
    }
}

impl ToTokens for Entry {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        self.name.to_tokens(tokens);
        match &self.value {
            Value::Absent => {}
            Value::Is(value) | Value::List(value) => value.to_tokens(tokens),
        }
    }
}
