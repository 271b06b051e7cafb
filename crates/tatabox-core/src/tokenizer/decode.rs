//! From ids back to bases.

use super::{CLS, PAD, SEP, SPECIALS, Tokenizer, UNK};
use crate::error::{Error, Result};
use crate::units::TokenId;

impl Tokenizer {
    /// The base codes that a sequence of ids stands for; a leading `[CLS]`, a `[SEP]` after the content and trailing `[PAD]`s are allowed and give no bases.
    ///
    /// Equal to the encoded codes where all of them were A, C, G, T and no base was left over. A base that only `[UNK]` tokens cover is given as 4:
    /// it may have been an A, C, G or T closer than k bases to an N.
    ///
    /// # Errors
    /// [`Error::Data`] naming the position: an id outside the vocabulary, a special token among the content, two k-mers that say different bases
    /// for one place, an `[UNK]` whose bases its neighbours all spell out.
    pub fn decode(&self, ids: &[TokenId]) -> Result<Vec<u8>> {
        let (k, stride) = (self.k(), self.stride());
        let mut end = ids.len();
        while end > 0 && ids[end - 1] == PAD {
            end -= 1;
        }
        if end > 0 && ids[end - 1] == SEP {
            end -= 1;
        }
        let start = usize::from(end > 0 && ids[0] == CLS);
        let content = &ids[start..end.max(start)];
        let wrong = |index: usize, what: String| {
            Err(Error::Data { what: format!("token {}: {what}", start + index), hint: String::new() })
        };
        if content.is_empty() {
            return Ok(Vec::new());
        }
        let mut bases = vec![4u8; (content.len() - 1) * stride + k];
        for (index, &id) in content.iter().enumerate() {
            if id == UNK {
                continue;
            }
            if !self.content_ids().contains(&id.0) {
                let (low, high) = (SPECIALS, self.vocab_size() - 1);
                return wrong(index, format!("expected an id in {low}..={high} or [UNK], got {}", id.0));
            }
            let number = id.0 - SPECIALS;
            for (offset, base) in bases[index * stride..][..k].iter_mut().enumerate() {
                let code = (number >> (2 * (k - 1 - offset)) & 3) as u8;
                if *base != 4 && *base != code {
                    return wrong(
                        index,
                        format!(
                            "`{}` says {} at base {}, the tokens before it say {}",
                            self.token_text(id),
                            LETTERS[code as usize],
                            index * stride + offset,
                            LETTERS[*base as usize]
                        ),
                    );
                }
                *base = code;
            }
        }
        for (index, _) in content.iter().enumerate().filter(|&(_, &id)| id == UNK) {
            if !bases[index * stride..][..k].contains(&4) {
                return wrong(index, "[UNK], but its neighbours spell out all its bases".into());
            }
        }
        Ok(bases)
    }

    /// The text of a token: `[MASK]`, `ATCGAA`; `[UNK]` for an id outside the vocabulary.
    pub fn token_text(&self, id: TokenId) -> String {
        if self.content_ids().contains(&id.0) {
            let number = id.0 - SPECIALS;
            (0..self.k()).rev().map(|digit| LETTERS[(number >> (2 * digit) & 3) as usize]).collect()
        } else {
            SPECIAL_TEXTS.get(id.index()).unwrap_or(&"[UNK]").to_string()
        }
    }
}

/// The letters of the base codes.
pub(super) const LETTERS: [char; 4] = ['A', 'T', 'C', 'G'];
/// The texts of the ids 0..5.
pub(super) const SPECIAL_TEXTS: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

#[cfg(test)]
mod tests {
    use super::super::tests::tokenizer;
    use super::super::{MASK, Tokens};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn says_where_two_kmers_disagree() {
        let tokenizer = tokenizer(3, 1);
        let error = tokenizer.decode(&[CLS, TokenId(5), TokenId(7), TokenId(8), SEP]).unwrap_err();
        assert_eq!(error.to_string(), "token 3: `AAG` says A at base 3, the tokens before it say C");
    }

    #[test]
    fn refuses_specials_unknown_ids_and_an_unknown_that_is_known() {
        let tokenizer = tokenizer(3, 1);
        for (ids, what) in [
            (vec![CLS, MASK, SEP], "token 1: expected an id in 5..=68 or [UNK], got 4"),
            (vec![TokenId(69)], "token 0: expected an id in 5..=68 or [UNK], got 69"),
            (
                vec![CLS, TokenId(5), UNK, TokenId(5), TokenId(5), SEP],
                "token 2: [UNK], but its neighbours spell out all its bases",
            ),
        ] {
            assert_eq!(tokenizer.decode(&ids).unwrap_err().to_string(), what);
        }
    }

    #[test]
    fn nothing_decodes_to_nothing() {
        for ids in [vec![], vec![CLS, SEP], vec![CLS, SEP, PAD, PAD], vec![SEP], vec![PAD]] {
            assert!(tokenizer(6, 1).decode(&ids).unwrap().is_empty());
        }
    }

    #[test]
    fn a_base_that_only_unknown_tokens_cover_is_unknown() {
        let tokenizer = tokenizer(3, 1);
        let mut tokens = Tokens::default();
        tokenizer.encode(&[0, 1, 2, 4, 3, 4, 0, 1, 2], &mut tokens);
        assert_eq!(tokenizer.decode(&tokens.ids).unwrap(), [0, 1, 2, 4, 4, 4, 0, 1, 2]);
    }

    proptest! {
        #[test]
        fn is_the_inverse_of_encode(
            codes in prop::collection::vec(0u8..4, 0..60),
            k in prop_oneof![Just(1usize), 3usize..=8],
            side_by_side: bool,
        ) {
            let tokenizer = tokenizer(k, if side_by_side { k } else { 1 });
            let mut tokens = Tokens::default();
            tokenizer.encode(&codes, &mut tokens);
            let covered = codes.len() - tokens.leftover as usize;
            prop_assert_eq!(&tokenizer.decode(&tokens.ids).unwrap()[..], &codes[..covered]);
        }

        #[test]
        fn never_panics_on_any_ids(ids in prop::collection::vec(0u32..80, 0..12), side_by_side: bool) {
            let ids: Vec<TokenId> = ids.into_iter().map(TokenId).collect();
            let _ = tokenizer(3, if side_by_side { 3 } else { 1 }).decode(&ids);
        }
    }
}
