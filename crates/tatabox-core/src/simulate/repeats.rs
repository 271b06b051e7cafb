//! Repeats: a few families, each a consensus with mutated and truncated copies on both strands, in lower case.

use serde::Serialize;

use super::SimulateConfig;
use super::composition::{Background, LETTERS, mean_percent};
use super::draw::{Part, between, stream};
use super::layout::Placed;
use super::motif::plant;
use super::truth::{Kind, TruthRecord};
use crate::rng::SeededRng;

/// Fewest and most bases of a consensus.
const CONSENSUS_BASES: [u64; 2] = [200, 1_200];
/// The shortest copy, in bases; less room than this at the end of the wanted share stays without repeat.
const SHORTEST_COPY: u64 = 40;

/// A repeat family.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Family {
    /// Its name, as in the truth's `name`.
    pub name: String,
    /// What its copies were before they mutated.
    pub consensus: String,
    /// Probability that a base of a copy was replaced by another.
    pub divergence: f64,
}

/// A copy of a family: the consensus from one of its bases to the end.
pub(super) struct Copy {
    family: usize,
    from: u64,
    to: u64,
}

impl Copy {
    /// Its length in bases.
    pub(super) fn bases(&self) -> u64 {
        self.to - self.from
    }
}

/// Draws the families; the youngest diverges half as much as asked on average, the oldest one and a half times.
pub(super) fn draw_families(config: &SimulateConfig, background: &Background) -> Vec<Family> {
    let mut rng = stream(config.seed, Part::Families, 0);
    let percent = mean_percent(config);
    let last = f64::from(config.repeat_families - 1).max(1.0);
    let family = |index: u32| {
        let mut consensus = vec![0; between(&mut rng, CONSENSUS_BASES[0], CONSENSUS_BASES[1]) as usize];
        let mut context = background.warmed_context(percent, &mut rng);
        background.fill(percent, &mut context, &mut rng, &mut consensus);
        let age = if config.repeat_families == 1 { 1.0 } else { 0.5 + f64::from(index) / last };
        Family {
            name: format!("R{}", index + 1),
            consensus: consensus.into_iter().map(char::from).collect(),
            divergence: config.repeat_divergence * age,
        }
    };
    (0..config.repeat_families).map(family).collect()
}

/// Draws copies that cover `share` bases together; like old copies in real genomes, most have lost their beginning.
pub(super) fn draw_copies(families: &[Family], share: u64, rng: &mut SeededRng) -> Vec<Copy> {
    let mut copies = Vec::new();
    let mut left = share;
    while left >= SHORTEST_COPY {
        let family = rng.below(families.len() as u64) as usize;
        let to = families[family].consensus.len() as u64;
        let length = between(rng, 2 * to / 5, to).min(left);
        copies.push(Copy { family, from: to - length, to });
        left -= length;
    }
    copies
}

/// Writes a copy over the background and records it; returns the number of bases that differ from the consensus.
pub(super) fn plant_copy(
    copy: &Copy,
    families: &[Family],
    placed: &Placed,
    contig: usize,
    bases: &mut [u8],
    truth: &mut Vec<TruthRecord>,
    rng: &mut SeededRng,
) -> u64 {
    let family = &families[copy.family];
    let mut letters = family.consensus.as_bytes()[copy.from as usize..copy.to as usize].to_vec();
    let mut mutated = 0;
    for letter in &mut letters {
        if rng.chance(family.divergence) {
            let code = LETTERS.iter().position(|base| base == letter).unwrap_or(0);
            *letter = LETTERS[(code + 1 + rng.below(3) as usize) % 4];
            mutated += 1;
        }
        letter.make_ascii_lowercase();
    }
    plant(bases, placed.start, placed.strand, &letters);
    truth.push(TruthRecord {
        contig,
        start: placed.start,
        end: placed.start + placed.bases,
        strand: placed.strand,
        kind: Kind::Repeat,
        name: family.name.clone(),
        parent: None,
    });
    mutated
}
