//! A metric over several runs.

use serde::Serialize;
use tatabox_core::stats::{Interval, Summary};

/// What an interval holds.
pub const CONFIDENCE: f64 = 0.95;

/// A metric over several runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Mean and standard deviation.
    #[serde(flatten)]
    pub summary: Summary,
    /// Student's 95 % interval of the mean; none for one run.
    pub interval: Option<Interval>,
}

impl Spread {
    /// Over values; none where there are none.
    pub fn of(values: &[f64]) -> Option<Spread> {
        Summary::of(values).map(|summary| Spread { summary, interval: summary.interval(CONFIDENCE) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_has_a_mean_and_no_spread() {
        let one = Spread::of(&[2.0]).unwrap();
        assert_eq!((one.summary.mean, one.summary.sd, one.interval), (2.0, None, None));
        assert!(Spread::of(&[]).is_none());
        assert!(Spread::of(&[1.0, 3.0]).unwrap().interval.unwrap().high > 3.0);
    }
}
