//! Reading tables of counts: ours, and what Jellyfish and KMC dump.

use std::collections::HashSet;
use std::path::Path;

use super::write::HEADER;
use super::{KmerCounts, LONGEST, kmer};
use crate::error::Result;
use crate::io::input::is_pipe;
use crate::io::lines::{Lines, head, quoted};
use crate::io::malformed;
use crate::io::twobit::is_twobit;

const WHAT: &str = "k-mer counts";
const HINT: &str = "give a table of `tatabox count`, or what `jellyfish dump` prints (with or without -c)";
const AGAIN: &str = "the table is torn; count again";

/// Below so many k-mers that stand on one strand only, it may be chance that all of them are the smaller of the two.
const ENOUGH: usize = 20;

/// True where a file looks like a table of counts, false where it looks like a genome, or is a pipe: what is looked at there is gone.
///
/// # Errors
/// The file cannot be read, or is empty.
pub fn is_table(path: &Path) -> Result<bool> {
    if is_pipe(path) {
        return Ok(false);
    }
    let head = head(path)?;
    let text = head.trim_ascii_start();
    if text.is_empty() {
        let hint = "make the file again, or copy it whole";
        return Err(malformed(path, "", "a genome or k-mer counts", "an empty file", hint));
    }
    if is_twobit(&head) || text.contains(&0) {
        return Ok(false);
    }
    Ok(text[0] != b'>' || is_dump(text))
}

/// True for the beginning of Jellyfish's dump, which is FASTA too: each header a number alone, each sequence one k-mer, no k-mer twice, those of one length
/// together and two of them at least. A genome may have short contigs called `1`, `2` and so on; the name of the file says nothing, for the manual of
/// Jellyfish calls its dump `.fa`.
fn is_dump(text: &[u8]) -> bool {
    let mut lines: Vec<&[u8]> = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii_end).collect();
    lines.pop(); // nothing, or what may go on beyond the beginning
    let (records, rest) = lines.as_chunks();
    let count = |line: &[u8]| line.len() > 1 && line[0] == b'>' && line[1..].iter().all(u8::is_ascii_digit);
    let is_kmer = |word: &[u8]| word.len() <= 2 * LONGEST && kmer::number(word).is_some();
    if !records.iter().all(|[header, word]| count(header) && is_kmer(word)) || !rest.iter().all(|line| count(line)) {
        return false;
    }
    let mut lengths: Vec<usize> = records.iter().map(|[_, word]| word.len()).collect();
    lengths.dedup();
    let words: HashSet<&[u8]> = records.iter().map(|[_, word]| *word).collect();
    let together = lengths.iter().collect::<HashSet<_>>().len() == lengths.len();
    let too_long = lengths.iter().any(|&length| length > LONGEST); // of one length they are a dump all the same, which the reader refuses
    words.len() == records.len()
        && together
        && records.len() + rest.len() >= 2 * lengths.len().max(1)
        && (!too_long || lengths.len() == 1)
}

impl KmerCounts {
    /// Reads a table of counts, plain or gzip: ours (with its header, each k-mer of each of its lengths once), or Jellyfish's dump, as FASTA (`>12` over
    /// `ACGT`) or in columns (`ACGT 12`, also of `kmc_tools dump`), in which k-mers that do not occur are left out and files of several lengths may
    /// follow each other.
    ///
    /// A dump of canonical k-mers (counted with `jellyfish count -C`, or by KMC without `-b`) is spread over both strands, as
    /// [`Strands::Both`](super::Strands::Both) counts: it is known by the absence of every k-mer whose reverse complement comes first in the alphabet.
    ///
    /// # Errors
    /// The file cannot be read or is none of these; a k-mer is no k-mer, stands there twice or (in ours) is missing; a count is no number, negative, or
    /// their sum does not fit into 64 bits.
    pub fn read(path: &Path) -> Result<Self> {
        let lines = Lines::read(path, WHAT)?;
        let mut table = Table { lines: &lines, counts: Vec::new() };
        let first = lines.iter().next().map_or("", |(_, line)| line);
        if first.starts_with('>') {
            table.fasta()?;
        } else if first == HEADER {
            table.columns(1)?;
            table.complete()?;
        } else if first.split_ascii_whitespace().next().is_some_and(|word| kmer::number(word.as_bytes()).is_some()) {
            table.columns(0)?;
        } else {
            return Err(lines.wrong(1, "the header `kmer<TAB>count`, or Jellyfish's dump", quoted(first), HINT));
        }
        let dumped = first != HEADER;
        table.finish(dumped)
    }
}

/// A table that is being read.
struct Table<'a> {
    lines: &'a Lines,
    /// For each length from 1, none where it has not come yet: the count of each k-mer, none where it has not come yet.
    counts: Vec<Vec<Option<u64>>>,
}

