//! Columns as Go's `text/tabwriter` aligns them: a cell ends with a tab; a column is a block of consecutive lines
//! that have a cell there, as wide as its widest cell, its padding included. What follows a line's last tab
//! belongs to no column.

/// How columns are set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Columns {
    /// The least width of a column, padding included, in characters.
    pub(crate) least: usize,
    /// Spaces after a column's widest cell.
    pub(crate) padding: usize,
}

/// Docker's lists.
pub(crate) const LIST: Columns = Columns {
    least: 10,
    padding: 3,
};
/// Docker's `top`.
pub(crate) const TOP: Columns = Columns {
    least: 20,
    padding: 1,
};
/// Docker's `version`.
pub(crate) const VERSION: Columns = Columns {
    least: 20,
    padding: 1,
};

/// Aligns a text's tabs.
pub(crate) fn align(text: &str, columns: Columns) -> String {
    let lines: Vec<Vec<&str>> = text.split('\n').map(|line| line.split('\t').collect()).collect();
    let mut output = String::with_capacity(text.len().saturating_mul(2));
    let mut widths = Vec::new();
    block(&lines, columns, &mut widths, &mut output);
    // Every line was written with its end, and the last one has none.
    output.pop();
    output
}

/// Writes lines whose first cells have the widths found so far.
fn block(lines: &[Vec<&str>], columns: Columns, widths: &mut Vec<usize>, output: &mut String) {
    let column = widths.len();
    let has_cell = |line: &Vec<&str>| line.len() > column.saturating_add(1);
    let mut rest = lines;
    while !rest.is_empty() {
        let plain = rest.iter().position(has_cell).unwrap_or(rest.len());
        let (before, from) = rest.split_at_checked(plain).unwrap_or((rest, &[]));
        for line in before {
            write(line, widths, output);
        }
        let length = from.iter().position(|line| !has_cell(line)).unwrap_or(from.len());
        let (inside, after) = from.split_at_checked(length).unwrap_or((from, &[]));
        if !inside.is_empty() {
            let cells = inside.iter().filter_map(|line| line.get(column));
            let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
            widths.push(widest.saturating_add(columns.padding).max(columns.least));
            block(inside, columns, widths, output);
            widths.pop();
        }
        rest = after;
    }
}

fn write(line: &[&str], widths: &[usize], output: &mut String) {
    for (index, cell) in line.iter().enumerate() {
        output.push_str(cell);
        if let Some(width) = widths.get(index) {
            let missing = width.saturating_sub(cell.chars().count());
            output.extend(std::iter::repeat_n(' ', missing));
        }
    }
    output.push('\n');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_the_padding() {
        let aligned = align("ID\tIMAGE\tNAMES\n1234567890ab\talpine\tweb\n", LIST);
        assert_eq!(
            aligned,
            "ID             IMAGE     NAMES\n1234567890ab   alpine    web\n"
        );
    }

    #[test]
    fn a_line_without_tabs_ends_a_column() {
        let aligned = align("a\tb\n--\nlonger cell\tb\n", LIST);
        assert_eq!(aligned, "a         b\n--\nlonger cell   b\n");
    }

    #[test]
    fn characters_are_counted_and_not_bytes() {
        assert_eq!(align("ééé\tx\n", LIST), "ééé       x\n");
    }

    #[test]
    fn an_empty_cell_keeps_its_place() {
        assert_eq!(align("a\t\tc\n", LIST), "a                   c\n");
    }

    proptest! {
        #[test]
        fn no_character_but_tabs_is_lost(text in "[a-z\t\n]{0,60}") {
            let aligned = align(&text, LIST);
            let strip = |text: &str| text.replace(['\t', ' '], "");
            prop_assert_eq!(strip(&aligned), strip(&text));
        }
    }
}
