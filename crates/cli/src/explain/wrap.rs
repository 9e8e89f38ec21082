//! Breaking a text into lines of a width, in columns of a terminal.

use unicode_width::UnicodeWidthStr;

/// Breaks a text at its spaces into lines of at most `width` columns. A word that is longer has a line of its own.
pub(super) fn lines(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let longer = line.width().saturating_add(1).saturating_add(word.width());
        if !line.is_empty() && longer > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

/// The text with spaces behind it up to a width.
pub(super) fn padded(text: &str, width: usize) -> String {
    let spaces = width.saturating_sub(text.width());
    format!("{text}{:spaces$}", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_spaces_and_are_no_longer_than_asked() {
        assert_eq!(lines("one two three", 7), ["one two", "three"]);
        assert_eq!(lines("unbreakable x", 4), ["unbreakable", "x"]);
    }

    #[test]
    fn a_hangul_syllable_takes_two_columns() {
        assert_eq!(lines("가나 다", 6), ["가나", "다"]);
        assert_eq!(padded("가", 3), "가 ");
    }
}
