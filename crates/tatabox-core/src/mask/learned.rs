//! What `pmi` and `pmi-vocab` know of a genome before the first step.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;

use super::{MaskConfig, MaskVocabulary, Strategy};
use crate::count::{KmerCounts, LONGEST};
use crate::error::{Error, Result};
use crate::pmi::{PmiTable, Threshold, is_table, length_of_all};
use crate::tokenizer::Tokens;
use crate::words::{count, counted};

/// The scores that a strategy goes by.
#[derive(Clone, Debug, PartialEq)]
pub enum MaskScores {
    /// `pmi`: the ranks of all k-mers.
    Table(PmiTable),
    /// `pmi-vocab`: the words that are hidden whole.
    Vocabulary(MaskVocabulary),
}

/// What a strategy is built with.
#[derive(Clone, Copy, Debug)]
pub struct Learned<'a> {
    /// What it goes by.
    pub scores: &'a MaskScores,
    /// Windows like those of the run, about a million tokens: on these the centre rate of `pmi` with `rate = "constant"` is measured.
    pub sample: &'a [Tokens],
}

impl MaskScores {
    /// The lengths of the words that must be counted for the strategy, for tokens of k bases; `None` where it needs no scores.
    pub fn lengths(strategy: Strategy, k: usize) -> Option<RangeInclusive<usize>> {
        match strategy {
            Strategy::Token | Strategy::KmerSpan | Strategy::RandomMask => None,
            Strategy::Pmi => Some(1..=k),
            Strategy::PmiVocab => Some(1..=LONGEST),
        }
    }

    /// Scores counts as a recipe says. `seed` shuffles those of `permuted = true`.
    ///
    /// # Errors
    /// As [`PmiTable::score`] and [`MaskVocabulary::choose`].
    pub fn of_counts(config: &MaskConfig, counts: &KmerCounts, k: usize, seed: u64) -> Result<Self> {
        let scorer = config.scorer.unwrap_or_default();
        if config.strategy == Strategy::PmiVocab {
            return Ok(Self::Vocabulary(MaskVocabulary::choose(counts, scorer, config.min_count)?));
        }
        let threshold = config.min_count.map_or(Threshold::Default, Threshold::Count);
        let table = PmiTable::score(counts, k, scorer, threshold).map_err(in_recipe)?;
        Ok(Self::Table(permuted(table, config, seed)))
    }

    /// Scores from a file that a recipe names: counts of k-mers, which are then scored, or what [`MaskScores::write`] wrote. With them the
    /// [doubts](KmerCounts::doubt) about the counts.
    ///
    /// # Errors
    /// The file cannot be read or is none of these, is of another k, or is scored already where the recipe says how to score it.
    pub fn of_file(config: &MaskConfig, path: &Path, k: usize, seed: u64) -> Result<(Self, Option<String>)> {
        if !is_table(path)? {
            let counts = KmerCounts::read(path)?;
            return Ok((Self::of_counts(config, &counts, k, seed)?, counts.doubt()));
        }
        let given = [
            ("mask.min_count", config.min_count.map(|least| least.to_string())),
            ("mask.scorer", config.scorer.map(|scorer| format!("`{scorer}`"))),
        ];
        for (key, got) in given {
            if let Some(got) = got {
                return Err(Error::Value {
                    key: key.into(),
                    got,
                    expected: format!("`{}` is scored already", path.display()),
                    hint: format!("leave `{key}` out, or give a table of counts (`tatabox count`)"),
                });
            }
        }
        // A table of `tatabox pmi` has the columns of a vocabulary, and would be taken for one whose words all have one length.
        if config.strategy == Strategy::PmiVocab
            && let Some(k) = length_of_all(path)?
        {
            return Err(config.other_scores(&format!("scores of {k}-mers only")));
        }
        let scores = match Self::read(config.strategy, path)? {
            Self::Table(table) => Self::Table(permuted(table, config, seed)),
            vocabulary => vocabulary,
        };
        Ok((scores, None))
    }

    /// Reads the scores of a run, as they are.
    ///
    /// # Errors
    /// As [`PmiTable::read`] and [`MaskVocabulary::read`].
    pub fn read(strategy: Strategy, path: &Path) -> Result<Self> {
        if strategy == Strategy::PmiVocab {
            return Ok(Self::Vocabulary(MaskVocabulary::read(path)?));
        }
        Ok(Self::Table(PmiTable::read(path)?))
    }

