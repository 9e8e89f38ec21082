//! The record of a command from both its ends, on the client's clock.

use std::collections::BTreeMap;

use journey::{Record, Step, Trace};
use protocol::StartPart;
use serde::Deserialize;

use crate::client::{Client, Target};
use crate::failure::{Failure, Result};

/// Where a step was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Client,
    Service,
    Registry,
    Machine,
    Guest,
    Program,
}

/// What `GET /sampan/traces/{id}` answers.
#[derive(Debug, Deserialize)]
struct Recorded {
    /// The service's clock when it answered.
    now_ns: i64,
    steps: Vec<Record>,
}

/// What happened, in order.
#[derive(Debug)]
pub(crate) struct Journal {
    /// Nanoseconds since the Unix epoch.
    pub(crate) begun_ns: i64,
    pub(crate) took_ns: i64,
    /// By the times at which they began.
    pub(crate) records: Vec<Record>,
}

impl Journal {
    /// Asks the service for its part of a trace and puts it together with the client's.
    pub(crate) async fn gather(client: &Client, trace: &Trace, begun_ns: i64, took_ns: i64) -> Result<Self> {
        let asked_ns = journey::now_ns();
        let id = trace.id().to_string();
        let recorded: Recorded = client.get(&Target::new(&["sampan", "traces", &id])).await?;
        let offset = offset(asked_ns, recorded.now_ns, journey::now_ns());
        Ok(Self::new(
            begun_ns,
            took_ns,
            trace.records(),
            recorded.steps,
            offset,
        ))
    }

    pub(crate) fn new(
        begun_ns: i64,
        took_ns: i64,
        own: Vec<Record>,
        others: Vec<Record>,
        offset_ns: i64,
    ) -> Self {
        let mut records = own;
        records.extend(others.into_iter().map(|mut record| {
            record.begun_ns = record.begun_ns.saturating_sub(offset_ns);
            record
        }));
        // Of two that begin at once the longer one is what the other is a part of.
        records.sort_by_key(|record| (record.begun_ns, std::cmp::Reverse(record.took_ns)));
        Self {
            begun_ns,
            took_ns,
            records,
        }
    }

    /// How long each place was at work, which two of them can be at once. A request is the work of those that it is
    /// handed to, and a program's time is its own.
    pub(crate) fn shares(&self) -> BTreeMap<Place, u64> {
        let mut intervals: BTreeMap<Place, Vec<(i64, i64)>> = BTreeMap::new();
        for record in &self.records {
            let whole = matches!(
                record.step,
                Step::Request { .. } | Step::Started { .. } | Step::Unknown
            );
            if !whole {
                let end = record.begun_ns.saturating_add_unsigned(record.took_ns);
                intervals
                    .entry(place(&record.step))
                    .or_default()
                    .push((record.begun_ns, end));
            }
        }
        let length = |intervals: Vec<(i64, i64)>| {
            // They are in the order of their beginnings.
            let mut covered = i64::MIN;
            let mut sum: u64 = 0;
            for (begin, end) in intervals {
                let fresh = end.saturating_sub(begin.max(covered)).max(0);
                sum = sum.saturating_add(fresh.unsigned_abs());
                covered = covered.max(end);
            }
            sum
        };
        intervals
            .into_iter()
            .map(|(place, intervals)| (place, length(intervals)))
            .collect()
    }

    /// How long steps of a kind took together.
    pub(crate) fn spent(&self, kind: impl Fn(&Step) -> bool) -> u64 {
        let of_kind = self.records.iter().filter(|record| kind(&record.step));
        of_kind.fold(0, |sum: u64, record| sum.saturating_add(record.took_ns))
    }

    /// How long the pull took: from the question to the registry until the image was in the database.
    pub(crate) fn took_by_pull(&self) -> u64 {
        let of_pull = |record: &&Record| {
            place(&record.step) == Place::Registry || matches!(record.step, Step::ImageRecorded { .. })
        };
        let mut steps = self.records.iter().filter(of_pull).peekable();
        let Some(first) = steps.peek().map(|record| record.begun_ns) else {
            return 0;
        };
        let end = |record: &Record| record.begun_ns.saturating_add_unsigned(record.took_ns);
        let last = steps.map(end).max().unwrap_or(first);
        last.saturating_sub(first).unsigned_abs()
    }

