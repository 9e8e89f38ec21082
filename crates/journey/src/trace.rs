//! The record of one command.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::parent::TraceId;
use crate::step::Step;

/// Steps that a trace takes; what comes after them is not recorded.
const MOST: usize = 512;
/// The longest text of a failure that is kept, in characters.
const LONGEST_FAILURE: usize = 2048;

/// A step and its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    #[serde(flatten)]
    pub step: Step,
    /// Nanoseconds since the Unix epoch, by the clock of whoever did it.
    pub begun_ns: i64,
    pub took_ns: u64,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// What is recorded of one command. Clones are the same record.
#[derive(Clone, Debug)]
pub struct Trace {
    id: TraceId,
    records: Arc<Mutex<Vec<Record>>>,
}

impl Trace {
    pub fn new(id: TraceId) -> Self {
        Self {
            id,
            records: Arc::default(),
        }
    }

    pub fn id(&self) -> TraceId {
        self.id
    }

    /// The steps so far, in the order in which they ended.
    pub fn records(&self) -> Vec<Record> {
        self.records
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Takes a step in.
    pub fn add(&self, mut record: Record) {
        if let Some(failure) = &mut record.failure
            && let Some((end, _)) = failure.char_indices().nth(LONGEST_FAILURE)
        {
            failure.truncate(end);
        }
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() < MOST {
            records.push(record);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(failure: Option<String>) -> Record {
        Record {
            step: Step::DiskPrepared,
            begun_ns: 1,
            took_ns: 2,
            failure,
        }
    }

    #[test]
    fn a_trace_without_end_stays_within_its_bound() {
        let trace = Trace::new(TraceId::new(1).unwrap());
        for _ in 0..MOST + 10 {
            trace.add(record(None));
        }
        assert_eq!(trace.records().len(), MOST);
    }

    #[test]
    fn a_failure_is_cut_between_characters() {
        let trace = Trace::new(TraceId::new(1).unwrap());
        trace.add(record(Some("é".repeat(LONGEST_FAILURE + 1))));
        let kept = trace.records().remove(0).failure.unwrap();
        assert_eq!(kept.chars().count(), LONGEST_FAILURE);
    }

    #[test]
    fn a_record_is_its_step_with_times_beside() {
        let text = serde_json::to_string(&record(None)).unwrap();
        assert_eq!(text, r#"{"step":"disk_prepared","begun_ns":1,"took_ns":2}"#);
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record(None));
    }
}