    /// Writes them whole, or leaves what was there.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        match self {
            Self::Table(table) => table.write(path),
            Self::Vocabulary(vocabulary) => vocabulary.write(path),
        }
    }
}

impl fmt::Display for MaskScores {
    /// `ranks of 3,072 of all 4,096 6-mers`; `a vocabulary of 23,456 words of 2 to 10 bases, each seen 12 times or more`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(table) => {
                let [ranked, all] = [table.rows().len(), table.counts().len()].map(|number| count(number as u64));
                write!(f, "ranks of {ranked} of all {all} {}-mers", table.k())
            }
            Self::Vocabulary(vocabulary) => {
                let entries = vocabulary.entries();
                let lengths = || entries.iter().map(|entry| entry.length);
                let (shortest, longest) = (lengths().min().unwrap_or(0), lengths().max().unwrap_or(0));
                let lengths =
                    if shortest == longest { format!("{longest}") } else { format!("{shortest} to {longest}") };
                let least = entries.iter().map(|entry| entry.count).min().unwrap_or(0);
                let seen = if least == 1 { "once".to_string() } else { format!("{} times", count(least)) };
                let words = counted(entries.len() as u64, "word");
                write!(f, "a vocabulary of {words} of {lengths} bases, each seen {seen} or more")
            }
        }
    }
}

fn permuted(table: PmiTable, config: &MaskConfig, seed: u64) -> PmiTable {
    if config.permuted == Some(true) { table.permuted(seed) } else { table }
}

