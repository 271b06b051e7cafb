//! How often every k-mer occurs, for all k of 1..=10 in one pass.
//!
//! Only the longest k is counted, in the packed bases of the mapped genome. A shorter k-mer stands at the beginning of one of its four extensions, unless
//! it is the last of its stretch; so its count is the sum of four neighbours and of the stretches that end with it. Nothing is counted across N or the end
//! of a contig. The result does not depend on the number of threads.
//!
//! Memory beside the mapped genome: 4 MB a thread and 12 MB for all tables together where the longest k is 10; the length of the genome does not matter.

pub mod kmer;
mod read;
mod scan;
mod table;
mod write;

use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::corpus::{Region, Segments};
use crate::error::{Error, Result};
use crate::genome::Genome;
use crate::names::named;
use crate::seq::UNKNOWN;
pub use read::is_table;
pub use table::KmerCounts;

/// The longest k that is counted.
pub const LONGEST: usize = 10;

/// Bases that a thread takes at once.
const CHUNK: u64 = 1 << 20;

/// A scan of shorter k-mers would wait for itself: neighbouring bases would add to the same few counts.
const SHORTEST_SCANNED: usize = 6;

/// Which strands are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Strands {
    /// The strand that the file gives.
    #[default]
    Forward,
    /// Both: a k-mer and its reverse complement each have the sum of their counts, so one that is its own reverse complement (`TATA`) has twice its count:
    /// it stands there on both strands.
    Both,
}
named!(Strands, "strands", Forward = "forward", Both = "both");

/// Counts the k-mers of a genome outside of the `held_out` regions (in the order of [`Sampler::held_out`](crate::corpus::Sampler::held_out); none: the whole
/// genome), with the threads of the current rayon pool. `progress` is called now and then with the bases counted since it was called last.
///
/// # Errors
/// [`Error::Value`] where `lengths` is empty or not within 1..=[`LONGEST`].
///
/// # Examples
/// ```
/// # use tatabox_core::{count::{self, Strands, kmer}, genome::Genome};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("genome.fa");
/// # std::fs::write(&path, ">a\nACGTNACG\n")?;
/// let genome = Genome::open(&[path], folder.path())?;
/// let counts = count::count(&genome, &[], 1..=3, Strands::Forward, &|_| ())?;
/// assert_eq!(counts.of(3).unwrap()[kmer::number(b"ACG").unwrap()], 2);
/// assert_eq!(counts.of(1).unwrap().iter().sum::<u64>(), 7);
/// assert!(counts.of(4).is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn count(
    genome: &Genome,
    held_out: &[Region],
    lengths: RangeInclusive<usize>,
    strands: Strands,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<KmerCounts> {
    check(&lengths)?;
    let scanned = SHORTEST_SCANNED.max(*lengths.end());
    let segments = Segments::new(genome, held_out, false);
    let overlap = scanned as u64 - 1;
    let chunks: Vec<(usize, u64, u64)> = (segments.sorted().iter())
        .flat_map(|segment| {
            let end = segment.start + segment.bases;
            let starts = (segment.start..end).step_by(CHUNK as usize);
            starts.map(move |start| (segment.contig, start, (start + CHUNK + overlap).min(end)))
        })
        .collect();
    let next = AtomicUsize::new(0);
    let sums = Mutex::new(vec![0; 1 << (2 * scanned)]);
    (0..rayon::current_num_threads().min(chunks.len())).into_par_iter().for_each(|_| {
        let mut tally = Tally::new(scanned);
        while let Some(&(contig, start, end)) = chunks.get(next.fetch_add(1, Ordering::Relaxed)) {
            if tally.is_full(end - start) {
                tally.add_to(&mut sums.lock().expect("no thread panics with the lock"));
            }
            let packed = &genome.packed(contig)[start as usize / 4..(end as usize).div_ceil(4)];
            tally.scan(scan::packed_words(packed), start as usize % 4, (end - start) as usize);
            progress(CHUNK.min(end - start));
        }
        tally.add_to(&mut sums.lock().expect("no thread panics with the lock"));
    });

    let mut last = Vec::new();
    let ends = segments.sorted().iter().map(|segment| {
        let end = segment.start + segment.bases;
        genome.read(segment.contig, end - segment.bases.min(scanned as u64 - 1)..end, &mut last);
        kmer_of(&last)
    });
    let sums = sums.into_inner().expect("no thread panics with the lock");
    Ok(KmerCounts::from_longest(scanned, sums, ends, lengths, strands))
}

/// Counts the k-mers of sequences in memory, base codes as of [`Sequence`](crate::seq::Sequence): none reaches over an unknown base or into the next sequence.
///
/// # Errors
/// [`Error::Value`] where `lengths` is empty or not within 1..=[`LONGEST`].
pub fn count_sequences(sequences: &[&[u8]], lengths: RangeInclusive<usize>, strands: Strands) -> Result<KmerCounts> {
    check(&lengths)?;
    let scanned = SHORTEST_SCANNED.max(*lengths.end());
    let mut tally = Tally::new(scanned);
    let mut sums = vec![0; 1 << (2 * scanned)];
    let mut ends = Vec::new();
    let stretches = sequences.iter().flat_map(|codes| codes.split(|&code| code >= UNKNOWN));
    for codes in stretches.filter(|codes| !codes.is_empty()) {
        for start in (0..codes.len()).step_by(CHUNK as usize) {
            let chunk = &codes[start..codes.len().min(start + CHUNK as usize + scanned - 1)];
            if tally.is_full(chunk.len() as u64) {
                tally.add_to(&mut sums);
            }
            tally.scan(scan::code_words(chunk), 0, chunk.len());
        }
        ends.push(kmer_of(&codes[codes.len() - codes.len().min(scanned - 1)..]));
    }
    tally.add_to(&mut sums);
    Ok(KmerCounts::from_longest(scanned, sums, ends.into_iter(), lengths, strands))
}

/// The number and the length of a short stretch of base codes.
fn kmer_of(codes: &[u8]) -> (usize, usize) {
    (codes.iter().fold(0, |number, &code| number << 2 | usize::from(code)), codes.len())
}

fn check(lengths: &RangeInclusive<usize>) -> Result<()> {
    if !lengths.is_empty() && *lengths.start() >= 1 && *lengths.end() <= LONGEST {
        return Ok(());
    }
    Err(Error::Value {
        key: "k".into(),
        got: format!("{}..{}", lengths.start(), lengths.end()),
        expected: format!("k-mers of 1 to {LONGEST} bases are counted, the shortest first"),
        hint: format!("give one length or a range within 1..{LONGEST}"),
    })
}

/// The counts of one thread since it last gave them away, in 32 bits: half the memory, and a table of 10-mers fits into a core's own cache.
struct Tally {
    table: Vec<u32>,
    /// Bases scanned; no count is higher.
    bases: u64,
}

impl Tally {
    fn new(k: usize) -> Self {
        Self { table: vec![0; 1 << (2 * k)], bases: 0 }
    }

    /// True where a count might not hold so many more bases.
    fn is_full(&self, more: u64) -> bool {
        self.bases + more > u64::from(u32::MAX)
    }

    fn scan(&mut self, words: impl Iterator<Item = u64>, skip: usize, bases: usize) {
        scan::scan(&mut self.table, words, skip, bases);
        self.bases += bases as u64;
    }

    fn add_to(&mut self, sums: &mut [u64]) {
        for (sum, count) in sums.iter_mut().zip(&mut self.table) {
            *sum += u64::from(std::mem::take(count));
        }
        self.bases = 0;
    }
}

#[cfg(test)]
mod tests;
