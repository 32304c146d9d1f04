use super::*;

/// The units of a text, and the data of its COPY statements, each with its byte in the text.
fn units(text: &str) -> Vec<(String, usize)> {
    let file = InputFile::embedded("seed", "x.sql", text);
    let mut reader = Reader::open(&file, ErrorKind::Seed).expect("it opens");
    let mut found = Vec::new();
    while let Some(unit) = reader.next().expect("it reads") {
        match unit {
            Unit::Statement(statement) => {
                let is_copy = statement.text.starts_with("copy");
                found.push((statement.text, statement.offset));
                if is_copy {
                    let (mut chunk, mut data) = (Vec::new(), String::new());
                    let offset = reader.start_data().expect("it reads");
                    while {
                        let more = reader.read_data(&mut chunk).expect("it reads");
                        data += std::str::from_utf8(&chunk).expect("text");
                        more
                    } {}
                    found.push((data, offset));
                }
            }
            Unit::Command { text, offset, .. } | Unit::Variable { text, offset } => {
                found.push((text, offset));
            }
        }
    }
    found
}

/// Asserts that every unit stands at its byte.
#[track_caller]
fn assert_units(text: &str, expected: &[&str]) {
    let found = units(text);
    let texts: Vec<&str> = found.iter().map(|(text, _)| text.as_str()).collect();
    assert_eq!(texts, expected);
    let plain = text.trim_start_matches('\u{feff}');
    for (unit, offset) in &found {
        assert!(plain[*offset..].starts_with(unit), "{unit} at {offset}");
    }
}

#[test]
fn a_large_file_is_read_in_parts_and_nothing_is_lost() {
    let long = format!("insert into t values ('{}')", "é;".repeat(400_000));
    let mut expected = vec!["select ';é'"; 40_000];
    expected.push(&long);
    expected.extend(vec!["select 1"; 50_000]);
    expected.push("select 'end'");
    let text = expected.join(";\n");
    assert_units(&format!("\u{feff}{text}"), &expected);
}

#[test]
fn an_empty_file_and_an_unterminated_statement_are_read() {
    for (text, expected) in [
        ("", &[][..]),
        ("\u{feff}", &[]),
        ("-- a", &[]),
        ("a", &["a"]),
        ("select 1", &["select 1"]),
        ("select 'a; b", &["select 'a; b"]),
    ] {
        assert_units(text, expected);
    }
}

#[test]
fn data_follow_the_line_of_a_copy_and_end_with_a_backslash_and_a_dot() {
    let rows = "it's\t;\\\\.\n\\.x\n".repeat(60_000);
    for (text, expected) in [
        (
            "copy t from stdin;\n1\n\\.\nselect 1",
            &["copy t from stdin", "1\n", "select 1"][..],
        ),
        (
            "copy t from stdin; -- x\r\n1\r\n\\.\r\n;select 1",
            &["copy t from stdin", "1\r\n", "select 1"],
        ),
        (
            "copy t from stdin;\n\\.\n\\q",
            &["copy t from stdin", "", "\\q"],
        ),
        ("copy t from stdin;\n1\n2", &["copy t from stdin", "1\n2"]),
        ("copy t from stdin;", &["copy t from stdin", ""]),
        (
            "copy t from stdin;\n1\n\\.",
            &["copy t from stdin", "1\n\\."],
        ),
        (
            &format!("select 1;copy t from stdin;\n{rows}\\.\nselect 2;"),
            &["select 1", "copy t from stdin", &rows, "select 2"],
        ),
    ] {
        assert_units(text, expected);
    }
}

#[test]
fn what_follows_a_copy_in_its_line_runs_after_the_data() {
    let text =
        "copy a from stdin; select 1; copy b from stdin; select 2\n1\n\\.\n2\n\\.\n;select 3";
    let texts: Vec<String> = units(text).into_iter().map(|(text, _)| text).collect();
    let expected = [
        "copy a from stdin",
        "1\n",
        "select 1",
        "copy b from stdin",
        "2\n",
        "select 2",
        "select 3",
    ];
    assert_eq!(texts, expected);
    assert_eq!(units(text)[4].1, text.find("2\n\\.").expect("the data"));
    assert_eq!(
        units(text)[6].1,
        text.find("select 3").expect("the statement")
    );
}

#[test]
fn an_escaped_semicolon_is_sent_without_its_backslash() {
    let found = units("select 1 \\; select '\\;' \\: 2; select 3");
    assert_eq!(found[0].0, "select 1 ; select '\\;' : 2");
    assert_eq!(found.len(), 2);
}
