//! From counts to scores.

use super::segmentation::best;
use super::table::Score;
use super::{LENGTHS, PmiTable, Scorer, Threshold};
use crate::count::{KmerCounts, kmer};
use crate::error::{Error, Result};
use crate::words::counted;

impl PmiTable {
    /// Scores the k-mers that were seen often enough.
    ///
    /// Scores are rounded to nine decimals, below which the order of a sum of logarithms shows. Of k-mers with one score the more frequent has the better
    /// rank, then the one with the smaller number.
    ///
    /// # Errors
    /// [`Error::Value`] where k is not of [`LENGTHS`] or the threshold is 0; [`Error::Data`] where a length is missing that the scorer needs, where a k-mer was
    /// seen more often than a part of it, or where no k-mer was seen often enough.
    ///
    /// # Examples
    /// ```
    /// use tatabox_core::count::{Strands, count_sequences, kmer};
    /// use tatabox_core::pmi::{PmiTable, Scorer, Threshold};
    /// let codes = [0, 1, 0, 1, 2, 3, 0, 1, 2, 0, 1]; // ATATCGATCAT
    /// let counts = count_sequences(&[&codes], 1..=2, Strands::Forward)?;
    /// let table = PmiTable::score(&counts, 2, Scorer::Eq1, Threshold::Count(2))?;
    /// let best = &table.rows()[0];
    /// assert_eq!((kmer::spell(best.kmer, 2).as_str(), best.count, best.rank), ("AT", 4, 1));
    /// assert!((best.pmi - (0.4f64 / (4.0 / 11.0 * 4.0 / 11.0)).ln()).abs() < 1e-9);
    /// assert_eq!(table.rank(kmer::number(b"CG").unwrap()), None); // seen once
    /// # Ok::<(), tatabox_core::Error>(())
    /// ```
    pub fn score(counts: &KmerCounts, k: usize, scorer: Scorer, threshold: Threshold) -> Result<Self> {
        if !LENGTHS.contains(&k) {
            return Err(Error::Value {
                key: "k".into(),
                got: k.to_string(),
                expected: format!("k-mers of {} to {} bases are scored", LENGTHS.start(), LENGTHS.end()),
                hint: "6 is the paper's".into(),
            });
        }
        if threshold == Threshold::Count(0) {
            return Err(Error::Value {
                key: "min-count".into(),
                got: "0".into(),
                expected: "a k-mer that was never seen has no score".into(),
                hint: "give 1 or more".into(),
            });
        }
        let longest_piece = if scorer == Scorer::GenemaskRelease { 2.min(k - 1) } else { k - 1 };
        let tables = needed(counts, k, longest_piece, scorer)?;
        let (words, shorter) = tables.split_last().expect("the k-mers are there");
        agree(words, shorter, k)?;

        let totals: Vec<f64> = tables.iter().map(|table| table.iter().sum::<u64>() as f64).collect();
        let release = scorer == Scorer::GenemaskRelease;
        // The program's total is over the words of its vocabulary of pieces, whatever their length.
        let pairs = counts.of(2).map_or(0, |table| table.iter().sum::<u64>()) as f64;
        let total = |at: usize| (if release { totals[0] + pairs } else { totals[at] }).ln();
        let logs = |at: usize| tables[at].iter().map(|&count| (count as f64).ln() - total(at)).collect::<Vec<f64>>();
        let pieces: Vec<Vec<f64>> = (0..longest_piece).map(logs).collect();
        let whole = logs(tables.len() - 1);
        let best = best(&pieces, k);

        let least = least(words, k, threshold)?;
        let scores = (words.iter().zip(whole).zip(best))
            .map(|((&count, whole), best)| {
                (count >= least).then(|| match scorer {
                    Scorer::Eq1 | Scorer::GenemaskRelease => {
                        let pmi = whole - best;
                        Score { pmi: rounded(pmi), npmi: rounded(pmi * discount(count, least)) }
                    }
                    Scorer::Ai21 => {
                        let pmi = rounded(2.0 * whole - best);
                        Score { pmi, npmi: pmi }
                    }
                })
            })
            .collect();
        Ok(Self::ranked(k, words.to_vec(), scores))
    }
}

/// The tables of the pieces' lengths, and last that of the k-mers.
fn needed(counts: &KmerCounts, k: usize, longest_piece: usize, scorer: Scorer) -> Result<Vec<&[u64]>> {
    let lengths: Vec<usize> = (1..=longest_piece).chain([k]).collect();
    let missing: Vec<String> =
        lengths.iter().filter(|&&length| counts.of(length).is_none()).map(usize::to_string).collect();
    if missing.is_empty() {
        return Ok(lengths.iter().filter_map(|&length| counts.of(length)).collect());
    }
    let all: Vec<String> = lengths.iter().map(usize::to_string).collect();
    Err(Error::Data {
        what: format!(
            "`{scorer}` scores {k}-mers by the counts of lengths {}, but there are none of length {}",
            all.join(", "),
            missing.join(", ")
        ),
        hint: format!("count all of them: `tatabox count genome.fa -k 1..{k} -o counts.tsv`"),
    })
}

/// Refuses counts that cannot be of one text: where a k-mer stands, all its parts stand too.
fn agree(words: &[u64], shorter: &[&[u64]], k: usize) -> Result<()> {
    for (length, table) in (1..).zip(shorter) {
        for (word, &count) in words.iter().enumerate() {
            for behind in 0..=k - length {
                let part = (word >> (2 * behind)) & (table.len() - 1);
                if count > table[part] {
                    let (word, part_word) = (kmer::spell(word, k), kmer::spell(part, length));
                    return Err(Error::Data {
                        what: format!(
                            "the counts contradict each other: {word} {count} times, its part {part_word} {}",
                            table[part]
                        ),
                        hint: "count all lengths on the same genome and the same strands: `tatabox count`".into(),
                    });
                }
            }
        }
    }
    Ok(())
}

/// The threshold c, which some k-mer reaches.
fn least(words: &[u64], k: usize, threshold: Threshold) -> Result<u64> {
    let most = words.iter().max().copied().unwrap_or(0);
    if most == 0 {
        return Err(Error::Data {
            what: format!("no {k}-mer occurs in what was counted"),
            hint: format!("give a genome with {k} known bases or more side by side, or the counts of one"),
        });
    }
    let least = threshold.least(words);
    if most >= least {
        return Ok(least);
    }
    Err(Error::Data {
        what: format!(
            "no {k}-mer was seen {}; the most frequent one was seen {}",
            counted(least, "time"),
            counted(most, "time")
        ),
        hint: "lower `--min-count`, or leave it away".into(),
    })
}

/// The factor of Equation 2.
fn discount(count: u64, least: u64) -> f64 {
    // With c = 1 there is nothing to discount, not even a k-mer that was seen once (0 / 0).
    if least == 1 { 1.0 } else { (count as f64).ln() / ((least as f64).ln() + (count as f64).ln()) }
}

fn rounded(score: f64) -> f64 {
    // Adding 0 turns -0 into 0.
    (score * 1e9).round() / 1e9 + 0.0
}

#[cfg(test)]
mod tests;
