//! A genome with known truth, from one seed: what demos, tests and methods are measured on.
//!
//! Composition varies along the contigs over a Markov background; repeats lie in lower case; promoters and enhancers carry motifs at
//! known rates and distances. [`simulate`] makes it in memory, [`write()`] puts it into files.

mod composition;
mod config;
mod draw;
mod enhancers;
mod layout;
mod motif;
mod promoters;
mod repeats;
mod tables;
mod truth;
mod write;

use rayon::prelude::*;

use composition::{Background, isochores, mean_percent};
use draw::{Part, stream};
use layout::{Unit, draw_layout};

pub use config::{SimulateConfig, parse_bases};
pub use motif::Motif;
pub use repeats::Family;
pub use tables::{Example, LabelledTable, Split};
pub use truth::{Kind, Rate, Strand, TruthRecord};
pub use write::{MARK, check_vacant, write};

use crate::Result;

/// A simulated contig.
#[derive(Clone, Debug, PartialEq)]
pub struct SimulatedContig {
    /// `chr1`, `chr2`, …
    pub name: String,
    /// Letters A, C, G, T (a, c, g, t in repeats) and N.
    pub bases: Vec<u8>,
}

/// A simulated genome and everything that is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulated {
    /// What was asked.
    pub config: SimulateConfig,
    /// The sequences.
    pub contigs: Vec<SimulatedContig>,
    /// What was planted where, by contig and start.
    pub truth: Vec<TruthRecord>,
    /// The motifs of promoters, then those of enhancers.
    pub motifs: Vec<Motif>,
    /// Names of the motifs of each pair, first and second.
    pub pairs: Vec<[String; 2]>,
    /// The repeat families.
    pub families: Vec<Family>,
    /// 300 bases around each TSS against windows away from any TSS.
    pub promoters: LabelledTable,
    /// Enhancers against windows that touch none.
    pub enhancers: LabelledTable,
    /// How both tables are split.
    pub split: Split,
    /// Rates as asked and as they came out.
    pub rates: Vec<Rate>,
}

/// Simulates a genome. The same configuration gives the same bytes, on any machine and with any number of threads.
///
/// # Errors
/// `Error::Value` for a configuration that is out of range, `Error::Data` where what was drawn does not fit into a contig.
pub fn simulate(config: &SimulateConfig) -> Result<Simulated> {
    config.validate()?;
    let lengths = config.contig_lengths();
    let segments: Vec<_> =
        lengths.iter().enumerate().map(|(contig, &bases)| isochores(config, contig, bases)).collect();
    let percents = segments.iter().flatten().map(|isochore| isochore.gc_percent).chain([mean_percent(config)]);
    let background = Background::new(config, percents);
    let families = repeats::draw_families(config, &background);
    let elements = promoters::elements(config);
    let pairs = enhancers::motif_pairs();
    let made: Vec<(SimulatedContig, Vec<TruthRecord>, u64)> = lengths
        .par_iter()
        .enumerate()
        .map(|(contig, &length)| {
            let name = format!("chr{}", contig + 1);
            let mut bases = vec![0; length as usize];
            let mut truth = Vec::new();
            let rng = &mut stream(config.seed, Part::Bases, contig);
            let mut context = background.warmed_context(segments[contig][0].gc_percent, rng);
            for isochore in &segments[contig] {
                let (start, end) = (isochore.start, isochore.end);
                background.fill(isochore.gc_percent, &mut context, rng, &mut bases[start as usize..end as usize]);
                let name = format!("gc{}", isochore.gc_percent);
                truth.push(TruthRecord {
                    contig,
                    start,
                    end,
                    strand: Strand::Either,
                    kind: Kind::Isochore,
                    name,
                    parent: None,
                });
            }
            let rng = &mut stream(config.seed, Part::Layout, contig);
            let (mut genes, mut enhancers, mut mutated) = (0, 0, 0);
            for placed in draw_layout(config, &families, length, rng)? {
                match &placed.unit {
                    Unit::Gene => {
                        genes += 1;
                        promoters::plant_gene(
                            &elements,
                            format!("{name}.gene{genes}"),
                            &placed,
                            contig,
                            &mut bases,
                            &mut truth,
                            rng,
                        );
                    }
                    Unit::Enhancer => {
                        enhancers += 1;
                        let name = format!("{name}.enhancer{enhancers}");
                        enhancers::plant_enhancer(
                            &pairs,
                            config.pair_spacing,
                            name,
                            &placed,
                            contig,
                            &mut bases,
                            &mut truth,
                            rng,
                        );
                    }
                    Unit::Repeat(copy) => {
                        mutated += repeats::plant_copy(copy, &families, &placed, contig, &mut bases, &mut truth, rng);
                    }
                    Unit::NRun => {
                        let (start, end) = (placed.start, placed.start + placed.bases);
                        bases[start as usize..end as usize].fill(b'N');
                        let (kind, strand, name) = (Kind::NRun, Strand::Either, "N".into());
                        truth.push(TruthRecord { contig, start, end, strand, kind, name, parent: None });
                    }
                }
            }
            // Stable, so that an enhancer or a pair comes before its motif where both begin on the same base.
            truth.sort_by_key(|record| record.start);
            Ok((SimulatedContig { name, bases }, truth, mutated))
        })
        .collect::<Result<_>>()?;
    let mutated = made.iter().map(|(_, _, mutated)| mutated).sum();
    let (contigs, records): (Vec<_>, Vec<_>) = made.into_iter().map(|(contig, truth, _)| (contig, truth)).unzip();
    let (promoters, enhancers, split) = tables::tables(config, &contigs, &records)?;
    let truth: Vec<TruthRecord> = records.into_iter().flatten().collect();
    let rates = rates(config, &elements, &contigs, &truth, mutated);
    Ok(Simulated {
        config: config.clone(),
        motifs: elements.into_iter().map(|element| element.motif).chain(pairs.iter().flatten().cloned()).collect(),
        pairs: pairs.iter().map(|pair| pair.each_ref().map(|motif| motif.name.clone())).collect(),
        contigs,
        truth,
        families,
        promoters,
        enhancers,
        split,
        rates,
    })
}