    /// The steps as they are, a line of JSON each.
    pub(crate) fn json_lines(&self) -> Result<String> {
        let mut text = String::new();
        for record in &self.records {
            let line = serde_json::to_string(record).map_err(|error| Failure::new(error.to_string()))?;
            text.push_str(&line);
            text.push('\n');
        }
        Ok(text)
    }
}

/// How far the service's clock is ahead of the client's. What its answer's way may account for is none.
fn offset(asked_ns: i64, told_ns: i64, answered_ns: i64) -> i64 {
    if (asked_ns..=answered_ns).contains(&told_ns) {
        return 0;
    }
    let middle = asked_ns.saturating_add(answered_ns.saturating_sub(asked_ns) / 2);
    told_ns.saturating_sub(middle)
}

/// Where a step was done.
pub(crate) fn place(step: &Step) -> Place {
    match step {
        Step::ServiceStarted { .. } | Step::Connected { .. } => Place::Client,
        Step::Request { .. }
        | Step::ImageLookup { .. }
        | Step::ContainerRecorded { .. }
        | Step::ImageRecorded { .. }
        | Step::Wired { .. }
        | Step::RunRecorded
        | Step::OutputDrained
        | Step::Removed { .. }
        | Step::Unknown => Place::Service,
        Step::Resolved { .. }
        | Step::PlatformChosen { .. }
        | Step::ConfigRead { .. }
        | Step::LayerPulled { .. }
        | Step::LayerKept { .. } => Place::Registry,
        Step::AcceleratorChosen { .. }
        | Step::DiskPrepared
        | Step::Booted { .. }
        | Step::MachineRan { .. }
        | Step::MachineAwaited { .. }
        | Step::LayersMapped { .. } => Place::Machine,
        Step::Built {
            part:
                StartPart::Layers
                | StartPart::Streams
                | StartPart::Root
                | StartPart::Cgroup
                | StartPart::Surroundings
                | StartPart::Program
                | StartPart::Other,
        }
        | Step::Started { .. } => Place::Guest,
        Step::Ran { .. } => Place::Program,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(step: Step, begun_ns: i64, took_ns: u64) -> Record {
        Record {
            step,
            begun_ns,
            took_ns,
            failure: None,
        }
    }

    fn layer(begun_ns: i64, took_ns: u64) -> Record {
        let digest = "sha256:1".to_owned();
        record(Step::LayerPulled { digest, bytes: 1 }, begun_ns, took_ns)
    }

    #[test]
    fn a_clock_within_the_answers_own_time_is_the_same_clock() {
        assert_eq!(offset(100, 104, 110), 0);
        assert_eq!(offset(100, 1_105, 110), 1_000);
        assert_eq!(offset(1_000, 5, 1_010), -1_000);
    }

    #[test]
    fn the_steps_of_another_clock_fall_between_those_of_this_one() {
        let journal = Journal::new(
            0,
            30,
            vec![
                record(Step::DiskPrepared, 0, 1),
                record(Step::OutputDrained, 20, 1),
            ],
            vec![record(Step::RunRecorded, 1_010, 1)],
            1_000,
        );
        let begun: Vec<i64> = journal.records.iter().map(|record| record.begun_ns).collect();
        assert_eq!(begun, [0, 10, 20]);
    }

    #[test]
    fn layers_that_came_at_once_are_counted_once() {
        let journal = Journal::new(
            0,
            100,
            Vec::new(),
            vec![layer(0, 50), layer(10, 20), layer(40, 30)],
            0,
        );
        assert_eq!(journal.shares()[&Place::Registry], 70);
    }

    #[test]
    fn the_whole_comes_before_its_part() {
        let request = Step::Request {
            method: "POST".to_owned(),
            path: "/x".to_owned(),
            status: 200,
        };
        let part = record(Step::DiskPrepared, 5, 1);
        let journal = Journal::new(0, 9, vec![part, record(request.clone(), 5, 4)], Vec::new(), 0);
        assert_eq!(journal.records[0].step, request);
    }
}
