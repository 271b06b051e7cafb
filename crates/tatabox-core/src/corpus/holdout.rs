//! Which bases are held out for evaluation: whole contigs or regions, never a random share of windows, which would overlap the others.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::genome::Genome;
use crate::names::nearest;

const KEY: &str = "data.holdout";

/// A stretch of a contig, 0-based and half-open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Region {
    /// The contig's place in the genome.
    pub contig: usize,
    /// Its first base.
    pub start: u64,
    /// The base after its last.
    pub end: u64,
}

impl Region {
    /// The region as samtools writes it, 1-based and inclusive: `chr1:1001-2000`.
    pub fn label(&self, genome: &Genome) -> String {
        format!("{}:{}-{}", genome.contigs()[self.contig].name, self.start + 1, self.end)
    }
}

/// What is held out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Holdout {
    /// The stretch from 70 to 75 % of every contig of at least 20 full windows; if there is none, of the longest contig.
    ///
    /// The stretch lies inside of a chromosome's arm more often than not. Its ends would be the simpler choice and a worse one: there lie
    /// telomeres and what is near them, repeats that are like no other part of the genome.
    #[default]
    Auto,
    /// Nothing.
    None,
    /// Contigs by name (`chrX`) or regions of them, 1-based and inclusive as in samtools (`chr1:1001-2000`).
    List(Vec<String>),
}

impl FromStr for Holdout {
    type Err = std::convert::Infallible;

    /// Reads `auto`, `none`, or contigs and regions with commas between them.
    ///
    /// ```
    /// use tatabox_core::corpus::Holdout;
    /// let list = Holdout::List(vec!["chrX".into(), "chr1:1001-2000".into()]);
    /// assert_eq!("chrX, chr1:1001-2000".parse(), Ok(list));
    /// assert_eq!("none".parse(), Ok(Holdout::None));
    /// ```
    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        Ok(match text.trim() {
            "auto" => Holdout::Auto,
            "none" => Holdout::None,
            list => Holdout::List(list.split(',').map(|item| item.trim().to_owned()).collect()),
        })
    }
}

impl fmt::Display for Holdout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Holdout::Auto => f.write_str("auto"),
            Holdout::None => f.write_str("none"),
            Holdout::List(items) => f.write_str(&items.join(",")),
        }
    }
}

impl Holdout {
    /// The held-out regions of a genome, in order and apart. `full_bases` is the length of a full window.
    ///
    /// # Errors
    /// A contig that the genome does not have (the nearest name is told), or a region that is not on its contig.
    pub fn regions(&self, genome: &Genome, full_bases: u64) -> Result<Vec<Region>> {
        let contigs = genome.contigs();
        let mut regions = match self {
            Holdout::None => Vec::new(),
            Holdout::Auto => {
                let inner = |contig: usize| {
                    // Contigs have less than 2^32 bases.
                    let bases = contigs[contig].bases;
                    Region { contig, start: bases * 14 / 20, end: bases * 15 / 20 }
                };
                let long: Vec<Region> =
                    (0..contigs.len()).filter(|&i| contigs[i].bases >= 20 * full_bases).map(inner).collect();
                let longest = (0..contigs.len()).rev().max_by_key(|&i| contigs[i].bases);
                if long.is_empty() { longest.into_iter().map(inner).collect() } else { long }
            }
            Holdout::List(items) => items.iter().map(|item| parse(item, genome)).collect::<Result<_>>()?,
        };
        regions.retain(|region| region.start < region.end);
        regions.sort_unstable();
        let mut apart: Vec<Region> = Vec::new();
        for region in regions {
            match apart.last_mut() {
                Some(last) if last.contig == region.contig && region.start <= last.end => {
                    last.end = last.end.max(region.end)
                }
                _ => apart.push(region),
            }
        }
        Ok(apart)
    }
}

/// Reads one contig or region.
fn parse(item: &str, genome: &Genome) -> Result<Region> {
    let find = |name: &str| genome.contigs().iter().position(|contig| contig.name == name);
    // Names may hold colons, so a whole name comes first.
    if let Some(contig) = find(item) {
        return Ok(Region { contig, start: 0, end: genome.contigs()[contig].bases });
    }
    let (name, range) = match item.rsplit_once(':') {
        Some((name, range)) if range.starts_with(|letter: char| letter.is_ascii_digit()) => (name, Some(range)),
        _ => (item, None),
    };
    let Some(contig) = find(name) else {
        return Err(Error::Value {
            key: KEY.into(),
            got: format!("`{item}`"),
            expected: format!("the genome has no contig `{name}`"),
            hint: suggest(name, genome),
        });
    };
    let bases = genome.contigs()[contig].bases;
    let wrong = |expected: String| Error::Value {
        key: KEY.into(),
        got: format!("`{item}`"),
        expected,
        hint: format!("write a region as `{name}:1-{bases}`, first and last base counted from 1"),
    };
    let Some((first, last)) = range.unwrap_or_default().split_once('-') else {
        return Err(wrong("a region has a first and a last base".into()));
    };
    match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if 1 <= first && first <= last && last <= bases => {
            Ok(Region { contig, start: first - 1, end: last })
        }
        (Ok(_), Ok(_)) => Err(wrong(format!("`{name}` has the bases 1 to {bases}"))),
        _ => Err(wrong("the ends of a region are whole numbers".into())),
    }
}

/// Contig names that may have been meant.
fn suggest(name: &str, genome: &Genome) -> String {
    let known = || genome.contigs().iter().map(|contig| contig.name.as_str());
    // `1` for `chr1` and the other way round is the usual mistake, and further away than a typing error.
    let swapped = name.strip_prefix("chr").map_or_else(|| format!("chr{name}"), str::to_owned);
    let near = known().find(|known| *known == swapped).or_else(|| nearest(name, known()));
    let mut names: Vec<String> = near
        .into_iter()
        .chain(known().filter(|known| Some(*known) != near))
        .take(5)
        .map(|name| format!("`{name}`"))
        .collect();
    if genome.contigs().len() > names.len() {
        names.push("…".into());
    }
    match near {
        Some(near) => format!("write `{near}`; the contigs are {}", names.join(", ")),
        None => format!("the contigs are {}", names.join(", ")),
    }
}

/// The parts of sorted stretches that lie in sorted regions, or outside of them.
pub(super) fn cut(stretches: &[Range<u64>], regions: &[Region], inside: bool) -> Vec<Range<u64>> {
    let mut parts = Vec::new();
    let mut add = |start: u64, end: u64| {
        if start < end {
            parts.push(start..end);
        }
    };
    for stretch in stretches {
        let mut from = stretch.start;
        // Regions are few; those before the stretch cost a comparison each.
        for region in regions.iter().filter(|region| region.end > stretch.start && region.start < stretch.end) {
            if inside {
                add(region.start.max(stretch.start), region.end.min(stretch.end));
            } else {
                add(from, region.start);
                from = region.end;
            }
        }
        if !inside {
            add(from, stretch.end);
        }
    }
    parts
}