impl Table<'_> {
    fn fasta(&mut self) -> Result<()> {
        let mut lines = self.lines.iter();
        while let Some((at, header)) = lines.next() {
            let Some(count) = header.strip_prefix('>') else {
                return Err(self.lines.wrong(at, "a count after `>`", quoted(header), HINT));
            };
            let count = self.count(at, count)?;
            let Some((at, word)) = lines.next() else {
                return Err(self.lines.wrong(at, "a k-mer under its count", "the end of the file", AGAIN));
            };
            self.add(at, word, count)?;
        }
        Ok(())
    }

    fn columns(&mut self, skipped: usize) -> Result<()> {
        for (at, line) in self.lines.iter().skip(skipped) {
            let mut words = line.split_ascii_whitespace();
            let (Some(word), Some(count), None) = (words.next(), words.next(), words.next()) else {
                return Err(self.lines.wrong(at, "a k-mer and its count", quoted(line), AGAIN));
            };
            let count = self.count(at, count)?;
            self.add(at, word, count)?;
        }
        Ok(())
    }

    fn count(&self, at: usize, word: &str) -> Result<u64> {
        word.parse().map_err(|_| {
            let digits = word.trim_start_matches(['-', '+']);
            let number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            let large = number && !word.starts_with('-');
            let expected = if large { "a count below 2^64" } else { "a count: a whole number of 0 or more" };
            self.lines.wrong(at, expected, quoted(word), "count again, or mend that line")
        })
    }

    fn add(&mut self, at: usize, word: &str, count: u64) -> Result<()> {
        let Some(number) = kmer::number(word.as_bytes()).filter(|_| word.len() <= LONGEST) else {
            let expected = format!("a k-mer of 1 to {LONGEST} letters A, C, G, T");
            let got =
                if word.len() > LONGEST { format!("{} of {} letters", quoted(word), word.len()) } else { quoted(word) };
            return Err(self.lines.wrong(at, expected, got, HINT));
        };
        if self.counts.len() < word.len() {
            self.counts.resize_with(word.len(), Vec::new);
        }
        let table = &mut self.counts[word.len() - 1];
        if table.is_empty() {
            table.resize(1 << (2 * word.len()), None);
        }
        match table[number].replace(count) {
            None => Ok(()),
            Some(_) => Err(self.lines.wrong(at, "each k-mer once", format!("{} again", quoted(word)), AGAIN)),
        }
    }

    /// Refuses lengths of which some k-mers have no count.
    fn complete(&self) -> Result<()> {
        for (k, table) in (1..).zip(&self.counts).filter(|(_, table)| !table.is_empty()) {
            if let Some(missing) = table.iter().position(Option::is_none) {
                let there = table.iter().flatten().count();
                let expected = format!("all {} k-mers of length {k}", table.len());
                let got = format!("{there}; `{}` is missing", kmer::spell(missing, k));
                return Err(self.lines.wrong_whole(expected, got, AGAIN));
            }
        }
        Ok(())
    }

    fn finish(self, dumped: bool) -> Result<KmerCounts> {
        let canonical = dumped && self.is_canonical();
        let mut counts = KmerCounts::default();
        for (k, table) in (1..).zip(self.counts).filter(|(_, table)| !table.is_empty()) {
            let table: Vec<u64> = table.into_iter().map(Option::unwrap_or_default).collect();
            let sum = table.iter().try_fold(0u64, |sum, &count| sum.checked_add(count));
            // A canonical k-mer is counted on both strands.
            let sum = if canonical { sum.and_then(|sum| sum.checked_mul(2)) } else { sum };
            if sum.is_none() {
                let expected = format!("counts of length {k} whose sum is below 2^64");
                return Err(self.lines.wrong_whole(expected, "more", "count again"));
            }
            counts.set(k, if canonical { super::table::both_strands(&table, k) } else { table });
        }
        if counts.lengths().next().is_none() {
            return Err(self.lines.wrong_whole(WHAT, "a header and nothing else", AGAIN));
        }
        Ok(counts)
    }

    /// True where no k-mer has a count whose reverse complement comes before it in the alphabet.
    fn is_canonical(&self) -> bool {
        let mut smaller = 0;
        for (k, table) in (1..).zip(&self.counts) {
            for (number, _) in table.iter().enumerate().filter(|(_, count)| count.is_some_and(|count| count > 0)) {
                let other = kmer::reverse_complement(number, k);
                match kmer::letters(number, k).cmp(kmer::letters(other, k)) {
                    std::cmp::Ordering::Less => smaller += 1,
                    std::cmp::Ordering::Equal => (),
                    std::cmp::Ordering::Greater => return false,
                }
            }
        }
        smaller >= ENOUGH
    }
}

#[cfg(test)]
mod tests;
