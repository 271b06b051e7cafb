//! Labelled tables: promoters and enhancers against windows of the same genome away from them.

use rayon::prelude::*;
use serde::Serialize;

use super::draw::{Part, shuffle, stream};
use super::motif::complement;
use super::truth::{Kind, Strand, TruthRecord};
use super::{SimulateConfig, SimulatedContig};
use crate::rng::SeededRng;
use crate::{Error, Result};

/// Fewest bases between a negative of the promoters and any TSS.
const AWAY_FROM_TSS: u64 = 500;
/// Windows tried for one negative before the genome is called too full.
const TRIES: u32 = 10_000;

/// A labelled sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// Upper-case letters.
    pub sequence: String,
    /// 1 for the positives, 0 for the negatives.
    pub label: u8,
}

/// A labelled table in three parts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LabelledTable {
    /// For fitting.
    pub train: Vec<Example>,
    /// For choosing.
    pub dev: Vec<Example>,
    /// For reporting, once.
    pub test: Vec<Example>,
}

/// How the tables are split.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Split {
    /// By whole contigs: one for dev, one for test, all others for train.
    Contig {
        /// The contig of the dev part.
        dev: String,
        /// The contig of the test part.
        test: String,
    },
    /// At random under the genome's seed, where there are fewer than three contigs: 80 %, 10 % and 10 %.
    Random,
}

/// Cuts a window, upper-case and on its strand.
fn cut(contig: &SimulatedContig, start: u64, end: u64, strand: Strand) -> String {
    let letters = contig.bases[start as usize..end as usize].iter().map(u8::to_ascii_uppercase);
    match strand {
        Strand::Minus => letters.rev().map(complement).map(char::from).collect(),
        Strand::Plus | Strand::Either => letters.map(char::from).collect(),
    }
}

/// The positives and as many negatives of one contig: windows of the same length, without N and at least `away` bases from any positive's `avoid`ed record.
fn examples(
    contig: &SimulatedContig,
    records: &[TruthRecord],
    positive: Kind,
    avoid: Kind,
    away: u64,
    stranded: bool,
    rng: &mut SeededRng,
) -> Result<Vec<Example>> {
    let avoided: Vec<(u64, u64)> =
        records.iter().filter(|record| record.kind == avoid).map(|record| (record.start, record.end)).collect();
    let mut found = Vec::new();
    for record in records.iter().filter(|record| record.kind == positive) {
        let strand = if stranded { record.strand } else { Strand::Plus };
        found.push(Example { sequence: cut(contig, record.start, record.end, strand), label: 1 });
        let bases = record.end - record.start;
        let window = (0..TRIES).find_map(|_| {
            let start = rng.below(contig.bases.len() as u64 - bases + 1);
            // The first avoided record that does not end before the window and its margin; records do not overlap.
            let next = avoided.partition_point(|&(_, end)| end + away <= start);
            let free = avoided.get(next).is_none_or(|&(first, _)| start + bases + away <= first);
            (free && !contig.bases[start as usize..(start + bases) as usize].contains(&b'N')).then_some(start)
        });
        let Some(start) = window else {
            return Err(Error::Data {
                what: format!("`{}` has no room for windows away from any {}", contig.name, avoid.name()),
                hint: "ask for fewer genes and enhancers, or for more bases".into(),
            });
        };
        let strand = if stranded && rng.chance(0.5) { Strand::Minus } else { Strand::Plus };
        found.push(Example { sequence: cut(contig, start, start + bases, strand), label: 0 });
    }
    Ok(found)
}

/// Makes both tables, promoters and enhancers, and says how they were split. `records` are those of each contig.
pub(super) fn tables(
    config: &SimulateConfig,
    contigs: &[SimulatedContig],
    records: &[Vec<TruthRecord>],
) -> Result<(LabelledTable, LabelledTable, Split)> {
    let made: Vec<(Vec<Example>, Vec<Example>)> = contigs
        .par_iter()
        .zip(records)
        .enumerate()
        .map(|(index, (contig, records))| {
            let rng = &mut stream(config.seed, Part::Tables, index);
            let promoters = examples(contig, records, Kind::Promoter, Kind::Tss, AWAY_FROM_TSS, true, rng)?;
            let enhancers = examples(contig, records, Kind::Enhancer, Kind::Enhancer, 0, false, rng)?;
            Ok((promoters, enhancers))
        })
        .collect::<Result<_>>()?;
    let split = match contigs {
        [.., dev, test] if contigs.len() >= 3 => Split::Contig { dev: dev.name.clone(), test: test.name.clone() },
        _ => Split::Random,
    };
    let rng = &mut stream(config.seed, Part::Split, 0);
    let (promoters, enhancers): (Vec<_>, Vec<_>) = made.into_iter().unzip();
    Ok((parts(promoters, &split, rng), parts(enhancers, &split, rng), split))
}

/// Puts the examples of each contig into their part, in random order.
fn parts(examples: Vec<Vec<Example>>, split: &Split, rng: &mut SeededRng) -> LabelledTable {
    let contigs = examples.len();
    let mut table = LabelledTable::default();
    for (contig, examples) in examples.into_iter().enumerate() {
        for example in examples {
            let part = match split {
                Split::Contig { .. } => contigs - 1 - contig,
                Split::Random => rng.below(10) as usize,
            };
            [&mut table.test, &mut table.dev, &mut table.train][part.min(2)].push(example);
        }
    }
    [&mut table.train, &mut table.dev, &mut table.test].into_iter().for_each(|part| shuffle(rng, part));
    table
}
