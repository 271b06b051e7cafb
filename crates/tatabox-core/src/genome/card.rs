//! What a genome was read from and what it holds, for a run's `dataset.json`.

use serde::{Deserialize, Serialize};

use crate::seq::Composition;

/// An input file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileCard {
    /// The path as it was given; `-` is standard input.
    pub path: String,
    /// Bytes on disk.
    pub bytes: u64,
    /// SHA-256 of these bytes, hexadecimal.
    pub sha256: String,
}

/// A contig and what its letters were.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContigCard {
    /// Its name.
    pub name: String,
    /// Its letters by kind; of a .2bit file the IUPAC codes are not known, they are among the N.
    #[serde(flatten)]
    pub composition: Composition,
}

/// What a genome was read from and what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenomeCard {
    /// The input files, in order.
    pub files: Vec<FileCard>,
    /// The letters of all contigs by kind.
    pub total: Composition,
    /// The contigs, in order.
    pub contigs: Vec<ContigCard>,
}

impl GenomeCard {
    /// The card of files and their contigs.
    pub(super) fn new(files: Vec<FileCard>, contigs: Vec<ContigCard>) -> GenomeCard {
        let mut total = Composition::default();
        contigs.iter().for_each(|contig| total.add(&contig.composition));
        GenomeCard { files, total, contigs }
    }

    /// Bases of all contigs, N included.
    pub fn bases(&self) -> u64 {
        self.total.bases
    }

    /// Bases A, C, G and T of all contigs.
    pub fn known(&self) -> u64 {
        self.total.known()
    }

    /// Share of the bases that are not A, C, G or T.
    pub fn n_share(&self) -> f64 {
        1.0 - self.known() as f64 / self.bases() as f64
    }

    /// Share of C and G among the known bases.
    pub fn gc_share(&self) -> f64 {
        self.total.gc as f64 / self.known().max(1) as f64
    }

    /// The input files as an error names them.
    pub(super) fn file_names(&self) -> String {
        self.files.iter().map(|file| format!("`{}`", file.path)).collect::<Vec<_>>().join(", ")
    }
}
