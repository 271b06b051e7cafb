//! The stretches that windows may lie in, and a start drawn uniformly among all places where a window fits.

use super::holdout::{Region, cut};
use crate::genome::Genome;

/// A stretch of known bases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    pub contig: usize,
    pub start: u64,
    pub bases: u64,
}

/// Stretches, the longest first, with their lengths summed up.
#[derive(Clone, Debug)]
pub struct Segments {
    sorted: Vec<Segment>,
    /// Bases before each stretch, and of all: one more than there are stretches.
    before: Vec<u64>,
}

impl Segments {
    /// The stretches of a genome without N, inside or outside of regions.
    pub fn new(genome: &Genome, regions: &[Region], inside: bool) -> Segments {
        let mut sorted = Vec::new();
        for contig in 0..genome.contigs().len() {
            let first = regions.partition_point(|region| region.contig < contig);
            let end = regions.partition_point(|region| region.contig <= contig);
            let stretches = cut(&genome.acgt_segments(contig), &regions[first..end], inside);
            sorted.extend(stretches.iter().map(|s| Segment { contig, start: s.start, bases: s.end - s.start }));
        }
        // A stable sort: stretches of one length stay in the order of the genome.
        sorted.sort_by_key(|segment| std::cmp::Reverse(segment.bases));
        let mut before = Vec::with_capacity(sorted.len() + 1);
        before.push(0);
        before.extend(sorted.iter().scan(0, |sum, segment| {
            *sum += segment.bases;
            Some(*sum)
        }));
        Segments { sorted, before }
    }

    /// The stretches, the longest first.
    pub fn sorted(&self) -> &[Segment] {
        &self.sorted
    }

    /// Bases of the longest stretch, 0 if there is none.
    pub fn longest(&self) -> u64 {
        self.sorted.first().map_or(0, |segment| segment.bases)
    }

    /// Bases of the stretches that have at least `least`.
    pub fn bases(&self, least: u64) -> u64 {
        self.before[self.holding(least)]
    }

    /// Places where a window of `bases` fits.
    pub fn starts(&self, bases: u64) -> u64 {
        self.starts_before(self.holding(bases), bases)
    }

    /// The contig and start of a place where a window of `bases` fits, by its number below [`Segments::starts`].
    ///
    /// Every place has one number, so a uniform number gives a uniform place, with nothing to reject.
    pub fn place(&self, number: u64, bases: u64) -> (usize, u64) {
        let (mut low, mut high) = (0, self.holding(bases) - 1);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.starts_before(middle + 1, bases) <= number { low = middle + 1 } else { high = middle }
        }
        let segment = &self.sorted[low];
        (segment.contig, segment.start + number - self.starts_before(low, bases))
    }

    /// How many stretches have at least `bases`; they come first.
    fn holding(&self, bases: u64) -> usize {
        self.sorted.partition_point(|segment| segment.bases >= bases)
    }

    /// Places in the first `count` stretches, each of which has at least `bases`: `length - bases + 1` a stretch.
    fn starts_before(&self, count: usize, bases: u64) -> u64 {
        self.before[count] - count as u64 * (bases - 1)
    }
}
