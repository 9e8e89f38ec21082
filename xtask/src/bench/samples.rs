//! Several measurements of one thing.

use anyhow::{Result, bail};

/// At least one value, in ascending order.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Samples(Vec<f64>);

impl Samples {
    /// # Errors
    /// When there is no value.
    pub(super) fn new(mut values: Vec<f64>) -> Result<Self> {
        if values.is_empty() {
            bail!("nothing was measured");
        }
        values.sort_by(f64::total_cmp);
        Ok(Self(values))
    }

    /// The value in the middle, the upper of two.
    pub(super) fn median(&self) -> f64 {
        self.0.get(self.0.len() / 2).copied().unwrap_or(f64::NAN)
    }

    pub(super) fn values(&self) -> &[f64] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_whatever_the_order() {
        assert_eq!(Samples::new(vec![9.0, 1.0, 2.0]).unwrap().median(), 2.0);
        assert!(Samples::new(Vec::new()).is_err());
    }
}
