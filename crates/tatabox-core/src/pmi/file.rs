//! Score tables as files: `kmer<TAB>count<TAB>pmi<TAB>npmi<TAB>rank`, the best first; then the k-mers without a rank, with `NA` for what they do not have.
//! Every k-mer of the length is there, so a torn file is known.

use std::path::Path;

use super::{LENGTHS, PmiRow, PmiTable};
use crate::count::kmer;
use crate::error::Result;
use crate::io::input::is_pipe;
use crate::io::lines::{Lines, head, quoted};
use crate::io::whole;

/// The columns of scored words, whether k-mers of one length or a vocabulary of several.
pub(crate) const HEADER: &str = "kmer\tcount\tpmi\tnpmi\trank";
const NONE: &str = "NA";
const HINT: &str = "give a table that `tatabox pmi … -o` has written";
const VOCABULARY: &str = "a table of several lengths is a masking vocabulary (`pmi.tsv` of a run under `pmi-vocab`), or is torn; \
                          score k-mers of one length with `tatabox pmi`";
const AGAIN: &str = "the table is torn or was changed; make it again with `tatabox pmi`";

/// True where a file begins as a table of scores does; a pipe is none.
///
/// # Errors
/// The file cannot be read.
pub fn is_table(path: &Path) -> Result<bool> {
    Ok(!is_pipe(path) && head(path)?.starts_with(b"kmer\tcount\tpmi"))
}

/// The rows below the header, each with its line and its columns as [`HEADER`] names them. `header_hint` is for a file that is none of ours, `row_hint` for
/// one that was.
pub(crate) fn score_rows<'a>(
    lines: &'a Lines,
    header_hint: &'a str,
    row_hint: &'a str,
) -> impl Iterator<Item = Result<(usize, [&'a str; 5])>> {
    lines.iter().filter_map(move |(at, line)| {
        if at == 1 {
            let wrong = || lines.wrong(at, format!("the header {}", quoted(HEADER)), quoted(line), header_hint);
            return (line != HEADER).then(|| Err(wrong()));
        }
        let fields: Vec<&str> = line.split('\t').collect();
        let wrong = || lines.wrong(at, "five columns", format!("{}: {}", fields.len(), quoted(line)), row_hint);
        Some(fields.as_slice().try_into().map(|columns| (at, columns)).map_err(|_| wrong()))
    })
}

/// The length that all words of a table of scores have; none where they have several, or a line is not as it ought to be.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn length_of_all(path: &Path) -> Result<Option<usize>> {
    let lines = Lines::read(path, "scores of k-mers")?;
    let mut lengths = score_rows(&lines, HINT, AGAIN).map(|row| row.ok().map(|(_, [word, ..])| word.len()));
    let first = lengths.next().flatten();
    Ok(first.filter(|_| lengths.all(|length| length == first)))
}

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
        for row in score_rows(&lines, HINT, AGAIN) {
            let (at, [word, count, pmi, npmi, rank]) = row?;
            if k == 0 {
                k = word.len();
                counts = if LENGTHS.contains(&k) { vec![None; 1 << (2 * k)] } else { Vec::new() };
            }
            let Some(kmer) = kmer::number(word.as_bytes()).filter(|_| word.len() == k && LENGTHS.contains(&k)) else {
                let length = if LENGTHS.contains(&k) { format!("{k}") } else { "2 to 10".into() };
                let other = kmer::number(word.as_bytes()).is_some() && LENGTHS.contains(&word.len());
                let hint = if other { VOCABULARY } else { AGAIN };
                return Err(lines.wrong(at, format!("a k-mer of {length} letters A, C, G, T"), quoted(word), hint));
            };
            let count = count
                .parse()
                .map_err(|_| lines.wrong(at, "a count: a whole number of 0 or more", quoted(count), AGAIN))?;
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

#[cfg(test)]
mod tests {
    use super::super::table::Score;
    use super::*;

    fn table() -> PmiTable {
        let score = |kmer: usize| {
            (!kmer.is_multiple_of(3)).then_some(Score { pmi: kmer as f64 / 3.0, npmi: 0.1 * kmer as f64 })
        };
        PmiTable::ranked(2, (0..16).collect(), (0..16).map(score).collect())
    }

    /// The error of reading this text, without the folder's name.
    fn refused(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pmi.tsv");
        std::fs::write(&path, text).unwrap();
        let error = PmiTable::read(&path).unwrap_err();
        assert!(error.hint().is_some() && !error.is_usage(), "{error}");
        error.to_string().replace(&format!("{}/", folder.path().display()), "")
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pmi.tsv");
        for table in [table(), table().permuted(4)] {
            table.write(&path).unwrap();
            assert_eq!(PmiTable::read(&path).unwrap(), table);
            assert!(is_table(&path).unwrap());
        }
    }

    #[test]
    fn a_table_that_was_changed_or_torn_names_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pmi.tsv");
        table().write(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let best = text.lines().nth(1).unwrap();
        assert_eq!(best, "GC\t14\t4.666666666666667\t1.4000000000000001\t1");
        let with = |from: &str, to: &str| refused(&text.replacen(from, to, 1));
        assert_eq!(
            with("kmer\tcount\tpmi", "kmer\tpmi"),
            "`pmi.tsv`, line 1: expected the header `kmer\\tcount\\tpmi\\tnpmi\\trank`, got `kmer\\tpmi\\tnpmi\\trank`"
        );
        assert_eq!(with("\nGC\t", "\nGX\t"), "`pmi.tsv`, line 2: expected a k-mer of 2 letters A, C, G, T, got `GX`");
        assert_eq!(with("\nGT\t", "\nGTA\t"), "`pmi.tsv`, line 3: expected a k-mer of 2 letters A, C, G, T, got `GTA`");
        assert_eq!(with("\nGT\t", "\nGC\t"), "`pmi.tsv`, line 3: expected each k-mer once, got `GC` again");
        assert!(with("GC\t14", "GC\t-1").starts_with("`pmi.tsv`, line 2: expected a count"));
        assert!(with("\t4.66", "\tinf\t4.66").contains("line 2: expected five columns, got 6"));
        assert!(with("4.666666666666667", "NaN").contains("line 2: expected a score"));
        assert!(with("\t1\n", "\t2\n").contains("line 2: expected rank 1, got `2`"));
        assert!(with("1.4000000000000001", "0.2").contains("line 3: expected at most the npmi"));
        let (short, _) = text.trim_end().rsplit_once('\n').unwrap();
        assert!(refused(&format!("{short}\n")).contains("expected all 16 k-mers of length 2, got 15; `GG` is missing"));
        assert!(refused(short).contains("expected a line end, got the end of the file; it was cut short"));
        assert!(refused(text.lines().next().unwrap()).contains("expected a line end"));
        assert!(refused("kmer\tcount\tpmi\tnpmi\trank\n").contains("none with a rank"));
        assert!(refused("").contains("an empty file"));
    }
}
