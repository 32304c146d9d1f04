//! `fixtures(...)`: which files of SQL, relative to the test's source file.

use std::path::Path;

use proc_macro2::TokenStream;
use syn::LitStr;

use super::entry::{Entry, Name, Value, entries, texts};
use super::unknown;
use crate::errors::Errors;

/// The paths in the order of writing, each with the place of the literal that it comes from.
pub(super) fn fixtures(list: TokenStream, errors: &mut Errors) -> Vec<LitStr> {
    let (mut files, mut parts) = (Vec::new(), Vec::new());
    for entry in entries(list, errors) {
        match (&entry.name, &entry.value) {
            (Name::Text(file), Value::Absent) => files.push(file.clone()),
            _ => parts.push(entry),
        }
    }
    if parts.is_empty() {
        return plain(files, errors);
    }
    for file in files {
        errors.add(file, "a file beside `path` stands in `scripts(...)`");
    }
    in_dir(&parts, errors)
}

fn plain(files: Vec<LitStr>, errors: &mut Errors) -> Vec<LitStr> {
    let is_path = |file: &LitStr| Path::new(&file.value()).components().count() > 1;
    let paths = files.first().is_some_and(is_path);
    let mut found = Vec::new();
    for file in files {
        if file.value().is_empty() {
            errors.add(file, "a fixture has a name");
        } else if is_path(&file) != paths {
            errors.add(file, "one `fixtures(...)` takes either names (\"a\") or paths (\"./a.sql\"); write a second one for the others");
        } else if paths {
            found.push(file);
        } else {
            found.push(script("fixtures", &file));
        }
    }
    found
}

fn in_dir(parts: &[Entry], errors: &mut Errors) -> Vec<LitStr> {
    let (mut dir, mut scripts) = (None, None);
    for part in parts {
        let slot_was_full = match part.name.keyword().as_str() {
            "path" => dir.replace(errors.note(part.text())).is_some(),
            "scripts" => {
                let list = errors.note(part.list()).unwrap_or_default();
                scripts.replace(texts(list, errors)).is_some()
            }
            _ => {
                errors.push(unknown(
                    "part of `fixtures`",
                    &part.name,
                    &["path", "scripts"],
                ));
                return Vec::new();
            }
        };
        if slot_was_full {
            errors.add(&part.name, format!("{} is given twice", part.name));
        }
    }
    match (dir, scripts) {
        (Some(Some(dir)), Some(scripts)) => scripts
            .iter()
            .map(|file| script(dir.value().trim_end_matches('/'), file))
            .collect(),
        (Some(None), Some(_)) => Vec::new(),
        (Some(_), None) => {
            errors.add(
                &parts[0].name,
                "`path` wants files beside it: `fixtures(path = \"dir\", scripts(\"a\"))`",
            );
            Vec::new()
        }
        (None, _) => {
            errors.add(
                &parts[0].name,
                "`scripts` wants a directory beside it: `fixtures(path = \"dir\", scripts(\"a\"))`",
            );
            Vec::new()
        }
    }
}

fn script(dir: &str, file: &LitStr) -> LitStr {
    let name = file.value();
    let extension = if Path::new(&name).extension().is_none() {
        ".sql"
    } else {
        ""
    };
    LitStr::new(&format!("{dir}/{name}{extension}"), file.span())
}
