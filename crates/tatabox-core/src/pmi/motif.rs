//! Ranks of motifs, given as consensus words, as Tables 3 and 6 of the paper list them.

use serde::Serialize;

use super::PmiTable;
use crate::count::kmer;
use crate::error::{Error, Result};
use crate::seq::LETTERS;

/// How many k-mers stand for a motif that is shorter than they are.
const BEST: usize = 5;

/// Most k-mers that one motif may stand for.
const MOST: usize = 256;

/// The ranks of one motif.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MotifRanks {
    /// As it was given.
    pub motif: String,
    /// The part of it that is looked up, capitals.
    pub core: String,
    /// Other runs of capitals that are as long as the core, and are not looked up.
    pub ties: Vec<String>,
    /// `contained`: the best k-mers that contain the core; `windows`: all k-mers of the core.
    pub rule: Rule,
    /// The best first, those without a rank last.
    pub kmers: Vec<MotifKmer>,
}

/// How k-mers stand for a motif.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// The core is shorter than k: the best five k-mers that contain it.
    Contained,
    /// The core has k bases or more: every window of k.
    Windows,
}

/// One k-mer of a motif.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MotifKmer {
    /// Its letters.
    pub kmer: String,
    /// How often it was seen.
    pub count: u64,
    /// Its rank, 1 the best; none where it was not seen often enough.
    pub rank: Option<u32>,
    /// Its score.
    pub npmi: Option<f64>,
}

impl PmiTable {
    /// The ranks of a motif that is given as IUPAC consensus, lower case where it is weakly conserved.
    ///
    /// The **core** is the longest run of capitals, without N at its ends (the first of several). A run that is shorter than k - 1 gives way to everything
    /// from the first to the last capital, and a word without capitals is its own core. Codes for several bases stand for each of these.
    ///
    /// - Core of k bases or more: every window of k bases ("7-mers: both halves").
    /// - Shorter core: the best five k-mers that contain it ("5-mers: top five").
    ///
    /// # Errors
    /// [`Error::Value`] where a letter is no IUPAC code, nothing but N is left, or the windows stand for more than 256 k-mers.
    pub fn motif(&self, motif: &str) -> Result<MotifRanks> {
        let refused = |expected: String, hint: &str| Error::Value {
            key: "motif".into(),
            got: format!("`{motif}`"),
            expected,
            hint: hint.into(),
        };
        if let Some(wrong) = motif.chars().find(|&letter| bases(letter).is_none()) {
            let expected = format!("`{}` is no IUPAC nucleotide code", wrong.escape_debug());
            return Err(refused(expected, "write a consensus like TATAAA, nTATAAAr or TATAWAW"));
        }
        let letters: Vec<char> = motif.chars().collect();
        let (core, ties) = core(&letters, self.k());
        if core.is_empty() {
            return Err(refused("nothing is left of it without N".into(), "write a consensus like TATAAA or nTATAAAr"));
        }
        let sets: Vec<u8> = core.iter().filter_map(|&letter| bases(letter)).collect();
        let (rule, kmers) = if sets.len() < self.k() {
            let holding = self.rows().iter().map(|row| row.kmer).filter(|&kmer| self.contains(kmer, &sets));
            (Rule::Contained, holding.take(BEST).collect())
        } else {
            let words: usize = sets.windows(self.k()).map(|window| ways(window).min(MOST + 1)).sum();
            if words > MOST {
                let expected = format!("its windows stand for more than {MOST} k-mers of {} bases", self.k());
                return Err(refused(expected, "leave out what is weakly conserved"));
            }
            let mut kmers: Vec<usize> = sets.windows(self.k()).flat_map(words_of).collect();
            kmers.sort_by_key(|&kmer| (self.rank(kmer).unwrap_or(u32::MAX), kmer));
            kmers.dedup();
            (Rule::Windows, kmers)
        };
        let of = |kmer: usize| MotifKmer {
            kmer: kmer::spell(kmer, self.k()),
            count: self.counts()[kmer],
            rank: self.rank(kmer),
            npmi: self.row(kmer).map(|row| row.npmi),
        };
        let core = core.iter().map(char::to_ascii_uppercase).collect();
        Ok(MotifRanks { motif: motif.into(), core, ties, rule, kmers: kmers.into_iter().map(of).collect() })
    }

