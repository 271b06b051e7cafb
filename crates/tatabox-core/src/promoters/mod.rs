//! The papers' promoter data: windows around transcription start sites, and negatives by a named recipe.
//!
//! | window | bases | around the TSS |
//! |---|---|---|
//! | `300` | 300 | -249..+50 |
//! | `core` | 70 | -34..+35 |
//!
//! The TSS itself is position 0, so that the lengths are those of the papers (249 + 1 + 50; 34 + 1 + 35).

mod blocks;
mod genomic;
mod tata;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::genome::Genome;
use crate::interval::{self, Interval};
use crate::labelled::{Example, Labelled, Split, SplitName, Target, Task};
use crate::names::named;
use crate::seq::{Composition, UNKNOWN};

pub use blocks::{deepromoter, permuted_blocks};
pub use tata::{LEAST, MATRIX, STARTS, has_tata};

/// Bases before a TSS and behind it in which a TATA box is looked for.
const UPSTREAM: (u64, u64) = (50, 0);

/// How much is cut out around a TSS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Window {
    /// -249..+50.
    #[default]
    Three,
    /// -34..+35.
    Core,
}

named!(Window, "window", Three = "300", Core = "core");

impl Window {
    /// Bases before the TSS and behind it.
    pub fn around(self) -> (u64, u64) {
        match self {
            Window::Three => (249, 50),
            Window::Core => (34, 35),
        }
    }
}

/// Which promoters are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Kind {
    /// All.
    #[default]
    All,
    /// Those with a TATA box ([`has_tata`]).
    Tata,
    /// Those without.
    NoTata,
}

named!(Kind, "kind", All = "all", Tata = "tata", NoTata = "notata");

/// How negatives are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Recipe {
    /// Of a positive's 20 blocks 8 are kept and 12 filled with random bases (Oubounyt et al. 2019).
    DeePromoter,
    /// Of a positive's 20 blocks 12 change places (GENA-LM).
    PermutedBlocks,
    /// Windows of the genome away from any TSS.
    Genomic,
}

named!(Recipe, "negatives", DeePromoter = "deepromoter", PermutedBlocks = "permuted-blocks", Genomic = "genomic");

/// What is built.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PromoterConfig {
    /// How much is cut out.
    pub window: Window,
    /// Which promoters.
    pub kind: Kind,
    /// How negatives are made, one a positive.
    pub negatives: Recipe,
    /// For `genomic`: bases between a window and the nearest TSS, at least.
    pub away: u64,
    /// The seed of the negatives and the division.
    pub seed: u64,
    /// Whether TSS on contigs that the genome lacks, or behind the end of one, are left out and counted; else they are an error.
    pub partial: bool,
}

/// What became of the TSS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Lines of the file.
    pub tss: u64,
    /// On contigs that the genome lacks.
    pub other_contigs: u64,
    /// Too near the end of their contig, or behind it.
    pub outside: u64,
    /// With a base that is not known.
    pub unknown_bases: u64,
    /// The same window as another.
    pub repeated: u64,
    /// Of another kind than was asked for.
    pub other_kind: u64,
    /// With a TATA box, among those that are left.
    pub tata: u64,
    /// Positives, and as many negatives.
    pub positives: u64,
}

/// Builds promoters and negatives, not yet divided. Windows that overlap belong to one group, with the negatives made of them: what is divided afterwards
/// never has a promoter on one side and its own pieces on the other.
///
/// # Errors
/// A TSS lies on no contig of the genome or outside of it (unless `partial`), nothing is left, or the genome has no room for `genomic` negatives.
pub fn build(genome: &Genome, tss: &[Interval], config: &PromoterConfig) -> Result<(Labelled, Counts)> {
    let mut counts = Counts { tss: tss.len() as u64, ..Counts::default() };
    check_contigs(genome, tss, config.partial)?;
    let mut windows: BTreeMap<Interval, (Vec<u8>, bool)> = BTreeMap::new();
    for site in tss {
        if interval::find(genome, &site.contig).is_err() {
            counts.other_contigs += 1;
            continue;
        }
        let Some(window) = around(genome, site, config.window.around(), config.partial)? else {
            counts.outside += 1;
            continue;
        };
        let codes = window.read(genome)?;
        // Looked for in the same bases whatever the window, so that the kinds of both windows are the same.
        let upstream = around(genome, site, UPSTREAM, config.partial)?;
        let tata = upstream.map(|place| place.read(genome)).transpose()?;
        let tata = tata.is_some_and(|codes| has_tata(&codes, UPSTREAM.0 as usize));
        if codes.contains(&UNKNOWN) {
            counts.unknown_bases += 1;
        } else if config.kind != Kind::All && tata != (config.kind == Kind::Tata) {
            counts.other_kind += 1;
        } else {
            counts.tata += u64::from(tata);
            let same = windows.insert(window, (codes, tata)).is_some();
            (counts.repeated, counts.tata) = (counts.repeated + u64::from(same), counts.tata - u64::from(same && tata));
        }
    }
    let groups = groups(windows.keys());
    let mut examples: Vec<Example> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for ((window, (codes, tata)), group) in windows.into_iter().zip(groups) {
        if !seen.insert((window.contig.clone(), window.start, window.reverse)) {
            counts.repeated += 1;
            counts.tata -= u64::from(tata);
            continue;
        }
        examples.push(example(codes, 1, window, group));
    }
    if examples.is_empty() {
        let what = format!(
            "of {} TSS none is left: {} on other contigs, {} outside, {} with N, {} of another kind",
            counts.tss, counts.other_contigs, counts.outside, counts.unknown_bases, counts.other_kind
        );
        return Err(Error::Data {
            what,
            hint: "give the genome that the positions were taken from, or another `--kind`".into(),
        });
    }
    counts.positives = examples.len() as u64;
    let negatives = negatives(genome, tss, &examples, config)?;
    examples.extend(negatives);
    let split = Split { name: SplitName::All, examples, letters: Composition::default() };
    let id2label = vec!["0".into(), "1".into()];
    let data = Labelled {
        task: Task::Binary,
        id2label,
        targets: Vec::new(),
        splits: vec![split],
        files: genome.card().files.clone(),
        problems: Vec::new(),
    };
    Ok((data, counts))
}

