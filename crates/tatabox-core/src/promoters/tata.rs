//! Which promoters have a TATA box.
//!
//! EPDnew's BED files do not say it (their fourth column is the gene's name), so it is looked for with Bucher's matrix (1990; JASPAR MA0108.2). The threshold
//! was chosen on GUE, whose promoters are divided by EPDnew: on the dev files of `prom_300_tata` and `prom_300_notata` it finds 98 % of the positives of the
//! first and 2 % of those of the second.

use std::ops::RangeInclusive;

/// The matrix by its name.
pub const MATRIX: &str = "JASPAR MA0108.2";

/// Where it may begin, in bases from the TSS at 0; its T of TATA is one base behind.
pub const STARTS: RangeInclusive<i64> = -39..=-22;

/// The least score, in nats over bases that are all equally likely.
pub const LEAST: f64 = 3.0;

/// How often each base was seen at each place, in the order A, T, C, G.
const COUNTS: [[f64; 4]; 15] = [
    [61.0, 31.0, 145.0, 152.0],
    [16.0, 309.0, 46.0, 18.0],
    [352.0, 35.0, 0.0, 2.0],
    [3.0, 374.0, 10.0, 2.0],
    [354.0, 30.0, 0.0, 5.0],
    [268.0, 121.0, 0.0, 0.0],
    [360.0, 6.0, 3.0, 20.0],
    [222.0, 121.0, 2.0, 44.0],
    [155.0, 33.0, 44.0, 157.0],
    [56.0, 48.0, 135.0, 150.0],
    [83.0, 31.0, 147.0, 128.0],
    [82.0, 52.0, 127.0, 128.0],
    [82.0, 61.0, 118.0, 128.0],
    [68.0, 75.0, 107.0, 139.0],
    [77.0, 71.0, 101.0, 140.0],
];

/// Sequences behind the counts.
const SEEN: f64 = 389.0;

/// Share of each base that is added, so that a base that was never seen is only unlikely.
const ADDED: f64 = 0.01;

/// Whether a stretch of bases, whose base `tss` is the start site, has a TATA box: the matrix scores [`LEAST`] or more at one of [`STARTS`].
///
/// # Examples
/// ```
/// use tatabox_core::promoters::has_tata;
/// use tatabox_core::seq::Sequence;
/// let (promoter, _) = Sequence::parse(b"GGGCGTATAAAAGGCGGCGGGGCCGCCGCGGCGGCGAGGG")?;
/// assert!(has_tata(&promoter.codes, 36)); // TATAAAA begins at -31
/// assert!(!has_tata(&promoter.codes, 20)); // and here at -15
/// # Ok::<(), tatabox_core::Error>(())
/// ```
pub fn has_tata(codes: &[u8], tss: usize) -> bool {
    let starts = STARTS.filter_map(|at| usize::try_from(tss as i64 + at).ok());
    starts.filter_map(|at| codes.get(at..at + COUNTS.len())).any(|codes| score(codes) >= LEAST)
}

/// The log odds of the matrix; a base that is not known counts as one that was never seen.
fn score(codes: &[u8]) -> f64 {
    let odds = |(&code, counts): (&u8, &[f64; 4])| {
        let count = counts.get(usize::from(code)).copied().unwrap_or(0.0);
        ((count / SEEN + ADDED) / (1.0 + 4.0 * ADDED) / 0.25).ln()
    };
    codes.iter().zip(&COUNTS).map(odds).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_counts_all_sequences() {
        assert!(COUNTS.iter().all(|counts| counts.iter().sum::<f64>() == SEEN));
    }
}
