//! What is said at an enum and at its variants: to us, to sqlx, to strum.

use syn::ext::IdentExt as _;
use syn::meta::ParseNestedMeta;
use syn::{Attribute, Expr, ExprLit, Lit, LitStr, Path, Variant};

use super::case::Case;
use crate::errors::Errors;

/// Whose word it is, the strongest first.
const VOICES: [&str; 3] = ["pg_enum", "sqlx", "strum"];

/// What is said at the enum itself.
#[derive(Default)]
pub(super) struct Container {
    pub(super) name: Option<String>,
    pub(super) krate: Option<Path>,
    case: Option<Case>,
}

impl Container {
    pub(super) fn read(attributes: &[Attribute], errors: &mut Errors) -> Self {
        let mut found = Self::default();
        for voice in VOICES {
            each(attributes, voice, errors, |meta| {
                let key = key_of(meta);
                match (voice, key.as_str()) {
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
                                    format!("`{key}` is one of: {}", words()),
                                ));
                            }
                        }
                    }
                    ("pg_enum", _) => return Err(unknown(meta, "`name`, `rename_all`, `crate`")),
                    _ => leave(meta)?,
                }
                Ok(())
            });
        }
        found
    }
}

/// A variant's label: what it is renamed to, or its name in the enum's case.
pub(super) fn label_of(variant: &Variant, container: &Container, errors: &mut Errors) -> String {
    let mut label = None;
    for voice in VOICES {
        // strum writes `to_string`, else the longest of what it reads.
        let (mut written, mut read) = (None, Vec::new());
        each(&variant.attrs, voice, errors, |meta| {
            match (voice, key_of(meta).as_str()) {
                ("pg_enum" | "sqlx", "rename") | ("strum", "to_string") => {
                    written = Some(text(meta)?.value())
                }
                ("strum", "serialize") => read.push(text(meta)?.value()),
                ("pg_enum", _) => return Err(unknown(meta, "`rename`")),
                _ => leave(meta)?,
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

fn each(
    attributes: &[Attribute],
    voice: &str,
    errors: &mut Errors,
    mut read: impl FnMut(&ParseNestedMeta<'_>) -> syn::Result<()>,
) {
    for attribute in attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident(voice))
    {
        errors.note(attribute.parse_nested_meta(|meta| read(&meta)));
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
        other => Err(syn::Error::new_spanned(other, "expected a string")),
    }
}

/// Passes over what is meant for somebody else.
fn leave(meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
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
    meta.error(format!("unknown option; legal are: {legal}"))
}

fn words() -> String {
    Case::words()
        .map(|word| format!("\"{word}\""))
        .collect::<Vec<_>>()
        .join(", ")
}
