//! Several tests at once.

/// Holm's step-down correction (1979): p-values that may be compared with one level, however many tests there are. The order is kept.
///
/// # Examples
/// ```
/// use tatabox_core::stats::holm;
/// assert_eq!(holm(&[0.01, 0.04, 0.03]), [0.03, 0.06, 0.06]);
/// ```
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&one, &other| p_values[one].total_cmp(&p_values[other]));
    let mut corrected = vec![0.0; p_values.len()];
    let mut least = 0.0f64;
    for (rank, &index) in order.iter().enumerate() {
        least = least.max(p_values[index] * (p_values.len() - rank) as f64).min(1.0);
        corrected[index] = least;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn gives_what_r_gives() {
        // R: p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm") is 0.05 0.08 0.09 0.09 0.09.
        let corrected = holm(&[0.05, 0.01, 0.03, 0.02, 0.04]);
        for (got, expected) in corrected.iter().zip([0.09, 0.05, 0.09, 0.08, 0.09]) {
            assert!((got - expected).abs() < 1e-12, "{corrected:?}");
        }
        assert_eq!(holm(&[0.2]), [0.2]);
        assert!(holm(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn never_lowers_a_p_value_nor_changes_their_order(values in prop::collection::vec(0.0..1.0f64, 0..20)) {
            let corrected = holm(&values);
            for (one, &before) in values.iter().enumerate() {
                prop_assert!(corrected[one] >= before && corrected[one] <= 1.0);
                prop_assert!(corrected[one] <= (before * values.len() as f64).max(*corrected.iter().max_by(|a, b| a.total_cmp(b)).unwrap()));
                for (other, &after) in values.iter().enumerate() {
                    prop_assert!(before > after || corrected[one] <= corrected[other]);
                }
            }
        }
    }
}
