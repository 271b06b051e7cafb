//! Counts of all k-mers of some lengths.

use std::ops::RangeInclusive;

use super::kmer::reverse_complement;
use super::{LONGEST, Strands};

/// How often each k-mer occurs, dense tables for some lengths within 1..=10. The place of a k-mer is its [number](super::kmer::number).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KmerCounts {
    /// `[4^k]` at place k - 1, empty where k was not counted.
    tables: [Vec<u64>; LONGEST],
}

impl KmerCounts {
    /// The counts of the k-mers of one length, `[4^k]`; none where it was not counted.
    pub fn of(&self, k: usize) -> Option<&[u64]> {
        self.tables.get(k.checked_sub(1)?).map(Vec::as_slice).filter(|table| !table.is_empty())
    }

    /// The lengths that were counted, increasing.
    pub fn lengths(&self) -> impl Iterator<Item = usize> + '_ {
        (1..=LONGEST).filter(|&k| self.of(k).is_some())
    }

    /// Why the counts may not be all those of one text, in words; none where the totals of the lengths fit together.
    ///
    /// A stretch without N has one k-mer less than it has (k-1)-mers. So with each length the total falls by the number of stretches that are as long, and never
    /// by more than with the length before. Where nothing is before, half of it may be gone.
    pub fn doubt(&self) -> Option<String> {
        let totals: Vec<(usize, u64)> =
            self.lengths().map(|k| (k, self.of(k).unwrap_or_default().iter().sum())).collect();
        let mut before = None;
        for pair in totals.windows(2) {
            let [(k, all), (longer, fewer)] = [pair[0], pair[1]];
            let fall = (all as f64 - fewer as f64) / (longer - k) as f64;
            if fall < 0.0 || fall > before.unwrap_or(f64::INFINITY) || before.is_none() && fewer < all / 2 {
                return Some(format!(
                    "the counts do not fit together: {all} {k}-mers in all, but {fewer} {longer}-mers; some are left out, or the lengths were counted on \
                     different genomes (`tatabox count genome.fa -k 1..{LONGEST} -o counts.tsv` counts all of them)"
                ));
            }
            before = Some(fall);
        }
        None
    }

    /// Sets the counts of one length, `[4^k]`.
    pub(crate) fn set(&mut self, k: usize, table: Vec<u64>) {
        debug_assert_eq!(table.len(), 1 << (2 * k));
        self.tables[k - 1] = table;
    }

    /// All tables from the one of the longest length that was scanned, and the last bases of each stretch: their number, and how many they are, up to
    /// `scanned - 1`.
    pub(super) fn from_longest(
        scanned: usize,
        sums: Vec<u64>,
        ends: impl Iterator<Item = (usize, usize)>,
        lengths: RangeInclusive<usize>,
        strands: Strands,
    ) -> Self {
        let mut counts = Self::default();
        for k in 1..scanned {
            counts.set(k, vec![0; 1 << (2 * k)]);
        }
        for (number, bases) in ends {
            for k in 1..=bases {
                counts.tables[k - 1][number & ((1 << (2 * k)) - 1)] += 1;
            }
        }
        counts.set(scanned, sums);
        for k in (1..scanned).rev() {
            let (shorter, longer) = counts.tables.split_at_mut(k);
            for (count, extensions) in shorter[k - 1].iter_mut().zip(longer[0].chunks_exact(4)) {
                *count += extensions.iter().sum::<u64>();
            }
        }
        for (place, table) in counts.tables.iter_mut().enumerate() {
            if !lengths.contains(&(place + 1)) {
                *table = Vec::new();
            } else if strands == Strands::Both {
                *table = both_strands(table, place + 1);
            }
        }
        counts
    }
}

/// What counting the other strand too would give.
pub(super) fn both_strands(forward: &[u64], k: usize) -> Vec<u64> {
    forward.iter().enumerate().map(|(number, count)| count + forward[reverse_complement(number, k)]).collect()
}
