//! What was planted, and where.

use serde::Serialize;

/// The strand of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Strand {
    /// As written in the FASTA file.
    #[serde(rename = "+")]
    Plus,
    /// The reverse complement of it.
    #[serde(rename = "-")]
    Minus,
    /// Of no strand.
    #[serde(rename = ".")]
    Either,
}

impl Strand {
    /// The sign of BED files.
    pub fn sign(self) -> char {
        match self {
            Strand::Plus => '+',
            Strand::Minus => '-',
            Strand::Either => '.',
        }
    }

    /// The other strand.
    pub(super) fn opposite(self) -> Self {
        match self {
            Strand::Plus => Strand::Minus,
            Strand::Minus => Strand::Plus,
            Strand::Either => Strand::Either,
        }
    }
}

/// What a record is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A segment with one share of G and C; its name is that share, in percent.
    Isochore,
    /// A transcribed stretch, from its TSS on.
    Gene,
    /// The 300 bases from 249 before a TSS to 50 after it.
    Promoter,
    /// A transcription start site, one base.
    Tss,
    /// The stretch of an enhancer.
    Enhancer,
    /// Two motifs of an enhancer and what lies between them.
    Pair,
    /// An instance of a motif.
    Motif,
    /// A copy of a repeat; its name is the family.
    Repeat,
    /// A run of N.
    NRun,
}

impl Kind {
    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Isochore => "isochore",
            Kind::Gene => "gene",
            Kind::Promoter => "promoter",
            Kind::Tss => "tss",
            Kind::Enhancer => "enhancer",
            Kind::Pair => "pair",
            Kind::Motif => "motif",
            Kind::Repeat => "repeat",
            Kind::NRun => "n_run",
        }
    }
}

/// One planted thing.
#[derive(Clone, Debug, PartialEq)]
pub struct TruthRecord {
    /// The contig, counted from 0.
    pub contig: usize,
    /// First base, 0-based.
    pub start: u64,
    /// One past the last base.
    pub end: u64,
    /// Its strand.
    pub strand: Strand,
    /// What it is.
    pub kind: Kind,
    /// Its name: unique for genes and enhancers, that of the motif or family for those.
    pub name: String,
    /// The name of the gene or enhancer that it belongs to, if it does.
    pub parent: Option<String>,
}

/// A rate as it was asked and as it came out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rate {
    /// The field of the configuration.
    pub name: &'static str,
    /// What was asked.
    pub asked: f64,
    /// What came out.
    pub realised: f64,
    /// Draws behind it: promoters, bases, or expected features.
    pub of: u64,
}
