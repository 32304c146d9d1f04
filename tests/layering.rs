//! Modules import downwards only. ARCHITECTURE.md tells why.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Top-level modules by layer, lowest first. A module may import from lower layers and from its own.
const LAYERS: [&[&str]; 10] = [
    &[
        "error",
        "sql_error",
        "names",
        "lexer",
        "wait",
        "progress",
        "scarcity",
        "advice",
    ],
    &["config", "conn"],
    &["process", "lane_lock"],
    &["server"],
    &["catalog", "provision"],
    &["template", "clean_up"],
    &["lane"],
    &["harness"],
    &["test_arg"],
    &["blocking", "fixtures", "macro_support"],
];

/// What a layer could allow and the design forbids: importer, imported.
const FORBIDDEN: [(&str, &str); 7] = [
    ("catalog", "provision"),
    ("catalog", "server"),
    ("provision", "server"),
    ("lane_lock", "server"),
    ("server", "provision"),
    ("lane", "provision"),
    ("config", "conn"),
];

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

/// The top-level module that a file belongs to.
fn module_of(file: &Path, src: &Path) -> String {
    let first = file.strip_prefix(src).unwrap().components().next().unwrap();
    Path::new(first.as_os_str())
        .file_stem()
        .unwrap()
        .to_string_lossy()
        .into_owned()
}

/// Every top-level module that a line reaches through `crate::`.
fn imported(line: &str) -> Vec<String> {
    line.match_indices("crate::")
        .map(|(at, path)| {
            line[at + path.len()..]
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect::<String>()
        })
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn every_module_imports_downwards_only() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let layer: BTreeMap<&str, usize> = LAYERS
        .iter()
        .enumerate()
        .flat_map(|(number, names)| names.iter().map(move |name| (*name, number)))
        .collect();
    let mut broken = Vec::new();
    let mut seen = 0;
    for file in source_files(&src) {
        let module = module_of(&file, &src);
        if module == "lib" {
            continue;
        }
        let own = *layer
            .get(module.as_str())
            .unwrap_or_else(|| panic!("module {module} has no layer"));
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in text.lines().enumerate() {
            // The public path of a re-exported item is for readers of the documentation.
            if line.trim_start().starts_with("//") {
                continue;
            }
            for target in imported(line) {
                // `crate::tx` and other re-exports are functions, not modules.
                let Some(theirs) = layer.get(target.as_str()) else {
                    continue;
                };
                seen += 1;
                if *theirs > own || FORBIDDEN.contains(&(module.as_str(), target.as_str())) {
                    broken.push(format!(
                        "{}:{}: {module} imports {target}",
                        file.display(),
                        number + 1
                    ));
                }
            }
        }
    }
    assert!(seen > 50, "the scan found only {seen} imports");
    assert!(
        broken.is_empty(),
        "imports against the layers:\n{}",
        broken.join("\n")
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
            // Tests may ask for the temporary directory.
            let code = text.split("#[cfg(test)]").next().unwrap();
            ["env::var", "env::temp_dir", "env::current_dir", "env::vars"]
                .iter()
                .any(|call| code.contains(call))
        })
        .map(|file| file.display().to_string())
        .collect();
    assert!(
        readers.is_empty(),
        "these read the environment after the plan exists: {readers:?}"
    );
}
