//! The cases of a variant's name, with the words that sqlx, strum and serde use for them.

use heck::{
    ToKebabCase, ToLowerCamelCase, ToPascalCase, ToShoutyKebabCase, ToShoutySnakeCase, ToSnakeCase,
    ToTitleCase, ToTrainCase,
};

/// A function that writes a name in one case.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case(fn(&str) -> String);

const WORDS: [(&str, Case); 14] = [
    ("lowercase", Case(str::to_lowercase)),
    ("UPPERCASE", Case(str::to_uppercase)),
    ("snake_case", Case(ToSnakeCase::to_snake_case)),
    (
        "SCREAMING_SNAKE_CASE",
        Case(ToShoutySnakeCase::to_shouty_snake_case),
    ),
    ("kebab-case", Case(ToKebabCase::to_kebab_case)),
    (
        "SCREAMING-KEBAB-CASE",
        Case(ToShoutyKebabCase::to_shouty_kebab_case),
    ),
    ("camelCase", Case(ToLowerCamelCase::to_lower_camel_case)),
    ("PascalCase", Case(ToPascalCase::to_pascal_case)),
    ("Train-Case", Case(ToTrainCase::to_train_case)),
    ("title_case", Case(ToTitleCase::to_title_case)),
    // strum's other words for some of these cases.
    (
        "shouty_snake_case",
        Case(ToShoutySnakeCase::to_shouty_snake_case),
    ),
    ("kebab_case", Case(ToKebabCase::to_kebab_case)),
    ("camel_case", Case(ToPascalCase::to_pascal_case)),
    ("mixed_case", Case(ToLowerCamelCase::to_lower_camel_case)),
];

impl Case {
    pub(super) fn named(word: &str) -> Option<Self> {
        WORDS
            .iter()
            .find(|(known, _)| *known == word)
            .map(|(_, case)| *case)
    }

    /// sqlx's words, which errors list.
    pub(super) fn words() -> impl Iterator<Item = &'static str> {
        WORDS.iter().take(8).map(|(word, _)| *word)
    }

    pub(super) fn write(self, name: &str) -> String {
        (self.0)(name)
    }
}