/// The hint of a command's option as that of a recipe's key.
fn in_recipe(error: Error) -> Error {
    match error {
        Error::Data { what, hint } => Error::Data { what, hint: hint.replace("--min-count", "mask.min_count") },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::count::{Strands, count_sequences, kmer};
    use crate::mask::tests::{share_of, tokenizer, tokenizer_of, tokens_of};
    use crate::mask::{Hidden, Lookup, MaskStrategy, Rate, Selection};
    use crate::pmi::Scorer;
    use crate::rng::{Purpose, SeededRng};
    use crate::seq::Sequence;
    use crate::simulate::{SimulateConfig, simulate};
    use std::collections::HashSet;

    /// A genome whose enhancers hold the same few words again and again, as base codes.
    fn genome() -> Vec<u8> {
        let config = SimulateConfig {
            bases: 300_000,
            contigs: 1,
            enhancers_per_mb: 2_000.0,
            genes_per_mb: 0.0,
            repeat_share: 0.0,
            n_runs_per_mb: 0.0,
            markov_strength: 0.05,
            seed: 5,
            ..SimulateConfig::default()
        };
        Sequence::parse(&simulate(&config).unwrap().contigs[0].bases).unwrap().0.codes
    }

    fn counts(codes: &[u8]) -> KmerCounts {
        count_sequences(&[codes], 1..=LONGEST, Strands::Both).unwrap()
    }

    /// Windows as a run draws them: half of them full, half of any length.
    fn windows(codes: &[u8], k: usize) -> Vec<Tokens> {
        let mut rng = SeededRng::new(3, Purpose::Test, 0, 0);
        let window = |_| {
            let bases = if rng.chance(0.5) { 510 } else { 5 + rng.below(506) as usize } + k - 1;
            let start = rng.below((codes.len() - bases) as u64) as usize;
            tokens_of(k, &codes[start..start + bases])
        };
        (0..2_000).map(window).collect()
    }

    fn config(strategy: Strategy) -> MaskConfig {
        MaskConfig { strategy, ..MaskConfig::default() }
    }

    fn build(config: &MaskConfig, counts: &KmerCounts, k: usize, sample: &[Tokens]) -> Box<dyn MaskStrategy> {
        let scores = MaskScores::of_counts(config, counts, k, 1).unwrap();
        config.build(&tokenizer_of(k), 100, 1, Some(Learned { scores: &scores, sample })).unwrap()
    }

    /// 6-mers of the planted motifs (`simulate/enhancers.rs`) whose letters are all given, and their reverse complements.
    fn planted() -> HashSet<usize> {
        let words =
            ["AGATAA", "GATAAG", "TGACGT", "GACGTC", "TGTTTA", "GTTTAC", "ACCGGA", "CCGGAA", "CGGAAG", "GGAAGT"];
        let numbers = words.map(|word| kmer::number(word.as_bytes()).unwrap());
        numbers.into_iter().flat_map(|number| [number, kmer::reverse_complement(number, 6)]).collect()
    }

    /// How often the planted words and the others are hidden whole, as shares of the times they stand in the windows.
    fn hidden_whole(strategy: &dyn MaskStrategy, windows: &[Tokens], planted: &HashSet<usize>) -> [f64; 2] {
        let mut selection = Selection::default();
        let (mut whole, mut all) = ([0u64; 2], [0u64; 2]);
        for (index, tokens) in windows.iter().enumerate() {
            strategy.select_into(tokens, 1, &mut SeededRng::new(2, Purpose::Test, 1, index as u64), &mut selection);
            let hidden = Hidden::new(&tokenizer(), &tokens.ids, &selection.positions);
            let mut selected = selection.positions.iter().peekable();
            for position in tokens.content().map(crate::units::TokenPos) {
                let group = usize::from(!planted.contains(&(tokens.ids[position.index()].index() - 5)));
                let is_selected = selected.next_if_eq(&&position).is_some();
                all[group] += 1;
                whole[group] += u64::from(is_selected && hidden.of(position) == 6);
            }
        }
        [whole[0] as f64 / all[0] as f64, whole[1] as f64 / all[1] as f64]
    }

    #[test]
    fn planted_words_rank_high_and_are_hidden_whole_and_in_the_control_they_are_not() {
        let codes = genome();
        let (counts, planted, windows) = (counts(&codes), planted(), windows(&codes, 6));
        let same_rate = MaskConfig { rate: Rate::Constant, ..config(Strategy::Pmi) };
        let control = MaskConfig { permuted: Some(true), ..same_rate.clone() };
        let median = |config: &MaskConfig| {
            let MaskScores::Table(table) = MaskScores::of_counts(config, &counts, 6, 1).unwrap() else { panic!() };
            let mut ranks: Vec<u32> = planted.iter().map(|&word| table.rank(word).unwrap_or(u32::MAX)).collect();
            ranks.sort_unstable();
            ranks[ranks.len() / 2]
        };
        assert!(median(&same_rate) < 100, "{}", median(&same_rate));
        assert!(median(&control) > 1_000, "{}", median(&control));

        let whole = |config: &MaskConfig| {
            let strategy = build(config, &counts, 6, &windows);
            hidden_whole(&*strategy, &windows, &planted)
        };
        let plain = MaskConfig { rate: Rate::Constant, ..MaskConfig::default() };
        let [pmi, pmi_others] = whole(&same_rate);
        let [permuted, permuted_others] = whole(&control);
        let [spans, _] = whole(&plain);
        assert!(pmi > 5.0 * spans && pmi > 3.0 * pmi_others, "pmi {pmi} {pmi_others}, kmer-span {spans}");
        assert!((0.5..1.6).contains(&(permuted / permuted_others)), "permuted {permuted} {permuted_others}");
        assert!(pmi > 2.5 * permuted, "pmi {pmi}, permuted {permuted}");
    }

    #[test]
    fn the_rate_is_the_asked_one_within_half_a_point() {
        let codes = genome();
        let counts = counts(&codes);
        for k in [3, 6] {
            let windows = windows(&codes, k);
            let measured = |config: MaskConfig| share_of(&*build(&config, &counts, k, &windows), &windows, 1);
            let pmi = |rate, selection| MaskConfig { rate, selection: Some(selection), ..config(Strategy::Pmi) };
            for mask_rate in [0.05, 0.15, 0.5] {
                for config in [
                    pmi(Rate::Constant, Lookup::Paper),
                    pmi(Rate::Constant, Lookup::PositionBug),
                    MaskConfig { permuted: Some(true), ..pmi(Rate::Constant, Lookup::Paper) },
                    MaskConfig { rate: Rate::Constant, ..config(Strategy::PmiVocab) },
                    MaskConfig { scorer: Some(Scorer::GenemaskRelease), ..config(Strategy::PmiVocab) },
                ] {
                    let share = measured(MaskConfig { mask_rate, ..config.clone() });
                    assert!((share - mask_rate).abs() < 0.005, "k {k}, {mask_rate}, {config:?}: {share}");
                }
            }
        }
        // The paper's centre rate: ALGORITHMS 1.4 has 13.8 % for exactly half of the centres, and half a centre more every other time is a quarter of a
        // point; 15.2 % for the published program.
        let full: Vec<Tokens> = codes.chunks_exact(515).map(|window| tokens_of(6, window)).collect();
        for (selection, asked) in [(Lookup::Paper, 0.1405), (Lookup::PositionBug, 0.152)] {
            let config = MaskConfig { selection: Some(selection), ..config(Strategy::Pmi) };
            let share = share_of(&*build(&config, &counts, 6, &[]), &full, 1);
            assert!((share - asked).abs() < 0.005, "{selection}: {share}");
        }
    }

    #[test]
    fn scores_of_another_kind_are_refused_with_a_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pmi.tsv");
        let counts = counts(&genome());
        let pmi = config(Strategy::Pmi);
        MaskScores::of_counts(&pmi, &counts, 5, 1).unwrap().write(&path).unwrap();
        let named = MaskConfig { scores: Some(path.display().to_string()), ..pmi.clone() };
        let (scores, _) = MaskScores::of_file(&named, &path, 6, 1).unwrap();
        let learned = Learned { scores: &scores, sample: &[] };
        let refused = |config: &MaskConfig, learned| config.build(&tokenizer(), 100, 1, learned).err().unwrap();
        let error = refused(&named, Some(learned));
        assert!(error.to_string().ends_with("pmi.tsv`, scores of 5-mers, but the tokens are 6-mers"), "{error}");
        assert!(error.hint().unwrap().contains("tatabox pmi genome.fa -k 6"), "{error}");
        assert!(error.is_usage());
        let error = refused(&config(Strategy::PmiVocab), Some(learned));
        assert!(error.to_string().contains("`mask.scores` is a table of k-mers of one length"), "{error}");
        let error = MaskScores::of_file(&MaskConfig { min_count: Some(5), ..named }, &path, 6, 1).unwrap_err();
        assert!(error.to_string().contains("scored already"), "{error}");
        assert!(scores.to_string().ends_with(" of all 1,024 5-mers"), "{scores}");
        // A table of one length is no masking vocabulary, and the other way round.
        let vocabulary = MaskScores::of_counts(&config(Strategy::PmiVocab), &counts, 6, 1).unwrap();
        vocabulary.write(&path).unwrap();
        assert!(MaskScores::of_file(&pmi, &path, 6, 1).is_err());
        let vocab = MaskConfig { scores: Some("six.tsv".into()), ..config(Strategy::PmiVocab) };
        assert_eq!(MaskScores::of_file(&vocab, &path, 6, 1).unwrap(), (vocabulary, None));
        // Whether some of its k-mers have no rank (`NA`) or all have one.
        for min_count in [1, 100] {
            let scored = MaskConfig { min_count: Some(min_count), ..pmi.clone() };
            MaskScores::of_counts(&scored, &counts, 6, 1).unwrap().write(&path).unwrap();
            let error = MaskScores::of_file(&vocab, &path, 6, 1).unwrap_err();
            assert!(error.is_usage(), "{error}");
            assert_eq!(
                error.to_string(),
                "`mask.scores` is `six.tsv`, scores of 6-mers only, but `mask.strategy = \"pmi-vocab\"` goes by a vocabulary of \
                 words of 2 to 10 bases"
            );
            assert!(error.hint().unwrap().contains("`tatabox count genome.fa -k 1..10 -o counts.tsv`"), "{error:?}");
        }
    }

    #[test]
    fn counts_in_a_file_are_scored_as_the_recipe_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("counts.tsv");
        let counts = counts(&genome());
        counts.write(&path).unwrap();
        for config in [
            MaskConfig { scorer: Some(Scorer::Ai21), min_count: Some(50), ..config(Strategy::Pmi) },
            MaskConfig { permuted: Some(true), ..config(Strategy::Pmi) },
            config(Strategy::PmiVocab),
        ] {
            let (from_file, doubt) = MaskScores::of_file(&config, &path, 6, 9).unwrap();
            assert_eq!(doubt, None);
            assert_eq!(from_file, MaskScores::of_counts(&config, &counts, 6, 9).unwrap());
            // What a run stores is what it used, also where it is shuffled.
            let stored = folder.path().join("pmi.tsv");
            from_file.write(&stored).unwrap();
            assert_eq!(MaskScores::read(config.strategy, &stored).unwrap(), from_file);
        }
    }
}