/// Measures what came out, from the sequences and the truth.
fn rates(
    config: &SimulateConfig,
    elements: &[promoters::Element],
    contigs: &[SimulatedContig],
    truth: &[TruthRecord],
    mutated: u64,
) -> Vec<Rate> {
    let letters = contigs.par_iter().map(|contig| {
        let mut counts = [0u64; 256];
        contig.bases.iter().for_each(|&base| counts[usize::from(base)] += 1);
        let pairs = contig.bases.windows(2).filter(|pair| pair.eq_ignore_ascii_case(b"CG")).count() as u64;
        (counts, pairs)
    });
    let (counts, pairs) = letters.reduce(
        || ([0; 256], 0),
        |(mut counts, pairs), (other, more)| {
            counts.iter_mut().zip(other).for_each(|(count, other)| *count += other);
            (counts, pairs + more)
        },
    );
    let both = |letter: u8| (counts[usize::from(letter)] + counts[usize::from(letter.to_ascii_lowercase())]) as f64;
    let known: f64 = b"ACGT".iter().map(|&letter| both(letter)).sum();
    let repeats: u64 = b"acgt".iter().map(|&letter| counts[usize::from(letter)]).sum();
    let number = |kind: Kind| truth.iter().filter(|record| record.kind == kind).count() as u64;
    let a_megabase = |kind| number(kind) as f64 * 1e6 / config.bases as f64;
    let rate = |name, asked, realised, of| Rate { name, asked, realised, of };
    // Written so that a genome without promoters or repeats has a rate of 0 and not of NaN.
    let share = |part: f64, of: f64| if of > 0.0 { part / of } else { 0.0 };
    let mut found = vec![
        rate("gc_mean", config.gc_mean, share(both(b'G') + both(b'C'), known), number(Kind::Isochore)),
        rate("cpg_ratio", config.cpg_ratio, share(pairs as f64 * known, both(b'C') * both(b'G')), known as u64),
        rate("repeat_share", config.repeat_share, repeats as f64 / config.bases as f64, config.bases),
        rate("repeat_divergence", config.repeat_divergence, share(mutated as f64, repeats as f64), repeats),
        rate("genes_per_mb", config.genes_per_mb, a_megabase(Kind::Gene), number(Kind::Gene)),
        rate("enhancers_per_mb", config.enhancers_per_mb, a_megabase(Kind::Enhancer), number(Kind::Enhancer)),
        rate("n_runs_per_mb", config.n_runs_per_mb, a_megabase(Kind::NRun), number(Kind::NRun)),
    ];
    let promoters = number(Kind::Promoter);
    found.extend(elements.iter().map(|element| {
        let have =
            truth.iter().filter(|record| record.kind == Kind::Motif && record.name == element.motif.name).count();
        rate(element.rate_name, element.rate, share(have as f64, promoters as f64), promoters)
    }));
    found
}

#[cfg(test)]
mod tests;
