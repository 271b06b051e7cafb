//! `random-mask`: spans of m tokens, m drawn once a sequence from a set that changes by phase (RandomMask, Algorithm 1).
//!
//! Algorithm 1 as printed falls back to m = 6 after its last border (a longer run would lose its curriculum); here the last phase stays.

use super::{Phase, Schedule, SpanDraw, SpanMask};
use crate::rng::{Purpose, SeededRng};

/// The paper's borders: the last step of each phase but the last.
pub(super) const PAPER_BORDERS: [u64; 4] = [30_000, 60_000, 100_000, 150_000];
/// The length of the paper's run.
pub(super) const PAPER_STEPS: u64 = 480_000;

impl SpanMask {
    /// `random-mask`: the phases of a run of `total_steps`. Phase i of the paper draws from the first i+1 entries of `draws`; `borders[i]` is its last
    /// step, and the last phase takes the steps that are left. `borders` are increasing and one fewer than `draws`.
    ///
    /// The controls keep the steps that each set is drawn for and change only their order, so that they differ from the paper in nothing else:
    /// `contracting` runs the phases backwards, `shuffled` in an order that `seed` draws. `fixed-wide` draws from all spans at every step.
    /// Phases that get no step (a run shorter than their border) are left out.
    pub fn random_mask(draws: &[SpanDraw], schedule: Schedule, borders: &[u64], total_steps: u64, seed: u64) -> Self {
        let total_steps = total_steps.max(1);
        let mut stretches: Vec<(u64, usize)> = Vec::new(); // steps, spans in the set
        let mut start = 0;
        for set in 1..=draws.len() {
            let end = borders.get(set - 1).map_or(total_steps, |&border| border.min(total_steps));
            stretches.push((end.saturating_sub(start), set));
            start = start.max(end);
        }
        match schedule {
            Schedule::Expanding => {}
            Schedule::FixedWide => stretches = vec![(total_steps, draws.len())],
            Schedule::Contracting => stretches.reverse(),
            Schedule::Shuffled => shuffle(&mut stretches, seed),
        }
        let mut first_step = 1;
        let mut phases = Vec::new();
        for (steps, set) in stretches {
            if steps > 0 {
                phases.push(Phase::of_draws(first_step, &draws[..set]));
                first_step += steps;
            }
        }
        Self { name: "random-mask", draws: draws.to_vec(), phases }
    }
}

/// The paper's borders for a run of another length, rounded to the nearest step.
pub(super) fn scaled_borders(count: usize, total_steps: u64) -> Vec<u64> {
    let scaled = |border: u64| {
        (u128::from(border) * u128::from(total_steps) + u128::from(PAPER_STEPS) / 2) / u128::from(PAPER_STEPS)
    };
    PAPER_BORDERS[..count].iter().map(|&border| scaled(border) as u64).collect()
}

