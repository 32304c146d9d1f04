//! The derive macro `PgEnum`: the labels of an enum type of PostgreSQL, as constants.

mod attributes;
mod case;

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;
use syn::ext::IdentExt as _;
use syn::{Data, DeriveInput, Fields, Variant};

use crate::errors::Errors;
use crate::krate;
use attributes::{Container, label_of};

pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    let mut errors = Errors::default();
    let container = Container::read(&input.attrs, &mut errors);
    let labels = match &input.data {
        Data::Enum(data) if data.variants.is_empty() => {
            errors.add(
                &input.ident,
                "`PgEnum` needs an enum with variants: add a variant, or remove the derive",
            );
            Vec::new()
        }
        Data::Enum(data) => data
            .variants
            .iter()
            .filter_map(|variant| label(variant, &container, &mut errors))
            .collect(),
        Data::Struct(_) | Data::Union(_) => {
            errors.add(
                &input.ident,
                "`PgEnum` needs an enum: remove the derive, or implement the trait by hand",
            );
            Vec::new()
        }
    };
    for (number, (variant, label)) in labels.iter().enumerate() {
        if labels[..number].iter().any(|(_, before)| before == label) {
            errors.add(
                &variant.ident,
                format!(
                    "every label must be unique, but \"{label}\" is used twice: \
                     rename one with `#[pg_enum(rename = \"...\")]`"
                ),
            );
        }
    }
    if let Some(errors) = errors.into_compile_errors() {
        return errors;
    }
    let krate = container.krate.clone().unwrap_or_else(krate::path);
    let name = container
        .name
        .clone()
        .unwrap_or_else(|| input.ident.unraw().to_string());
    let labels = labels.iter().map(|(_, label)| label);
    let (ident, (generics, arguments, conditions)) =
        (&input.ident, input.generics.split_for_impl());
    quote_spanned! {Span::mixed_site()=>
        #[automatically_derived]
        impl #generics #krate::PgEnum for #ident #arguments #conditions {
            const NAME: &'static str = #name;
            const LABELS: &'static [&'static str] = &[#(#labels),*];
        }
    }
}

/// The variant with its label; `None` and an error if it has fields.
fn label<'a>(
    variant: &'a Variant,
    container: &Container,
    errors: &mut Errors,
) -> Option<(&'a Variant, String)> {
    if !matches!(variant.fields, Fields::Unit) {
        errors.add(
            variant,
            "a variant must not have fields, because a label has none: remove the fields",
        );
        return None;
    }
    Some((variant, label_of(variant, container, errors)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derived(input: &str) -> String {
        derive(&syn::parse_str(input).expect("an item")).to_string()
    }

    /// The type's name and its labels.
    fn name_and_labels(input: &str) -> (String, Vec<String>) {
        let code = derived(input);
        let mut texts = code.split('"').skip(1).step_by(2).map(str::to_owned);
        (
            texts.next().unwrap_or_else(|| panic!("{code}")),
            texts.collect(),
        )
    }

    #[test]
    fn without_attributes_name_and_labels_are_those_of_the_code() {
        let found = name_and_labels("enum Mood { Sad, VeryHappy, r#Type }");
        assert_eq!(
            found,
            (
                "Mood".to_owned(),
                vec!["Sad".to_owned(), "VeryHappy".into(), "Type".into()]
            )
        );
    }

    #[test]
    fn every_case_of_sqlx_is_legal() {
        for (word, label) in [
            ("lowercase", "veryhappy"),
            ("UPPERCASE", "VERYHAPPY"),
            ("snake_case", "very_happy"),
            ("SCREAMING_SNAKE_CASE", "VERY_HAPPY"),
            ("kebab-case", "very-happy"),
            ("camelCase", "veryHappy"),
            ("PascalCase", "VeryHappy"),
        ] {
            let (name, labels) = name_and_labels(&format!(
                "#[sqlx(type_name = \"moods.mood\", rename_all = \"{word}\")] \
                 enum Mood {{ VeryHappy, #[sqlx(rename = \"blue\")] Sad }}"
            ));
            assert_eq!(
                (name.as_str(), labels),
                ("moods.mood", vec![label.to_owned(), "blue".to_owned()]),
                "{word}"
            );
        }
    }

    #[test]
    fn strum_counts_where_sqlx_has_no_attribute() {
        let code = "#[strum(serialize_all = \"snake_case\")] #[sqlx(type_name = \"mood\")]
                    enum Mood {
                        VeryHappy,
                        #[strum(to_string = \"blue\", serialize = \"s\")] Sad,
                        #[strum(serialize = \"w\")] Wild
                    }";
        assert_eq!(
            name_and_labels(code),
            (
                "mood".to_owned(),
                vec!["very_happy".to_owned(), "blue".into(), "w".into()]
            )
        );
    }

    #[test]
    fn the_own_attribute_overrides_the_others() {
        let code = "#[sqlx(type_name = \"m\", rename_all = \"lowercase\")]
                    #[pg_enum(name = \"mood\", rename_all = \"UPPERCASE\")]
                    enum Mood { Sad, #[sqlx(rename = \"x\")] #[pg_enum(rename = \"y\")] Happy }";
        assert_eq!(
            name_and_labels(code),
            ("mood".to_owned(), vec!["SAD".to_owned(), "y".into()])
        );
    }

    #[test]
    fn all_errors_are_reported_together() {
        for (code, expected) in [
            ("struct A;", vec!["`PgEnum` needs an enum: "]),
            ("enum A {}", vec!["`PgEnum` needs an enum with variants"]),
            (
                "#[pg_enum(rename_all = \"lower\")] enum A { B(u8), #[pg_enum(nmae = \"c\")] C }",
                vec![
                    "`rename_all` must be",
                    "a variant must not have fields",
                    "unknown option",
                ],
            ),
            (
                "enum A { B, #[pg_enum(rename = \"B\")] C }",
                vec!["is used twice"],
            ),
        ] {
            let errors = derived(code);
            for text in expected {
                assert!(errors.contains(text), "{text}: {errors}");
            }
        }
    }
}
