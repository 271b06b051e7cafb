//! `kmer-span`: a centre and its k-1 neighbours, so that every inner base under a whole span is hidden once (DNABERT).

use super::{MaskStrategy, Phase, Selection, SpanDraw};
use crate::rng::SeededRng;
use crate::tokenizer::Tokens;

/// Spans of as many tokens as cover a base.
#[derive(Clone, Debug)]
pub struct KmerSpan {
    draw: SpanDraw,
    phases: [Phase; 1],
}

impl KmerSpan {
    /// One kind of span, at all steps.
    pub fn new(draw: SpanDraw) -> Self {
        Self { phases: [Phase::of_draws(1, std::slice::from_ref(&draw))], draw }
    }
}

impl MaskStrategy for KmerSpan {
    fn name(&self) -> &'static str {
        "kmer-span"
    }

    fn phases(&self) -> &[Phase] {
        &self.phases
    }

    fn select_into(&self, tokens: &Tokens, _: u64, rng: &mut SeededRng, out: &mut Selection) {
        self.draw.select_into(tokens, rng, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::MaskConfig;
    use crate::mask::tests::tokenizer;
    use crate::rng::Purpose;
    use crate::units::TokenId;

    #[test]
    fn dnaberts_rate_selects_fourteen_percent() {
        // ALGORITHMS 1.1: 1 - (1 - 0.025)^6 = 14.09 %.
        let ids = [vec![TokenId(2)], vec![TokenId(7); 400_000], vec![TokenId(3)]].concat();
        let tokens = Tokens { ids, unknown: 0, leftover: 0 };
        let strategy = MaskConfig::default().build(&tokenizer(), 1_000, 0, None).unwrap();
        let selection = strategy.select(&tokens, 1, &mut SeededRng::new(5, Purpose::Test, 0, 0));
        let share = selection.positions.len() as f64 / 400_000.0;
        assert!((share - 0.1409).abs() < 0.003, "{share}");
        assert_eq!(strategy.phases().len(), 1);
    }

    #[test]
    fn the_share_of_short_sequences_without_a_centre_is_that_of_independent_draws() {
        let tokens = Tokens {
            ids: [vec![TokenId(2)], vec![TokenId(7); 20], vec![TokenId(3)]].concat(),
            unknown: 0,
            leftover: 0,
        };
        let strategy = KmerSpan::new(SpanDraw::new(6, 0.025));
        let empty = (0..20_000)
            .filter(|&index| {
                strategy.select(&tokens, 1, &mut SeededRng::new(6, Purpose::Test, 0, index)).positions.is_empty()
            })
            .count() as f64;
        assert!((empty / 20_000.0 - 0.975f64.powi(20)).abs() < 0.015, "{empty}");
    }
}
