//! What to simulate, and which wishes cannot be fulfilled.

use serde::{Deserialize, Serialize};

use crate::io::twobit::ContigWriter;
use crate::{Error, Result};

/// The shortest contig that is simulated, in bases: it holds a gene, an enhancer, a repeat and room between them.
pub(super) const SHORTEST_CONTIG: u64 = 10_000;
/// The longest contig relative to the shortest (lengths fall in equal steps from the first contig to the last).
const LONGEST_TO_SHORTEST: f64 = 3.0;
/// The expected share of a contig that features may fill, so that there is always room to place them.
const FULLEST: f64 = 0.8;

/// What a simulated genome is like. Lengths are in bases, rates are probabilities, `_per_mb` counts are for 1,000,000 bases.
///
/// # Examples
/// ```
/// use tatabox_core::simulate::{SimulateConfig, simulate};
///
/// let genome = simulate(&SimulateConfig { bases: 200_000, contigs: 3, seed: 7, ..SimulateConfig::default() })?;
/// assert_eq!(genome.contigs.iter().map(|contig| contig.bases.len()).sum::<usize>(), 200_000);
/// # Ok::<(), tatabox_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimulateConfig {
    /// Length of the genome, all contigs together.
    pub bases: u64,
    /// Number of contigs; the first is three times as long as the last.
    pub contigs: u32,
    /// The seed of everything that is drawn.
    pub seed: u64,
    /// Mean share of G and C over the isochores.
    pub gc_mean: f64,
    /// Standard deviation of that share between isochores.
    pub gc_sd: f64,
    /// Mean length of an isochore, a segment with one share of G and C.
    pub isochore_bases: u64,
    /// Observed over expected CG pairs in the background (1 is no depletion; human is near 0.25).
    pub cpg_ratio: f64,
    /// Bases that the next one depends on in the background, 1..=6.
    pub markov_order: u32,
    /// How much it depends on them: standard deviation of the log weights of the (order + 1)-mers; 0 is not at all.
    pub markov_strength: f64,
    /// Share of the genome covered by repeats.
    pub repeat_share: f64,
    /// Number of repeat families.
    pub repeat_families: u32,
    /// Mean share of a repeat copy's bases that differ from the consensus of its family.
    pub repeat_divergence: f64,
    /// Genes per 1,000,000 bases.
    pub genes_per_mb: f64,
    /// Share of promoters with a TATA box.
    pub tata_rate: f64,
    /// Share of promoters with an initiator at the transcription start site (TSS).
    pub inr_rate: f64,
    /// Share of promoters with a CAAT box.
    pub caat_rate: f64,
    /// Share of promoters with a GC box.
    pub gc_box_rate: f64,
    /// Enhancers per 1,000,000 bases.
    pub enhancers_per_mb: f64,
    /// Fewest and most bases between the two motifs of an enhancer's pair.
    pub pair_spacing: [u64; 2],
    /// Runs of N per 1,000,000 bases.
    pub n_runs_per_mb: f64,
}

impl Default for SimulateConfig {
    fn default() -> Self {
        Self {
            bases: 2_000_000,
            contigs: 5,
            seed: 0,
            gc_mean: 0.42,
            gc_sd: 0.05,
            isochore_bases: 50_000,
            cpg_ratio: 0.3,
            markov_order: 5,
            markov_strength: 0.3,
            repeat_share: 0.2,
            repeat_families: 4,
            repeat_divergence: 0.1,
            genes_per_mb: 250.0,
            tata_rate: 0.3,
            inr_rate: 0.5,
            caat_rate: 0.3,
            gc_box_rate: 0.6,
            enhancers_per_mb: 200.0,
            pair_spacing: [5, 15],
            n_runs_per_mb: 5.0,
        }
    }
}

