//! `fixtures(...)`: files of SQL, relative to the test's source file.

use std::path::Path;

use proc_macro2::TokenStream;
use syn::LitStr;

use super::entry::{Entry, Name, Value, entries, texts};
use super::{repeated, unknown};
use crate::errors::Errors;

/// The paths in the order of the attribute. Each has the span of its literal, so that the compiler
/// reports a missing file at the literal.
pub(super) fn fixtures(list: TokenStream, errors: &mut Errors) -> Vec<LitStr> {
    let (mut files, mut parts) = (Vec::new(), Vec::new());
    for entry in entries(list, errors) {
        match (&entry.name, &entry.value) {
            (Name::Text(file), Value::Absent) => files.push(file.clone()),
            _ => parts.push(entry),
        }
    }
    if parts.is_empty() {
        return names_or_paths(files, errors);
    }
    for file in files {
        errors.add(
            file,
            "a file next to `path` or `scripts` must be inside `scripts(...)`: move it there",
        );
    }
    in_dir(&parts, errors)
}

/// The files of `fixtures("a", "b")`: all are names in the directory `fixtures`, or all are paths.
fn names_or_paths(files: Vec<LitStr>, errors: &mut Errors) -> Vec<LitStr> {
    let is_path = |file: &LitStr| Path::new(&file.value()).components().count() > 1;
    let paths = files.first().is_some_and(is_path);
    let mut found = Vec::new();
    for file in files {
        if file.value().is_empty() {
            errors.add(
                file,
                "a fixture must have a name, for example \"customers\"",
            );
        } else if is_path(&file) != paths {
            errors.add(
                file,
                "one `fixtures(...)` must have either names (\"a\") or paths (\"./a.sql\"): \
                 write a second `fixtures(...)` for the others",
            );
        } else if paths {
            found.push(file);
        } else {
            found.push(script("fixtures", &file));
        }
    }
    found
}

/// The files of `fixtures(path = "dir", scripts("a"))`.
fn in_dir(parts: &[Entry], errors: &mut Errors) -> Vec<LitStr> {
    let (mut dir, mut scripts) = (None, None);
    for part in parts {
        let is_repeated = match part.name.keyword().as_str() {
            "path" => dir.replace(errors.record(part.text())).is_some(),
            "scripts" => {
                let list = errors.record(part.list()).unwrap_or_default();
                scripts.replace(texts(list, errors)).is_some()
            }
            _ => {
                errors.push(unknown(
                    "part",
                    " of `fixtures`",
                    &part.name,
                    &["path", "scripts"],
                ));
                return Vec::new();
            }
        };
        if is_repeated {
            errors.add(&part.name, repeated(&part.name));
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
                "`path` must be combined with `scripts`, \
                 for example `fixtures(path = \"dir\", scripts(\"a\"))`",
            );
            Vec::new()
        }
        (None, _) => {
            errors.add(
                &parts[0].name,
                "`scripts` must be combined with `path`, \
                 for example `fixtures(path = \"dir\", scripts(\"a\"))`",
            );
            Vec::new()
        }
    }
}

/// The path of a file in a directory. Without an extension it ends in `.sql`.
fn script(dir: &str, file: &LitStr) -> LitStr {
    let name = file.value();
    let extension = if Path::new(&name).extension().is_none() {
        ".sql"
    } else {
        ""
    };
    LitStr::new(&format!("{dir}/{name}{extension}"), file.span())
}
