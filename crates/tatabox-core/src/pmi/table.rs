//! Scores and ranks of k-mers.

use crate::rng::{Purpose, SeededRng};

/// The scores of one k-mer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Score {
    pub pmi: f64,
    pub npmi: f64,
}

/// A k-mer that has a rank.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PmiRow {
    /// Its [number](crate::count::kmer::number).
    pub kmer: usize,
    /// How often it was seen.
    pub count: u64,
    /// Equation 1 (or what the scorer has in its place), nats.
    pub pmi: f64,
    /// Equation 2, nats; what the rank is by.
    pub npmi: f64,
    /// 1 is the best.
    pub rank: u32,
}

/// The k-mers of one length with their scores and ranks.
#[derive(Clone, Debug, PartialEq)]
pub struct PmiTable {
    k: usize,
    /// `[4^k]`, also of k-mers without a rank.
    counts: Vec<u64>,
    /// The best first: rank r at place r - 1.
    rows: Vec<PmiRow>,
    /// `[4^k]`, 0 where there is no rank.
    ranks: Vec<u32>,
}

impl PmiTable {
    /// Ranks scored k-mers, `[4^k]`.
    pub(super) fn ranked(k: usize, counts: Vec<u64>, scores: Vec<Option<Score>>) -> Self {
        let scored = scores.into_iter().enumerate().filter_map(|(kmer, score)| Some((kmer, score?)));
        let mut rows: Vec<PmiRow> = scored
            .map(|(kmer, Score { pmi, npmi })| PmiRow { kmer, count: counts[kmer], pmi, npmi, rank: 0 })
            .collect();
        rows.sort_by(|a, b| b.npmi.total_cmp(&a.npmi).then(b.count.cmp(&a.count)).then(a.kmer.cmp(&b.kmer)));
        rows.iter_mut().zip(1..).for_each(|(row, rank)| row.rank = rank);
        Self::new(k, counts, rows)
    }

    /// A table of rows that have their ranks, the best first.
    pub(super) fn new(k: usize, counts: Vec<u64>, rows: Vec<PmiRow>) -> Self {
        let mut ranks = vec![0; counts.len()];
        rows.iter().for_each(|row| ranks[row.kmer] = row.rank);
        Self { k, counts, rows, ranks }
    }

    /// Bases in a k-mer.
    pub fn k(&self) -> usize {
        self.k
    }

    /// The k-mers that have a rank, the best first: rank r at place r - 1.
    pub fn rows(&self) -> &[PmiRow] {
        &self.rows
    }

    /// The rank of a k-mer, 1 the best; none where it was not seen often enough, or is no k-mer of this length.
    pub fn rank(&self, kmer: usize) -> Option<u32> {
        self.ranks.get(kmer).copied().filter(|&rank| rank > 0)
    }

    /// The scores and rank of a k-mer that has a rank.
    pub fn row(&self, kmer: usize) -> Option<&PmiRow> {
        self.rank(kmer).map(|rank| &self.rows[rank as usize - 1])
    }

    /// How often each k-mer was seen, `[4^k]`, also those without a rank.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// A control: the same scores and ranks, shuffled over the k-mers that have one. Counts stay with their k-mers.
    pub fn permuted(&self, seed: u64) -> Self {
        let mut rng = SeededRng::new(seed, Purpose::Permute, 0, 0);
        let mut kmers: Vec<usize> = self.rows.iter().map(|row| row.kmer).collect();
        kmers.sort_unstable();
        for left in (1..kmers.len()).rev() {
            kmers.swap(left, rng.below(left as u64 + 1) as usize);
        }
        let rows = self.rows.iter().zip(kmers);
        let rows = rows.map(|(row, kmer)| PmiRow { kmer, count: self.counts[kmer], ..*row }).collect();
        Self::new(self.k, self.counts.clone(), rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> PmiTable {
        let scores =
            |kmer: usize| (!kmer.is_multiple_of(5)).then_some(Score { pmi: kmer as f64, npmi: (kmer / 2) as f64 });
        PmiTable::ranked(3, (0..64).map(|kmer| 1000 - (kmer as u64 % 2)).collect(), (0..64).map(scores).collect())
    }

    #[test]
    fn of_equal_scores_the_more_frequent_is_better_then_the_smaller_number() {
        let table = table();
        // 62 and 63 have one score; 62 was seen more often.
        assert_eq!((table.rank(62), table.rank(63), table.rank(61)), (Some(1), Some(2), Some(3)));
        let score = Some(Score { pmi: 1.0, npmi: 1.0 });
        let equal = PmiTable::ranked(1, vec![7; 4], vec![score; 4]);
        assert_eq!((0..4).map(|kmer| equal.rank(kmer).unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4]);
    }

    #[test]
    fn a_kmer_without_a_score_has_no_rank() {
        let table = table();
        assert_eq!((table.rank(5), table.row(5), table.rank(64), table.rows().len()), (None, None, None, 51));
        assert!(table.rows().iter().zip(1..).all(|(row, rank)| row.rank == rank && table.rank(row.kmer) == Some(rank)));
    }

    #[test]
    fn shuffling_keeps_the_scores_and_who_has_one() {
        let table = table();
        let shuffled = table.permuted(1);
        let kmers = |table: &PmiTable| {
            let mut kmers: Vec<usize> = table.rows().iter().map(|row| row.kmer).collect();
            kmers.sort_unstable();
            kmers
        };
        let scores =
            |table: &PmiTable| table.rows().iter().map(|row| (row.pmi, row.npmi, row.rank)).collect::<Vec<_>>();
        assert_eq!((kmers(&shuffled), scores(&shuffled)), (kmers(&table), scores(&table)));
        assert!(shuffled.rows().iter().all(|row| row.count == table.counts()[row.kmer]));
        assert_eq!(shuffled, table.permuted(1));
        assert_ne!(shuffled, table.permuted(2));
        let moved = shuffled.rows().iter().zip(table.rows()).filter(|(new, old)| new.kmer != old.kmer).count();
        assert!(moved > 40, "{moved} of 51 moved");
    }
}
