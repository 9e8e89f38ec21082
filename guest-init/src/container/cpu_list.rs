//! The kernel's list format for CPUs and memory nodes, such as `0-2,4` (cpuset(7), "List format").

use std::ops::RangeInclusive;

/// The ranges of a list, or `None` when it is not one.
pub(super) fn parse(list: &str) -> Option<Vec<RangeInclusive<u32>>> {
    list.trim()
        .split(',')
        .filter(|part| !part.is_empty())
        .map(range)
        .collect()
}

fn range(text: &str) -> Option<RangeInclusive<u32>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range = first.trim().parse().ok()?..=last.trim().parse().ok()?;
    (!range.is_empty()).then_some(range)
}

/// Whether every member of `wanted` is a member of `available`. Both are written by the kernel or by a person,
/// so ranges of `available` are taken to be apart from each other by at least one.
pub(super) fn is_subset(wanted: &[RangeInclusive<u32>], available: &[RangeInclusive<u32>]) -> bool {
    wanted.iter().all(|want| {
        available
            .iter()
            .any(|have| have.contains(want.start()) && have.contains(want.end()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_compared_member_by_member() {
        let online = parse("0-3,8\n").unwrap();
        assert!(is_subset(&parse("1,2-3,8").unwrap(), &online));
        assert!(!is_subset(&parse("4").unwrap(), &online));
        assert!(!is_subset(&parse("3-8").unwrap(), &online));
    }

    #[test]
    fn what_is_not_a_list_is_not_parsed() {
        for text in ["a", "3-1", "-", "1;2", "4294967296"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
