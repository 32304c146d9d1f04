//! The attributes at an enum and at its variants: this macro's own, sqlx's and strum's.

use syn::ext::IdentExt as _;
use syn::meta::ParseNestedMeta;
use syn::{Attribute, Expr, ExprLit, Lit, LitStr, Path, Variant};

use super::case::Case;
use crate::args::alternatives;
use crate::errors::Errors;

/// The attributes in the order of their precedence, the strongest first.
const ATTRIBUTES: [&str; 3] = ["pg_enum", "sqlx", "strum"];

/// The values of the attributes at the enum itself.
#[derive(Default)]
pub(super) struct Container {
    pub(super) name: Option<String>,
    pub(super) krate: Option<Path>,
    case: Option<Case>,
}

impl Container {
    pub(super) fn read(attributes: &[Attribute], errors: &mut Errors) -> Self {
        let mut found = Self::default();
        for attribute_name in ATTRIBUTES {
            each(attributes, attribute_name, errors, |meta| {
                let key = key_of(meta);
                match (attribute_name, key.as_str()) {
                    ("pg_enum", "name") | ("sqlx", "type_name") => {
                        let name = text(meta)?.value();
                        found.name.get_or_insert(name);
                    }
                    ("pg_enum", "crate") => found.krate = Some(text(meta)?.parse()?),
                    ("pg_enum" | "sqlx", "rename_all") | ("strum", "serialize_all") => {
                        let word = text(meta)?;
                        match Case::named(&word.value()) {
                            Some(case) => drop(found.case.get_or_insert(case)),
                            None => {
                                return Err(syn::Error::new(
                                    word.span(),
                                    format!("`{key}` must be {}", alternatives(&quoted_words())),
                                ));
                            }
                        }
                    }
                    ("pg_enum", _) => return Err(unknown(meta, "`name`, `rename_all`, `crate`")),
                    _ => skip(meta)?,
                }
                Ok(())
            });
        }
        found
    }
}

/// A variant's label: its new name, or its own name in the enum's case.
pub(super) fn label_of(variant: &Variant, container: &Container, errors: &mut Errors) -> String {
    let mut label = None;
    for attribute_name in ATTRIBUTES {
        // strum prints `to_string`, else the longest `serialize`.
        let (mut written, mut read) = (None, Vec::new());
        each(&variant.attrs, attribute_name, errors, |meta| {
            match (attribute_name, key_of(meta).as_str()) {
                ("pg_enum" | "sqlx", "rename") | ("strum", "to_string") => {
                    written = Some(text(meta)?.value());
                }
                ("strum", "serialize") => read.push(text(meta)?.value()),
                ("pg_enum", _) => return Err(unknown(meta, "`rename`")),
                _ => skip(meta)?,
            }
            Ok(())
        });
        let longest = read
            .into_iter()
            .reduce(|one, other| if other.len() > one.len() { other } else { one });
        label = label.or(written).or(longest);
    }
    let name = variant.ident.unraw().to_string();
    label.unwrap_or_else(|| {
        container
            .case
            .map_or_else(|| name.clone(), |case| case.write(&name))
    })
}

/// Reads every option of the attributes with this name.
fn each(
    attributes: &[Attribute],
    attribute_name: &str,
    errors: &mut Errors,
    mut read: impl FnMut(&ParseNestedMeta<'_>) -> syn::Result<()>,
) {
    for attribute in attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident(attribute_name))
    {
        errors.record(attribute.parse_nested_meta(|meta| read(&meta)));
    }
}

fn key_of(meta: &ParseNestedMeta<'_>) -> String {
    meta.path
        .get_ident()
        .map(ToString::to_string)
        .unwrap_or_default()
}

fn text(meta: &ParseNestedMeta<'_>) -> syn::Result<LitStr> {
    let value: Expr = meta.value()?.parse()?;
    match value {
        Expr::Lit(ExprLit {
            lit: Lit::Str(text),
            ..
        }) => Ok(text),
        other => Err(syn::Error::new_spanned(
            other,
            "expected a string: write the value in quotes",
        )),
    }
}

/// Skips an option that only sqlx or strum uses.
fn skip(meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
    if meta.input.peek(syn::Token![=]) {
        meta.value()?.parse::<Expr>()?;
    } else if meta.input.peek(syn::token::Paren) {
        let inner;
        syn::parenthesized!(inner in meta.input);
        inner.parse::<proc_macro2::TokenStream>()?;
    }
    Ok(())
}

fn unknown(meta: &ParseNestedMeta<'_>, legal: &str) -> syn::Error {
    meta.error(format!("unknown option; legal options: {legal}"))
}

fn quoted_words() -> Vec<String> {
    Case::words().map(|word| format!("\"{word}\"")).collect()
}
