//! `token`: every token on its own, as in BERT. Right for tokens side by side; overlapping tokens are readable from their neighbours.

use super::{MaskStrategy, Phase, Selection, SpanDraw};
use crate::rng::SeededRng;
use crate::tokenizer::Tokens;

/// Independent tokens.
#[derive(Clone, Debug)]
pub struct TokenMask {
    draw: SpanDraw,
    phases: [Phase; 1],
}

impl TokenMask {
    /// Every token is selected with probability `mask_rate` (0.0..=1.0).
    pub fn new(mask_rate: f64) -> Self {
        let draw = SpanDraw::new(1, mask_rate);
        Self { phases: [Phase::of_draws(1, std::slice::from_ref(&draw))], draw }
    }
}

impl MaskStrategy for TokenMask {
    fn name(&self) -> &'static str {
        "token"
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
    use crate::rng::Purpose;
    use crate::units::TokenId;

    #[test]
    fn selects_fifteen_percent_within_half_a_point() {
        let ids = [vec![TokenId(2)], vec![TokenId(7); 100_000], vec![TokenId(3)]].concat();
        let tokens = Tokens { ids, unknown: 0, leftover: 0 };
        let selection = TokenMask::new(0.15).select(&tokens, 1, &mut SeededRng::new(4, Purpose::Test, 0, 0));
        let share = selection.positions.len() as f64 / 100_000.0;
        assert!((share - 0.15).abs() < 0.005, "{share}");
        assert!(selection.spans.iter().all(|span| span.end.0 == span.start.0 + 1));
    }
}
