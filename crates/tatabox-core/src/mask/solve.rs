//! The centre rate that hides a given share of the tokens, where no formula gives it.

use super::{MaskStrategy, Selection};
use crate::rng::{Purpose, SeededRng};
use crate::tokenizer::Tokens;

/// How far the share may be from the one that is asked for.
const NEAR: f64 = 1e-4;
/// Shares that are measured at most; about six are enough.
const MOST: usize = 40;

/// The share of the content tokens that a strategy selects in a sample, 0 for an empty one. Always drawn with the same random numbers, so that two
/// rates differ in nothing else.
pub(super) fn share(strategy: &dyn MaskStrategy, sample: &[Tokens]) -> f64 {
    let mut selection = Selection::default();
    let (mut selected, mut all) = (0u64, 0u64);
    for (index, tokens) in sample.iter().enumerate() {
        // Step 0 is used by no draw of a run: steps begin at 1.
        strategy.select_into(tokens, 1, &mut SeededRng::new(0, Purpose::Select, 0, index as u64), &mut selection);
        selected += selection.positions.len() as u64;
        all += u64::from(tokens.content().end - tokens.content().start);
    }
    if all == 0 { 0.0 } else { selected as f64 / all as f64 }
}

/// The rate in 0..=1 at which `share` is `target`, from a first guess: chords over a bracket that always holds the answer (regula falsi; an end that stays
/// twice counts half, the Illinois rule). Sums, products and quotients only, so that every machine finds the same rate.
pub(super) fn solve(target: f64, guess: f64, share: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut under) = (0.0, -target);
    let (mut high, mut over) = (1.0, 1.0 - target);
    let mut rate = guess.clamp(1e-9, 1.0);
    let mut before = 0.0; // what the last rate was off by
    for _ in 0..MOST {
        let off = share(rate) - target;
        if off.abs() < NEAR {
            break;
        }
        let same_side = off * before > 0.0;
        before = off;
        if off < 0.0 {
            (low, under) = (rate, off);
            over *= if same_side { 0.5 } else { 1.0 };
        } else {
            (high, over) = (rate, off);
            under *= if same_side { 0.5 } else { 1.0 };
        }
        rate = low + (high - low) * under / (under - over);
    }
    rate
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_rate_of_a_known_formula() {
        for (span, target, guess) in
            [(6, 0.15, 0.025), (14, 0.15, 0.5), (11, 0.9, 0.01), (1, 0.02, 1.0), (40, 0.5, 0.0)]
        {
            let formula = |rate: f64| 1.0 - (0..span).fold(1.0, |visible, _| visible * (1.0 - rate));
            let rate = solve(target, guess, formula);
            assert!((formula(rate) - target).abs() < 2.0 * NEAR, "{span} {target}: {rate}");
        }
    }

    #[test]
    fn a_share_that_cannot_be_reached_ends_all_the_same() {
        assert!(solve(0.9, 0.1, |rate| 0.5 * rate) <= 1.0);
        assert!(solve(0.15, 0.1, |_| 0.0) <= 1.0);
    }
}
