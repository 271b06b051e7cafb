//! Score tables as files: `kmer<TAB>count<TAB>pmi<TAB>npmi<TAB>rank`, the best first; then the k-mers without a rank, with `NA` for what they do not have.
//! Every k-mer of the length is there, so a torn file is known.

use std::path::Path;

use super::{LENGTHS, PmiRow, PmiTable};
use crate::count::kmer;
use crate::error::Result;
use crate::io::lines::{Lines, quoted};
use crate::io::whole;

const HEADER: &str = "kmer\tcount\tpmi\tnpmi\trank";
const NONE: &str = "NA";
const HINT: &str = "give a table that `tatabox pmi … -o` has written";
const AGAIN: &str = "the table is torn or was changed; make it again with `tatabox pmi`";

impl PmiTable {
    /// Writes the table whole, or leaves what was there.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        whole::write(path, |out| {
            writeln!(out, "{HEADER}")?;
            for PmiRow { kmer, count, pmi, npmi, rank } in self.rows() {
                writeln!(out, "{}\t{count}\t{pmi}\t{npmi}\t{rank}", kmer::spell(*kmer, self.k()))?;
            }
            for (kmer, count) in self.counts().iter().enumerate().filter(|&(kmer, _)| self.rank(kmer).is_none()) {
                writeln!(out, "{}\t{count}\t{NONE}\t{NONE}\t{NONE}", kmer::spell(kmer, self.k()))?;
            }
            Ok(())
        })
    }

    /// Reads a table, plain or gzip.
    ///
    /// # Errors
    /// The file cannot be read, has another header, holds a k-mer of another length, twice or not at all, a score that is no number, or ranks that are not
    /// 1, 2, 3, … with falling NPMI.
    pub fn read(path: &Path) -> Result<Self> {
        let lines = Lines::read(path, "scores of k-mers")?;
        let mut k = 0;
        let mut counts: Vec<Option<u64>> = Vec::new();
        let mut rows: Vec<PmiRow> = Vec::new();
        for (at, line) in lines.iter() {
            if at == 1 {
                if line != HEADER {
                    return Err(lines.wrong(at, format!("the header {}", quoted(HEADER)), quoted(line), HINT));
                }
                continue;
            }
            let fields: Vec<&str> = line.split('\t').collect();
            let &[word, count, pmi, npmi, rank] = fields.as_slice() else {
                return Err(lines.wrong(at, "five columns", format!("{}: {}", fields.len(), quoted(line)), AGAIN));
            };
            if k == 0 {
                k = word.len();
                counts = if LENGTHS.contains(&k) { vec![None; 1 << (2 * k)] } else { Vec::new() };
            }
            let Some(kmer) = kmer::number(word.as_bytes()).filter(|_| word.len() == k && LENGTHS.contains(&k)) else {
                let length = if LENGTHS.contains(&k) { format!("{k}") } else { "2 to 10".into() };
                return Err(lines.wrong(at, format!("a k-mer of {length} letters A, C, G, T"), quoted(word), AGAIN));
            };
            let count = count.parse().map_err(|_| lines.wrong(at, "a count of 0 or more", quoted(count), AGAIN))?;
            if counts[kmer].replace(count).is_some() {
                return Err(lines.wrong(at, "each k-mer once", format!("{} again", quoted(word)), AGAIN));
            }
            if [pmi, npmi, rank] == [NONE; 3] {
                continue;
            }
            let score = |text: &str| {
                let number: Option<f64> = text.parse().ok().filter(|number: &f64| number.is_finite());
                number.ok_or_else(|| lines.wrong(at, format!("a score, or {NONE} in all three"), quoted(text), AGAIN))
            };
            let row = PmiRow { kmer, count, pmi: score(pmi)?, npmi: score(npmi)?, rank: rows.len() as u32 + 1 };
            if rank.parse() != Ok(row.rank) {
                return Err(lines.wrong(at, format!("rank {}", row.rank), quoted(rank), AGAIN));
            }
            if let Some(better) = rows.last().filter(|better| better.npmi < row.npmi) {
                let expected = format!("at most the npmi of the rank before, {}", better.npmi);
                return Err(lines.wrong(at, expected, quoted(npmi), AGAIN));
            }
            rows.push(row);
        }
        if let Some(missing) = counts.iter().position(Option::is_none) {
            let got = format!("{}; `{}` is missing", counts.iter().flatten().count(), kmer::spell(missing, k));
            return Err(lines.wrong_whole(format!("all {} k-mers of length {k}", counts.len()), got, AGAIN));
        }
        if rows.is_empty() {
            return Err(lines.wrong_whole("scores of k-mers", "none with a rank", AGAIN));
        }
        Ok(Self::new(k, counts.into_iter().flatten().collect(), rows))
    }
}
