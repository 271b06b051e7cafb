//! Tokenisers: base codes in, token ids out, and back.
//!
//! Overlapping k-mers (stride 1), k-mers side by side (stride k) and single bases share one vocabulary rule, DNABERT's: five special tokens
//! `[PAD] [UNK] [CLS] [SEP] [MASK]` = 0..4, then the product over A, T, C, G, so that the id of a k-mer is 5 plus its base-4 number with
//! A = 0, T = 1, C = 2, G = 3 (`DNABERT:src/transformers/dnabert-config`). These digits are the base codes of this crate.
//!
//! The single-base tokenizer is the same rule with k = 1: A = 5, T = 6, C = 7, G = 8. HyenaDNA reads single bases too, under other ids (`[CLS]` 0,
//! `[SEP]` 1, `[BOS]` 2, `[MASK]` 3, `[PAD]` 4, `[RESERVED]` 5, `[UNK]` 6, A 7, C 8, G 9, T 10, N 11): the tokens are the same, the numbers are not, so
//! its weights need their embedding rows moved before they fit.

mod config;
mod decode;
mod vocab;

use std::ops::Range;

use crate::error::{Error, Result};
use crate::units::TokenId;

pub use config::{TokenKind, TokenizerConfig};

/// `[PAD]`
pub const PAD: TokenId = TokenId(0);
/// `[UNK]`: a token with a base other than A, C, G, T.
pub const UNK: TokenId = TokenId(1);
/// `[CLS]`: the first token of every sequence.
pub const CLS: TokenId = TokenId(2);
/// `[SEP]`: the last token of every sequence.
pub const SEP: TokenId = TokenId(3);
/// `[MASK]`
pub const MASK: TokenId = TokenId(4);
/// The number of special tokens: the id of the first k-mer.
pub const SPECIALS: u32 = 5;

/// A tokenised sequence: `[CLS]`, its tokens, `[SEP]`. Kept and refilled, so that encoding allocates nothing once it is warm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// The ids, `[tokens]`, specials included.
    pub ids: Vec<TokenId>,
    /// How many of them are `[UNK]`.
    pub unknown: u32,
    /// Bases at the end that no token covers: (n mod k) at stride k, all of a sequence shorter than k, the last one under `dnabert-compat`.
    pub leftover: u32,
}

impl Tokens {
    /// The positions between `[CLS]` and `[SEP]`.
    pub fn content(&self) -> Range<u32> {
        1..(self.ids.len() as u32).saturating_sub(1).max(1)
    }
}

/// Cuts base codes into tokens.
///
/// # Examples
/// ```
/// use tatabox_core::seq::Sequence;
/// use tatabox_core::tokenizer::{Tokenizer, TokenizerConfig, Tokens};
/// let tokenizer = Tokenizer::new(TokenizerConfig { k: 3, ..TokenizerConfig::default() })?;
/// let (sequence, _) = Sequence::parse(b"aUCG")?;
/// let mut tokens = Tokens::default();
/// tokenizer.encode(&sequence.codes, &mut tokens); // ATC, TCG
/// let ids: Vec<u32> = tokens.ids.iter().map(|id| id.0).collect();
/// assert_eq!(ids, [2, 5 + 4 + 2, 5 + 16 + 8 + 3, 3]);
/// assert_eq!(tokenizer.decode(&tokens.ids)?, [0, 1, 2, 3]);
/// # Ok::<(), tatabox_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokenizer {
    config: TokenizerConfig,
}

