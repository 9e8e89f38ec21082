//! The trace that a task works for, and measuring for it.

use std::fmt::Display;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::step::Step;
use crate::trace::{Record, Trace};

tokio::task_local! {
    static CURRENT: Trace;
}

/// The trace of this task.
pub fn current() -> Option<Trace> {
    CURRENT.try_with(Clone::clone).ok()
}

/// Runs a future for a trace, or for none.
pub async fn within<F: Future>(trace: Option<Trace>, future: F) -> F::Output {
    match trace {
        Some(trace) => CURRENT.scope(trace, future).await,
        None => future.await,
    }
}

/// A future for another task, which goes on with the trace of this one.
pub fn carry<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let trace = current();
    within(trace, future)
}

/// A step that is under way. Dropped without an end it is no part of the record.
#[derive(Debug)]
#[must_use]
pub struct Begun(Option<(Trace, i64, Instant)>);

/// Begins a step, which is recorded if this task has a trace.
pub fn begin() -> Begun {
    Begun(current().map(|trace| (trace, now_ns(), Instant::now())))
}

impl Begun {
    /// The step was done.
    pub fn done(self, step: impl FnOnce() -> Step) {
        self.end(step, || None);
    }

    /// The step was done or failed.
    pub fn ended<T, E: Display>(self, outcome: &Result<T, E>, step: impl FnOnce() -> Step) {
        self.end(step, || outcome.as_ref().err().map(E::to_string));
    }

    fn end(self, step: impl FnOnce() -> Step, failure: impl FnOnce() -> Option<String>) {
        if let Some((trace, begun_ns, begun)) = self.0 {
            trace.add(Record {
                step: step(),
                begun_ns,
                took_ns: nanoseconds(begun.elapsed()),
                failure: failure(),
            });
        }
    }
}

/// Measures a future. `step` is told what came out.
pub async fn measured<T, E: Display>(
    future: impl Future<Output = Result<T, E>>,
    step: impl FnOnce(Option<&T>) -> Step,
) -> Result<T, E> {
    let begun = begin();
    let outcome = future.await;
    begun.ended(&outcome, || step(outcome.as_ref().ok()));
    outcome
}

/// Records something that took no time of its own.
pub fn happened(step: impl FnOnce() -> Step) {
    begin().done(step);
}

/// Records steps that somebody else has measured, one after the other and the last of them just now.
pub fn lasted(steps: impl DoubleEndedIterator<Item = (Step, Duration)>) {
    let Some(trace) = current() else { return };
    let mut end = now_ns();
    for (step, took) in steps.rev() {
        let took_ns = nanoseconds(took);
        end = end.saturating_sub_unsigned(took_ns);
        trace.add(Record {
            step,
            begun_ns: end,
            took_ns,
            failure: None,
        });
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// This computer's clock in nanoseconds since the Unix epoch.
pub fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parent::TraceId;

    fn trace() -> Trace {
        Trace::new(TraceId::new(7).unwrap())
    }

    fn steps(trace: &Trace) -> Vec<Step> {
        trace.records().into_iter().map(|record| record.step).collect()
    }

    #[tokio::test]
    async fn a_task_without_a_trace_records_nothing_and_asks_for_no_step() {
        begin().done(|| unreachable!());
        happened(|| unreachable!());
        assert!(current().is_none());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_trace_goes_along_with_carried_work_only() {
        let trace = trace();
        within(Some(trace.clone()), async {
            tokio::spawn(carry(async { happened(|| Step::DiskPrepared) }))
                .await
                .unwrap();
            tokio::spawn(async { happened(|| unreachable!()) }).await.unwrap();
        })
        .await;
        assert_eq!(steps(&trace), [Step::DiskPrepared]);
    }

    #[tokio::test]
    async fn a_failure_is_recorded_with_its_reason_and_handed_on() {
        let trace = trace();
        let failed: Result<(), String> = within(
            Some(trace.clone()),
            measured(async { Err("no room".to_owned()) }, |done| {
                assert_eq!(done, None);
                Step::RunRecorded
            }),
        )
        .await;
        assert_eq!(failed, Err("no room".to_owned()));
        let record = trace.records().remove(0);
        assert_eq!(
            (record.step, record.failure.as_deref()),
            (Step::RunRecorded, Some("no room"))
        );
    }

    #[tokio::test]
    async fn a_step_that_is_given_up_is_no_part_of_the_record() {
        let trace = trace();
        within(Some(trace.clone()), async { drop(begin()) }).await;
        assert_eq!(trace.records(), []);
    }

    #[tokio::test]
    async fn what_somebody_else_measured_ends_now_and_follows_without_a_gap() {
        let trace = trace();
        within(Some(trace.clone()), async {
            lasted(
                [
                    (Step::DiskPrepared, Duration::from_millis(2)),
                    (Step::RunRecorded, Duration::from_millis(3)),
                ]
                .into_iter(),
            );
        })
        .await;
        let records = trace.records();
        let [last, first] = records.as_slice() else {
            panic!("{records:?}")
        };
        assert_eq!(
            (&first.step, &last.step),
            (&Step::DiskPrepared, &Step::RunRecorded)
        );
        assert_eq!(first.begun_ns + 2_000_000, last.begun_ns);
    }
}
