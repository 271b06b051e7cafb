//! How the selected tokens are hidden: 80 % `[MASK]`, 10 % a random token, 10 % as they are (Devlin et al. 2019, 3.1). Written once for all strategies.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::Selection;
use crate::rng::SeededRng;
use crate::tokenizer::{MASK, Tokenizer, Tokens};
use crate::units::{TokenId, TokenPos};

/// The chance that a selected token, or run, stays as it is.
pub(super) const KEPT: f64 = 0.1;

/// What is drawn together into 80/10/10.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum CorruptionUnit {
    /// Each token, as in BERT, DNABERT and RandomMask. Of a span of 6, one token or more is left to be read in 47 % of the draws.
    #[default]
    Token,
    /// Each run of neighbouring selected tokens, so that no kept token gives its neighbours away (spans that touch or overlap are one run).
    Span,
}

/// How tokens are hidden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corruption {
    /// What is drawn together.
    pub unit: CorruptionUnit,
    /// The ids that a random token is drawn from; not empty.
    pub random_ids: Range<u32>,
}

impl Corruption {
    /// Random tokens from the k-mers of the tokenizer, or from its whole vocabulary, specials included, as DNABERT draws them.
    pub fn new(tokenizer: &Tokenizer, unit: CorruptionUnit, dnabert_compat: bool) -> Self {
        let random_ids = if dnabert_compat { 0..tokenizer.vocab_size() as u32 } else { tokenizer.content_ids() };
        Self { unit, random_ids }
    }
}

/// A masked sequence, ready to be batched. Kept and refilled, so that masking allocates nothing once it is warm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Masked {
    /// What the model sees, `[tokens]`.
    pub input_ids: Vec<TokenId>,
    /// What it must answer, at the selected positions, in increasing order; empty where nothing was selected.
    pub targets: Vec<(TokenPos, TokenId)>,
}

/// Hides the selected tokens into `out`, whose content is replaced.
///
/// # Examples
/// ```
/// use tatabox_core::mask::{Corruption, CorruptionUnit, Masked, Selection, corrupt};
/// use tatabox_core::rng::{Purpose, SeededRng};
/// use tatabox_core::tokenizer::{Tokenizer, TokenizerConfig, Tokens};
/// use tatabox_core::units::{TokenId, TokenPos};
/// let tokenizer = Tokenizer::new(TokenizerConfig::default())?;
/// let mut tokens = Tokens::default();
/// tokenizer.encode(&[0, 1, 2, 3, 0, 1, 2], &mut tokens); // ATCGAT, TCGATC
/// let selection = Selection { positions: vec![TokenPos(2)], ..Selection::default() };
/// let corruption = Corruption::new(&tokenizer, CorruptionUnit::Token, false);
/// let mut masked = Masked::default();
/// corrupt(&tokens, &selection, &corruption, &mut SeededRng::new(7, Purpose::Corrupt, 1, 0), &mut masked);
/// assert_eq!(masked.targets, [(TokenPos(2), tokens.ids[2])]);
/// assert_eq!(masked.input_ids[1], tokens.ids[1]);
/// # Ok::<(), tatabox_core::Error>(())
/// ```
pub fn corrupt(tokens: &Tokens, selection: &Selection, corruption: &Corruption, rng: &mut SeededRng, out: &mut Masked) {
    out.input_ids.clear();
    out.input_ids.extend_from_slice(&tokens.ids);
    out.targets.clear();
    let first_id = corruption.random_ids.start;
    let ids = u64::from(corruption.random_ids.end - first_id);
    let mut before = None;
    let mut lot = 0;
    for &position in &selection.positions {
        let same_run = before == position.0.checked_sub(1);
        if !(same_run && before.is_some() && corruption.unit == CorruptionUnit::Span) {
            lot = rng.below(10);
        }
        before = Some(position.0);
        let seen = &mut out.input_ids[position.index()];
        out.targets.push((position, *seen));
        match lot {
            0..8 => *seen = MASK,
            8 => *seen = TokenId(first_id + rng.below(ids) as u32),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Purpose;
    use crate::tokenizer::{SPECIALS, TokenizerConfig};

    /// 100,000 selected tokens with id 6, in runs of 5 with a gap of 1, hidden.
    fn hide(unit: CorruptionUnit, compat: bool) -> (Masked, Vec<TokenPos>) {
        let tokenizer = Tokenizer::new(TokenizerConfig { k: 3, ..TokenizerConfig::default() }).unwrap();
        let tokens = Tokens { ids: vec![TokenId(6); 120_002], unknown: 0, leftover: 0 };
        let positions: Vec<TokenPos> = (1..=120_000).filter(|position| position % 6 != 0).map(TokenPos).collect();
        let selection = Selection { positions: positions.clone(), ..Selection::default() };
        let mut masked = Masked::default();
        let corruption = Corruption::new(&tokenizer, unit, compat);
        corrupt(&tokens, &selection, &corruption, &mut SeededRng::new(2, Purpose::Test, 0, 0), &mut masked);
        (masked, positions)
    }

    #[test]
    fn keeps_eighty_ten_ten_within_one_point() {
        for (unit, tolerance) in [(CorruptionUnit::Token, 0.01), (CorruptionUnit::Span, 0.01)] {
            let (masked, positions) = hide(unit, false);
            let share = |what: &dyn Fn(TokenId) -> bool| {
                positions.iter().filter(|pos| what(masked.input_ids[pos.index()])).count() as f64
                    / positions.len() as f64
            };
            assert!((share(&|id| id == MASK) - 0.8).abs() < tolerance);
            // One of 64 random k-mers is the true one.
            assert!((share(&|id| id != MASK && id != TokenId(6)) - 0.1 * 63.0 / 64.0).abs() < tolerance);
            assert!((share(&|id| id == TokenId(6)) - 0.1 - 0.1 / 64.0).abs() < tolerance);
        }
    }

    #[test]
    fn targets_are_the_selected_tokens_and_nothing_else_changes() {
        let (masked, positions) = hide(CorruptionUnit::Token, false);
        assert_eq!(masked.targets, positions.iter().map(|&position| (position, TokenId(6))).collect::<Vec<_>>());
        for (index, &id) in masked.input_ids.iter().enumerate() {
            assert!(index % 6 != 0 && index <= 120_000 || id == TokenId(6), "token {index}");
        }
    }

    #[test]
    fn random_tokens_are_kmers_unless_compat_asks_for_the_whole_vocabulary() {
        let specials = |compat| {
            let (masked, _) = hide(CorruptionUnit::Token, compat);
            masked.input_ids.iter().filter(|id| id.0 < SPECIALS && **id != MASK).count()
        };
        assert_eq!(specials(false), 0);
        // 10,000 random tokens, 4 of 69 ids are [PAD] [UNK] [CLS] [SEP].
        assert!((specials(true) as f64 - 10_000.0 * 4.0 / 69.0).abs() < 120.0);
    }

    #[test]
    fn a_span_is_hidden_in_one_way() {
        let (masked, _) = hide(CorruptionUnit::Span, false);
        let masks =
            masked.input_ids[1..=120_000].chunks(6).map(|run| run[..5].iter().filter(|&&id| id == MASK).count());
        assert!(masks.clone().all(|masks| masks == 0 || masks == 5));
        let (masked, _) = hide(CorruptionUnit::Token, false);
        let mixed = masked.input_ids[1..=120_000].chunks(6).filter(|run| {
            let masks = run[..5].iter().filter(|&&id| id == MASK).count();
            masks != 0 && masks != 5
        });
        assert!(mixed.count() > 10_000); // 1 - 0.8^5 - 0.2^5 of 20,000 runs
    }
}
