//! Genes, and their promoters with the core motifs at known rates and distances from the TSS.
//!
//! Offsets count along the gene's strand from the base at the TSS, which is 0. A promoter is -249..=50, 300 bases, as the promoter
//! sets of both papers cut it.

use super::SimulateConfig;
use super::draw::between;
use super::layout::Placed;
use super::motif::{Motif, plant};
use super::truth::{Kind, Strand, TruthRecord};
use crate::rng::SeededRng;

/// Bases of a promoter before the TSS.
pub(super) const UPSTREAM: u64 = 249;
/// Bases of a promoter.
pub(super) const PROMOTER_BASES: u64 = 300;
/// Fewest and most bases of a gene from its TSS on.
const GENE_BASES: [u64; 2] = [300, 1_500];
/// Mean length of a gene and what lies before its TSS.
pub(super) const MEAN_GENE_UNIT: f64 = 249.0 + 900.0;

/// A motif of promoters.
pub(super) struct Element {
    /// Its matrix.
    pub motif: Motif,
    /// Lowest and highest offset of its first base (its lowest one where it is reversed).
    pub offsets: [i64; 2],
    /// Whether it stands on either strand.
    pub either_strand: bool,
    /// The configuration's field for its rate.
    pub rate_name: &'static str,
    /// Probability that a promoter has it.
    pub rate: f64,
}

/// The motifs of promoters; their offsets never let two of them overlap.
pub(super) fn elements(config: &SimulateConfig) -> [Element; 4] {
    let element = |name, consensus, offsets, either_strand, rate_name, rate| Element {
        motif: Motif::new(name, consensus),
        offsets,
        either_strand,
        rate_name,
        rate,
    };
    [
        element("CAAT", "RRCCAATSR", [-95, -75], true, "caat_rate", config.caat_rate),
        element("GC", "KRGGCGKRRY", [-62, -46], true, "gc_box_rate", config.gc_box_rate),
        element("TATA", "TATAWAWR", [-32, -30], false, "tata_rate", config.tata_rate),
        // The A of the initiator is the TSS.
        element("Inr", "YYANWYY", [-2, -2], false, "inr_rate", config.inr_rate),
    ]
}

/// Draws the length of a gene and what lies before its TSS.
pub(super) fn draw_unit_bases(rng: &mut SeededRng) -> u64 {
    UPSTREAM + between(rng, GENE_BASES[0], GENE_BASES[1])
}

/// Plants the motifs of a gene's promoter and records all parts of the gene.
pub(super) fn plant_gene(
    elements: &[Element],
    name: String,
    placed: &Placed,
    contig: usize,
    bases: &mut [u8],
    truth: &mut Vec<TruthRecord>,
    rng: &mut SeededRng,
) {
    // From offsets on the gene's strand to the contig.
    let span = |first: i64, length: u64| {
        let into = (UPSTREAM as i64 + first) as u64;
        let start = match placed.strand {
            Strand::Minus => placed.start + placed.bases - into - length,
            Strand::Plus | Strand::Either => placed.start + into,
        };
        (start, start + length)
    };
    let mut record = |kind, (start, end), strand, part: &str| {
        let (name, parent) = if kind == Kind::Gene { (name.clone(), None) } else { (part.into(), Some(name.clone())) };
        truth.push(TruthRecord { contig, start, end, strand, kind, name, parent });
    };
    record(Kind::Gene, span(0, placed.bases - UPSTREAM), placed.strand, "");
    record(Kind::Promoter, span(-(UPSTREAM as i64), PROMOTER_BASES), placed.strand, "promoter");
    record(Kind::Tss, span(0, 1), placed.strand, "tss");
    for element in elements {
        if rng.chance(element.rate) {
            let [low, high] = element.offsets;
            let first = low + rng.below((high - low + 1) as u64) as i64;
            let strand =
                if element.either_strand && rng.chance(0.5) { placed.strand.opposite() } else { placed.strand };
            let (start, end) = span(first, element.motif.bases());
            plant(bases, start, strand, &element.motif.draw(rng));
            record(Kind::Motif, (start, end), strand, &element.motif.name);
        }
    }
}
