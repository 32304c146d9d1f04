//! Generates the table in `docs/isolation.md` from the verdicts that the probes must reach.

use std::fmt::Write as _;
use std::path::Path;

use crate::conformance::table::{Kind, TABLE, Verdict};

const BEGIN: &str = "<!-- table -->\n";
const END: &str = "<!-- /table -->";
/// If this variable is `1`, the test writes the file.
const BLESS_VARIABLE: &str = "EBBTIDE_BLESS";

/// The table in Markdown. The columns are in the order of [`Kind::ALL`].
///
/// It has the expected verdicts. Each cell has a test that compares its verdict with a probe, such
/// as `hole_08_stray_commit::in_a_tx`.
fn rendered() -> String {
    let kinds = Kind::ALL.map(|kind| match kind {
        Kind::Plain => kind.to_string(),
        _ => format!("`{kind}`"),
    });
    let mut table = format!(
        "| | hole | {} | what to do |\n|---|---|---|---|---|---|---|---|\n",
        kinds.join(" | ")
    );
    for row in &TABLE {
        let cells = Kind::ALL.map(|kind| row.expected[kind.column()].to_string());
        writeln!(
            table,
            "| {} | {} | {} | {} |",
            row.number,
            row.hole,
            cells.join(" | "),
            row.remedy
        )
        .unwrap();
    }
    table
}

#[test]
fn the_table_in_the_documentation_has_the_verdicts_that_each_probe_must_reach() {
    let table = rendered();
    println!("{table}");

    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/isolation.md");
    let page = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (written, after) = rest.split_once(END).unwrap();
    if std::env::var(BLESS_VARIABLE).is_ok_and(|value| value == "1") {
        std::fs::write(&file, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        return;
    }
    let missing: Vec<&str> = table
        .lines()
        .filter(|line| !written.lines().any(|other| other == *line))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/isolation.md lacks these rows; run this test with {BLESS_VARIABLE}=1 to write them:\n{}",
        missing.join("\n")
    );
    assert_eq!(
        written, table,
        "docs/isolation.md has other rows than the expected verdicts, or another order"
    );
}

#[test]
fn no_verdict_of_ebbtide_is_silent() {
    let ours = [Kind::Tx, Kind::Sandbox, Kind::Database];
    for row in &TABLE {
        for kind in ours {
            assert_ne!(
                row.expected[kind.column()],
                Verdict::Silent,
                "hole {} in {kind}",
                row.number
            );
        }
        assert!(!row.remedy.is_empty(), "hole {} has no remedy", row.number);
    }
}
