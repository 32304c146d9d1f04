//! A part of a text around one of its bytes, for errors: the line, and a caret below the byte.

use std::fmt::Write as _;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// How many columns of a line an excerpt shows.
const MAX_COLUMNS: usize = 160;

/// A position in a text, as editors count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// The line, counted from 1.
    pub(crate) line: usize,
    /// The column in characters, counted from 1.
    pub(crate) column: usize,
}

impl Position {
    /// The position of a byte. An offset past the end means the end.
    pub(crate) fn of_byte(text: &str, offset: usize) -> Self {
        let before = &text[..text.floor_char_boundary(offset)];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

/// The lines around a byte: `name:line:column`, the previous line unless it is blank, the line
/// itself, and a caret below the byte.
pub(crate) fn excerpt(name: &str, text: &str, offset: usize) -> String {
    let Position { line, column } = Position::of_byte(text, offset);
    let mut lines = text.lines().skip(line.saturating_sub(2));
    let previous = if line > 1 {
        lines.next().unwrap_or_default()
    } else {
        ""
    };
    let [visible, caret] = marked_line(lines.next().unwrap_or_default(), column);

    let width = line.to_string().len();
    let mut report = format!("{name}:{line}:{column}");
    let mut row = |number: &str, text: &str| {
        let row = format!(" {number:>width$} | {text}");
        write!(report, "\n{}", row.trim_end()).expect("writing to a String cannot fail");
    };
    if !previous.trim().is_empty() {
        row(&(line - 1).to_string(), &marked_line(previous, 1)[0]);
    }
    row(&line.to_string(), &visible);
    row("", &caret);
    report
}

/// A line, cut around a column if it is long, and the line to print below it: a caret below that
/// column. The column is in characters, counted from 1.
pub(crate) fn marked_line(line: &str, column: usize) -> [String; 2] {
    // A control character would move the cursor of the terminal that prints the report.
    let chars: Vec<char> = line
        .chars()
        .map(|c| {
            if c.is_control() && c != '\t' {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect();
    let focus = (column - 1).min(chars.len());
    let (before, after) = cut(&chars, focus);
    let caret = caret_below(&before);
    [before + &after, caret]
}

/// The visible parts before and after the character at this index.
fn cut(chars: &[char], focus: usize) -> (String, String) {
    // The columns to the left of each character, and the columns of the whole line.
    let mut lefts = vec![0];
    for c in chars {
        lefts.push(lefts[lefts.len() - 1] + columns(*c));
    }
    let all = lefts[chars.len()];
    let (mut start, mut end) = (0, chars.len());
    if all > MAX_COLUMNS {
        let first = lefts[focus]
            .saturating_sub(MAX_COLUMNS / 2)
            .min(all - MAX_COLUMNS);
        start = lefts.partition_point(|left| *left < first);
        end = lefts.partition_point(|left| *left <= lefts[start] + MAX_COLUMNS) - 1;
    }
    let (mut before, mut after) = (&chars[start..focus], &chars[focus..end]);
    // An ellipsis replaces the outermost character together with its combining characters.
    let is_cut = [start > 0, end < chars.len()];
    if is_cut[0] {
        let first = before.iter().position(|c| columns(*c) > 0);
        let rest = &before[first.map_or(0, |at| at + 1)..];
        let combining = rest.iter().take_while(|c| columns(**c) == 0);
        before = &rest[combining.count()..];
    }
    if is_cut[1] {
        let last = after.iter().rposition(|c| columns(*c) > 0).unwrap_or(0);
        after = &after[..last];
    }
    let ellipsis = |is_cut: bool| if is_cut { "…" } else { "" };
    let text = |chars: &[char]| chars.iter().collect::<String>();
    (
        ellipsis(is_cut[0]).to_owned() + &text(before),
        text(after) + ellipsis(is_cut[1]),
    )
}

/// The columns of a character of its own on a terminal. A tab counts as one.
fn columns(c: char) -> usize {
    c.width().unwrap_or(1)
}

/// A caret below the column after this text. Tabs stay tabs, because the terminal decides how wide
/// they are.
fn caret_below(before: &str) -> String {
    let blanks: Vec<String> = before
        .split('\t')
        .map(|part| " ".repeat(part.width()))
        .collect();
    blanks.join("\t") + "^"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The excerpt around the byte of the first `#`.
    fn at_mark(text: &str) -> String {
        excerpt("x.sql", text, text.find('#').expect("a mark"))
    }

    #[test]
    fn a_position_counts_characters() {
        let text = "select 1;\r\nselect '🦀', 日本 frm\r\n";
        let of = |offset| {
            let Position { line, column } = Position::of_byte(text, offset);
            (line, column)
        };
        assert_eq!(of(text.find("frm").expect("a word")), (2, 16));
        assert_eq!(of(usize::MAX), (3, 1));
        let inside = text.find('🦀').expect("a crab") + 2;
        assert_eq!(of(inside), (2, 9));
    }

    #[test]
    fn an_excerpt_shows_the_line_before_and_a_caret() {
        let text = "create table x (\r\n\tid\tbigit primary key\r\n);";
        let excerpt = |offset| excerpt("migrations/002_x.up.sql", text, offset);
        assert_eq!(
            excerpt(text.find("bigit").expect("a word")),
            "migrations/002_x.up.sql:2:5\n 1 | create table x (\n 2 | \tid\tbigit primary key\n   \
             | \t  \t^"
        );
        assert_eq!(
            excerpt(0),
            "migrations/002_x.up.sql:1:1\n 1 | create table x (\n   | ^"
        );
    }

    #[test]
    fn an_excerpt_exists_at_every_edge() {
        assert_eq!(excerpt("x.sql", "", 5), "x.sql:1:1\n 1 |\n   | ^");
        assert_eq!(
            excerpt("x.sql", "select\n", 7),
            "x.sql:2:1\n 1 | select\n 2 |\n   | ^"
        );
        let ten = format!("{}a\u{1b}b", "\n".repeat(9));
        assert_eq!(
            excerpt("x.sql", &ten, 99),
            "x.sql:10:4\n 10 | a\u{fffd}b\n    |    ^"
        );
    }

    #[test]
    fn the_caret_stands_below_its_character_whatever_the_width_of_the_text_before() {
        for (text, blanks) in [
            ("日本 #", "     "),
            ("ｆｕｌｌ #", "         "),
            ("𠮷 #", "   "),
            ("한국어 #", "       "),
            // Half-width katakana, and Arabic and Hebrew vowel signs.
            ("ｶﾅ #", "   "),
            ("بِ שָ #", "    "),
            // Combining accents: one base character each.
            ("e\u{301}a\u{308}\u{323} #", "   "),
            ("न\u{93c} #", "  "),
            // A crab, a family joined by ZWJ, a heart with an emoji selector, a flag, a skin tone.
            ("🦀 #", "   "),
            ("👨\u{200d}👩\u{200d}👧 #", "   "),
            ("❤\u{fe0f} #", "   "),
            ("🇩🇪 #", "   "),
            ("👍🏽 #", "   "),
            // A zero-width space, a word joiner and a byte order mark.
            ("a\u{200b}b\u{2060}c\u{feff} #", "    "),
            ("\t日\t本 #", "\t  \t   "),
            ("a\u{7}b\r#", "    "),
        ] {
            let report = at_mark(text);
            let caret = report.lines().last();
            assert_eq!(
                caret,
                Some(format!("   | {blanks}^").as_str()),
                "{text:?}\n{report}"
            );
        }
    }

    #[test]
    fn a_line_feed_with_or_without_a_carriage_return_ends_a_line() {
        for text in ["a\nb #c\nd", "a\r\nb #c\r\nd"] {
            assert_eq!(at_mark(text), "x.sql:2:3\n 1 | a\n 2 | b #c\n   |   ^");
        }
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let text = format!("{}X{}", "é".repeat(500), "z".repeat(500));
        for at in [0, 500, 1000, 1500] {
            let report = excerpt("x.sql", &text, at);
            let rows: Vec<_> = report
                .lines()
                .map(|row| row.chars().skip(5).collect::<Vec<_>>())
                .collect();
            let caret = rows[2].len() - 1;
            assert_eq!(rows[1].len(), MAX_COLUMNS);
            assert_eq!(rows[1].get(caret).copied(), text[at..].chars().next());
            assert_eq!(
                (rows[1][0] == '…', rows[1][MAX_COLUMNS - 1] == '…'),
                (at > 160, at < 1300)
            );
        }
    }

    #[test]
    fn a_long_line_is_cut_by_its_columns_and_beside_no_combining_character() {
        for unit in ["日", "e\u{301}", "🦀a", "\u{301}x\u{308}\u{323}"] {
            let text = format!("{}#{}", unit.repeat(200), unit.repeat(200));
            let report = at_mark(&text);
            let rows: Vec<_> = report.lines().map(|row| &row[" 1 | ".len()..]).collect();
            let visible = rows[1].trim_matches('…');
            assert!(rows[1].width() <= MAX_COLUMNS, "{report}");
            assert!(rows[1].width() > MAX_COLUMNS - 4, "{report}");
            assert_ne!(visible.chars().next().map(columns), Some(0), "{report}");
            let before = rows[1].split('#').next().expect("a part");
            assert_eq!(rows[2].len() - 1, before.width(), "{report}");
        }
    }
}
