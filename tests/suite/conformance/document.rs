//! Generates the table in `docs/isolation.md` from the verdicts of the probes.

use std::fmt::Write as _;
use std::path::Path;

use crate::conformance::children;
use crate::conformance::table::{Kind, TABLE, Verdict};
use crate::conformance::world::Rights;
use crate::support::skip::{SKIPPED_PREFIX, print_uncaptured};

const BEGIN: &str = "<!-- table -->\n";
const END: &str = "<!-- /table -->";
/// If this variable is `1`, the test writes the file.
const BLESS_VARIABLE: &str = "EBBTIDE_BLESS";

/// The verdicts of all holes in one kind of test, probed one after the other.
async fn column(kind: Kind) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for row in &TABLE {
        let name = format!("the document in {kind}");
        let rights = Rights::Administrator;
        verdicts.push(crate::conformance::probe(row.number, kind, &name, rights).await);
    }
    verdicts
}

/// The table in Markdown. The columns are in the order of [`Kind::ALL`].
fn rendered(columns: &[Vec<Verdict>; 5]) -> String {
    let kinds = Kind::ALL.map(|kind| match kind {
        Kind::Plain => kind.to_string(),
        _ => format!("`{kind}`"),
    });
    let mut table = format!(
        "| | hole | {} | what to do |\n|---|---|---|---|---|---|---|---|\n",
        kinds.join(" | ")
    );
    for (index, row) in TABLE.iter().enumerate() {
        let cell = |(kind, column): (&Kind, &Vec<Verdict>)| match column[index] {
            Verdict::Unsupported => {
                print_uncaptured(&format!(
                    "{SKIPPED_PREFIX} hole {} in {kind}: this server lacks what the probe needs",
                    row.number
                ));
                row.expected[kind.column()].to_string()
            }
            verdict => verdict.to_string(),
        };
        let cells: Vec<String> = Kind::ALL.iter().zip(columns).map(cell).collect();
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

#[tokio::test]
async fn the_table_in_the_documentation_matches_the_probes() {
    if children::run_child_role().await {
        return;
    }
    let test = crate::support::this_test!();
    let holes = TABLE.each_ref().map(|row| row.number);
    let probing = children::CURRENT_TEST.scope(test, async {
        let (tx, sandbox, database, sqlx_test, plain) = tokio::join!(
            column(Kind::Tx),
            column(Kind::Sandbox),
            column(Kind::Database),
            children::probe_with_sqlx(&holes, test),
            column(Kind::Plain),
        );
        [tx, sandbox, database, sqlx_test, plain]
    });
    let table = rendered(&Box::pin(probing).await);
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
        "docs/isolation.md has other rows than the probes, or another order"
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
