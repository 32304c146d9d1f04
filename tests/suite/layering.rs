//! A module imports only from its own layer and from lower ones. ARCHITECTURE.md explains why.

mod circles;
mod features;
mod imports;
mod tokens;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use circles::Files;

/// Top-level modules by layer, lowest first. A module may import from lower layers and from its
/// own.
const LAYERS: [&[&str]; 11] = [
    &[
        "error",
        "sql_error",
        "excerpt",
        "names",
        "guard_names",
        "lexer",
        "milliseconds",
        "wait",
        "progress",
        "role_error",
        "scarcity",
        "test_error_help",
    ],
    &["config", "conn"],
    &["process", "lane_lock"],
    &["server"],
    &["catalog", "guard", "provision"],
    &["template", "clean_up"],
    &["lane"],
    &["harness"],
    &["test_arg"],
    &["test_run"],
    &["blocking", "fixtures", "macro_support"],
];

/// Pairs of importer and imported module that the layers allow, but the design forbids.
const FORBIDDEN: [(&str, &str); 9] = [
    ("catalog", "guard"),
    ("catalog", "provision"),
    ("catalog", "server"),
    ("provision", "server"),
    ("guard", "provision"),
    ("lane_lock", "server"),
    ("server", "provision"),
    ("lane", "provision"),
    ("config", "conn"),
];

/// Files that have conditions on a feature below their module's door. The list must shrink: a file
/// without such a condition fails the test.
const KNOWN_CONDITIONS: [(&str, &str); 1] = [(
    "server/container/search/tls.rs",
    "both branches of `cfg!(feature = \"tls\")` compile, and one of them returns an error",
)];

fn source_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(source_files(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
    files
}

/// The top-level module of a file.
fn module_of(file: &Path, src: &Path) -> String {
    let first = file.strip_prefix(src).unwrap().components().next().unwrap();
    Path::new(first.as_os_str())
        .file_stem()
        .unwrap()
        .to_string_lossy()
        .into_owned()
}

/// The source files of the library.
fn library() -> Files {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let texts: Vec<(String, String)> = source_files(&src)
        .into_iter()
        .map(|file| {
            let path = file.strip_prefix(&src).unwrap().display().to_string();
            (path, fs::read_to_string(file).unwrap())
        })
        .collect();
    Files::new(texts.iter().map(|(path, text)| (&**path, &**text)))
}

#[test]
fn every_module_imports_only_from_its_own_and_lower_layers() {
    let files = library();
    let layer: BTreeMap<&str, usize> = LAYERS
        .iter()
        .enumerate()
        .flat_map(|(number, names)| names.iter().map(move |name| (*name, number)))
        .collect();
    let mut violations = Vec::new();
    let mut imports = 0;
    for (module, file) in files.iter() {
        // `lib.rs` re-exports from every layer.
        let Some(module) = module.first() else {
            continue;
        };
        let own = *layer.get(module.as_str()).unwrap_or_else(|| {
            panic!("every module must have a layer in LAYERS, but {module} has none")
        });
        for import in &file.imports {
            let named = import.path.first().map_or("", String::as_str);
            let target = match layer.get_key_value(named) {
                Some((target, _)) => *target,
                // `crate::tx`: the root re-exports it.
                None => match files
                    .definition(&import.path)
                    .and_then(|module| module.first())
                {
                    Some(target) => target.as_str(),
                    None => continue,
                },
            };
            imports += 1;
            if layer[target] > own || FORBIDDEN.contains(&(module.as_str(), target)) {
                violations.push(format!(
                    "src/{}:{}: {module} imports {target}",
                    file.path, import.line
                ));
            }
        }
    }
    assert!(imports > 500, "the scan found only {imports} imports");
    assert!(
        violations.is_empty(),
        "a module must import only from its own layer and from lower ones:\n{}",
        violations.join("\n")
    );
}

#[test]
fn no_two_files_import_from_each_other() {
    let circles = library().graph().circles();
    assert!(
        circles.is_empty(),
        "imports between files must not lead in a circle: move an item to a file of its own:\n{}",
        circles.join("\n")
    );
}

#[test]
fn only_config_reads_the_environment() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let readers: Vec<String> = source_files(&src)
        .into_iter()
        .filter(|file| module_of(file, &src) != "config")
        .filter(|file| {
            let text = fs::read_to_string(file).unwrap();
            // A unit test may use the temporary directory.
            let code = text.split("#[cfg(test)]").next().unwrap();
            ["env::var", "env::temp_dir", "env::current_dir", "env::vars"]
                .iter()
                .any(|call| code.contains(call))
        })
        .map(|file| file.display().to_string())
        .collect();
    assert!(
        readers.is_empty(),
        "only `config` may read the environment, but these files do: {readers:?}"
    );
}

#[test]
fn what_decides_about_inputs_is_recorded() {
    let provision = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/provision");
    let readers: Vec<String> = source_files(&provision)
        .into_iter()
        .filter(|file| !file.ends_with("observed.rs") && !file.ends_with("inputs_memo.rs"))
        .filter(|file| {
            let text = fs::read_to_string(file).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            let calls = [
                "fs::",
                "File::open",
                "path.is_file()",
                "path.is_dir()",
                ".exists()",
            ];
            calls.iter().any(|call| code.contains(call))
        })
        .map(|file| file.display().to_string())
        .collect();
    assert!(
        readers.is_empty(),
        "`provision` must examine files with the functions of `observed`, which record each path, \
         but these files examine some without them: {readers:?}"
    );
}

#[test]
fn features_are_chosen_at_module_doors() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let conditions: BTreeMap<String, Vec<usize>> = source_files(&src)
        .into_iter()
        .map(|file| {
            let path = file.strip_prefix(&src).unwrap().display().to_string();
            let text = fs::read_to_string(file).unwrap();
            (path, features::conditions_inside(&text))
        })
        .filter(|(_, lines)| !lines.is_empty())
        .collect();
    let unknown: Vec<_> = conditions
        .iter()
        .filter(|(path, _)| !KNOWN_CONDITIONS.iter().any(|(known, _)| known == path))
        .collect();
    assert!(
        unknown.is_empty(),
        "a condition on a feature may stand only at a `mod`, a `use` or an item of a list, but \
         these files have others on these lines: {unknown:?}"
    );
    let unneeded: Vec<_> = KNOWN_CONDITIONS
        .iter()
        .filter(|(path, _)| !conditions.contains_key(*path))
        .collect();
    assert!(
        unneeded.is_empty(),
        "these files have no such condition, so KNOWN_CONDITIONS must not list them: {unneeded:?}"
    );
}
