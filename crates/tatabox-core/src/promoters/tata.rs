//! Which promoters have a TATA box.
//!
//! EPDnew's BED files do not say it (their fourth column is the gene's name), so it is looked for.

use std::ops::RangeInclusive;

use crate::seq::LETTERS;

/// What is looked for, in DNA letters.
pub const CONSENSUS: [&str; 2] = ["TATAA", "TATATA"];

/// Where it may begin, in bases from the TSS at 0.
pub const STARTS: RangeInclusive<i64> = -38..=-22;

/// Whether a window, whose base `tss` is the start site, has a TATA box: one of [`CONSENSUS`] that begins at one of [`STARTS`].
///
/// # Examples
/// ```
/// use tatabox_core::promoters::has_tata;
/// use tatabox_core::seq::Sequence;
/// let (promoter, _) = Sequence::parse(b"GGGGGTATAAAAGGGGGGGGGGGGGGGGGGGGGGGGAGGG")?;
/// assert!(has_tata(&promoter.codes, 36)); // TATAA begins at -31
/// assert!(!has_tata(&promoter.codes, 12)); // and here at -7
/// # Ok::<(), tatabox_core::Error>(())
/// ```
pub fn has_tata(codes: &[u8], tss: usize) -> bool {
    let starts = STARTS.filter_map(|at| usize::try_from(tss as i64 + at).ok());
    let begins = |at: usize, word: &str| {
        codes.get(at..at + word.len()).is_some_and(|codes| {
            codes.iter().zip(word.bytes()).all(|(&code, letter)| LETTERS[usize::from(code)] == letter)
        })
    };
    starts.into_iter().any(|at| CONSENSUS.iter().any(|word| begins(at, word)))
}
