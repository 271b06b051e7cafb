//! The bootstrap of a ratio of sums: nats over tokens, both summed over the same units.

use super::summary::Interval;
use crate::rng::SeededRng;

/// The percentile interval (Efron 1979) of the sum of the first over the sum of the second of `units`, drawn again `draws` times with
/// replacement; it holds a share `confidence` of what was drawn. None for fewer than two units.
pub fn bootstrap_ratio(units: &[(f64, f64)], draws: usize, confidence: f64, rng: &mut SeededRng) -> Option<Interval> {
    if units.len() < 2 || draws == 0 {
        return None;
    }
    let mut ratios: Vec<f64> = (0..draws)
        .map(|_| {
            let (mut above, mut below) = (0.0, 0.0);
            for _ in 0..units.len() {
                let (one, other) = units[rng.below(units.len() as u64) as usize];
                above += one;
                below += other;
            }
            above / below
        })
        .filter(|ratio| ratio.is_finite())
        .collect();
    ratios.sort_by(f64::total_cmp);
    let at = |share: f64| ratios.get((share * (ratios.len() as f64 - 1.0)).round() as usize).copied();
    Some(Interval { low: at(0.5 - 0.5 * confidence)?, high: at(0.5 + 0.5 * confidence)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Purpose;

    fn rng(index: u64) -> SeededRng {
        SeededRng::new(2, Purpose::Test, 0, index)
    }

    #[test]
    fn equal_units_have_an_interval_of_one_point() {
        let interval = bootstrap_ratio(&[(3.0, 2.0); 8], 500, 0.95, &mut rng(0)).unwrap();
        assert_eq!(interval, Interval { low: 1.5, high: 1.5 });
        assert!(bootstrap_ratio(&[(3.0, 2.0)], 500, 0.95, &mut rng(0)).is_none());
    }

    #[test]
    fn of_means_it_is_as_wide_as_the_normal_interval() {
        // The mean of 400 uniform numbers: standard error 1 / sqrt(12 * 400), so 3.92 of it wide.
        let mut draw = rng(1);
        let units: Vec<(f64, f64)> = (0..400).map(|_| (draw.unit(), 1.0)).collect();
        let interval = bootstrap_ratio(&units, 4_000, 0.95, &mut rng(2)).unwrap();
        let expected = 3.92 / (12.0f64 * 400.0).sqrt();
        assert!(((interval.high - interval.low) / expected - 1.0).abs() < 0.1, "{interval:?}");
    }

    #[test]
    fn holds_the_truth_about_as_often_as_it_says() {
        let held = (0..400u64)
            .filter(|&trial| {
                let mut draw = rng(10 + trial);
                let units: Vec<(f64, f64)> = (0..60)
                    .map(|_| {
                        let weight = 1.0 + draw.unit();
                        (weight * (0.3 + draw.unit() - draw.unit()), weight)
                    })
                    .collect();
                let interval = bootstrap_ratio(&units, 400, 0.95, &mut draw).unwrap();
                interval.low <= 0.3 && 0.3 <= interval.high
            })
            .count();
        // 380 are expected; the percentile interval is a little narrow for 60 units.
        assert!((360..=395).contains(&held), "{held}");
    }
}
