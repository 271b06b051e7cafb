//! How much two score tables agree.

use std::collections::BTreeSet;

use serde::Serialize;

use super::PmiTable;
use crate::error::{Error, Result};

/// How two tables of one length agree.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Bases in a k-mer.
    pub k: usize,
    /// k-mers with a rank in both.
    pub kmers: usize,
    /// k-mers with a rank in the first only, and in the second only.
    pub only: [usize; 2],
    /// The rank correlation (Spearman) over the k-mers with a rank in both.
    pub spearman: f64,
    /// The largest difference of PMI over these, nats.
    pub largest_pmi_difference: f64,
    /// How many of the best are the same.
    pub best: Vec<Overlap>,
}

/// How many of the best k-mers two tables share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Overlap {
    /// So many of the best of each.
    pub of: usize,
    /// Those that are in both.
    pub shared: usize,
}

impl PmiTable {
    /// Compares the ranks of two tables; `best` says for how many of the best the overlap is asked: each at most the number of ranks in the shorter table,
    /// and each once.
    ///
    /// # Errors
    /// [`Error::Data`] where the lengths differ, or fewer than two k-mers have a rank in both.
    pub fn compare(&self, other: &PmiTable, best: &[usize]) -> Result<Comparison> {
        if self.k() != other.k() {
            return Err(Error::Data {
                what: format!("one table has scores of {}-mers, the other of {}-mers", self.k(), other.k()),
                hint: "score both with the same `-k`".into(),
            });
        }
        let pairs = || self.rows().iter().filter_map(|row| Some((row, other.row(row.kmer)?)));
        let kmers = pairs().count();
        if kmers < 2 {
            let what = format!("{kmers} k-mers have a rank in both tables; a correlation needs two");
            return Err(Error::Data { what, hint: "score with a lower `--min-count`".into() });
        }
        // Ranks among the k-mers of both, from 0: there are no ties.
        let mut theirs: Vec<(u32, usize)> = pairs().map(|(_, row)| row.rank).zip(0..).collect();
        theirs.sort_unstable();
        let squares: f64 =
            theirs.iter().zip(0usize..).map(|(&(_, ours), rank)| (ours.abs_diff(rank) as f64).powi(2)).sum();
        let n = kmers as f64;
        let shorter = self.rows().len().min(other.rows().len());
        let overlap = |of: usize| {
            let among = |row: &&super::PmiRow| other.rank(row.kmer).is_some_and(|rank| rank as usize <= of);
            Overlap { of, shared: self.rows()[..of].iter().filter(among).count() }
        };
        Ok(Comparison {
            k: self.k(),
            kmers,
            only: [self.rows().len() - kmers, other.rows().len() - kmers],
            spearman: 1.0 - 6.0 * squares / (n * (n * n - 1.0)),
            largest_pmi_difference: pairs().map(|(ours, theirs)| (ours.pmi - theirs.pmi).abs()).fold(0.0, f64::max),
            best: best.iter().map(|&of| of.min(shorter)).collect::<BTreeSet<_>>().into_iter().map(overlap).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::Score;
    use super::*;

    /// A table of single bases and pairs with these scores; none is no rank.
    fn table(scores: &[Option<f64>]) -> PmiTable {
        let mut all = vec![None; 16];
        all[..scores.len()].copy_from_slice(scores);
        PmiTable::ranked(
            2,
            vec![5; 16],
            all.into_iter().map(|npmi| npmi.map(|npmi| Score { pmi: 2.0 * npmi, npmi })).collect(),
        )
    }

    #[test]
    fn equals_what_is_known_by_hand() {
        let left = table(&[Some(5.0), Some(4.0), Some(3.0), Some(2.0), Some(1.0)]);
        let right = table(&[Some(4.0), Some(5.0), Some(3.0), None, Some(1.0), Some(9.0)]);
        let found = left.compare(&right, &[3, 1, 2, 100, 3, 200]).unwrap();
        // In both: 0, 1, 2, 4, ranked 1 2 3 4 and 2 1 3 4: rho = 1 - 6 * 2 / (4 * 15).
        assert_eq!((found.kmers, found.only), (4, [1, 1]));
        assert!((found.spearman - 0.8).abs() < 1e-12);
        assert_eq!(found.largest_pmi_difference, 2.0);
        let shared: Vec<(usize, usize)> = found.best.iter().map(|overlap| (overlap.of, overlap.shared)).collect();
        assert_eq!(shared, [(1, 0), (2, 1), (3, 2), (5, 4)]);
    }

    #[test]
    fn a_table_agrees_with_itself_and_is_the_opposite_of_its_reverse() {
        let scores: Vec<Option<f64>> = (0..16).map(|kmer| Some(f64::from(kmer))).collect();
        let reversed: Vec<Option<f64>> = scores.iter().rev().copied().collect();
        let (one, other) = (table(&scores), table(&reversed));
        assert_eq!(one.compare(&one, &[4]).unwrap().spearman, 1.0);
        assert_eq!(one.compare(&other, &[4]).unwrap().spearman, -1.0);
    }

    #[test]
    fn tables_that_cannot_be_compared_say_why() {
        let three = PmiTable::ranked(3, vec![1; 64], vec![Some(Score { pmi: 0.0, npmi: 0.0 }); 64]);
        let two = table(&[Some(1.0), Some(2.0)]);
        assert!(two.compare(&three, &[]).unwrap_err().to_string().contains("2-mers, the other of 3-mers"));
        let apart = table(&[None, Some(1.0), Some(2.0)]);
        assert!(two.compare(&apart, &[]).unwrap_err().to_string().starts_with("1 k-mers"));
    }
}
