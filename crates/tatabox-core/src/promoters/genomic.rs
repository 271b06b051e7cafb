//! Negatives of the genome itself: windows away from any TSS.

use std::collections::BTreeMap;

use super::PromoterConfig;
use crate::error::{Error, Result};
use crate::genome::Genome;
use crate::interval::{self, Interval};
use crate::labelled::Example;
use crate::rng::{Purpose, SeededRng};

/// Draws before a contig is given up.
const TRIES: usize = 10_000;

/// One window for each positive, on its contig: at least `away` bases from every TSS, without N, on either strand, none overlapping another.
///
/// # Errors
/// A contig has no room left.
pub(super) fn places(
    genome: &Genome,
    tss: &[Interval],
    positives: &[Example],
    config: &PromoterConfig,
) -> Result<Vec<Interval>> {
    let (before, behind) = config.window.around();
    let bases = before + 1 + behind;
    let mut sites: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    tss.iter().for_each(|site| sites.entry(&site.contig).or_default().push(site.start));
    sites.values_mut().for_each(|starts| starts.sort_unstable());
    // Start of each window taken, by contig.
    let mut taken: BTreeMap<&str, BTreeMap<u64, ()>> = BTreeMap::new();
    let mut segments: BTreeMap<&str, Vec<std::ops::Range<u64>>> = BTreeMap::new();
    let mut found = Vec::with_capacity(positives.len());
    for (index, origin) in positives.iter().enumerate().filter_map(|(at, one)| Some((at, one.origin.as_ref()?))) {
        let contig = origin.contig.as_str();
        if !segments.contains_key(contig) {
            let mut all = genome.acgt_segments(interval::find(genome, contig)?);
            all.retain(|segment| segment.end - segment.start >= bases);
            segments.insert(contig, all);
        }
        let (segments, sites) = (&segments[contig], &sites[contig]);
        let taken = taken.entry(contig).or_default();
        let room: u64 = segments.iter().map(|segment| segment.end - segment.start - bases + 1).sum();
        let mut rng = SeededRng::new(config.seed, Purpose::Negative, 2, index as u64);
        let draw = |rng: &mut SeededRng| {
            let mut at = rng.below(room);
            for segment in segments {
                let starts = segment.end - segment.start - bases + 1;
                if at < starts {
                    return segment.start + at;
                }
                at -= starts;
            }
            0
        };
        let free = |start: u64| {
            let near = sites.partition_point(|&site| site + config.away < start);
            let far = sites.get(near).is_none_or(|&site| site >= start + bases + config.away);
            far && taken.range(start.saturating_sub(bases - 1)..start + bases).next().is_none()
        };
        let tries = if room == 0 { 0 } else { TRIES };
        let Some(start) = (0..tries).map(|_| draw(&mut rng)).find(|&start| free(start)) else {
            let what = format!(
                "contig `{contig}` has no room for {} windows of {bases} bases that lie {} bases away from any TSS; {} were found",
                positives.len(),
                config.away,
                taken.len()
            );
            return Err(Error::Data {
                what,
                hint: "give a smaller `--away`, or other negatives: `--negatives permuted-blocks`".into(),
            });
        };
        taken.insert(start, ());
        let reverse = rng.chance(0.5);
        found.push(Interval {
            contig: contig.into(),
            start,
            end: start + bases,
            reverse,
            name: format!("genomic_{index}"),
        });
    }
    Ok(found)
}
