//! Where things lie on a contig: units of random order with random gaps, never over one another.

use super::draw::{between, rounded, shuffle};
use super::repeats::{Copy, Family, draw_copies};
use super::truth::Strand;
use super::{SimulateConfig, enhancers, promoters};
use crate::rng::SeededRng;
use crate::{Error, Result};

/// Fewest and most bases of a run of N.
const N_RUN_BASES: [u64; 2] = [50, 500];
/// Their mean.
pub(super) const MEAN_N_RUN: f64 = 275.0;

/// Something that takes up a stretch of a contig.
pub(super) enum Unit {
    /// A gene with its promoter: the bases before the TSS come first on the gene's strand.
    Gene,
    /// An enhancer.
    Enhancer,
    /// A copy of a repeat.
    Repeat(Copy),
    /// A run of N.
    NRun,
}

/// A unit in its place.
pub(super) struct Placed {
    /// What it is.
    pub unit: Unit,
    /// First base on the contig, 0-based.
    pub start: u64,
    /// Length in bases.
    pub bases: u64,
    /// Its strand.
    pub strand: Strand,
}

/// Draws the units of a contig of `bases` and their places, in increasing order.
pub(super) fn draw_layout(
    config: &SimulateConfig,
    families: &[Family],
    bases: u64,
    rng: &mut SeededRng,
) -> Result<Vec<Placed>> {
    let megabases = bases as f64 / 1e6;
    let mut units = Vec::new();
    for _ in 0..rounded(rng, config.genes_per_mb * megabases) {
        units.push((Unit::Gene, promoters::draw_unit_bases(rng)));
    }
    for _ in 0..rounded(rng, config.enhancers_per_mb * megabases) {
        units.push((Unit::Enhancer, enhancers::ENHANCER_BASES));
    }
    for _ in 0..rounded(rng, config.n_runs_per_mb * megabases) {
        units.push((Unit::NRun, between(rng, N_RUN_BASES[0], N_RUN_BASES[1])));
    }
    for copy in draw_copies(families, (config.repeat_share * bases as f64) as u64, rng) {
        let length = copy.bases();
        units.push((Unit::Repeat(copy), length));
    }
    let filled: u64 = units.iter().map(|(_, length)| length).sum();
    let Some(free) = bases.checked_sub(filled) else {
        return Err(Error::Data {
            what: format!("a simulated contig of {bases} bases drew features of {filled} bases"),
            hint: "ask for more bases, or for fewer repeats, genes and enhancers".into(),
        });
    };
    shuffle(rng, &mut units);
    let mut gaps: Vec<u64> = units.iter().map(|_| rng.below(free + 1)).collect();
    gaps.sort_unstable();
    let mut taken = 0;
    let placed = units.into_iter().zip(gaps).map(|((unit, length), gap)| {
        let start = gap + taken;
        taken += length;
        let strand = if rng.chance(0.5) { Strand::Plus } else { Strand::Minus };
        Placed { unit, start, bases: length, strand }
    });
    Ok(placed.collect())
}
