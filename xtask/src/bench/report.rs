//! How figures are told: a table for people, JSON for programs.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::samples::Samples;
use crate::architecture::Architecture;

/// One figure beside what it is compared to.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub(super) what: String,
    pub(super) architecture: &'static str,
    pub(super) unit: Unit,
    /// The median.
    pub(super) value: f64,
    pub(super) samples: Vec<f64>,
    pub(super) baseline: Option<Baseline>,
    pub(super) goal: Option<Goal>,
    /// Whether the goal is met, where there is one.
    pub(super) met: Option<bool>,
}

/// The same thing done by another program in the same run.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Baseline {
    pub(super) what: String,
    /// The median.
    pub(super) value: f64,
    pub(super) samples: Vec<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Unit {
    #[serde(rename = "s")]
    Seconds,
    #[serde(rename = "MB/s")]
    MegabytesPerSecond,
    #[serde(rename = "1/s")]
    PerSecond,
    #[serde(rename = "MiB")]
    Mebibytes,
}

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Goal {
    Most(f64),
    /// So many times the baseline.
    MostTimes(f64),
    /// So many times the baseline.
    LeastTimes(f64),
}

impl Row {
    /// A figure without anything to compare it to.
    pub(super) fn alone(what: &str, arch: Architecture, unit: Unit, value: f64) -> Self {
        Self {
            what: what.to_owned(),
            architecture: arch.docker(),
            unit,
            value,
            samples: vec![value],
            baseline: None,
            goal: None,
            met: None,
        }
    }

    pub(super) fn of(what: &str, arch: Architecture, unit: Unit, samples: &Samples) -> Self {
        Self {
            samples: samples.values().to_vec(),
            ..Self::alone(what, arch, unit, samples.median())
        }
    }

    pub(super) fn against(mut self, what: &str, samples: &Samples) -> Self {
        self.baseline = Some(Baseline {
            what: what.to_owned(),
            value: samples.median(),
            samples: samples.values().to_vec(),
        });
        self
    }

    pub(super) fn goal(mut self, goal: Goal) -> Self {
        let baseline = self.baseline.as_ref().map_or(f64::NAN, |baseline| baseline.value);
        self.met = Some(match goal {
            Goal::Most(most) => self.value <= most,
            Goal::MostTimes(times) => self.value <= times * baseline,
            Goal::LeastTimes(times) => self.value >= times * baseline,
        });
        self.goal = Some(goal);
        self
    }

    fn cells(&self) -> [String; 7] {
        let (baseline, against, ratio) = match &self.baseline {
            Some(baseline) => (
                self.unit.show(baseline.value),
                baseline.what.clone(),
                format!("{:.2}", self.value / baseline.value),
            ),
            None => Default::default(),
        };
        let goal = match self.goal {
            Some(Goal::Most(most)) => format!("≤ {}", self.unit.show(most)),
            Some(Goal::MostTimes(times)) => format!("≤ {times}×"),
            Some(Goal::LeastTimes(times)) => format!("≥ {times}×"),
            None => String::new(),
        };
        let goal = match self.met {
            Some(true) => format!("{goal}, met"),
            Some(false) => format!("{goal}, MISSED"),
            None => goal,
        };
        [
            self.what.clone(),
            self.architecture.to_owned(),
            self.unit.show(self.value),
            baseline,
            against,
            ratio,
            goal,
        ]
    }
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Seconds if value < 0.1 => format!("{:.1} ms", value * 1e3),
            Self::Seconds => format!("{value:.2} s"),
            Self::MegabytesPerSecond => format!("{value:.0} MB/s"),
            Self::PerSecond => format!("{value:.0} /s"),
            Self::Mebibytes => format!("{value:.2} MiB"),
        }
    }
}

/// The rows under their titles, in columns.
pub(super) fn table(rows: &[Row]) -> String {
    let titles = ["", "guest", "sampan", "baseline", "(which)", "ratio", "goal"].map(str::to_owned);
    let lines: Vec<_> = std::iter::once(titles)
        .chain(rows.iter().map(Row::cells))
        .collect();
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let mut text = String::new();
    for line in &lines {
        let mut shown = String::new();
        for (column, cell) in line.iter().enumerate() {
            shown += &format!("{cell:<width$}  ", width = width(column));
        }
        text += shown.trim_end();
        text.push('\n');
    }
    text
}

/// Writes the rows as JSON.
pub(super) fn write(rows: &[Row], path: &Path) -> Result<()> {
    fs::write(path, serde_json::to_vec_pretty(rows)?)
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: f64) -> Row {
        Row::alone("run", Architecture::Arm64, Unit::Seconds, value)
            .against("docker.io", &Samples::new(vec![2.0]).unwrap())
            .goal(Goal::MostTimes(0.5))
    }

    #[test]
    fn a_goal_is_held_against_the_baseline_of_the_same_row() {
        assert_eq!(row(1.0).met, Some(true));
        assert_eq!(row(1.1).met, Some(false));
        assert_eq!(
            Row::alone("x", Architecture::Arm64, Unit::Mebibytes, 5.0)
                .goal(Goal::Most(4.0))
                .met,
            Some(false)
        );
    }

    #[test]
    fn a_missed_goal_is_told_in_the_table() {
        let table = table(&[row(1.0), row(1.5)]);
        let lines: Vec<_> = table.lines().collect();
        assert!(lines[1].contains("docker.io") && lines[1].ends_with("≤ 0.5×, met"));
        assert!(lines[2].contains("0.75") && lines[2].ends_with("≤ 0.5×, MISSED"));
    }
}
