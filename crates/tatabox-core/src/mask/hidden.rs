//! Which bases a mask really hides: those that no visible token spells out.
//!
//! Overlapping tokens share their bases, so m selected neighbours hide m-k+1 bases, not m+k-1. All selected tokens count as not visible, those that
//! the 10 % rule keeps or replaces too: a reader cannot tell them from the others. A visible `[UNK]` spells out nothing.

use super::CorruptionUnit;
use super::corrupt::KEPT;
use crate::tokenizer::{SPECIALS, Tokenizer};
use crate::units::{TokenId, TokenPos};

/// The hidden bases of one masked sequence.
///
/// # Examples
/// ```
/// use tatabox_core::mask::Hidden;
/// use tatabox_core::tokenizer::{Tokenizer, TokenizerConfig, Tokens};
/// use tatabox_core::units::TokenPos;
/// let tokenizer = Tokenizer::new(TokenizerConfig::default())?;
/// let mut tokens = Tokens::default();
/// tokenizer.encode(&[0; 30], &mut tokens);
/// let eight: Vec<TokenPos> = (10..18).map(TokenPos).collect();
/// let hidden = Hidden::new(&tokenizer, &tokens.ids, &eight);
/// assert_eq!(hidden.total(), 3); // 8 - 6 + 1
/// assert_eq!(hidden.of(TokenPos(10)), 1); // the first token's last base
/// assert_eq!(hidden.of(TokenPos(13)), 3);
/// # Ok::<(), tatabox_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hidden {
    /// `before[i]`: the hidden bases among the first i.
    before: Vec<u32>,
    k: usize,
    stride: usize,
}

impl Hidden {
    /// The bases that `selected` (increasing positions) hides in a tokenised sequence: `ids` are its true ids, `[CLS]` and `[SEP]` included.
    pub fn new(tokenizer: &Tokenizer, ids: &[TokenId], selected: &[TokenPos]) -> Self {
        let (k, stride) = (tokenizer.k(), tokenizer.stride());
        let content = ids.len().saturating_sub(2);
        let bases = if content == 0 { 0 } else { (content - 1) * stride + k };
        let mut before = Vec::with_capacity(bases + 1);
        before.push(0);
        let mut selected = selected.iter().map(|position| position.index()).peekable();
        // One past the last base that a visible token, or a selected one, covers so far; both only grow.
        let (mut shown_end, mut asked_end, mut total) = (0, 0, 0);
        for index in 0..content {
            let start = index * stride;
            if selected.next_if_eq(&(index + 1)).is_some() {
                asked_end = start + k;
            } else if ids[index + 1].0 >= SPECIALS {
                shown_end = start + k;
            }
            // No later token covers this one's first `stride` bases, so they are decided now.
            let last = if index + 1 == content { start + k } else { start + stride };
            for base in start..last {
                total += u32::from(base >= shown_end && base < asked_end);
                before.push(total);
            }
        }
        Self { before, k, stride }
    }

    /// All hidden bases of the sequence.
    pub fn total(&self) -> u32 {
        self.before[self.before.len() - 1]
    }

    /// The hidden bases under one token: 0 where its answer can be read from its visible neighbours.
    pub fn of(&self, position: TokenPos) -> u32 {
        let start = (position.index() - 1) * self.stride;
        self.before[start + self.k] - self.before[start]
    }

    /// The chance that the 80/10/10 draw keeps tokens which, together with the visible ones, spell out the whole answer at a selected position, its own
    /// token among them. (Nobody who reads the input can tell a kept token from a replaced one.) `selected` is what made these hidden bases.
    pub(super) fn readable(&self, position: TokenPos, selected: &[TokenPos], unit: CorruptionUnit) -> f64 {
        let (at, reach) = (position.index() - 1, (self.k - 1) / self.stride);
        let start = at * self.stride;
        let last = (self.bases() - self.k) / self.stride;
        // `chances[age]`: that the last kept token lies `age` tokens behind, and every hidden base so far was spelt out; the last place is for none in reach.
        let mut chances = vec![0.0; reach + 2];
        chances[reach + 1] = 1.0;
        let mut in_run = false;
        for index in at.saturating_sub(reach)..=(at + reach).min(last) {
            let is_selected = selected.binary_search(&TokenPos(index as u32 + 1)).is_ok();
            let mut next = vec![0.0; reach + 2];
            for (age, chance) in chances.iter().enumerate() {
                let kept = match (is_selected, in_run && unit == CorruptionUnit::Span) {
                    (false, _) => 0.0,
                    (true, false) => KEPT,
                    (true, true) => f64::from(u8::from(age == 0)), // as the token before, which is of the same run
                };
                next[0] += chance * kept;
                next[(age + 1).min(reach + 1)] += chance * (1.0 - kept);
            }
            (chances, in_run) = (next, is_selected);
            // No later token covers this one's first `stride` bases.
            let own = index * self.stride;
            let end = if index == last { own + self.k } else { own + self.stride };
            for base in (own.max(start)..end.min(start + self.k)).filter(|&base| self.is_hidden(base)) {
                let (covers, older) = chances.split_at_mut(reach + 1);
                older.fill(0.0);
                let past = |age: &usize| base - own + age * self.stride >= self.k;
                (0..covers.len()).filter(past).for_each(|age| covers[age] = 0.0);
            }
        }
        chances.iter().sum()
    }