/// Fisher and Yates. The address (step 0, the last index) is used by no draw of a mask: steps begin at 1.
fn shuffle(stretches: &mut [(u64, usize)], seed: u64) {
    let mut rng = SeededRng::new(seed, Purpose::Select, 0, u64::MAX);
    for last in (1..stretches.len()).rev() {
        stretches.swap(last, rng.below(last as u64 + 1) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::tests::{same_tokens, tokenizer};
    use crate::mask::{MaskConfig, MaskStrategy, Rate, Strategy};
    use std::collections::BTreeMap;

    fn spans(strategy: &dyn MaskStrategy, step: u64) -> Vec<u32> {
        strategy.phase(step).spans.clone()
    }

    fn build(schedule: Schedule, total_steps: u64, seed: u64) -> Box<dyn MaskStrategy> {
        let config = MaskConfig { strategy: Strategy::RandomMask, schedule: Some(schedule), ..MaskConfig::default() };
        config.build(&tokenizer(), total_steps, seed, None).unwrap()
    }

    #[test]
    fn phases_are_those_of_algorithm_1() {
        let strategy = build(Schedule::Expanding, 480_000, 0);
        for (step, expected) in [
            (0, &[6][..]),
            (1, &[6]),
            (30_000, &[6]),
            (30_001, &[6, 8]),
            (60_000, &[6, 8]),
            (60_001, &[6, 8, 10]),
            (100_001, &[6, 8, 10, 12]),
            (150_000, &[6, 8, 10, 12]),
            (150_001, &[6, 8, 10, 12, 14]),
            (480_000, &[6, 8, 10, 12, 14]),
            (900_000, &[6, 8, 10, 12, 14]), // as printed it would be [6] again
        ] {
            assert_eq!(spans(&*strategy, step), expected, "step {step}");
        }
    }

    #[test]
    fn borders_scale_with_the_run() {
        assert_eq!(scaled_borders(4, 48_000), [3_000, 6_000, 10_000, 15_000]);
        let strategy = build(Schedule::Expanding, 48_000, 0);
        assert_eq!(
            strategy.phases().iter().map(|phase| phase.first_step).collect::<Vec<_>>(),
            [1, 3_001, 6_001, 10_001, 15_001]
        );
        // A run of a few steps has fewer phases, and always one.
        assert_eq!(spans(&*build(Schedule::Expanding, 1, 0), 1), [6, 8, 10, 12, 14]);
    }

    #[test]
    fn controls_change_only_the_order_of_the_phases() {
        let contracting = build(Schedule::Contracting, 480_000, 0);
        assert_eq!(spans(&*contracting, 1), [6, 8, 10, 12, 14]);
        assert_eq!(spans(&*contracting, 330_000), [6, 8, 10, 12, 14]);
        assert_eq!(spans(&*contracting, 330_001), [6, 8, 10, 12]);
        assert_eq!(spans(&*contracting, 480_000), [6]);
        assert_eq!(spans(&*build(Schedule::FixedWide, 480_000, 0), 1), [6, 8, 10, 12, 14]);

        let lengths = |strategy: &dyn MaskStrategy| {
            let mut ends: Vec<u64> = strategy.phases()[1..].iter().map(|phase| phase.first_step).collect();
            ends.push(480_001);
            let mut lengths: Vec<(usize, u64)> = strategy
                .phases()
                .iter()
                .zip(ends)
                .map(|(phase, end)| (phase.spans.len(), end - phase.first_step))
                .collect();
            lengths.sort_unstable();
            lengths
        };
        let expanding = lengths(&*build(Schedule::Expanding, 480_000, 0));
        assert_eq!(lengths(&*contracting), expanding);
        let orders: std::collections::BTreeSet<Vec<usize>> = (0..20)
            .map(|seed| {
                let shuffled = build(Schedule::Shuffled, 480_000, seed);
                assert_eq!(lengths(&*shuffled), expanding);
                shuffled.phases().iter().map(|phase| phase.spans.len()).collect()
            })
            .collect();
        assert!(orders.len() > 10, "{orders:?}");
    }

    #[test]
    fn one_length_is_drawn_for_each_sequence_uniformly() {
        let tokens = same_tokens(200);
        let strategy = build(Schedule::FixedWide, 100, 0);
        let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
        for index in 0..10_000 {
            let selection = strategy.select(&tokens, 1, &mut SeededRng::new(8, Purpose::Test, 0, index));
            let inner: Vec<u32> = selection
                .spans
                .iter()
                .filter(|span| span.start.0 > 1 && span.end.0 < 201)
                .map(|span| span.end.0 - span.start.0)
                .collect();
            if let Some(&m) = inner.first() {
                assert!(inner.iter().all(|&other| other == m), "{inner:?}");
                *counts.entry(m).or_default() += 1;
            }
        }
        assert_eq!(counts.keys().copied().collect::<Vec<_>>(), [6, 8, 10, 12, 14]);
        let total: u32 = counts.values().sum();
        for &count in counts.values() {
            assert!((f64::from(count) / f64::from(total) - 0.2).abs() < 0.02, "{counts:?}");
        }
    }

    #[test]
    fn the_papers_rate_grows_from_fourteen_to_twenty_two_percent_and_the_constant_one_stays() {
        let tokens = same_tokens(510);
        let share = |rate, step| {
            let config = MaskConfig { strategy: Strategy::RandomMask, rate, ..MaskConfig::default() };
            let strategy = config.build(&tokenizer(), 480_000, 0, None).unwrap();
            let draws = 2_000;
            let selected: usize = (0..draws)
                .map(|index| {
                    strategy.select(&tokens, step, &mut SeededRng::new(9, Purpose::Test, step, index)).positions.len()
                })
                .sum();
            selected as f64 / (510 * draws) as f64
        };
        // 1 - 0.975^m: 14.1 % for 6, and 22.2 % for the mean over 6, 8, 10, 12, 14, less half a point for the ends.
        assert!((share(Rate::Paper, 1) - 0.140).abs() < 0.006);
        assert!((share(Rate::Paper, 480_000) - 0.220).abs() < 0.006);
        assert!((share(Rate::Constant, 1) - 0.149).abs() < 0.006);
        assert!((share(Rate::Constant, 480_000) - 0.148).abs() < 0.006);
    }
}
