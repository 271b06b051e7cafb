//! `token`, `kmer-span` and `random-mask`: spans around centres, of a length that is drawn once a sequence. They differ in the lengths.

use super::{MaskStrategy, Phase, Selection, SpanDraw};
use crate::rng::SeededRng;
use crate::tokenizer::Tokens;

/// Spans around centres, of one length a sequence.
#[derive(Clone, Debug)]
pub struct SpanMask {
    pub(super) name: &'static str,
    /// All spans, of which phase i draws from the first `phases[i].spans.len()`.
    pub(super) draws: Vec<SpanDraw>,
    pub(super) phases: Vec<Phase>,
}

impl SpanMask {
    /// `token`: every token on its own with probability `mask_rate` (0.0..=1.0), as in BERT. Right for tokens side by side; overlapping tokens are readable
    /// from their neighbours.
    pub fn token(mask_rate: f64) -> Self {
        Self::one_kind("token", SpanDraw::new(1, mask_rate))
    }

    /// `kmer-span`: a centre and its k-1 neighbours, so that every inner base under a whole span is hidden once (DNABERT). `draw` has as many tokens as cover
    /// a base.
    pub fn kmer_span(draw: SpanDraw) -> Self {
        Self::one_kind("kmer-span", draw)
    }

    /// One kind of span, at all steps.
    fn one_kind(name: &'static str, draw: SpanDraw) -> Self {
        let draws = vec![draw];
        Self { name, phases: vec![Phase::of_draws(1, &draws)], draws }
    }
}

impl MaskStrategy for SpanMask {
    fn name(&self) -> &'static str {
        self.name
    }

    fn phases(&self) -> &[Phase] {
        &self.phases
    }

    fn select_into(&self, tokens: &Tokens, step: u64, rng: &mut SeededRng, out: &mut Selection) {
        let draws = &self.draws[..self.phase(step).spans.len()];
        let draw = &draws[if draws.len() == 1 { 0 } else { rng.below(draws.len() as u64) as usize }];
        draw.select_into(tokens, rng, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::MaskConfig;
    use crate::mask::tests::{same_tokens, tokenizer};
    use crate::rng::Purpose;

    #[test]
    fn token_selects_fifteen_percent_within_half_a_point() {
        let tokens = same_tokens(100_000);
        let selection = SpanMask::token(0.15).select(&tokens, 1, &mut SeededRng::new(4, Purpose::Test, 0, 0));
        let share = selection.positions.len() as f64 / 100_000.0;
        assert!((share - 0.15).abs() < 0.005, "{share}");
        assert!(selection.spans.iter().all(|span| span.end.0 == span.start.0 + 1));
    }

    #[test]
    fn dnaberts_rate_selects_fourteen_percent() {
        // ALGORITHMS 1.1: 1 - (1 - 0.025)^6 = 14.09 %.
        let tokens = same_tokens(400_000);
        let strategy = MaskConfig::default().build(&tokenizer(), 1_000, 0, None).unwrap();
        let selection = strategy.select(&tokens, 1, &mut SeededRng::new(5, Purpose::Test, 0, 0));
        let share = selection.positions.len() as f64 / 400_000.0;
        assert!((share - 0.1409).abs() < 0.003, "{share}");
        assert_eq!(strategy.phases().len(), 1);
    }

    #[test]
    fn the_share_of_short_sequences_without_a_centre_is_that_of_independent_draws() {
        let tokens = same_tokens(20);
        let strategy = SpanMask::kmer_span(SpanDraw::new(6, 0.025));
        let empty = (0..20_000)
            .filter(|&index| {
                strategy.select(&tokens, 1, &mut SeededRng::new(6, Purpose::Test, 0, index)).positions.is_empty()
            })
            .count() as f64;
        assert!((empty / 20_000.0 - 0.975f64.powi(20)).abs() < 0.015, "{empty}");
    }
}
