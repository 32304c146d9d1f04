//! The derive macro `PgEnum`: the labels that an enum has where it is stored, as constants.

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
            errors.add(&input.ident, "an enum without variants has no labels");
            Vec::new()
        }
        Data::Enum(data) => data
            .variants
            .iter()
            .filter_map(|variant| label(variant, &container, &mut errors))
            .collect(),
        Data::Struct(_) | Data::Union(_) => {
            errors.add(&input.ident, "only an enum has labels");
            Vec::new()
        }
    };
    for (number, (variant, label)) in labels.iter().enumerate() {
        if labels[..number].iter().any(|(_, before)| before == label) {
            errors.add(
                &variant.ident,
                format!("the label \"{label}\" is there twice"),
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

fn label<'a>(
    variant: &'a Variant,
    container: &Container,
    errors: &mut Errors,
) -> Option<(&'a Variant, String)> {
    if !matches!(variant.fields, Fields::Unit) {
        errors.add(
            variant,
            "a variant with fields cannot be a label of PostgreSQL",
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
    fn said(input: &str) -> (String, Vec<String>) {
        let code = derived(input);
        let mut texts = code.split('"').skip(1).step_by(2).map(str::to_owned);
        (
            texts.next().unwrap_or_else(|| panic!("{code}")),
            texts.collect(),
        )
    }

    #[test]
    fn names_and_labels_are_those_of_the_code_unless_said_otherwise() {
        let said = said("enum Mood { Sad, VeryHappy, r#Type }");
        assert_eq!(
            said,
            (
                "Mood".to_owned(),
                vec!["Sad".to_owned(), "VeryHappy".into(), "Type".into()]
            )
        );
    }

    #[test]
    fn every_word_of_sqlx_is_understood() {
        for (word, label) in [
            ("lowercase", "veryhappy"),
            ("UPPERCASE", "VERYHAPPY"),
            ("snake_case", "very_happy"),
            ("SCREAMING_SNAKE_CASE", "VERY_HAPPY"),
            ("kebab-case", "very-happy"),
            ("camelCase", "veryHappy"),
            ("PascalCase", "VeryHappy"),
        ] {
            let (name, labels) = said(&format!(
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
    fn strum_is_read_where_sqlx_is_silent() {
        let code = "#[strum(serialize_all = \"snake_case\")] #[sqlx(type_name = \"mood\")]
                    enum Mood { VeryHappy, #[strum(to_string = \"blue\", serialize = \"s\")] Sad, #[strum(serialize = \"w\")] Wild }";
        assert_eq!(
            said(code),
            (
                "mood".to_owned(),
                vec!["very_happy".to_owned(), "blue".into(), "w".into()]
            )
        );
    }

    #[test]
    fn ours_beats_the_others() {
        let code = "#[sqlx(type_name = \"m\", rename_all = \"lowercase\")] #[pg_enum(name = \"mood\", rename_all = \"UPPERCASE\")]
                    enum Mood { Sad, #[sqlx(rename = \"x\")] #[pg_enum(rename = \"y\")] Happy }";
        assert_eq!(
            said(code),
            ("mood".to_owned(), vec!["SAD".to_owned(), "y".into()])
        );
    }

    #[test]
    fn what_cannot_be_is_said_all_at_once() {
        for (code, told) in [
            ("struct A;", vec!["only an enum has labels"]),
            ("enum A {}", vec!["an enum without variants has no labels"]),
            (
                "#[pg_enum(rename_all = \"lower\")] enum A { B(u8), #[pg_enum(nmae = \"c\")] C }",
                vec![
                    "`rename_all` is one of",
                    "a variant with fields",
                    "unknown option",
                ],
            ),
            (
                "enum A { B, #[pg_enum(rename = \"B\")] C }",
                vec!["is there twice"],
            ),
        ] {
            let errors = derived(code);
            for text in told {
                assert!(errors.contains(text), "{text}: {errors}");
            }
        }
    }
}
