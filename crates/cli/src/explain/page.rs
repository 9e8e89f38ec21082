//! A journey, or client and server, as a page: columns of times and places, and sentences that wrap.

use journey::{Record, Step};

use super::english::English;
use super::journal::{Journal, place};
use super::korean::Korean;
use super::server::Server;
use super::words::{Lesson, Words, time};
use super::wrap::{lines, padded};
use crate::arguments::Language;
use crate::sys;

/// The width of a page where there is no terminal, in columns.
const USUAL_WIDTH: usize = 110;
/// Lines longer than this are hard to read.
const WIDEST: usize = 140;
/// A sentence has at least so much room, whatever the terminal's width.
const NARROWEST_TEXT: usize = 30;
/// Of a time: `12.3 ms`, or the name of its column.
const TIME: usize = 9;
/// Of a place in any language.
const PLACE: usize = 10;
const GAP: &str = "  ";

/// A language's words.
pub(crate) fn words(language: Language) -> &'static dyn Words {
    match language {
        Language::En => &English,
        Language::Ko => &Korean,
    }
}

/// The steps of a command, and what they teach.
pub(crate) fn journey(command: &str, journal: &Journal, words: &dyn Words) -> String {
    let width = width();
    let indent = (TIME + GAP.len()) * 2 + PLACE + GAP.len();
    let text_width = width.saturating_sub(indent).max(NARROWEST_TEXT);
    let mut page = format!("\n{}\n\n", words.heading(command));
    let [at, took, place_name, what] = words.columns();
    page.push_str(&row([at, took, place_name], what));
    for record in &journal.records {
        let since = record.begun_ns.saturating_sub(journal.begun_ns).max(0);
        let cells = [
            &time(since.unsigned_abs()),
            &time(record.took_ns),
            words.place(place(&record.step)),
        ];
        let mut sentences = lines(&sentence(record, words), text_width).into_iter();
        page.push_str(&row(cells, &sentences.next().unwrap_or_default()));
        for line in sentences {
            page.push_str(&format!("{:indent$}{line}\n", ""));
        }
    }
    page.push('\n');
    let shares: Vec<(&str, String)> = journal
        .shares()
        .into_iter()
        .map(|(place, took)| (words.place(place), time(took)))
        .collect();
    let mut closing = vec![words.total(&time(journal.took_ns.unsigned_abs()), &shares)];
    closing.extend(lesson(journal).map(|lesson| words.lesson(lesson)));
    for text in closing {
        page.push_str(&lines(&text, width).join("\n"));
        page.push('\n');
    }
    page
}

/// Who client and server are, and why.
pub(crate) fn server(server: &Server, words: &dyn Words) -> String {
    let width = width();
    let mut page = format!("{}\n", words.server_heading());
    let mut paragraph = |name: &str, text: &str| {
        let text_width = width.saturating_sub(PLACE + GAP.len()).max(NARROWEST_TEXT);
        for (number, line) in lines(text, text_width).iter().enumerate() {
            let name = if number == 0 { name } else { "" };
            let before = if number == 0 { "\n" } else { "" };
            page.push_str(&format!("{before}{}{GAP}{line}\n", padded(name, PLACE)));
        }
    };
    for (name, text) in words.server(server) {
        paragraph(name, &text);
    }
    page.push_str(&format!("\nlinux/{}?\n", server.machine.architecture));
    for text in words.why(server) {
        page.push_str(&lines(&text, width).join("\n"));
        page.push('\n');
    }
    page
}

fn row(cells: [&str; 3], text: &str) -> String {
    let [at, took, place] = cells;
    let mut row = String::new();
    for (cell, width) in [(at, TIME), (took, TIME), (place, PLACE)] {
        row.push_str(&padded(cell, width));
        row.push_str(GAP);
    }
    row.push_str(text);
    row.push('\n');
    row
}

fn sentence(record: &Record, words: &dyn Words) -> String {
    let text = words.step(&record.step);
    match &record.failure {
        Some(reason) => format!("{text} {}", words.failed(reason)),
        None => text,
    }
}

/// What the next run does without. A command that failed or started nothing teaches none of it.
fn lesson(journal: &Journal) -> Option<Lesson> {
    let began = journal
        .records
        .iter()
        .any(|record| matches!(record.step, Step::Started { .. }) && record.failure.is_none());
    if !began {
        return None;
    }
    let pulled_ns = journal.took_by_pull();
    let booted_ns = journal.spent(|step| {
        matches!(
            step,
            Step::Booted { .. } | Step::AcceleratorChosen { .. } | Step::DiskPrepared
        )
    });
    Some(if (pulled_ns, booted_ns) == (0, 0) {
        Lesson::Warm
    } else {
        Lesson::Next { pulled_ns, booted_ns }
    })
}

fn width() -> usize {
    let columns = sys::window_size().map(|(_, columns)| usize::from(columns));
    columns
        .filter(|columns| *columns > 0)
        .unwrap_or(USUAL_WIDTH)
        .min(WIDEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(step: Step, begun_ns: i64, took_ns: u64, failure: Option<&str>) -> Record {
        Record {
            step,
            begun_ns,
            took_ns,
            failure: failure.map(str::to_owned),
        }
    }

    fn journal(records: Vec<Record>) -> Journal {
        Journal::new(1_000, 50_000_000, records, Vec::new(), 0)
    }

    fn started() -> Record {
        record(Step::Started { pid: 7 }, 2_001_000, 9_000_000, None)
    }

    #[test]
    fn every_step_stands_in_its_order_with_its_times() {
        let page = journey(
            "run x",
            &journal(vec![
                started(),
                record(Step::DiskPrepared, 1_000, 1_500_000, None),
            ]),
            &English,
        );
        let lines: Vec<&str> = page.lines().collect();
        assert!(lines[1].contains("sampan run x"), "{page}");
        assert!(lines[4].starts_with("0.00 ms    1.50 ms    machine"), "{page}");
        let next = lines
            .iter()
            .find(|line| line.starts_with("2.00 ms    9.00 ms    guest"));
        assert!(next.is_some(), "{page}");
    }

    #[test]
    fn a_failed_step_says_why() {
        let failed = record(Step::Started { pid: 0 }, 1_000, 1, Some("no such program"));
        let page = journey("run x", &journal(vec![failed]), &English);
        assert!(page.contains("It failed: no such program"), "{page}");
        assert!(!page.contains("every run but the first"), "{page}");
    }

    #[test]
    fn a_run_without_pull_and_boot_is_said_to_be_the_usual_one() {
        assert_eq!(lesson(&journal(vec![started()])), Some(Lesson::Warm));
        let boot = record(Step::DiskPrepared, 1_000, 5, None);
        assert_eq!(
            lesson(&journal(vec![boot, started()])),
            Some(Lesson::Next {
                pulled_ns: 0,
                booted_ns: 5
            })
        );
    }

    #[test]
    fn both_languages_have_the_same_columns() {
        let journal = journal(vec![started()]);
        let (english, korean) = (
            journey("run x", &journal, &English),
            journey("run x", &journal, &Korean),
        );
        assert!(korean.contains("2.00 ms    9.00 ms    게스트"), "{korean}");
        assert_eq!(english.contains("pid"), korean.contains("pid"));
    }
}