fn example(codes: Vec<u8>, class: u32, origin: Interval, group: String) -> Example {
    let id = origin.name.clone();
    Example { id, codes, second: None, target: Target::Class(class), origin: Some(origin), group: Some(group) }
}

fn negatives(
    genome: &Genome,
    tss: &[Interval],
    positives: &[Example],
    config: &PromoterConfig,
) -> Result<Vec<Example>> {
    let made_of = |make: fn(&[u8], u64, u64) -> Vec<u8>| {
        let make = |(at, one): (usize, &Example)| {
            let origin = one.origin.clone().unwrap_or_default();
            let codes = make(&one.codes, config.seed, at as u64);
            Example {
                id: format!("{}_negative", one.id),
                ..example(codes, 0, origin, one.group.clone().unwrap_or_default())
            }
        };
        positives.iter().enumerate().map(make).collect()
    };
    match config.negatives {
        Recipe::DeePromoter => Ok(made_of(deepromoter)),
        Recipe::PermutedBlocks => Ok(made_of(permuted_blocks)),
        Recipe::Genomic => {
            let places = genomic::places(genome, tss, positives, config)?;
            places
                .into_iter()
                .map(|at| {
                    let group = format!("{}:{}", at.contig, at.start);
                    Ok(example(at.read(genome)?, 0, at, group))
                })
                .collect()
        }
    }
}

/// Refuses TSS on contigs that the genome lacks; where all are, even a partial genome is the wrong one.
fn check_contigs(genome: &Genome, tss: &[Interval], partial: bool) -> Result<()> {
    let names: std::collections::BTreeSet<&str> = tss.iter().map(|site| site.contig.as_str()).collect();
    let missing: Vec<&str> = names.iter().copied().filter(|name| interval::find(genome, name).is_err()).collect();
    let Some(first) = missing.first().filter(|_| !partial || missing.len() == names.len()) else { return Ok(()) };
    match interval::find(genome, first) {
        Err(Error::Data { what, hint }) => {
            let more = if missing.len() > 1 {
                format!(
                    " (nor {} more of the TSS: {})",
                    missing.len() - 1,
                    missing[1..].iter().take(6).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
                )
            } else {
                String::new()
            };
            let hint = if missing.len() < names.len() {
                format!("{hint}; if it is a part of that genome, `--partial` takes the TSS that lie on it")
            } else {
                hint
            };
            Err(Error::Data { what: what + &more, hint })
        }
        _ => Ok(()),
    }
}

/// The window around a TSS, on its strand; none where it would leave its contig and that is allowed.
fn around(genome: &Genome, site: &Interval, bases_around: (u64, u64), partial: bool) -> Result<Option<Interval>> {
    let (before, behind) = bases_around;
    let bases = genome.contigs()[interval::find(genome, &site.contig)?].bases;
    let tss = if site.reverse { site.end - 1 } else { site.start };
    if tss >= bases && !partial {
        let what = format!(
            "the TSS `{}` at {}:{tss} lies behind the end of its contig, which has {bases} bases",
            site.name, site.contig
        );
        let hint = "give the assembly that the positions were taken from; if the genome is a part of it, `--partial` takes the TSS that lie on it";
        return Err(Error::Data { what, hint: hint.into() });
    }
    let (before, behind) = if site.reverse { (behind, before) } else { (before, behind) };
    let Some(start) = tss.checked_sub(before) else { return Ok(None) };
    let end = tss + behind + 1;
    Ok((end <= bases).then(|| Interval { start, end, ..site.clone() }))
}

/// A name a chain of overlapping windows, whatever their strand; the windows come in order.
fn groups<'a>(windows: impl Iterator<Item = &'a Interval>) -> Vec<String> {
    let mut last: Option<(&str, u64, String)> = None;
    windows
        .map(|window| {
            let (end, name) = match &last {
                Some((contig, end, name)) if *contig == window.contig && window.start < *end => (*end, name.clone()),
                _ => (0, format!("{}:{}", window.contig, window.start)),
            };
            last = Some((&window.contig, end.max(window.end), name.clone()));
            name
        })
        .collect()
}

#[cfg(test)]
mod tests;
