//! Nearly equal sequences: windows shifted against each other, or changed in a few bases, on either strand.
//!
//! Two sequences are nearly equal if they share at least [`NEAR`] of the distinct k-mers of the one that has fewer (strands joined; k is 16, or 12 where half
//! of the sequences are shorter than 100 bases). Candidates are found by the k-mers whose hash is small, so that about 64 a sequence are looked up
//! (Broder 1997), and then compared exactly. k-mers that more than 256 sequences have are repeats and point nowhere.

use std::collections::HashMap;
use std::collections::HashSet;

use rayon::prelude::*;

use crate::labelled::Labelled;
use crate::seq::UNKNOWN;

/// The share of k-mers from which two sequences are nearly equal: two windows of 300 bases that overlap by more than 157.
pub const NEAR: f64 = 0.5;

/// k-mers of more sequences point nowhere.
const COMMON: usize = 256;

/// k-mers that are looked up a sequence, about.
const LOOKED_UP: usize = 64;

/// The parts that each sequence has a nearly equal one in.
pub(super) struct Index {
    k: usize,
    /// `[parts][sequences][parts]`
    has: Vec<Vec<Vec<bool>>>,
}

impl Index {
    /// Compares all sequences of all parts. Of pairs, both sequences count as one.
    pub fn of(data: &Labelled) -> Index {
        let mut lengths: Vec<usize> = data.examples().map(|one| one.codes.len()).collect();
        lengths.sort_unstable();
        let median = lengths.get(lengths.len() / 2).copied().unwrap_or(0);
        let k = if median < 100 { 12 } else { 16 };
        let one_of = (median / LOOKED_UP).max(1) as u64;
        let places: Vec<(usize, usize)> = (data.splits.iter().enumerate())
            .flat_map(|(part, split)| (0..split.examples.len()).map(move |at| (part, at)))
            .collect();
        let sets: Vec<Vec<u64>> = places
            .par_iter()
            .map(|&(part, at)| {
                let example = &data.splits[part].examples[at];
                let mut all = kmers(&example.codes, k);
                example.second.iter().for_each(|codes| all.extend(kmers(codes, k)));
                all.sort_unstable();
                all.dedup();
                all
            })
            .collect();
        let chosen = |&&kmer: &&u64| mixed(kmer).is_multiple_of(one_of);
        let mut having: HashMap<u64, Vec<u32>> = HashMap::new();
        for (at, set) in sets.iter().enumerate() {
            set.iter().filter(chosen).for_each(|&kmer| having.entry(kmer).or_default().push(at as u32));
        }
        let parts = data.splits.len();
        let rows: Vec<Vec<bool>> = (0..places.len())
            .into_par_iter()
            .map(|at| {
                let mut row = vec![false; parts];
                let mut tried = HashSet::new();
                for others in sets[at].iter().filter(chosen).filter_map(|kmer| having.get(kmer)) {
                    if others.len() > COMMON {
                        continue;
                    }
                    for &other in others {
                        let other = other as usize;
                        let part = places[other].0;
                        if other != at && !row[part] && tried.insert(other) {
                            row[part] = near(&sets[at], &sets[other]);
                        }
                    }
                }
                row
            })
            .collect();
        let mut has: Vec<Vec<Vec<bool>>> = vec![Vec::new(); parts];
        places.iter().zip(rows).for_each(|(&(part, _), row)| has[part].push(row));
        Index { k, has }
    }

    /// Bases of the k-mers.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Whether a sequence has a nearly equal one, other than itself, in a part.
    pub fn has(&self, part: usize, at: usize, other: usize) -> bool {
        self.has[part][at][other]
    }
}

/// Whether two sorted sets share enough.
fn near(one: &[u64], other: &[u64]) -> bool {
    let (mut left, mut right, mut shared) = (0, 0, 0usize);
    while left < one.len() && right < other.len() {
        let (a, b) = (one[left], other[right]);
        shared += usize::from(a == b);
        left += usize::from(a <= b);
        right += usize::from(b <= a);
    }
    let fewer = one.len().min(other.len());
    fewer > 0 && shared as f64 >= NEAR * fewer as f64
}

/// The k-mers of a sequence, each as the smaller of itself and its reverse complement.
fn kmers(codes: &[u8], k: usize) -> Vec<u64> {
    let mask = (1u64 << (2 * k)) - 1;
    let (mut forward, mut backward, mut known) = (0u64, 0u64, 0usize);
    let mut found = Vec::with_capacity(codes.len());
    for &code in codes {
        known = if code < UNKNOWN { known + 1 } else { 0 };
        let code = u64::from(code & 3);
        forward = (forward << 2 | code) & mask;
        // The complement is the code with its lowest bit flipped.
        backward = backward >> 2 | (code ^ 1) << (2 * (k - 1));
        if known >= k {
            found.push(forward.min(backward));
        }
    }
    found
}

/// Steele, Lea and Flood's finaliser (2014): neighbours become strangers.
fn mixed(kmer: u64) -> u64 {
    let mut bits = kmer.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_strands_have_the_same_kmers() {
        let codes: Vec<u8> = (0..60u32).map(|at| (at * at % 7 % 4) as u8).collect();
        let mut turned = codes.clone();
        crate::seq::reverse_complement(&mut turned);
        let sorted = |codes: &[u8]| {
            let mut all = kmers(codes, 12);
            all.sort_unstable();
            all
        };
        assert_eq!(sorted(&codes), sorted(&turned));
        assert_eq!(kmers(&[0; 20], 16).len(), 5);
        assert!(kmers(&[0, 1, UNKNOWN, 2], 2).len() == 1);
    }
}
