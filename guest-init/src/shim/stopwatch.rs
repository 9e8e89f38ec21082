//! How long each part of a container's start takes, for `sampan explain`.

use std::time::{Duration, Instant};

use protocol::{StartPart, StartedPart};

/// Measures one part after the other, without gaps.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    lap: Instant,
    parts: Vec<StartedPart>,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self {
            lap: Instant::now(),
            parts: Vec::with_capacity(6),
        }
    }

    /// A part is done; the next one begins.
    pub(crate) fn lap(&mut self, part: StartPart) {
        let now = Instant::now();
        let took: Duration = now.saturating_duration_since(self.lap);
        self.lap = now;
        self.parts.push(StartedPart {
            part,
            took_ns: u64::try_from(took.as_nanos()).unwrap_or(u64::MAX),
        });
    }

    /// What was measured.
    pub(crate) fn into_parts(self) -> Vec<StartedPart> {
        self.parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_in_the_order_of_their_ends() {
        let mut stopwatch = Stopwatch::start();
        stopwatch.lap(StartPart::Layers);
        stopwatch.lap(StartPart::Root);
        let parts: Vec<StartPart> = stopwatch.into_parts().iter().map(|part| part.part).collect();
        assert_eq!(parts, [StartPart::Layers, StartPart::Root]);
    }
}
