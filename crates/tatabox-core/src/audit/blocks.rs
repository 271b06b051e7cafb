//! Borders at regular places: negatives that were made of positives block by block break there, and a model can learn the breaks.
//!
//! Neighbouring bases of a genome depend on each other; across the border of two blocks that never were neighbours they do not. For each position, the
//! pointwise mutual information of the two bases before it and the two behind it (counted in the other class) says how much a sequence hangs together there.
//! A class breaks at the borders of a division into equal blocks if its sequences hang together less at these borders than elsewhere, compared with the other
//! class at the same places. The quarter of the borders at which it breaks most does not count: real sequences have a place or two (a TATA box, a start site)
//! where they differ from others, blocks break everywhere.
//!
//! Blocks that were replaced by random bases break little where the genome's neighbouring bases depend on each other little; what shows them is their
//! mosaic (module `mosaic`).

use serde::{Deserialize, Serialize};

use super::mosaic::{self, Agreement};
use crate::labelled::{Labelled, Task};
use crate::stats::welch_t;

/// Numbers of blocks that are tried.
const TRIED: std::ops::RangeInclusive<usize> = 4..=40;

/// Bases that a block has, at least.
const SHORTEST: usize = 3;

/// Sequences of each class that are needed.
const FEWEST: usize = 30;

/// The division into blocks that shows most.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Blocks {
    /// Whether that is more than chance.
    pub found: bool,
    /// The class that breaks.
    pub label: String,
    /// How many blocks.
    pub blocks: usize,
    /// By how many standard errors it hangs together less there, or its blocks are more of one piece, than in the other class; below 0.
    pub z: f64,
    /// What shows the borders.
    pub sign: Sign,
    /// Sequences of that class.
    pub records: u64,
}

/// What shows that a class was made of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sign {
    /// Neighbouring bases depend on each other less across the borders than elsewhere: blocks have changed places.
    Breaks,
    /// Some blocks look like the other class as a whole and others do not: blocks were replaced.
    Mosaic,
}

impl Sign {
    /// The z below which blocks are said to be found. 74 divisions are looked at: by chance, one has a z of -6 once in ten million data sets, of -5 once in
    /// fifty thousand. Real data that is not made of blocks has shown no mosaic below -1.8 (docs/log.md).
    fn found(self) -> f64 {
        match self {
            Sign::Breaks => -6.0,
            Sign::Mosaic => -5.0,
        }
    }
}

impl Blocks {
    /// Looks for them in all parts together. None where there are not two classes, sequences differ in length or are pairs, or there are too few.
    pub fn of(data: &Labelled) -> Option<Blocks> {
        if data.task != Task::Binary || data.id2label.len() != 2 || data.pairs() {
            return None;
        }
        let bases = data.examples().next()?.codes.len();
        let mut classes: [Vec<&[u8]>; 2] = [Vec::new(), Vec::new()];
        for example in data.examples() {
            if example.codes.len() != bases {
                return None;
            }
            classes[example.target.class()?].push(&example.codes);
        }
        if classes.iter().any(|class| class.len() < FEWEST) || bases < SHORTEST * TRIED.start() {
            return None;
        }
        let mut best: Option<Blocks> = None;
        let mut take = |class: usize, blocks: usize, z: f64, sign: Sign| {
            if best.as_ref().is_none_or(|best| z - sign.found() < best.z - best.sign.found()) {
                let (label, records) = (data.id2label[class].clone(), classes[class].len() as u64);
                best = Some(Blocks { found: z < sign.found(), label, blocks, z, sign, records });
            }
        };
        for class in 0..2 {
            let (own, other) = (&classes[class], &classes[1 - class]);
            let table = together(other);
            let profiles = |of: &[&[u8]]| -> Vec<Vec<f64>> { of.iter().map(|codes| profile(codes, &table)).collect() };
            let (own_profiles, other_profiles) = (profiles(own), profiles(other));
            let (own_mean, other_mean) = (mean(&own_profiles), mean(&other_profiles));
            let lower = |&border: &usize| own_mean[border] - other_mean[border];
            let likeness = [mosaic::likeness(own, other), mosaic::likeness(other, other)];
            let mut agreement: Option<(usize, [Agreement; 2])> = None;
            for blocks in TRIED.filter(|blocks| bases / blocks >= SHORTEST) {
                let mut borders: Vec<usize> = (1..blocks).map(|block| block * bases / blocks).collect();
                borders.sort_by(|one, next| lower(one).total_cmp(&lower(next)));
                take(
                    class,
                    blocks,
                    less_at(&own_profiles, &other_profiles, &borders[blocks.div_ceil(4)..]),
                    Sign::Breaks,
                );
                let half = bases / blocks / 2;
                if half < SHORTEST {
                    continue;
                }
                if agreement.as_ref().is_none_or(|(of, _)| *of != half) {
                    agreement = Some((half, likeness.each_ref().map(|of| Agreement::of(of, half))));
                }
                if let Some((_, [own, other])) = &agreement {
                    take(class, blocks, mosaic::z(own, other, bases, blocks), Sign::Mosaic);
                }
            }
        }
        best
    }
}

/// ln p(ab, cd) / (p(ab) p(cd)) of two bases and the two behind them, `[256]`, one added to every count.
fn together(sequences: &[&[u8]]) -> Vec<f64> {
    let mut counts = vec![1.0f64; 256];
    for codes in sequences {
        codes.windows(4).filter_map(number).for_each(|four| counts[four] += 1.0);
    }
    let total: f64 = counts.iter().sum();
    let first = |pair: usize| (0..16).map(|other| counts[pair << 4 | other]).sum::<f64>();
    let second = |pair: usize| (0..16).map(|other| counts[other << 4 | pair]).sum::<f64>();
    (0..256).map(|four| (counts[four] * total / (first(four >> 4) * second(four & 15))).ln()).collect()
}

fn number(four: &[u8]) -> Option<usize> {
    four.iter().try_fold(0, |number, &code| (code < 4).then(|| number << 2 | usize::from(code)))
}

/// How much a sequence hangs together before each base, `[bases]`; 0 where that is not known.
fn profile(codes: &[u8], table: &[f64]) -> Vec<f64> {
    let mut profile = vec![0.0; codes.len()];
    for (at, four) in codes.windows(4).enumerate() {
        profile[at + 2] = number(four).map_or(0.0, |four| table[four]);
    }
    profile
}

/// The mean profile, `[bases]`.
fn mean(profiles: &[Vec<f64>]) -> Vec<f64> {
    let mut mean = vec![0.0; profiles[0].len()];
    profiles
        .iter()
        .for_each(|one| mean.iter_mut().zip(one).for_each(|(sum, value)| *sum += value / profiles.len() as f64));
    mean
}

/// By how many standard errors the mean at the borders, less that elsewhere, is lower in the one than in the other.
fn less_at(own: &[Vec<f64>], other: &[Vec<f64>], borders: &[usize]) -> f64 {
    let contrasts = |profiles: &[Vec<f64>]| -> Vec<f64> {
        let contrast = |profile: &Vec<f64>| {
            let all: f64 = profile.iter().sum();
            let at: f64 = borders.iter().map(|&border| profile[border]).sum();
            let elsewhere = (profile.len() - 3 - borders.len()).max(1) as f64;
            at / borders.len() as f64 - (all - at) / elsewhere
        };
        profiles.iter().map(contrast).collect()
    };
    welch_t(&contrasts(own), &contrasts(other))
}