impl Tokenizer {
    /// A tokenizer of a checked configuration.
    ///
    /// # Errors
    /// [`Error::Value`] where k is not in 3..=8 for k-mers (1 for bases), or the stride is neither 1 nor k.
    pub fn new(config: TokenizerConfig) -> Result<Self> {
        let value = |key: &str, got: usize, expected: &str, hint: &str| {
            Err(Error::Value { key: key.into(), got: got.to_string(), expected: expected.into(), hint: hint.into() })
        };
        match config.kind {
            TokenKind::Kmer if !(3..=8).contains(&config.k) => value(
                "tokenizer.k",
                config.k,
                "k-mers have 3 to 8 bases",
                "set `tokenizer.kind = \"base\"` for single bases",
            ),
            TokenKind::Base if config.k != 1 => {
                value("tokenizer.k", config.k, "a token of kind `base` is one base", "leave `tokenizer.k` out")
            }
            _ if config.stride != 1 && config.stride != config.k => {
                value("tokenizer.stride", config.stride, "it is 1 (overlapping tokens) or k (tokens side by side)", "")
            }
            _ => Ok(Self { config }),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &TokenizerConfig {
        &self.config
    }

    /// Bases in a token.
    pub fn k(&self) -> usize {
        self.config.k
    }

    /// Bases from the start of one token to the start of the next.
    pub fn stride(&self) -> usize {
        self.config.stride
    }

    /// How many tokens cover a base (away from the ends): k for overlapping tokens, 1 for tokens side by side. A mask hides nothing
    /// unless it takes so many neighbours.
    pub fn cover(&self) -> usize {
        self.config.k / self.config.stride
    }

    /// The number of ids: 5 + 4^k.
    pub fn vocab_size(&self) -> usize {
        SPECIALS as usize + (1 << (2 * self.config.k))
    }

    /// The ids of the tokens that are not special.
    pub fn content_ids(&self) -> Range<u32> {
        SPECIALS..self.vocab_size() as u32
    }

    /// The tokens that n bases give, specials not counted: n-k+1 at stride 1.
    pub fn tokens_of(&self, bases: usize) -> usize {
        let bases = bases.saturating_sub(usize::from(self.config.dnabert_compat));
        if bases < self.config.k { 0 } else { (bases - self.config.k) / self.config.stride + 1 }
    }

    /// The fewest bases that give so many tokens, specials not counted: the inverse of [`Tokenizer::tokens_of`].
    pub fn bases_of(&self, tokens: usize) -> usize {
        if tokens == 0 {
            return 0;
        }
        (tokens - 1) * self.config.stride + self.config.k + usize::from(self.config.dnabert_compat)
    }

    /// Tokenises base codes (0..=3; anything else makes the tokens over it `[UNK]`) into `out`, whose content is replaced.
    pub fn encode(&self, codes: &[u8], out: &mut Tokens) {
        let k = self.config.k;
        let covered =
            self.bases_of(self.tokens_of(codes.len())) - usize::from(self.config.dnabert_compat && codes.len() > k);
        out.leftover = (codes.len() - covered) as u32;
        out.unknown = 0;
        out.ids.clear();
        out.ids.push(CLS);
        if covered > 0 && self.config.stride == 1 {
            out.unknown = encode_overlapping(&codes[..covered], k, &mut out.ids);
        } else {
            for bases in codes[..covered].chunks_exact(k) {
                let (id, bad) =
                    bases.iter().fold((0, 0), |(id, bad), &code| (id << 2 | u32::from(code & 3), bad | code >> 2));
                out.unknown += u32::from(bad != 0);
                out.ids.push(if bad == 0 { TokenId(SPECIALS + id) } else { UNK });
            }
        }
        out.ids.push(SEP);
    }
}

/// Appends the tokens of `codes` (at least k of them) at stride 1, one shift a base; returns how many are `[UNK]`.
fn encode_overlapping(codes: &[u8], k: usize, ids: &mut Vec<TokenId>) -> u32 {
    let keep = (1u32 << (2 * k)) - 1;
    // `id` is the base-4 number of the last k bases; `known` counts the bases since the last one that has no digit.
    let (mut id, mut known, mut unknown) = (0u32, 0u32, 0u32);
    let mut shift = |code: u8| {
        id = (id << 2 | u32::from(code & 3)) & keep;
        known = if code < 4 { known + 1 } else { 0 };
        (id, known >= k as u32)
    };
    for &code in &codes[..k - 1] {
        shift(code);
    }
    ids.extend(codes[k - 1..].iter().map(|&code| {
        let (id, is_known) = shift(code);
        unknown += u32::from(!is_known);
        if is_known { TokenId(SPECIALS + id) } else { UNK }
    }));
    unknown
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(super) fn tokenizer(k: usize, stride: usize) -> Tokenizer {
        let kind = if k == 1 { TokenKind::Base } else { TokenKind::Kmer };
        Tokenizer::new(TokenizerConfig { kind, k, stride, dnabert_compat: false }).unwrap()
    }

    fn encode(tokenizer: &Tokenizer, codes: &[u8]) -> (Vec<u32>, u32, u32) {
        let mut tokens = Tokens::default();
        tokenizer.encode(codes, &mut tokens);
        (tokens.ids.iter().map(|id| id.0).collect(), tokens.unknown, tokens.leftover)
    }

    #[test]
    fn reads_overlapping_kmers_side_by_side_kmers_and_bases() {
        let codes = [0, 0, 0, 1, 2, 3, 3]; // AAATCGG
        assert_eq!(encode(&tokenizer(3, 1), &codes), (vec![2, 5, 6, 11, 32, 5 + 47, 3], 0, 0));
        assert_eq!(encode(&tokenizer(3, 3), &codes), (vec![2, 5, 32, 3], 0, 1));
        assert_eq!(encode(&tokenizer(1, 1), &codes), (vec![2, 5, 5, 5, 6, 7, 8, 8, 3], 0, 0));
    }

    #[test]
    fn a_base_without_a_digit_makes_every_token_over_it_unknown() {
        assert_eq!(encode(&tokenizer(3, 1), &[0, 0, 0, 4, 0, 0, 0]), (vec![2, 5, 1, 1, 1, 5, 3], 3, 0));
        assert_eq!(encode(&tokenizer(3, 3), &[0, 0, 0, 4, 0, 0, 0]), (vec![2, 5, 1, 3], 1, 1));
    }

    #[test]
    fn compat_drops_the_last_kmer_as_dnabert_does() {
        let config = TokenizerConfig { dnabert_compat: true, ..TokenizerConfig::default() };
        let compat = Tokenizer::new(config).unwrap();
        // DNABERT's process_pretrain_data.py: 515 bases give 509 tokens, not 510.
        let (ids, _, leftover) = encode(&compat, &[0; 515]);
        assert_eq!((ids.len() - 2, leftover), (509, 1));
        assert_eq!(compat.bases_of(509), 515);
        assert_eq!(encode(&compat, &[0; 6]), (vec![2, 3], 0, 6));
        assert_eq!(encode(&compat, &[0; 5]), (vec![2, 3], 0, 5));
    }

    #[test]
    fn refuses_what_has_no_vocabulary() {
        for (kind, k, stride) in
            [(TokenKind::Kmer, 2, 1), (TokenKind::Kmer, 9, 1), (TokenKind::Kmer, 6, 2), (TokenKind::Base, 6, 1)]
        {
            let error = Tokenizer::new(TokenizerConfig { kind, k, stride, dnabert_compat: false }).unwrap_err();
            assert!(error.is_usage(), "{error}");
        }
    }

    proptest! {
        #[test]
        fn rolling_ids_equal_the_ids_of_each_kmer_alone(
            codes in prop::collection::vec(prop_oneof![20 => 0u8..4, 1 => Just(4u8)], 0..80),
            k in prop_oneof![Just(1usize), 3usize..=8],
            side_by_side: bool,
        ) {
            let tokenizer = tokenizer(k, if side_by_side { k } else { 1 });
            let (ids, unknown, leftover) = encode(&tokenizer, &codes);
            prop_assert_eq!(ids.len() - 2, tokenizer.tokens_of(codes.len()));
            prop_assert_eq!(tokenizer.bases_of(ids.len() - 2) + leftover as usize, codes.len());
            for (index, &id) in ids[1..ids.len() - 1].iter().enumerate() {
                let bases = &codes[index * tokenizer.stride()..][..k];
                let number = bases.iter().fold(0, |number, &code| 4 * number + u32::from(code));
                prop_assert_eq!(id, if bases.contains(&4) { 1 } else { 5 + number });
            }
            prop_assert_eq!(ids.iter().filter(|&&id| id == 1).count(), unknown as usize);
        }
    }
}
