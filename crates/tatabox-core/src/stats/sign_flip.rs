//! The paired permutation test: if two arms were the same, each difference could as well have the other sign.

use crate::rng::SeededRng;

/// Differences of sums that differ by less than this share count as equal: the order of the terms is no evidence.
const TIE: f64 = 1e-9;

/// The p-value of the two-sided test that the differences lie around 0 (Fisher 1935, The Design of Experiments, 21): how often their sum with other signs is at
/// least as far from 0. All 2^n patterns of signs are counted where they are at most `flips`; else `flips` patterns are drawn, and the observed one counts as
/// one more (Phipson and Smyth 2010), so p is never 0.
///
/// # Examples
/// ```
/// use tatabox_core::rng::{Purpose, SeededRng};
/// use tatabox_core::stats::sign_flip;
/// let mut rng = SeededRng::new(0, Purpose::Resample, 0, 0);
/// // Three pairs, all of one sign: two of the eight patterns are as far from 0. No three pairs can say more.
/// assert_eq!(sign_flip(&[0.1, 0.2, 0.3], 10_000, &mut rng), 0.25);
/// ```
pub fn sign_flip(differences: &[f64], flips: u64, rng: &mut SeededRng) -> f64 {
    let n = differences.len();
    let observed = differences.iter().sum::<f64>().abs();
    let size: f64 = differences.iter().map(|difference| difference.abs()).sum();
    let as_far = |sum: f64| sum.abs() >= observed - TIE * size;
    let patterns = u32::try_from(n).ok().and_then(|n| 1u64.checked_shl(n)).filter(|&patterns| patterns <= flips);
    let signed = |difference: &f64, negative: bool| if negative { -difference } else { *difference };
    if let Some(patterns) = patterns {
        let count = (0..patterns)
            .filter(|pattern| {
                as_far(differences.iter().enumerate().map(|(at, one)| signed(one, pattern >> at & 1 == 1)).sum())
            })
            .count();
        return count as f64 / patterns as f64;
    }
    let mut count = 0u64;
    for _ in 0..flips {
        let mut sum = 0.0;
        for group in differences.chunks(64) {
            let mut bits = rng.bits();
            for one in group {
                sum += signed(one, bits & 1 == 1);
                bits >>= 1;
            }
        }
        count += u64::from(as_far(sum));
    }
    (count + 1) as f64 / (flips + 1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Purpose;
    use crate::stats::Summary;

    fn rng(index: u64) -> SeededRng {
        SeededRng::new(1, Purpose::Test, 0, index)
    }

    /// Darwin's maize: heights of crossed less self-fertilised plants in eighths of an inch, fifteen pairs.
    const MAIZE: [f64; 15] = [49.0, -67.0, 8.0, 16.0, 6.0, 23.0, 28.0, 41.0, 14.0, 29.0, 56.0, 24.0, 75.0, 60.0, -48.0];

    #[test]
    fn darwins_maize_has_fishers_p_value() {
        // Fisher 1935, section 21: of the 32,768 patterns, 863 have a sum of at least 314, and 1,726 are as far on either side: 5.267 %.
        let exact = sign_flip(&MAIZE, 1 << 15, &mut rng(0));
        assert_eq!(exact, 1726.0 / 32_768.0);
        let drawn = sign_flip(&MAIZE, 20_000, &mut rng(0));
        assert_ne!(drawn, exact);
        // Four standard errors of 20,000 draws.
        assert!((drawn - exact).abs() < 4.0 * (0.0527 * 0.9473f64 / 20_000.0).sqrt(), "{drawn}");
    }

    #[test]
    fn differences_of_nothing_prove_nothing() {
        assert_eq!(sign_flip(&[0.0; 5], 100, &mut rng(0)), 1.0);
        assert_eq!(sign_flip(&[0.0; 500], 100, &mut rng(0)), 1.0);
        assert_eq!(sign_flip(&[], 100, &mut rng(0)), 1.0);
    }

    #[test]
    fn a_clear_difference_reaches_the_least_p_value_and_no_less() {
        let clear: Vec<f64> = (0..200).map(|at| 1.0 + f64::from(at % 7)).collect();
        assert_eq!(sign_flip(&clear, 999, &mut rng(0)), 0.001);
    }

    #[test]
    fn without_a_difference_one_test_in_twenty_is_below_a_twentieth() {
        let mut below = 0;
        for trial in 0..1_000u64 {
            let mut draw = rng(trial);
            let differences: Vec<f64> = (0..30).map(|_| draw.unit() - draw.unit()).collect();
            below += u32::from(sign_flip(&differences, 200, &mut draw) <= 0.05);
        }
        // 50 are expected, with a standard deviation of 7.
        assert!((25..=80).contains(&below), "{below}");
    }

    #[test]
    fn agrees_with_students_test_where_both_hold() {
        let differences: Vec<f64> = (0..12).map(|at| 0.3 + f64::from(at * 7 % 12) / 6.0 - 11.0 / 12.0).collect();
        let student = Summary::of(&differences).unwrap().student_p().unwrap();
        let flipped = sign_flip(&differences, 1 << 12, &mut rng(0));
        assert!((student - flipped).abs() < 0.02, "{student} {flipped}");
    }

    #[test]
    fn the_same_generator_gives_the_same_p_value() {
        assert_eq!(sign_flip(&MAIZE, 500, &mut rng(3)), sign_flip(&MAIZE, 500, &mut rng(3)));
    }
}
