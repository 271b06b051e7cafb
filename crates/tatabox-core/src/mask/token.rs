//! `token`: every token on its own, as in BERT. Right for tokens side by side; overlapping tokens are readable from their neighbours.

use super::{MaskStrategy, Phase, SpanDraw};

/// Independent tokens.
#[derive(Clone, Debug)]
pub struct TokenMask([Phase; 1]);

impl TokenMask {
    /// Every token is selected with probability `mask_rate` (0.0..=1.0).
    pub fn new(mask_rate: f64) -> Self {
        Self([Phase { first_step: 1, draws: vec![SpanDraw::new(1, mask_rate)] }])
    }
}

impl MaskStrategy for TokenMask {
    fn name(&self) -> &'static str {
        "token"
    }

    fn phases(&self) -> &[Phase] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, SeededRng};
    use crate::tokenizer::Tokens;
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
