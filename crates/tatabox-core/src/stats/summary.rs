//! Mean, standard deviation and interval of a few values.

use serde::{Deserialize, Serialize};

use super::student::{student_cdf, student_quantile};

/// From `low` to `high`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// What a few independent values say about where they come from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// How many there are.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation (over n - 1); none for a single value.
    pub sd: Option<f64>,
}

impl Summary {
    /// The summary of values; none where there are none.
    ///
    /// # Examples
    /// ```
    /// use tatabox_core::stats::Summary;
    /// let summary = Summary::of(&[1.0, 2.0, 6.0]).unwrap();
    /// assert_eq!((summary.mean, summary.sd), (3.0, Some(7f64.sqrt())));
    /// assert_eq!(Summary::of(&[4.0]).unwrap().sd, None);
    /// ```
    pub fn of(values: &[f64]) -> Option<Summary> {
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        (n > 0).then(|| Summary { n, mean, sd: (n > 1).then(|| (squares / (n - 1) as f64).sqrt()) })
    }

    /// Student's two-sided interval of the mean that holds the true one in a share `confidence` of all experiments, if the values are normal.
    pub fn interval(&self, confidence: f64) -> Option<Interval> {
        let reach = student_quantile(0.5 + 0.5 * confidence, self.freedom()) * self.standard_error()?;
        Some(Interval { low: self.mean - reach, high: self.mean + reach })
    }

    /// The two-sided p-value of Student's test that the true mean is 0; none for a single value, or where all are the same.
    pub fn student_p(&self) -> Option<f64> {
        let error = self.standard_error().filter(|&error| error > 0.0)?;
        Some((2.0 * student_cdf(-(self.mean / error).abs(), self.freedom())).clamp(0.0, 1.0))
    }

    fn standard_error(&self) -> Option<f64> {
        Some(self.sd? / (self.n as f64).sqrt())
    }

    fn freedom(&self) -> u32 {
        u32::try_from(self.n.saturating_sub(1)).unwrap_or(u32::MAX)
    }
}

/// Welch's t: by how many standard errors the mean of one sample is above that of the other; 0 where neither varies, or one has a single value.
///
/// # Examples
/// ```
/// use tatabox_core::stats::welch_t;
/// assert!((welch_t(&[2.0, 4.0, 6.0], &[1.0, 2.0, 3.0]) - 2.0 / (5f64 / 3.0).sqrt()).abs() < 1e-12);
/// assert_eq!(welch_t(&[2.0, 2.0], &[1.0, 1.0]), 0.0);
/// ```
pub fn welch_t(one: &[f64], other: &[f64]) -> f64 {
    let moments = |values| Summary::of(values).and_then(|summary| Some((summary.mean, summary.standard_error()?)));
    let (Some((one, one_error)), Some((other, other_error))) = (moments(one), moments(other)) else { return 0.0 };
    let error = one_error.hypot(other_error);
    if error > 0.0 { (one - other) / error } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classic_example_of_students_test_comes_out() {
        // Student 1908, "The probable error of a mean": additional hours of sleep of ten patients, soporific 2 less soporific 1. R's
        // `t.test(extra ~ group, data = sleep, paired = TRUE)` prints t = -4.0621, df = 9, p-value = 0.002833, interval 0.7001142 to 2.4598858,
        // mean 1.58.
        let differences = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4];
        let summary = Summary::of(&differences).unwrap();
        let interval = summary.interval(0.95).unwrap();
        assert!((summary.mean - 1.58).abs() < 1e-12);
        assert!((interval.low - 0.7001142).abs() < 1e-6 && (interval.high - 2.4598858).abs() < 1e-6, "{interval:?}");
        assert!((summary.student_p().unwrap() - 0.002833).abs() < 1e-6, "{:?}", summary.student_p());
    }

    #[test]
    fn one_value_has_no_spread_and_equal_values_no_test() {
        let one = Summary::of(&[2.5]).unwrap();
        assert_eq!((one.sd, one.interval(0.95), one.student_p()), (None, None, None));
        let same = Summary::of(&[1.0, 1.0, 1.0]).unwrap();
        assert_eq!((same.interval(0.95), same.student_p()), (Some(Interval { low: 1.0, high: 1.0 }), None));
        assert!(Summary::of(&[]).is_none());
    }
}
