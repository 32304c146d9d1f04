//! The last version of the migrations that a test begins with.

use syn::parse::{ParseStream, Parser as _};
use syn::{Lit, LitStr, Token, parenthesized};

use super::entry::{Entry, Value};

/// A version, perhaps with the directory or the program that it belongs to.
pub(crate) struct LastVersion {
    pub(crate) source: Option<LitStr>,
    /// A number is a text here, because it may need more than 64 bits.
    pub(crate) version: LitStr,
}

impl LastVersion {
    /// The entry's value: `41`, `"20260131120000"` or `("dir", 41)`.
    pub(super) fn of(entry: &Entry) -> syn::Result<Self> {
        let parsed = match &entry.value {
            Value::Is(value) => Self::parse.parse2(value.clone()).ok(),
            Value::Absent | Value::List(_) => None,
        };
        parsed.ok_or_else(|| {
            entry.error(
                "`migrations_up_to` must be a version, for example `migrations_up_to = 41`, \
                 `migrations_up_to = \"20260131120000\"` or, with several directories, \
                 `migrations_up_to = (\"dir\", 41)`",
            )
        })
    }

    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if !input.peek(syn::token::Paren) {
            let version = version(input)?;
            return Ok(Self {
                source: None,
                version,
            });
        }
        let pair;
        parenthesized!(pair in input);
        let source: LitStr = pair.parse()?;
        pair.parse::<Token![,]>()?;
        Ok(Self {
            source: Some(source),
            version: version(&pair)?,
        })
    }
}

fn version(input: ParseStream<'_>) -> syn::Result<LitStr> {
    match input.parse()? {
        Lit::Str(text) if !text.value().trim().is_empty() => Ok(text),
        Lit::Int(number) if number.suffix().is_empty() => {
            Ok(LitStr::new(number.base10_digits(), number.span()))
        }
        other => Err(syn::Error::new(other.span(), "expected a version")),
    }
}
