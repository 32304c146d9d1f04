//! Every block of `docs/cookbook.md` is a part of a file that runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The package's directory.
const PACKAGE: &str = env!("CARGO_MANIFEST_DIR");

/// The directories and files whose parts the page may show, by the language of the block.
const SOURCES: [(&str, &[&str]); 3] = [
    ("rust", &["tests/recipes", "benches"]),
    ("sql", &["migrations", "audit/migrations"]),
    ("toml", &["ebbtide.toml", "Cargo.toml"]),
];

/// A fenced block.
#[derive(Debug, PartialEq)]
struct Block {
    language: String,
    /// With the line feed of the last line.
    text: String,
}

/// The blocks of a page in Markdown.
///
/// # Panics
/// If the last block has no end.
fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for line in page.lines() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(""), Some(block)) => blocks.push(block),
            (Some(language), None) => {
                open = Some(Block {
                    language: language.to_owned(),
                    text: String::new(),
                });
            }
            (_, Some(mut block)) => {
                block.text.extend([line, "\n"]);
                open = Some(block);
            }
            (None, None) => {}
        }
    }
    assert_eq!(open, None, "a block has no end");
    blocks
}

/// The file, or all files in the directory, with their contents.
fn contents(path: &Path) -> BTreeMap<PathBuf, String> {
    if path.is_dir() {
        let entries = path.read_dir().expect("the directory can be read");
        entries
            .flat_map(|it| contents(&it.expect("the entry can be read").path()))
            .collect()
    } else {
        let text = std::fs::read_to_string(path).expect("the file can be read");
        BTreeMap::from([(path.to_owned(), text)])
    }
}

/// Whether the block's lines are whole lines of the file, one after the other.
fn contains_lines(file: &str, block: &str) -> bool {
    !block.is_empty() && format!("\n{file}").contains(&format!("\n{block}"))
}

#[test]
fn every_block_is_a_part_of_a_file_that_runs() {
    let page = Path::new(PACKAGE).join("../../docs/cookbook.md");
    let page = std::fs::read_to_string(page).expect("the page can be read");
    let mut quoted = Vec::new();
    for block in blocks(&page) {
        let sources = SOURCES.iter().find(|it| it.0 == block.language);
        let (_, sources) = sources.unwrap_or_else(|| panic!("no file can contain {block:?}"));
        let file = sources
            .iter()
            .flat_map(|it| contents(&Path::new(PACKAGE).join(it)))
            .find(|(_, text)| contains_lines(text, &block.text));
        let (file, _) = file.unwrap_or_else(|| panic!("none of {sources:?} has:\n{}", block.text));
        quoted.push(file);
    }
    // The reverse: no recipe is missing on the page.
    for (file, _) in contents(&Path::new(PACKAGE).join("tests/recipes")) {
        let is_recipe = !(file.ends_with("main.rs") || file.ends_with("page.rs"));
        assert!(
            !is_recipe || quoted.contains(&file),
            "the page shows nothing of {file:?}"
        );
    }
    let bench = Path::new(PACKAGE).join("benches/lane.rs");
    assert!(quoted.contains(&bench), "the page shows no benchmark");
}

#[test]
fn blocks_are_compared_line_by_line() {
    let page = "text\n```sql\nselect 1;\n\nselect 2;\n```\n```toml\na = 1\n```\n";
    let block = |language: &str, text: &str| Block {
        language: language.to_owned(),
        text: text.to_owned(),
    };
    let expected = [
        block("sql", "select 1;\n\nselect 2;\n"),
        block("toml", "a = 1\n"),
    ];
    assert_eq!(blocks(page), expected);
    let file = "begin;\nselect 1;\n\nselect 2;\n";
    assert!(contains_lines(file, "select 1;\n\nselect 2;\n"));
    assert!(!contains_lines(file, "elect 1;\n"), "not a whole line");
    assert!(!contains_lines(file, "select 1;\nselect 2;\n"));
    assert!(!contains_lines(file, ""));
}
