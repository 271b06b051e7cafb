//! How far a metric moves with the examples it was measured on.

use crate::rng::SeededRng;
use crate::stats::Interval;

/// The percentile interval (Efron 1979) of a metric over `examples`, drawn again `draws` times with replacement: `metric` is given the indices drawn, and
/// draws for which it is not defined are left out. None for fewer than two examples, or where no draw is defined.
pub fn bootstrap(
    examples: usize,
    draws: usize,
    confidence: f64,
    rng: &mut SeededRng,
    metric: impl Fn(&[usize]) -> Option<f64>,
) -> Option<Interval> {
    if examples < 2 {
        return None;
    }
    let mut drawn = vec![0; examples];
    let mut values: Vec<f64> = (0..draws)
        .filter_map(|_| {
            drawn.iter_mut().for_each(|index| *index = rng.below(examples as u64) as usize);
            metric(&drawn).filter(|value| value.is_finite())
        })
        .collect();
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values.get((share * (values.len() as f64 - 1.0)).round() as usize).copied();
    Some(Interval { low: at(0.5 - 0.5 * confidence)?, high: at(0.5 + 0.5 * confidence)? })
}
