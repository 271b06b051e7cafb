//! A genome at two bits a base, mapped from disk.
//!
//! FASTA is converted once to a .2bit file in a cache folder; a .2bit file is mapped as it is. Either way a [`GenomeCard`] says what the
//! genome was read from and what its letters were.

mod cache;
mod card;
mod convert;

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use card::{ContigCard, FileCard, GenomeCard};
pub use convert::{Converted, Converter};

use crate::error::{Error, Result};
use crate::io::input::STDIN;
use crate::io::malformed;
use crate::io::twobit::{TwoBit, is_twobit};

/// A contig: its name and length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contig {
    /// The first word of its FASTA header.
    pub name: String,
    /// Its length, N included.
    pub bases: u64,
}

/// An open genome. The bases lie in a mapped file and take memory only as far as the system keeps its pages; a clone is the same map.
#[derive(Clone)]
pub struct Genome {
    store: Arc<TwoBit>,
    contigs: Arc<[Contig]>,
    card: Arc<GenomeCard>,
}

impl Genome {
    /// Opens a genome from FASTA files (plain, gzip or bgzip; `-` is standard input), or from one .2bit file.
    ///
    /// FASTA is read once: its .2bit file is kept in `cache`, named by the hash of the input, and found again while path, size and time
    /// of the input are the same, or its hash is.
    ///
    /// # Errors
    /// A file cannot be read or written, is not what its format asks for, or holds nothing but N; two contigs have one name.
    pub fn open(inputs: &[PathBuf], cache: &Path) -> Result<Genome> {
        if inputs.is_empty() {
            return Err(Error::Value {
                key: "genome".into(),
                got: "empty".into(),
                expected: "it must name at least one FASTA file or a .2bit file".into(),
                hint: "give a file, or `-` for standard input".into(),
            });
        }
        let mut twobits = 0;
        for path in inputs {
            twobits += usize::from(starts_as_twobit(path)?);
        }
        let (store, card) = match (twobits, inputs) {
            (1, [path]) => cache::twobit(path, cache)?,
            (0, _) => cache::fasta(inputs, cache)?,
            _ => {
                let got = format!("{} files of which {twobits} are .2bit", inputs.len());
                let hint = "give the .2bit file alone, or FASTA files only";
                return Err(malformed(&inputs[0], "", "one .2bit file or any number of FASTA files", got, hint));
            }
        };
        if card.known() == 0 {
            return Err(Error::Data {
                what: format!("{} holds {} bases, and all are N", card.file_names(), card.bases()),
                hint: "give a genome that is not masked with N (soft-masking in lower case is fine)".into(),
            });
        }
        Ok(Self::new(store, card))
    }

    /// The genome of files that were read before and may be gone, as a pipe is, from the cache; none where it is not there.
    pub fn stored(files: &[FileCard], cache: &Path) -> Option<Genome> {
        cache::stored(files, cache).map(|(store, card)| Self::new(store, card))
    }

    fn new(store: TwoBit, card: GenomeCard) -> Genome {
        let contigs =
            (0..store.contigs()).map(|i| Contig { name: store.name(i).to_owned(), bases: store.bases(i) }).collect();
        Genome { store: Arc::new(store), contigs, card: Arc::new(card) }
    }

    /// The contigs, in the order of the files.
    pub fn contigs(&self) -> &[Contig] {
        &self.contigs
    }

    /// What the genome was read from, and what it holds.
    pub fn card(&self) -> &GenomeCard {
        &self.card
    }

    /// Reads base codes (0..=3 for A, T, C, G; 4 for N) into `out`, `[bases]`, which is emptied first.
    ///
    /// # Panics
    /// If the range is not on the contig.
    pub fn read(&self, contig: usize, range: Range<u64>, out: &mut Vec<u8>) {
        self.store.read(contig, range, out);
    }

    /// A contig's bases as the file holds them: four a byte, the first in the highest bits, in UCSC's order (T, C, A, G); runs of N hold anything.
    pub(crate) fn packed(&self, contig: usize) -> &[u8] {
        self.store.packed(contig)
    }

    /// The stretches of a contig without N, in order.
    pub fn acgt_segments(&self, contig: usize) -> Vec<Range<u64>> {
        acgt_segments(&self.store, contig)
    }

    /// The share of a range that is soft-masked, in `0.0..=1.0`.
    pub fn masked_share(&self, contig: usize, range: Range<u64>) -> f64 {
        let bases = range.end.saturating_sub(range.start);
        if bases == 0 {
            return 0.0;
        }
        self.store.masked(contig, range).map(|run| run.end - run.start).sum::<u64>() as f64 / bases as f64
    }
}

fn acgt_segments(store: &TwoBit, contig: usize) -> Vec<Range<u64>> {
    let mut segments = Vec::new();
    let mut start = 0;
    for run in store.n_blocks(contig) {
        if run.start > start {
            segments.push(start..run.start);
        }
        start = run.end;
    }
    if start < store.bases(contig) {
        segments.push(start..store.bases(contig));
    }
    segments
}

/// Looks at the first bytes of a file that can be read again; streams are taken for FASTA.
fn starts_as_twobit(path: &Path) -> Result<bool> {
    if path == Path::new(STDIN) {
        return Ok(false);
    }
    let failed = |source| Error::File { action: "read", path: path.to_path_buf(), source };
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Ok(false);
    }
    let mut head = Vec::new();
    File::open(path).map_err(failed)?.take(4).read_to_end(&mut head).map_err(failed)?;
    Ok(is_twobit(&head))
}

#[cfg(test)]
mod tests;