    /// The hidden bases of each run of neighbouring selected tokens, in order: they add up to all hidden bases.
    pub(super) fn by_run<'a>(&'a self, selected: &'a [TokenPos]) -> impl Iterator<Item = u32> + 'a {
        let mut counted = 0; // runs with nothing but `[UNK]` between them share bases, which belong to the first
        selected.chunk_by(|left, right| left.0 + 1 == right.0).map(move |run| {
            let first = ((run[0].index() - 1) * self.stride).max(counted);
            counted = counted.max((run[run.len() - 1].index() - 1) * self.stride + self.k);
            self.before[counted] - self.before[first]
        })
    }

    /// The number of bases that the tokens cover.
    pub fn bases(&self) -> usize {
        self.before.len() - 1
    }

    /// True where the base (from 0, on the sequence) is hidden.
    pub fn is_hidden(&self, base: usize) -> bool {
        self.before[base + 1] > self.before[base]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::{TokenKind, TokenizerConfig, Tokens, UNK};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_the_definition_base_by_base(
            codes in prop::collection::vec(prop_oneof![15 => 0u8..4, 1 => Just(4u8)], 0..60),
            k in prop_oneof![Just(1usize), 3usize..=8],
            side_by_side: bool,
            picks in prop::collection::vec(any::<bool>(), 60),
        ) {
            let kind = if k == 1 { TokenKind::Base } else { TokenKind::Kmer };
            let stride = if side_by_side { k } else { 1 };
            let tokenizer = Tokenizer::new(TokenizerConfig { kind, k, stride, dnabert_compat: false }).unwrap();
            let mut tokens = Tokens::default();
            tokenizer.encode(&codes, &mut tokens);
            let is_selected = |position: u32| picks[position as usize % 60] && tokens.ids[position as usize] != UNK;
            let selected: Vec<TokenPos> = tokens.content().filter(|&position| is_selected(position)).map(TokenPos).collect();
            let hidden = Hidden::new(&tokenizer, &tokens.ids, &selected);
            prop_assert_eq!(hidden.bases(), codes.len() - tokens.leftover as usize);
            let covers = |position: u32, base: usize| {
                let start = (position as usize - 1) * stride;
                (start..start + k).contains(&base)
            };
            let is_hidden = |base: usize| {
                tokens.content().any(|position| covers(position, base) && is_selected(position))
                    && !tokens.content().any(|position| {
                        covers(position, base) && !is_selected(position) && tokens.ids[position as usize] != UNK
                    })
            };
            for base in 0..hidden.bases() {
                prop_assert_eq!(hidden.is_hidden(base), is_hidden(base), "base {}", base);
            }
            for &position in &selected {
                let own = (0..hidden.bases()).filter(|&base| covers(position.0, base) && is_hidden(base)).count();
                prop_assert_eq!(hidden.of(position) as usize, own);
            }
            // The chance, summed over all draws of what is kept; units are few enough.
            for unit in [CorruptionUnit::Token, CorruptionUnit::Span] {
                let begins = |at: usize| at == 0 || unit == CorruptionUnit::Token || selected[at - 1].0 + 1 < selected[at].0;
                let units: Vec<u32> =
                    (0..selected.len()).scan(0, |units, at| { *units += u32::from(begins(at)); Some(*units - 1) }).collect();
                let all = units.last().map_or(0, |last| last + 1);
                if all > 10 {
                    continue;
                }
                for &position in &selected {
                    let chance = |draw: u32| {
                        let is_kept = |base: usize| {
                            selected.iter().zip(&units).any(|(kept, unit)| draw >> unit & 1 == 1 && covers(kept.0, base))
                        };
                        let own = (0..hidden.bases()).filter(|&base| covers(position.0, base));
                        let read = own.filter(|&base| is_hidden(base)).all(is_kept);
                        let kept = draw.count_ones() as i32;
                        if read { 0.1f64.powi(kept) * 0.9f64.powi(all as i32 - kept) } else { 0.0 }
                    };
                    let expected: f64 = (0..1 << all).map(chance).sum();
                    let got = hidden.readable(position, &selected, unit);
                    prop_assert!((got - expected).abs() < 1e-12, "{:?}, {}: {} {}", position, unit, got, expected);
                }
            }
            prop_assert_eq!(hidden.by_run(&selected).sum::<u32>(), hidden.total());
            prop_assert_eq!(hidden.total() as usize, (0..hidden.bases()).filter(|&base| is_hidden(base)).count());
        }
    }
}