    /// True where the word stands anywhere in the k-mer.
    fn contains(&self, kmer: usize, sets: &[u8]) -> bool {
        let base = |at: usize| kmer >> (2 * (self.k() - 1 - at)) & 3;
        (0..=self.k() - sets.len()).any(|start| sets.iter().zip(start..).all(|(set, at)| set >> base(at) & 1 == 1))
    }
}

/// The part of a motif that is looked up, and other words that are as long.
fn core(letters: &[char], k: usize) -> (&[char], Vec<String>) {
    let runs = || letters.split(|letter| !letter.is_ascii_uppercase()).map(trimmed);
    let longest = runs().rev().max_by_key(|run| run.len()).unwrap_or_default();
    if longest.len() + 1 >= k {
        let ties = runs().filter(|run| run.len() == longest.len() && *run != longest);
        return (longest, ties.map(|run| run.iter().collect()).collect());
    }
    let capital = |letter: &char| letter.is_ascii_uppercase() && *letter != 'N';
    let core = match (letters.iter().position(capital), letters.iter().rposition(capital)) {
        (Some(first), Some(last)) => &letters[first..=last],
        _ => trimmed(letters),
    };
    (core, Vec::new())
}

/// Without N at the ends.
fn trimmed(mut letters: &[char]) -> &[char] {
    while let [first, rest @ ..] = letters
        && first.eq_ignore_ascii_case(&'n')
    {
        letters = rest;
    }
    while let [rest @ .., last] = letters
        && last.eq_ignore_ascii_case(&'n')
    {
        letters = rest;
    }
    letters
}

/// The bases that an IUPAC code stands for, one bit each.
fn bases(letter: char) -> Option<u8> {
    let spelt = match letter.to_ascii_uppercase() {
        'A' => "A",
        'C' => "C",
        'G' => "G",
        'T' | 'U' => "T",
        'R' => "AG",
        'Y' => "CT",
        'S' => "CG",
        'W' => "AT",
        'K' => "GT",
        'M' => "AC",
        'B' => "CGT",
        'D' => "AGT",
        'H' => "ACT",
        'V' => "ACG",
        'N' => "ACGT",
        _ => return None,
    };
    let bits = (0..).zip(&LETTERS[..4]).filter(|(_, base)| spelt.as_bytes().contains(base));
    Some(bits.fold(0, |set, (code, _)| set | 1 << code))
}

/// How many words a row of sets allows.
fn ways(sets: &[u8]) -> usize {
    sets.iter().map(|set| set.count_ones() as usize).product()
}

