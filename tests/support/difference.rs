//! How two texts differ, for the message of a failed assertion.

/// The lines that only one of the two texts has.
pub fn difference(expected: &str, found: &str) -> String {
    let only = |one: &str, other: &str, mark: &str| {
        let lines = one
            .lines()
            .filter(|line| !other.lines().any(|other_line| other_line == *line));
        lines
            .map(|line| format!("{mark} {line}"))
            .collect::<Vec<_>>()
    };
    [
        only(expected, found, "missing:"),
        only(found, expected, "extra:"),
    ]
    .concat()
    .join("\n")
}
