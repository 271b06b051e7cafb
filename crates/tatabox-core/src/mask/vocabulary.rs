//! The masking vocabulary of `pmi-vocab`: words of 2 to 10 bases that are frequent and hold together (PMI-guided masking, section 5.4).

use std::path::Path;

use crate::count::{KmerCounts, LONGEST, kmer};
use crate::error::{Error, Result};
use crate::io::lines::{Lines, quoted};
use crate::io::whole;
use crate::pmi::{HEADER, LENGTHS, PAPER_THRESHOLD, PmiTable, Scorer, Threshold, score_rows};
use crate::words::counted;

/// Entries of the paper's vocabulary.
pub(super) const ENTRIES: usize = 40_000;
/// How often a word must be seen in the paper's genome, and in any other at most.
const PAPER_MIN_COUNT: u64 = 10_000;

const HINT: &str =
    "give `pmi.tsv` of a run with `mask.strategy = \"pmi-vocab\"`, or a table of `tatabox count -k 1..10`";

/// A word of the vocabulary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VocabularyEntry {
    /// Its bases, 2 to 10.
    pub length: usize,
    /// Its number among the words of that length (base 4, A = 0, T = 1, C = 2, G = 3, the first base the highest digit).
    pub kmer: usize,
    /// How often it was seen.
    pub count: u64,
    /// Its score.
    pub pmi: f64,
    /// Its score by which it is ranked.
    pub npmi: f64,
}

/// Words of 2 to 10 bases, the best first.
#[derive(Clone, Debug, PartialEq)]
pub struct MaskVocabulary {
    entries: Vec<VocabularyEntry>,
}

impl MaskVocabulary {
    /// The best 40,000 words of 2 to 10 bases that were seen at least `min_count` times, all lengths in one ranking; fewer where a genome has fewer.
    ///
    /// Left out, `min_count` is the paper's 10,000, or the count that an eighth of the words that occur reach where that is less (a small genome). The
    /// threshold of Equation 2 is one for all lengths: 101, the first quartile of the counts of all words, or `min_count`, whichever is least. Of words with one
    /// score the shorter is better, then the more frequent, then the one with the smaller number.
    ///
    /// # Errors
    /// [`Error::Data`] where lengths are missing in the counts, or no word was seen so often; [`Error::Value`] where `min_count` is 0.
    pub fn choose(counts: &KmerCounts, scorer: Scorer, min_count: Option<u64>) -> Result<Self> {
        let mut seen: Vec<u64> = Vec::new();
        for k in LENGTHS {
            let of = counts.of(k).ok_or_else(|| Error::Data {
                what: format!(
                    "the masking vocabulary needs the counts of all lengths 1 to {LONGEST}, but there are none of {k}"
                ),
                hint: format!("count them: `tatabox count genome.fa -k 1..{LONGEST} -o counts.tsv`"),
            })?;
            seen.extend(of.iter().copied().filter(|&count| count > 0));
        }
        let mut quantile = |part: usize, parts: usize| match seen.len() {
            0 => 1,
            words => *seen.select_nth_unstable((words * part / parts).min(words - 1)).1,
        };
        let threshold = quantile(1, 4).min(PAPER_THRESHOLD).min(min_count.unwrap_or(u64::MAX));
        let least = min_count.unwrap_or_else(|| quantile(7, 8).min(PAPER_MIN_COUNT));
        let mut entries = Vec::new();
        for length in LENGTHS {
            if counts.of(length).is_none_or(|counts| counts.iter().all(|&count| count < least.max(threshold))) {
                continue;
            }
            let table = PmiTable::score(counts, length, scorer, Threshold::Count(threshold))?;
            let frequent = table.rows().iter().filter(|row| row.count >= least);
            entries.extend(frequent.map(|row| VocabularyEntry {
                length,
                kmer: row.kmer,
                count: row.count,
                pmi: row.pmi,
                npmi: row.npmi,
            }));
        }
        if entries.is_empty() {
            let Some(&most) = seen.iter().max() else {
                return Err(Error::Data {
                    what: format!("no word of 2 to {LONGEST} bases occurs in what was counted"),
                    hint: "give a genome with known bases side by side, or the counts of one".into(),
                });
            };
            return Err(Error::Data {
                what: format!(
                    "no word of 2 to {LONGEST} bases was seen {}; the most frequent one was seen {}",
                    counted(least, "time"),
                    counted(most, "time")
                ),
                hint: "lower `mask.min_count`, or leave it out".into(),
            });
        }
        // Each length is in order already; a stable sort keeps that where scores are equal.
        entries.sort_by(|left, right| right.npmi.total_cmp(&left.npmi));
        entries.truncate(ENTRIES);
        Ok(Self { entries })
    }

