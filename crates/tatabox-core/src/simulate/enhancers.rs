//! Enhancers: each holds two instances of one pair of motifs, in order, with a spacing in the range asked.

use super::draw::between;
use super::layout::Placed;
use super::motif::{Motif, plant};
use super::truth::{Kind, Strand, TruthRecord};
use crate::rng::SeededRng;

/// Bases of an enhancer.
pub(super) const ENHANCER_BASES: u64 = 200;
/// Pairs in an enhancer, each in its own part of it.
const PAIRS: u64 = 2;
/// The widest spacing that fits every pair into its part.
pub(super) const MOST_SPACING: u64 = 80;

/// The pairs of motifs, first and second.
pub(super) fn motif_pairs() -> [[Motif; 2]; 3] {
    [
        [Motif::new("AP1", "TGASTCA"), Motif::new("ETS", "ACCGGAAGT")],
        [Motif::new("GATA", "AGATAAGR"), Motif::new("EBOX", "RCAGCTGY")],
        [Motif::new("CRE", "TGACGTCA"), Motif::new("FOX", "TGTTTACW")],
    ]
}

/// Plants the pairs of an enhancer and records all of it.
pub(super) fn plant_enhancer(
    pairs: &[[Motif; 2]],
    spacing: [u64; 2],
    name: String,
    placed: &Placed,
    contig: usize,
    bases: &mut [u8],
    truth: &mut Vec<TruthRecord>,
    rng: &mut SeededRng,
) {
    let strand = placed.strand;
    let mut record = |kind, start, end, part: &str| {
        let (name, parent) =
            if kind == Kind::Enhancer { (name.clone(), None) } else { (part.into(), Some(name.clone())) };
        truth.push(TruthRecord { contig, start, end, strand, kind, name, parent });
    };
    record(Kind::Enhancer, placed.start, placed.start + placed.bases, "");
    let [first, second] = &pairs[rng.below(pairs.len() as u64) as usize];
    let part = placed.bases / PAIRS;
    for index in 0..PAIRS {
        let gap = between(rng, spacing[0], spacing[1]);
        let length = first.bases() + gap + second.bases();
        let start = placed.start + index * part + rng.below(part - length + 1);
        // On the minus strand the second motif of the pair comes first on the contig.
        let (left, right) = if strand == Strand::Minus { (second, first) } else { (first, second) };
        record(Kind::Pair, start, start + length, &format!("{}+{}", first.name, second.name));
        for (motif, start) in [(left, start), (right, start + left.bases() + gap)] {
            plant(bases, start, strand, &motif.draw(rng));
            record(Kind::Motif, start, start + motif.bases(), &motif.name);
        }
    }
}
