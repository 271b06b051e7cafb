//! Student's t distribution for whole degrees of freedom.

use std::f64::consts::PI;

/// The probability that a t variable with `freedom` degrees of freedom (at least 1) is at most `t`.
///
/// The finite series of Abramowitz and Stegun 1964, 26.7.3 and 26.7.4.
///
/// # Examples
/// ```
/// use tatabox_core::stats::student_cdf;
/// assert!((student_cdf(1.0, 1) - 0.75).abs() < 1e-12); // Cauchy's: 1/2 + arctan(1) / pi
/// ```
pub fn student_cdf(t: f64, freedom: u32) -> f64 {
    let freedom = freedom.max(1);
    let theta = (t / f64::from(freedom).sqrt()).atan();
    let (sine, cosine) = theta.sin_cos();
    // The share within -t..t, with its sign.
    let within = if freedom % 2 == 1 {
        let mut term = cosine;
        let mut sum = 0.0;
        for power in (1..freedom.saturating_sub(1)).step_by(2) {
            sum += term;
            term *= cosine * cosine * f64::from(power + 1) / f64::from(power + 2);
        }
        2.0 / PI * (theta + sine * sum)
    } else {
        let mut term = 1.0;
        let mut sum = 0.0;
        for power in (0..freedom - 1).step_by(2) {
            sum += term;
            term *= cosine * cosine * f64::from(power + 1) / f64::from(power + 2);
        }
        sine * sum
    };
    0.5 + 0.5 * within
}

/// The t that [`student_cdf`] gives `probability` for; `probability` lies between 0 and 1, both left out.
pub fn student_quantile(probability: f64, freedom: u32) -> f64 {
    if probability < 0.5 {
        return -student_quantile(1.0 - probability, freedom);
    }
    let (mut low, mut high) = (0.0, 1.0);
    while student_cdf(high, freedom) < probability && high < 1e300 {
        high *= 2.0;
    }
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if student_cdf(middle, freedom) < probability { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantiles_are_those_of_the_printed_table() {
        // NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2, critical values of Student's t, to three decimals.
        for (freedom, at_975, at_95) in [
            (1, 12.706, 6.314),
            (2, 4.303, 2.920),
            (3, 3.182, 2.353),
            (4, 2.776, 2.132),
            (5, 2.571, 2.015),
            (9, 2.262, 1.833),
            (10, 2.228, 1.812),
            (29, 2.045, 1.699),
            (100, 1.984, 1.660),
        ] {
            assert!((student_quantile(0.975, freedom) - at_975).abs() < 6e-4, "{freedom}");
            assert!((student_quantile(0.95, freedom) - at_95).abs() < 6e-4, "{freedom}");
            assert!((student_quantile(0.025, freedom) + at_975).abs() < 6e-4, "{freedom}");
        }
    }

    #[test]
    fn one_and_two_degrees_have_their_closed_forms() {
        for t in [-7.5, -1.0, 0.0, 0.3, 2.0, 40.0f64] {
            assert!((student_cdf(t, 1) - (0.5 + t.atan() / PI)).abs() < 1e-12, "{t}");
            assert!((student_cdf(t, 2) - (0.5 + t / (2.0 * (2.0 + t * t).sqrt()))).abs() < 1e-12, "{t}");
        }
    }

    proptest! {
        #[test]
        fn the_quantile_undoes_the_distribution(probability in 0.001..0.999f64, freedom in 1u32..200) {
            prop_assert!((student_cdf(student_quantile(probability, freedom), freedom) - probability).abs() < 1e-9);
        }
    }
}