    /// Entries as they are, the best first.
    #[cfg(test)]
    pub(super) fn of(entries: Vec<VocabularyEntry>) -> Self {
        Self { entries }
    }

    /// The words, the best first.
    pub fn entries(&self) -> &[VocabularyEntry] {
        &self.entries
    }

    /// Writes `kmer<TAB>count<TAB>pmi<TAB>npmi<TAB>rank`, whole, or leaves what was there.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        whole::write(path, |out| {
            writeln!(out, "{HEADER}")?;
            for (rank, entry) in (1..).zip(&self.entries) {
                let VocabularyEntry { length, kmer, count, pmi, npmi } = entry;
                writeln!(out, "{}\t{count}\t{pmi}\t{npmi}\t{rank}", kmer::spell(*kmer, *length))?;
            }
            Ok(())
        })
    }

    /// Reads what [`MaskVocabulary::write`] wrote, plain or gzip.
    ///
    /// # Errors
    /// The file cannot be read, has another header, a word of another length or twice, a score that is no number, or ranks that are not 1, 2, 3, …
    pub fn read(path: &Path) -> Result<Self> {
        let lines = Lines::read(path, "a masking vocabulary")?;
        let mut entries: Vec<VocabularyEntry> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for row in score_rows(&lines, HINT, HINT) {
            let (at, [word, count, pmi, npmi, rank]) = row?;
            let length = word.len();
            let Some(kmer) = kmer::number(word.as_bytes()).filter(|_| LENGTHS.contains(&length)) else {
                return Err(lines.wrong(at, "a word of 2 to 10 letters A, C, G, T", quoted(word), HINT));
            };
            if !seen.insert((length, kmer)) {
                return Err(lines.wrong(at, "each word once", format!("{} again", quoted(word)), HINT));
            }
            let score = |text: &str| {
                let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
                number.ok_or_else(|| lines.wrong(at, "a score", quoted(text), HINT))
            };
            let count = count
                .parse()
                .map_err(|_| lines.wrong(at, "a count: a whole number of 0 or more", quoted(count), HINT))?;
            entries.push(VocabularyEntry { length, kmer, count, pmi: score(pmi)?, npmi: score(npmi)? });
            if let [.., better, worse] = entries.as_slice()
                && better.npmi < worse.npmi
            {
                let expected = format!("at most the npmi of the rank before, {}", better.npmi);
                return Err(lines.wrong(at, expected, quoted(npmi), HINT));
            }
            if rank.parse() != Ok(entries.len()) {
                return Err(lines.wrong(at, format!("rank {}", entries.len()), quoted(rank), HINT));
            }
        }
        if entries.is_empty() || entries.len() > usize::from(u16::MAX) {
            let got = format!("{} entries", entries.len());
            return Err(lines.wrong_whole(format!("a masking vocabulary of 1 to {} words", u16::MAX), got, HINT));
        }
        Ok(Self { entries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::count::{Strands, count_sequences};
    use crate::rng::{Purpose, SeededRng};

    fn counts(bases: u64) -> KmerCounts {
        let mut rng = SeededRng::new(4, Purpose::Test, 0, 0);
        let codes: Vec<u8> = (0..bases).map(|_| rng.below(4) as u8).collect();
        count_sequences(&[&codes], 1..=LONGEST, Strands::Forward).unwrap()
    }

    #[test]
    fn words_are_frequent_and_in_one_ranking() {
        let counts = counts(300_000);
        let vocabulary = MaskVocabulary::choose(&counts, Scorer::Eq1, Some(20)).unwrap();
        let entries = vocabulary.entries();
        assert!(entries.len() > 1_000 && entries.len() <= ENTRIES, "{}", entries.len());
        assert!(entries.windows(2).all(|pair| pair[0].npmi >= pair[1].npmi));
        for entry in entries {
            assert_eq!(entry.count, counts.of(entry.length).unwrap()[entry.kmer]);
            assert!(entry.count >= 20);
        }
        // A genome of 300,000 bases has 75 words of each 6 bases and 4.6 of each 8.
        assert!(entries.iter().any(|entry| entry.length == 2) && entries.iter().all(|entry| entry.length <= 8));
    }

    #[test]
    fn a_small_genome_has_a_threshold_of_its_own() {
        let vocabulary = MaskVocabulary::choose(&counts(50_000), Scorer::Eq1, None).unwrap();
        assert!(vocabulary.entries().len() > 100);
        let error = MaskVocabulary::choose(&counts(5_000), Scorer::Eq1, Some(5_000)).unwrap_err();
        assert!(error.to_string().starts_with("no word of 2 to 10 bases was seen 5,000 times"), "{error}");
        let none = count_sequences(&[&[0]], 1..=LONGEST, Strands::Forward).unwrap();
        let error = MaskVocabulary::choose(&none, Scorer::Eq1, None).unwrap_err();
        assert_eq!(error.to_string(), "no word of 2 to 10 bases occurs in what was counted");
        let few = count_sequences(&[&[0, 1, 2]], 1..=6, Strands::Forward).unwrap();
        let error = MaskVocabulary::choose(&few, Scorer::Eq1, None).unwrap_err();
        assert!(error.hint().unwrap().contains("-k 1..10"), "{error}");
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pmi.tsv");
        let vocabulary = MaskVocabulary::choose(&counts(20_000), Scorer::Ai21, None).unwrap();
        vocabulary.write(&path).unwrap();
        assert_eq!(MaskVocabulary::read(&path).unwrap(), vocabulary);
    }

    #[test]
    fn what_is_no_vocabulary_is_refused_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pmi.tsv");
        for (lines, message) in [
            ("kmer\tcount\n", ", line 1: expected the header"),
            ("", ": expected a masking vocabulary of 1 to 65535 words, got 0 entries"),
            ("ACG\t5\t1\t1\n", ", line 2: expected five columns"),
            ("A\t5\t1\t1\t1\n", ", line 2: expected a word of 2 to 10 letters"),
            ("ACGTACGTACG\t5\t1\t1\t1\n", ", line 2: expected a word of 2 to 10 letters"),
            ("ANA\t5\t1\t1\t1\n", ", line 2: expected a word"),
            ("AC\t-5\t1\t1\t1\n", ", line 2: expected a count"),
            ("AC\t5\tNA\t1\t1\n", ", line 2: expected a score"),
            ("AC\t5\t1\tinf\t1\n", ", line 2: expected a score"),
            ("AC\t5\t1\t1\t2\n", ", line 2: expected rank 1"),
            ("AC\t5\t1\t1\t1\nAC\t5\t1\t1\t2\n", ", line 3: expected each word once"),
        ] {
            let header = if lines.starts_with("kmer") { String::new() } else { format!("{HEADER}\n") };
            #[expect(clippy::disallowed_methods, reason = "a file of this test")]
            std::fs::write(&path, header + lines).unwrap();
            let error = MaskVocabulary::read(&path).unwrap_err().to_string();
            assert!(error.contains(message), "{lines:?}: {error}");
        }
    }
}