impl SimulateConfig {
    /// Refuses what cannot be simulated, naming the first field at fault and what it allows.
    pub fn validate(&self) -> Result<()> {
        let ranges = [
            ("contigs", f64::from(self.contigs), 1.0, 10_000.0),
            ("gc_mean", self.gc_mean, 0.25, 0.75),
            ("gc_sd", self.gc_sd, 0.0, 0.15),
            ("isochore_bases", self.isochore_bases as f64, 1_000.0, 1e9),
            ("cpg_ratio", self.cpg_ratio, 0.05, 2.0),
            ("markov_order", f64::from(self.markov_order), 1.0, 6.0),
            ("markov_strength", self.markov_strength, 0.0, 1.0),
            ("repeat_share", self.repeat_share, 0.0, 0.7),
            ("repeat_families", f64::from(self.repeat_families), 1.0, 1_000.0),
            ("repeat_divergence", self.repeat_divergence, 0.0, 0.4),
            ("genes_per_mb", self.genes_per_mb, 0.0, 600.0),
            ("tata_rate", self.tata_rate, 0.0, 1.0),
            ("inr_rate", self.inr_rate, 0.0, 1.0),
            ("caat_rate", self.caat_rate, 0.0, 1.0),
            ("gc_box_rate", self.gc_box_rate, 0.0, 1.0),
            ("enhancers_per_mb", self.enhancers_per_mb, 0.0, 2_000.0),
            ("n_runs_per_mb", self.n_runs_per_mb, 0.0, 100.0),
        ];
        for (key, got, low, high) in ranges {
            if !(low..=high).contains(&got) {
                return Err(value(key, got.to_string(), format!("it must be in {low}..={high}"), String::new()));
            }
        }
        let [fewest, most] = self.pair_spacing;
        if fewest > most || most > super::enhancers::MOST_SPACING {
            return Err(value(
                "pair_spacing",
                format!("[{fewest}, {most}]"),
                format!("it must be two increasing numbers in 0..={}", super::enhancers::MOST_SPACING),
                "set `pair_spacing = [5, 15]`".into(),
            ));
        }
        let filled = self.repeat_share
            + self.genes_per_mb * super::promoters::MEAN_GENE_UNIT / 1e6
            + self.enhancers_per_mb * super::enhancers::ENHANCER_BASES as f64 / 1e6
            + self.n_runs_per_mb * super::layout::MEAN_N_RUN / 1e6;
        if filled > FULLEST {
            return Err(value(
                "repeat_share",
                self.repeat_share.to_string(),
                format!(
                    "with the genes, enhancers and N runs asked it would fill {:.0} % of the genome, of {:.0} % at most",
                    100.0 * filled,
                    100.0 * FULLEST
                ),
                "ask for fewer repeats, genes or enhancers".into(),
            ));
        }
        // The first contig is three times as long as the last, so half as much again as the mean.
        let longest = (3 * self.bases).div_ceil(2 * u64::from(self.contigs.max(1)));
        if longest > ContigWriter::LONGEST && self.contigs > 0 {
            let contigs = (3 * self.bases).div_ceil(2 * ContigWriter::LONGEST);
            return Err(value(
                "bases",
                self.bases.to_string(),
                format!("a contig has at most {} bases", ContigWriter::LONGEST),
                format!("ask for {contigs} contigs: `--contigs {contigs}`"),
            ));
        }
        let minimum = self.minimum_bases();
        if self.bases < minimum {
            return Err(value(
                "bases",
                self.bases.to_string(),
                format!("a genome of {} contigs needs at least {minimum}", self.contigs),
                format!("ask for {minimum} bases or for fewer contigs"),
            ));
        }
        Ok(())
    }

    /// The fewest bases that this number of contigs needs.
    fn minimum_bases(&self) -> u64 {
        let weights: f64 = self.weights().sum();
        (SHORTEST_CONTIG as f64 * weights).ceil() as u64
    }

    /// Relative lengths of the contigs, falling to 1.
    fn weights(&self) -> impl Iterator<Item = f64> {
        let steps = f64::from(self.contigs.saturating_sub(1)).max(1.0);
        let (contigs, fall) = (self.contigs, LONGEST_TO_SHORTEST - 1.0);
        (0..contigs).map(move |index| 1.0 + fall * f64::from(contigs - 1 - index) / steps)
    }

    /// Lengths of the contigs, in bases; they sum to `bases`.
    pub(super) fn contig_lengths(&self) -> Vec<u64> {
        let total: f64 = self.weights().sum();
        let mut lengths: Vec<u64> = self.weights().map(|weight| (self.bases as f64 * weight / total) as u64).collect();
        lengths[0] += self.bases - lengths.iter().sum::<u64>();
        lengths
    }
}

