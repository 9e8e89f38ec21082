//! The traces that a service keeps for the clients that asked for them.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::parent::TraceId;
use crate::trace::Trace;

/// Traces that are kept; the oldest makes way for a new one.
const KEPT: usize = 16;

/// The youngest traces.
#[derive(Debug, Default)]
pub struct Recent(Mutex<VecDeque<Trace>>);

impl Recent {
    /// The trace of this number, begun if it is not there.
    pub fn of(&self, id: TraceId) -> Trace {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(trace) = kept.iter().find(|trace| trace.id() == id) {
            return trace.clone();
        }
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        let trace = Trace::new(id);
        kept.push_back(trace.clone());
        trace
    }

    /// The trace of this number, if it is (still) there.
    pub fn find(&self, id: TraceId) -> Option<Trace> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|trace| trace.id() == id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_trace_makes_way_for_a_new_one() {
        let recent = Recent::default();
        let id = |number| TraceId::new(number).unwrap();
        for number in 1..=KEPT as u128 + 1 {
            recent.of(id(number));
        }
        assert!(recent.find(id(1)).is_none());
        assert!(recent.find(id(2)).is_some());
    }
}
