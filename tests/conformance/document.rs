//! The table in `docs/isolation.md`, as the probes say it.

use std::fmt::Write as _;
use std::path::Path;

use crate::parts;
use crate::support::skip::{SKIPPED, say};
use crate::table::{Kind, TABLE, Verdict};

const BEGIN: &str = "<!-- table -->\n";
const END: &str = "<!-- /table -->";
/// Set by whoever wants the file to be written.
const BLESS: &str = "EBBTIDE_BLESS";

/// All holes, one after the other, in one kind of test.
async fn column(kind: Kind) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for row in &TABLE {
        verdicts.push(crate::probe(row.number, kind, &format!("the document in {kind}")).await);
    }
    verdicts
}

/// The columns are in the order of [`Kind::ALL`].
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
        let shown = |(kind, column): (&Kind, &Vec<Verdict>)| match column[index] {
            Verdict::NotHere => {
                say(&format!(
                    "{SKIPPED} hole {} in {kind}: this server cannot do what it takes",
                    row.number
                ));
                row.expected[kind.column()].to_string()
            }
            seen => seen.to_string(),
        };
        let cells: Vec<String> = Kind::ALL.iter().zip(columns).map(shown).collect();
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
async fn the_table_in_the_documentation_is_what_the_probes_say() {
    if parts::play().await {
        return;
    }
    let test = crate::support::here!();
    let holes = TABLE.each_ref().map(|row| row.number);
    let probing = parts::IN.scope(test, async {
        let (tx, sandbox, database, sqlx_test, plain) = tokio::join!(
            column(Kind::Tx),
            column(Kind::Sandbox),
            column(Kind::Database),
            parts::with_sqlx(&holes, test),
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
    if std::env::var(BLESS).is_ok_and(|value| value == "1") {
        std::fs::write(&file, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        return;
    }
    let seen: Vec<&str> = table
        .lines()
        .filter(|line| !written.lines().any(|known| known == *line))
        .collect();
    assert!(
        seen.is_empty(),
        "run this test with {BLESS}=1: docs/isolation.md does not say\n{}",
        seen.join("\n")
    );
    assert_eq!(
        written, table,
        "docs/isolation.md says more than the probes, or in another order"
    );
}

#[test]
fn nothing_of_ours_is_expected_to_be_silent() {
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
