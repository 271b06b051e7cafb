//! Counts of k-mers, filled stretch by stretch.

/// How often each k-mer was seen; its index is its base-4 number, the first base the highest digit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KmerCounts {
    k: usize,
    counts: Vec<u64>,
}

impl KmerCounts {
    /// Zeros for all k-mers; k is at most 12.
    pub fn new(k: usize) -> Self {
        debug_assert!((1..=12).contains(&k));
        Self { k, counts: vec![0; 1 << (2 * k)] }
    }

    /// Bases in a k-mer.
    pub fn k(&self) -> usize {
        self.k
    }

    /// The counts, `[4^k]`.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Counts the k-mers of a stretch of base codes, those over a code above 3 left out.
    pub fn observe(&mut self, codes: &[u8]) {
        let keep = self.counts.len() - 1;
        let (mut number, mut known) = (0usize, 0);
        for &code in codes {
            number = (number << 2 | usize::from(code & 3)) & keep;
            known = if code < 4 { known + 1 } else { 0 };
            if known >= self.k {
                self.counts[number] += 1;
            }
        }
    }

    /// Adds to each k-mer the count of its reverse complement: what counting the other strand too would give.
    pub fn add_reverse_complement(&mut self) {
        let forward = self.counts.clone();
        for (number, count) in forward.into_iter().enumerate() {
            self.counts[reverse_complement(number, self.k)] += count;
        }
    }
}

/// The number of the reverse complement; the complement of a digit differs in its lowest bit.
fn reverse_complement(number: usize, k: usize) -> usize {
    (0..k).fold(0, |reversed, digit| reversed << 2 | ((number >> (2 * digit) & 3) ^ 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_neither_over_unknown_bases_nor_across_stretches() {
        let mut counts = KmerCounts::new(2);
        counts.observe(&[0, 0, 1, 4, 0]);
        counts.observe(&[1, 1]);
        let seen: Vec<(usize, u64)> =
            counts.counts().iter().copied().enumerate().filter(|&(_, count)| count > 0).collect();
        assert_eq!(seen, [(0, 1), (1, 1), (5, 1)]); // AA, AT, TT
    }

    #[test]
    fn the_other_strand_is_what_counting_it_gives() {
        let codes = [0, 2, 3, 1, 1, 0, 4, 2, 2, 3, 0, 1, 3];
        let other: Vec<u8> = codes.iter().rev().map(|&code| if code < 4 { code ^ 1 } else { 4 }).collect();
        let mut folded = KmerCounts::new(3);
        folded.observe(&codes);
        folded.add_reverse_complement();
        let mut both = KmerCounts::new(3);
        both.observe(&codes);
        both.observe(&other);
        assert_eq!(folded, both);
    }
}