/// All words of a row of sets.
fn words_of(sets: &[u8]) -> Vec<usize> {
    sets.iter().fold(vec![0], |words, set| {
        let codes = (0..4).filter(move |code| set >> code & 1 == 1);
        words.into_iter().flat_map(|word| codes.clone().map(move |code| word << 2 | code)).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::super::table::Score;
    use super::*;

    /// 6-mers ranked by the alphabet of their numbers: AAAAAA 1, AAAAAT 2, …; those that begin with GG have no rank.
    fn table() -> PmiTable {
        let score = |kmer: usize| (kmer < 15 << 8).then_some(Score { pmi: 0.0, npmi: -(kmer as f64) });
        PmiTable::ranked(6, vec![9; 4096], (0..4096).map(score).collect())
    }

    fn found(motif: &str) -> (String, Vec<String>) {
        let ranks = table().motif(motif).unwrap();
        (ranks.core, ranks.kmers.into_iter().map(|kmer| kmer.kmer).collect())
    }

    #[test]
    fn finds_the_cores_of_the_papers_tables() {
        for (motif, core) in [
            ("nGAGGAGGv", "GAGGAGG"),
            ("nCCTGGCCh", "CCTGGCC"),
            ("nTATAAAr", "TATAAA"),
            ("GTGGCTsw", "GTGGCT"),
            ("nCyyCCTCCn", "CCTCC"),
            ("sCwGCAGCn", "GCAGC"),
            ("ksCTGGGm", "CTGGG"),
            ("TTTTTTTTTn", "TTTTTTTTT"),
            ("sCsCCGCCsCCn", "CCGCC"),
            ("yyTTTATAn", "TTTATA"),
            ("kGCTGCwGs", "GCTGC"),
            ("yyCCAGrGn", "CCAGRG"),
            ("tataaa", "TATAAA"),
            ("NNTATANN", "TATA"),
            ("CCTCCrGCAGC", "CCTCC"),
        ] {
            assert_eq!(found(motif).0, core, "{motif}");
        }
    }

    #[test]
    fn a_run_as_long_as_the_core_is_named() {
        let of = |motif: &str| (found(motif).0, table().motif(motif).unwrap().ties);
        assert_eq!(of("TTGACAnnnTATAAT"), ("TTGACA".to_string(), vec!["TATAAT".to_string()]));
        assert_eq!(of("TTGACAnnnTATAA"), ("TTGACA".to_string(), vec![]));
        assert_eq!(of("TATAAAnTATAAA"), ("TATAAA".to_string(), vec![]), "one word twice is no other word");
    }

    #[test]
    fn a_longer_core_gives_every_window_once() {
        assert_eq!(found("GAGGAGG").1, ["AGGAGG", "GAGGAG"]);
        assert_eq!(found("TTTTTTTTT").1, ["TTTTTT"]);
        assert_eq!(found("TATAAA").1, ["TATAAA"]);
        assert_eq!(found("CCAGrG").1, ["CCAGAG", "CCAGGG"]);
        assert_eq!(found("TATAWR").1, ["TATAAA", "TATAAG", "TATATA", "TATATG"]);
    }

    #[test]
    fn a_shorter_core_gives_the_five_best_that_contain_it() {
        let (core, kmers) = found("CCCCC");
        assert_eq!((core.as_str(), kmers.len()), ("CCCCC", 5));
        assert_eq!(kmers, ["ACCCCC", "TCCCCC", "CCCCCA", "CCCCCT", "CCCCCC"]);
        // Only ACGCG and TCGCG before, CGCG with any two bases around: the numbers rank them.
        assert_eq!(found("CGCGCG").1, ["CGCGCG"]);
        assert!(
            found("GGGGG").1.iter().all(|kmer| !kmer.starts_with("GG")),
            "k-mers without a rank are not among the best"
        );
    }

    #[test]
    fn a_kmer_without_a_rank_is_shown_without_one_and_last() {
        let ranks = table().motif("AGGAAAA").unwrap();
        let seen: Vec<(&str, Option<u32>)> = ranks.kmers.iter().map(|of| (of.kmer.as_str(), of.rank)).collect();
        assert_eq!(seen, [("AGGAAA", Some(961)), ("GGAAAA", None)]);
        assert_eq!((ranks.kmers[1].npmi, ranks.kmers[1].count), (None, 9));
    }

    #[test]
    fn what_is_no_consensus_is_refused() {
        for (motif, part) in [
            ("TATAXA", "`X`"),
            ("nnn", "nothing is left"),
            ("", "nothing is left"),
            ("TA-TA", "`-`"),
            ("ANNNNNA", "256"),
        ] {
            let error = table().motif(motif).unwrap_err();
            assert!(error.is_usage() && error.to_string().contains(part), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_word_has_ranks_or_an_error(motif in "[ACGTNRYSWKMBDHVacgtnrysx.é]{0,14}") {
            if let Ok(ranks) = table().motif(&motif) {
                let bases = ranks.core.len();
                match ranks.rule {
                    Rule::Windows => proptest::prop_assert!(bases >= 6 && (1..=MOST).contains(&ranks.kmers.len())),
                    Rule::Contained => proptest::prop_assert!((1..6).contains(&bases) && ranks.kmers.len() <= BEST),
                }
            }
        }

        #[test]
        fn a_word_of_bases_alone_has_ranks(motif in "[ACGT]{1,14}") {
            let ranks = table().motif(&motif).unwrap();
            proptest::prop_assert_eq!(&ranks.core, &motif);
            let mut windows: Vec<&str> = (0..(motif.len() + 1).saturating_sub(6)).map(|at| &motif[at..at + 6]).collect();
            windows.sort_unstable();
            windows.dedup();
            if motif.len() >= 6 {
                let mut found: Vec<&str> = ranks.kmers.iter().map(|of| of.kmer.as_str()).collect();
                found.sort_unstable();
                proptest::prop_assert_eq!(found, windows);
            } else {
                proptest::prop_assert!(ranks.kmers.iter().all(|of| of.kmer.contains(&motif) && of.rank.is_some()));
            }
        }
    }
}
