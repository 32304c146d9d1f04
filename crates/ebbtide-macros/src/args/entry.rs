//! The attribute's grammar, the same at every depth: `name`, `name = value` and `name(list)`,
//! separated by commas.
//!
//! The tokens are split at the commas before any entry is parsed. So an error in one entry does not
//! hide errors in the others. A `macro_rules!` macro passes values in groups without delimiters,
//! which `syn` looks through.

use std::fmt;

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{Ident, Lit, LitInt, LitStr, Token, parenthesized, token};

use crate::errors::Errors;

/// One entry of a list.
pub(super) struct Entry {
    pub(super) name: Name,
    pub(super) value: Value,
}

/// The name of an entry: an identifier, or a string such as `"schema.table"`.
#[derive(Clone)]
pub(super) enum Name {
    Word(Ident),
    Text(LitStr),
}

/// What follows the name of an entry.
pub(super) enum Value {
    Absent,
    /// The tokens after `=`.
    Is(TokenStream),
    /// The tokens between parentheses.
    List(TokenStream),
}

/// The entries of a list. An entry that does not parse is recorded as an error and left out.
pub(super) fn entries(list: TokenStream, errors: &mut Errors) -> Vec<Entry> {
    let mut found = Vec::new();
    let mut tokens = TokenStream::new();
    for token in list {
        match token {
            TokenTree::Punct(comma) if comma.as_char() == ',' => {
                if tokens.is_empty() {
                    errors.add(
                        comma,
                        "expected an item before this comma: add the item, or remove the comma",
                    );
                } else {
                    found.extend(errors.record(syn::parse2(std::mem::take(&mut tokens))));
                }
            }
            other => tokens.extend([other]),
        }
    }
    if !tokens.is_empty() {
        found.extend(errors.record(syn::parse2(tokens)));
    }
    found
}

/// The names of a list whose entries have no values, such as tables.
pub(super) fn names(list: TokenStream, errors: &mut Errors) -> Vec<Name> {
    let mut found = Vec::new();
    for entry in entries(list, errors) {
        match entry.value {
            Value::Absent => found.push(entry.name),
            Value::Is(_) | Value::List(_) => errors.add(
                &entry,
                format!("{0} takes no value here: write {0} only", entry.name),
            ),
        }
    }
    found
}

/// The string literals of a list whose entries have no values, such as files.
pub(super) fn texts(list: TokenStream, errors: &mut Errors) -> Vec<LitStr> {
    let mut found = Vec::new();
    for name in names(list, errors) {
        match name {
            Name::Text(text) => found.push(text),
            Name::Word(word) => errors.add(
                &word,
                format!("expected a string: write \"{}\"", word.unraw()),
            ),
        }
    }
    found
}

impl Entry {
    /// The value, which must be a string.
    pub(super) fn text(&self) -> syn::Result<LitStr> {
        match self.literal() {
            Some(Lit::Str(text)) => Ok(text),
            _ => Err(self.must_be("a string", "\"...\"")),
        }
    }

    /// Checks that the entry is only a name.
    pub(super) fn no_value(&self) -> syn::Result<()> {
        match self.value {
            Value::Absent => Ok(()),
            Value::Is(_) | Value::List(_) => {
                Err(self.error(format!("{0} takes no value: write {0} only", self.name)))
            }
        }
    }

    /// The value, which must be `true` or `false`.
    pub(super) fn switch(&self) -> syn::Result<bool> {
        match self.literal() {
            Some(Lit::Bool(switch)) => Ok(switch.value),
            _ => Err(self.must_be("`true` or `false`", "true")),
        }
    }

    /// The value, which must be a whole number without a type suffix.
    pub(super) fn number(&self) -> syn::Result<u64> {
        let number = |number: &LitInt| {
            number
                .base10_parse()
                .ok()
                .filter(|_| number.suffix().is_empty())
        };
        match self.literal() {
            Some(Lit::Int(literal)) => {
                number(&literal).ok_or_else(|| self.must_be("a whole number", "2"))
            }
            _ => Err(self.must_be("a whole number", "2")),
        }
    }

    /// The value, which must be one of these words as a string.
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
            self.must_be(&alternatives(&words), &words[0])
        })
    }

    /// The entry's list.
    pub(super) fn list(&self) -> syn::Result<TokenStream> {
        match &self.value {
            Value::List(list) => Ok(list.clone()),
            Value::Absent | Value::Is(_) => Err(self.error(format!(
                "{} must have a list: write `{}(...)`",
                self.name,
                self.name.written()
            ))),
        }
    }

    /// An error at the value, or at the name if there is no value.
    pub(super) fn error(&self, message: impl fmt::Display) -> syn::Error {
        match &self.value {
            Value::Is(value) if !value.is_empty() => syn::Error::new_spanned(value, message),
            Value::Is(_) | Value::Absent | Value::List(_) => {
                syn::Error::new_spanned(&self.name, message)
            }
        }
    }

    /// The value, if it is a literal.
    pub(super) fn literal(&self) -> Option<Lit> {
        match &self.value {
            Value::Is(value) => syn::parse2(value.clone()).ok(),
            Value::Absent | Value::List(_) => None,
        }
    }

    fn must_be(&self, what: &str, example: &str) -> syn::Error {
        self.error(format!(
            "{} must be {what}, for example `{} = {example}`",
            self.name,
            self.name.written()
        ))
    }
}

/// The words as a list: `a, b or c`.
pub(crate) fn alternatives(words: &[String]) -> String {
    match words {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => words.concat(),
    }
}

impl Name {
    /// The name without quotes, and without the `r#` of a raw identifier.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Word(word) => word.unraw().to_string(),
            Self::Text(text) => text.value(),
        }
    }

    /// The name to compare with the attribute's own words. A string keeps its quotes, so it is
    /// never one of them.
    pub(super) fn keyword(&self) -> String {
        match self {
            Self::Word(_) => self.text(),
            Self::Text(_) => self.written(),
        }
    }

    /// The name as it is written.
    fn written(&self) -> String {
        self.to_token_stream().to_string()
    }
}

/// The name as it is written, in backquotes.
impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}`", self.written())
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
