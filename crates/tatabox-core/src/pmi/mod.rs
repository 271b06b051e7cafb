//! Pointwise mutual information of k-mers: which of them hold together more than their parts would by chance, and their ranks.
//!
//! A k-mer w that was seen f times among all N_k k-mers has p(w) = f / N_k. Its parts are a segmentation: w cut in any way into two or more pieces. Then
//!
//! ```text
//! PMI(w)  = min over all segmentations of  ln ( p(w) / product of p(piece) )          Equation 1
//! NPMI(w) = PMI(w) * ln f / (ln c + ln f)                                             Equation 2
//! ```
//!
//! (Equations of "PMI-guided masking", section 4.1, after Levine et al., 2021.) k-mers with f < c have no rank; rank 1 has the highest NPMI. The program that
//! came with the paper computes something else, so there is more than one [`Scorer`].

mod compare;
mod file;
mod motif;
mod score;
mod segmentation;
mod table;

use serde::{Deserialize, Serialize};

use crate::names::named;
pub use compare::{Comparison, Overlap};
pub use file::is_table;
pub(crate) use file::{HEADER, length_of_all, score_rows};
pub use motif::{MotifKmer, MotifRanks, Rule};
pub use table::{PmiRow, PmiTable};

/// The lengths that can be scored: one base has no parts.
pub const LENGTHS: std::ops::RangeInclusive<usize> = 2..=crate::count::LONGEST;

/// The threshold c of the paper (section 4.1).
pub const PAPER_THRESHOLD: u64 = 101;

/// How a k-mer is scored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Scorer {
    /// Equations 1 and 2 as they are printed: pieces of any length, p over all words of the piece's own length. Needs the counts of all lengths up to k.
    #[default]
    Eq1,
    /// What the published ranks were computed with: pieces of one or two bases, and one total for words of every length, that of all single bases and pairs
    /// together. So every piece but one adds ln 2 that Equation 1 does not have. Needs the counts of lengths 1, 2 and k.
    GenemaskRelease,
    /// As the lists that came with PMI-masking for text: p(w) squared in the numerator of Equation 1, ranked by that alone, without Equation 2 (which would
    /// move frequent words down where PMI is negative, and with p squared it nearly always is); NPMI repeats PMI. Needs the counts of all lengths up to k.
    Ai21,
}
named!(Scorer, "mask.scorer", Eq1 = "eq1", GenemaskRelease = "genemask-release", Ai21 = "ai21");

/// The threshold c of Equation 2: how often a k-mer must be seen to have a rank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Threshold {
    /// The paper's 101, or the first quartile where that is less (a small genome, or a long k).
    #[default]
    Default,
    /// The first quartile of the counts of the k-mers that occur: a quarter of them, or fewer, have less.
    FirstQuartile,
    /// A count, at least 1.
    Count(u64),
}

impl Threshold {
    /// The threshold as a count, for the counts of all k-mers, `[4^k]`.
    pub fn least(self, counts: &[u64]) -> u64 {
        let mut seen: Vec<u64> = counts.iter().copied().filter(|&count| count > 0).collect();
        let quartile = |seen: &mut Vec<u64>| {
            let at = seen.len() / 4;
            if seen.is_empty() { 1 } else { *seen.select_nth_unstable(at).1 }
        };
        match self {
            Threshold::Count(count) => count,
            Threshold::FirstQuartile => quartile(&mut seen),
            Threshold::Default => quartile(&mut seen).min(PAPER_THRESHOLD),
        }
    }
}