/// A refused value.
fn value(key: &str, got: String, expected: String, hint: String) -> Error {
    Error::Value { key: key.into(), got, expected, hint }
}

/// A number of bases as people write it: `2000000`, `500k`, `2M`, `1.5G` (1,000, 1,000,000 and 1,000,000,000; either case).
///
/// # Errors
/// `Error::Value` for anything else, and for a number that is no whole number of bases.
///
/// # Examples
/// ```
/// use tatabox_core::simulate::parse_bases;
///
/// assert_eq!(parse_bases("1.5G")?, 1_500_000_000);
/// assert!(parse_bases("1.5").is_err());
/// # Ok::<(), tatabox_core::Error>(())
/// ```
pub fn parse_bases(text: &str) -> Result<u64> {
    let refuse = || {
        let expected = "it must be a whole number of bases, with k, M or G for thousands, millions or billions";
        value("bases", format!("`{text}`"), expected.into(), "for example `500k`, `2M` or `1.5G`".into())
    };
    let trimmed = text.trim();
    let (number, zeros) = match trimmed.chars().last().ok_or_else(refuse)? {
        'k' | 'K' => (&trimmed[..trimmed.len() - 1], 3),
        'm' | 'M' => (&trimmed[..trimmed.len() - 1], 6),
        'g' | 'G' => (&trimmed[..trimmed.len() - 1], 9),
        _ => (trimmed, 0),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let fraction = if digits(fraction) { fraction.trim_end_matches('0') } else { return Err(refuse()) };
    if !digits(whole) || fraction.len() > zeros {
        return Err(refuse());
    }
    // Integers only, so that 0.1G is 100,000,000 and not one less.
    format!("{whole}{fraction}{}", "0".repeat(zeros - fraction.len())).parse().map_err(|_| refuse())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let cases = [
            ("2M", 2_000_000),
            ("500k", 500_000),
            ("1.5G", 1_500_000_000),
            ("0.1g", 100_000_000),
            (" 17 ", 17),
            ("2.50K", 2_500),
        ];
        for (text, bases) in cases {
            assert_eq!(parse_bases(text).unwrap(), bases, "{text}");
        }
        for text in ["", "M", "-1", "1.5", "1.0005k", "2MB", "ten", ".5M", "1.M", "99999999999G", "1e6", "é"] {
            let message = parse_bases(text).unwrap_err().to_string();
            assert!(message.contains("whole number of bases") && message.contains(text), "{text}: {message}");
        }
    }

    #[test]
    fn a_genome_too_small_for_its_contigs_is_refused_with_the_minimum() {
        let config = SimulateConfig { bases: 1_000, contigs: 5, ..SimulateConfig::default() };
        let error = config.validate().unwrap_err();
        assert_eq!(error.to_string(), "`bases` is 1000, but a genome of 5 contigs needs at least 100000");
        assert!(SimulateConfig { bases: 100_000, ..config }.validate().is_ok());
    }

    #[test]
    fn each_field_out_of_range_is_named() {
        let base = SimulateConfig::default;
        let cases = [
            ("contigs", SimulateConfig { contigs: 0, ..base() }),
            ("gc_mean", SimulateConfig { gc_mean: f64::NAN, ..base() }),
            ("tata_rate", SimulateConfig { tata_rate: 1.5, ..base() }),
            ("markov_order", SimulateConfig { markov_order: 9, ..base() }),
            ("pair_spacing", SimulateConfig { pair_spacing: [9, 3], ..base() }),
            ("repeat_share", SimulateConfig { repeat_share: 0.7, ..base() }),
        ];
        for (key, config) in cases {
            let error = config.validate().unwrap_err();
            assert!(error.is_usage() && error.to_string().starts_with(&format!("`{key}` is ")), "{error}");
        }
    }

    #[test]
    fn contig_lengths_fall_and_sum_to_the_genome() {
        let config = SimulateConfig { bases: 1_000_003, contigs: 7, ..SimulateConfig::default() };
        let lengths = config.contig_lengths();
        assert_eq!(lengths.iter().sum::<u64>(), 1_000_003);
        assert!(
            lengths.is_sorted_by(|longer, shorter| longer > shorter) && lengths[6] >= SHORTEST_CONTIG,
            "{lengths:?}"
        );
    }
}
