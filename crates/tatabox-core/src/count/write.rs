//! Counts as a table that people and programs read: header `kmer<TAB>count`, then every k-mer of every length that was counted, the ones that do not occur
//! included, the short lengths first, in the order of their numbers.

use std::io::Write;
use std::path::Path;

use super::{KmerCounts, kmer};
use crate::error::Result;
use crate::io::whole;

/// The first line of a table of counts.
pub(super) const HEADER: &str = "kmer\tcount";

impl KmerCounts {
    /// Writes the table whole, or leaves what was there.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        whole::write(path, |out| {
            writeln!(out, "{HEADER}")?;
            for k in self.lengths() {
                let mut line = Vec::new();
                for (number, count) in self.of(k).unwrap_or_default().iter().enumerate() {
                    line.clear();
                    line.extend(kmer::letters(number, k));
                    writeln!(line, "\t{count}")?;
                    out.write_all(&line)?;
                }
            }
            Ok(())
        })
    }
}
