//! K-mers as numbers.
//!
//! The number of a k-mer is its base-4 number in the order of DNABERT's vocabulary (A = 0, T = 1, C = 2, G = 3), the first base the highest digit: the id of
//! its token less 5. So the numbers of a k-mer's extensions by one base are four neighbours, and its complement flips the lowest bit of every digit.

use crate::seq::{CODE_OF_TWOBIT, LETTERS, class};

/// The number of a k-mer that is spelt out, in any case, U for T; none where it holds anything but bases, or is empty, or has more than 31 bases.
///
/// # Examples
/// ```
/// use tatabox_core::count::kmer;
/// assert_eq!(kmer::number(b"AAAAAG"), Some(3));
/// assert_eq!(kmer::number(b"tataaa"), Some(0b01_00_01_00_00_00));
/// assert_eq!(kmer::number(b"ACGN"), None);
/// assert_eq!(kmer::spell(3, 6), "AAAAAG");
/// ```
pub fn number(letters: &[u8]) -> Option<usize> {
    if letters.is_empty() || letters.len() > 31 {
        return None;
    }
    letters.iter().try_fold(0, |number, &letter| {
        let of = class::OF[usize::from(letter)];
        let base = of & (class::UNKNOWN | class::SPACE | class::BAD) == 0;
        base.then(|| number << 2 | usize::from(CODE_OF_TWOBIT[usize::from(of & class::BASE)]))
    })
}

/// A k-mer in capital letters.
pub fn spell(number: usize, k: usize) -> String {
    letters(number, k).map(char::from).collect()
}

/// The letters of a k-mer, capitals.
pub(super) fn letters(number: usize, k: usize) -> impl Iterator<Item = u8> {
    (0..k).rev().map(move |digit| LETTERS[number >> (2 * digit) & 3])
}

/// The number of the k-mer on the other strand.
///
/// # Examples
/// ```
/// use tatabox_core::count::kmer::{number, reverse_complement, spell};
/// assert_eq!(spell(reverse_complement(number(b"CCTCCC").unwrap(), 6), 6), "GGGAGG");
/// ```
pub fn reverse_complement(number: usize, k: usize) -> usize {
    (0..k).fold(0, |reversed, digit| reversed << 2 | ((number >> (2 * digit) & 3) ^ 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::{Tokenizer, TokenizerConfig};

    #[test]
    fn a_number_is_the_id_of_the_token_less_the_specials() {
        let tokenizer = Tokenizer::new(TokenizerConfig { k: 5, ..TokenizerConfig::default() }).unwrap();
        for (at, token) in tokenizer.vocab_tokens().skip(5).enumerate() {
            assert_eq!(number(token.as_bytes()), Some(at));
            assert_eq!(spell(at, 5), token);
        }
    }

    #[test]
    fn the_other_strand_of_the_other_strand_is_the_kmer() {
        for k in [1, 2, 5, 10] {
            for word in 0..1usize << (2 * k) {
                assert_eq!(reverse_complement(reverse_complement(word, k), k), word);
            }
        }
        assert_eq!(reverse_complement(number(b"TATA").unwrap(), 4), number(b"TATA").unwrap());
    }

    #[test]
    fn what_is_no_kmer_has_no_number() {
        for text in [&b""[..], b"ACG ", b"AC-G", b"ACGX", b"\xff", &[b'A'; 32]] {
            assert_eq!(number(text), None, "{text:?}");
        }
    }
}
