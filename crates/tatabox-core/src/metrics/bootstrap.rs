//! How far metrics move with the examples they were measured on.

use rayon::prelude::*;

use crate::rng::{Purpose, SeededRng};
use crate::stats::Interval;

/// The percentile intervals (Efron 1979) of several metrics over `examples`, drawn again `draws` times with replacement: `measure` is given how often each
/// example was drawn, `[examples]`, and returns the metrics, always the same ones in the same order. Draws for which a metric is not defined are left out of its
/// interval. None for fewer than two examples, or where no draw is defined. The same seed gives the same draws, whatever the number of threads.
pub fn bootstrap(
    examples: usize,
    draws: usize,
    confidence: f64,
    seed: u64,
    measure: impl Fn(&[u32]) -> Vec<Option<f64>> + Sync,
) -> Vec<Option<Interval>> {
    let draw = |draw: usize| {
        let mut rng = SeededRng::new(seed, Purpose::Resample, 0, draw as u64);
        let mut times = vec![0u32; examples];
        (0..examples).for_each(|_| times[rng.below(examples as u64) as usize] += 1);
        measure(&times)
    };
    if examples < 2 {
        return measure(&vec![1; examples]).iter().map(|_| None).collect();
    }
    let drawn: Vec<Vec<Option<f64>>> = (0..draws).into_par_iter().map(draw).collect();
    let interval = |metric: usize| {
        let mut values: Vec<f64> =
            drawn.iter().filter_map(|draw| draw[metric].filter(|value| value.is_finite())).collect();
        values.sort_by(f64::total_cmp);
        let at = |share: f64| values.get((share * (values.len() as f64 - 1.0)).round() as usize).copied();
        Some(Interval { low: at(0.5 - 0.5 * confidence)?, high: at(0.5 + 0.5 * confidence)? })
    };
    (0..drawn.first().map_or(0, Vec::len)).map(interval).collect()
}
