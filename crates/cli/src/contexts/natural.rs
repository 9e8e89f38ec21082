//! The order in which a person sorts names (docker/cli has it from `fvbommel/sortorder`): 2 comes before 10.

use std::cmp::Ordering;

/// Numbers in names are compared as numbers.
pub(crate) fn natural(first: &str, second: &str) -> Ordering {
    let (mut first, mut second) = (first, second);
    loop {
        let (a, b) = (piece(first), piece(second));
        if a.is_empty() || b.is_empty() {
            return a.len().cmp(&b.len());
        }
        let order = if a.starts_with(|char: char| char.is_ascii_digit())
            && b.starts_with(|char: char| char.is_ascii_digit())
        {
            let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
            a.len().cmp(&b.len()).then_with(|| a.cmp(b))
        } else {
            a.cmp(b)
        };
        if order != Ordering::Equal {
            return order;
        }
        first = first.get(a.len()..).unwrap_or_default();
        second = second.get(b.len()..).unwrap_or_default();
    }
}

/// The number or the other text that a name begins with.
fn piece(text: &str) -> &str {
    let digit = text.starts_with(|char: char| char.is_ascii_digit());
    let end = text.find(|char: char| char.is_ascii_digit() != digit);
    text.get(..end.unwrap_or(text.len())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_compared_as_numbers() {
        let mut names = ["box10", "box2", "box", "a", "box2b", "box02"];
        names.sort_by(|first, second| natural(first, second));
        assert_eq!(names, ["a", "box", "box2", "box02", "box2b", "box10"]);
    }

    proptest! {
        #[test]
        fn an_order_is_the_same_from_both_sides(first in "[a0-9é]{0,8}", second in "[a0-9é]{0,8}") {
            prop_assert_eq!(natural(&first, &second), natural(&second, &first).reverse());
        }
    }
}
