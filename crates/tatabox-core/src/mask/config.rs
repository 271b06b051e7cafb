//! What a recipe says about masks, and the strategy that comes of it.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::random_mask::{PAPER_BORDERS, scaled_borders};
use super::solve::{share, solve};
use super::{
    CorruptionUnit, Learned, Lookup, MaskScores, MaskStrategy, Phase, PmiMask, PmiVocabMask, Rate, Schedule, SpanDraw,
    SpanMask, Strategy, pmi, pmi_vocab,
};
use crate::count::LONGEST;
use crate::error::{Error, Result};
use crate::pmi::{LENGTHS, Scorer};
use crate::tokenizer::Tokenizer;

/// `mask.scores` of a run that counts its own genome.
pub const OWN_GENOME: &str = "genome";

/// The `[mask]` table of a recipe. Keys left out take the defaults: DNABERT's `kmer-span`.
///
/// # Examples
/// ```
/// use tatabox_core::mask::MaskConfig;
/// use tatabox_core::tokenizer::{Tokenizer, TokenizerConfig};
/// let config: MaskConfig = serde_json::from_str(r#"{"strategy": "random-mask", "rate": "constant"}"#).unwrap();
/// let tokenizer = Tokenizer::new(TokenizerConfig::default())?; // overlapping 6-mers
/// let strategy = config.build(&tokenizer, 480_000, 0, None)?;
/// assert_eq!(strategy.phase(1).spans, [6]);
/// assert_eq!(strategy.phase(480_000).spans, [6, 8, 10, 12, 14]);
/// # Ok::<(), tatabox_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MaskConfig {
    /// Which tokens are masked.
    pub strategy: Strategy,
    /// The share of tokens to mask, above 0 and below 1; what it means for spans, `rate` says.
    pub mask_rate: f64,
    /// The centre rate itself (DNABERT's `mlm_probability`), in place of what `mask_rate` gives; only with `rate = "paper"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub center_rate: Option<f64>,
    /// How the centre rate follows from the mask rate.
    pub rate: Rate,
    /// `random-mask`: the order of the phases. Left out: `expanding`, which the other strategies take too and forget: their runs had it written down once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// `random-mask`: the last step of each phase but the last, in steps of this run. Left out: 30k, 60k, 100k, 150k of 480k, scaled to the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub borders: Option<Vec<u64>>,
    /// `random-mask`: the lengths of spans, even and increasing. Left out: five from k rounded up to even, by 2 (6, 8, 10, 12, 14 for k = 6).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spans: Option<Vec<u32>>,
    /// `pmi` and `pmi-vocab`: how words are scored, where `scores` gives counts or nothing. Left out: `eq1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scorer: Option<Scorer>,
    /// `pmi` and `pmi-vocab`: a file of scores or counts. Left out, or [`OWN_GENOME`]: the run counts its own training part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scores: Option<String>,
    /// `pmi` and `pmi-vocab`: how often a word must be seen. Left out: the paper's 101 and 10,000, or a quantile where that is less.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_count: Option<u64>,
    /// `pmi`: whose rank is looked up. Left out: `paper`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selection: Option<Lookup>,
    /// `pmi`: a control, the same scores shuffled over the k-mers. Left out: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permuted: Option<bool>,
    /// What is hidden together: each token is drawn into 80/10/10 by itself, or a whole run of selected tokens.
    pub corruption_unit: CorruptionUnit,
    /// Draw the random 10 % from the whole vocabulary, specials included, as DNABERT does.
    pub dnabert_compat: bool,
}

impl Default for MaskConfig {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            mask_rate: 0.15,
            center_rate: None,
            rate: Rate::default(),
            schedule: None,
            borders: None,
            spans: None,
            scorer: None,
            scores: None,
            min_count: None,
            selection: None,
            permuted: None,
            corruption_unit: CorruptionUnit::default(),
            dnabert_compat: false,
        }
    }
}

impl MaskConfig {
    /// The strategy for the tokens of a run of `total_steps`; `seed` orders the phases of `schedule = "shuffled"`. `learned` is for `pmi` and `pmi-vocab`,
    /// which cannot be built without.
    ///
    /// # Errors
    /// [`Error::Value`] naming the key: a rate out of range, an odd span, borders that do not increase or do not fit the spans, a key that
    /// contradicts another or the tokenizer, scores of another k.
    pub fn build(
        &self,
        tokenizer: &Tokenizer,
        total_steps: u64,
        seed: u64,
        learned: Option<Learned<'_>>,
    ) -> Result<Box<dyn MaskStrategy>> {
        self.check(tokenizer)?;
        let cover = tokenizer.cover() as u32;
        let scores = || {
            let hint = "leave `mask.scores` out: the run then counts its own genome";
            let missing = || value_error("mask.strategy", self.strategy, "there are no scores to go by", hint);
            learned.ok_or_else(missing)
        };
        match self.strategy {
            Strategy::Token => Ok(Box::new(SpanMask::token(self.center_rate.unwrap_or(self.mask_rate)))),
            Strategy::KmerSpan => Ok(Box::new(SpanMask::kmer_span(self.draw(cover, cover)))),
            Strategy::RandomMask => Ok(Box::new(self.random_mask(cover, total_steps, seed)?)),
            Strategy::Pmi => match scores()? {
                Learned { scores: MaskScores::Table(table), sample } if table.k() == tokenizer.k() => {
                    let mask = PmiMask::new(table, self.selection.unwrap_or_default(), self.pmi_center_rate(cover));
                    if self.rate == Rate::Paper {
                        return Ok(Box::new(mask));
                    }
                    let guess = self.pmi_center_rate(cover);
                    let rate = solve(self.mask_rate, guess, |rate| share(&mask.clone().at_rate(rate), sample));
                    Ok(Box::new(mask.at_rate(rate)))
                }
                Learned { scores: MaskScores::Table(table), .. } => Err(self.other_k(table.k(), tokenizer.k())),
                Learned { scores: MaskScores::Vocabulary(_), .. } => Err(self.other_scores("a masking vocabulary")),
            },
            Strategy::PmiVocab => match scores()?.scores {
                MaskScores::Vocabulary(vocabulary) => {
                    Ok(Box::new(PmiVocabMask::new(vocabulary, tokenizer.k(), self.mask_rate)))
                }
                MaskScores::Table(_) => Err(self.other_scores("a table of k-mers of one length")),
            },
        }
    }

    /// The phases of the strategy as far as they are known without scores: what is drawn from when on, to plan a run with. Everything that can be wrong
    /// in the recipe is refused here already.
    ///
    /// # Errors
    /// As [`MaskConfig::build`], but for the scores.
    pub fn phases(&self, tokenizer: &Tokenizer, total_steps: u64, seed: u64) -> Result<Vec<Phase>> {
        self.check(tokenizer)?;
        let cover = tokenizer.cover() as u32;
        match self.strategy {
            Strategy::Pmi => {
                Ok(vec![pmi::phase(cover, self.selection.unwrap_or_default(), self.pmi_center_rate(cover))])
            }
            Strategy::PmiVocab => Ok(vec![pmi_vocab::phase(tokenizer.k(), self.mask_rate, LENGTHS)]),
            _ => Ok(self.build(tokenizer, total_steps, seed, None)?.phases().to_vec()),
        }
    }

    /// Writes down the defaults of the keys that only some strategies have, where this strategy has them.
    pub fn complete(&mut self) {
        if self.is_learned() {
            self.scores.get_or_insert_with(|| OWN_GENOME.into());
            // A file may be scored already, by whatever scorer.
            if self.scores_file().is_none() {
                self.scorer.get_or_insert_default();
            }
        }
        if self.strategy == Strategy::RandomMask {
            self.schedule.get_or_insert_default();
        } else {
            self.schedule = None;
        }
        if self.strategy == Strategy::Pmi {
            self.selection.get_or_insert_default();
            self.permuted.get_or_insert_default();
        }
    }

    /// The strategy, and what is not by default as it is here, but for the mask rate: `pmi (permuted = true, scorer = ai21)`.
    pub fn described(&self) -> String {
        let keys = |mut config: Self| {
            config.complete();
            match serde_json::to_value(config) {
                Ok(Json::Object(keys)) => keys,
                _ => serde_json::Map::new(), // every key has a JSON form
            }
        };
        let default = keys(Self { strategy: self.strategy, mask_rate: self.mask_rate, ..Self::default() });
        let shown = |value: &Json| value.as_str().map_or(value.to_string(), str::to_string);
        let mut own: Vec<String> = (keys(self.clone()).iter())
            .filter(|&(key, value)| default.get(key) != Some(value))
            .map(|(key, value)| format!("{key} = {}", shown(value)))
            .collect();
        own.sort();
        if own.is_empty() { self.strategy.to_string() } else { format!("{} ({})", self.strategy, own.join(", ")) }
    }

    /// The same keys under another strategy and rate, less those that these do not have.
    pub fn under(&self, strategy: Strategy, rate: Rate) -> Self {
        let mut config = Self { strategy, rate, ..self.clone() };
        let has = |key| strategies_with(key).contains(&strategy);
        config.center_rate = self.center_rate.filter(|_| has("mask.center_rate") && rate == Rate::Paper);
        config.schedule = self.schedule.filter(|_| has("mask.schedule"));
        config.borders = self.borders.clone().filter(|_| has("mask.borders"));
        config.spans = self.spans.clone().filter(|_| has("mask.spans"));
        config.scorer = self.scorer.filter(|_| has("mask.scorer"));
        config.scores = self.scores.clone().filter(|_| has("mask.scores"));
        config.min_count = self.min_count.filter(|_| has("mask.min_count"));
        config.selection = self.selection.filter(|_| has("mask.selection"));
        config.permuted = self.permuted.filter(|_| has("mask.permuted"));
        config
    }

    /// True where the strategy needs scores.
    pub fn is_learned(&self) -> bool {
        matches!(self.strategy, Strategy::Pmi | Strategy::PmiVocab)
    }

    /// True where the strategy measures its rate on windows of the genome.
    pub fn needs_sample(&self) -> bool {
        self.strategy == Strategy::Pmi && self.rate == Rate::Constant
    }

    /// The file of `mask.scores`; none where the run counts its own genome.
    pub fn scores_file(&self) -> Option<&str> {
        self.scores.as_deref().filter(|&scores| scores != OWN_GENOME)
    }

    /// Refuses rates out of range, and keys that contradict each other or the tokenizer.
    fn check(&self, tokenizer: &Tokenizer) -> Result<()> {
        let share = |key: &str, value: f64| {
            if value > 0.0 && value < 1.0 {
                Ok(value)
            } else {
                let percent = if (1.0..100.0).contains(&value) { value } else { 15.0 };
                let hint = format!("write {percent} % as `{key} = {}`", percent / 100.0);
                Err(value_error(key, value, "it is a share above 0 and below 1", &hint))
            }
        };
        share("mask.mask_rate", self.mask_rate)?;
        if let Some(rate) = self.center_rate {
            share("mask.center_rate", rate)?;
            if self.rate == Rate::Constant {
                let hint = "leave `mask.center_rate` out, or set `mask.rate = \"paper\"`";
                let expected = "`mask.rate = \"constant\"` derives it from `mask.mask_rate`";
                return Err(value_error("mask.center_rate", rate, expected, hint));
            }
        }
        for (key, given) in [
            ("mask.center_rate", self.center_rate.is_some()),
            ("mask.schedule", self.schedule.is_some_and(|schedule| schedule != Schedule::default())),
            ("mask.spans", self.spans.is_some()),
            ("mask.borders", self.borders.is_some()),
            ("mask.scorer", self.scorer.is_some()),
            ("mask.scores", self.scores.is_some()),
            ("mask.min_count", self.min_count.is_some()),
            ("mask.selection", self.selection.is_some()),
            ("mask.permuted", self.permuted.is_some()),
        ] {
            let of = strategies_with(key);
            if given && !of.contains(&self.strategy) {
                let expected = format!("`mask.strategy = \"{}\"` has none", self.strategy);
                return Err(value_error(key, "given", &expected, &format!("set `mask.strategy = \"{}\"`", of[0])));
            }
        }
        if self.scores.as_deref() == Some("") {
            let hint = "leave `mask.scores` out: the run then counts its own genome";
            return Err(value_error("mask.scores", "empty", "it is `genome` or a file", hint));
        }
        if self.min_count == Some(0) {
            return Err(value_error("mask.min_count", 0, "a word that was never seen has no score", "set 1 or more"));
        }
        let (k, stride) = (tokenizer.k(), tokenizer.stride());
        if self.is_learned() && (stride != 1 || (self.strategy == Strategy::Pmi && k == 1)) {
            let tokens = if stride != 1 { "tokens side by side" } else { "single bases" };
            let expected = format!("it is for overlapping tokens, and `[tokenizer]` has {tokens}");
            let hint = "set `mask.strategy = \"token\"`";
            return Err(value_error("mask.strategy", format!("`{}`", self.strategy), &expected, hint));
        }
        Ok(())
    }

    /// The draw of one span, where `shortest` is the strategy's shortest.
    fn draw(&self, span: u32, shortest: u32) -> SpanDraw {
        match self.rate {
            Rate::Paper => SpanDraw::new(span, self.center_rate.unwrap_or(self.mask_rate / f64::from(shortest))),
            Rate::Constant => SpanDraw::covering(span, self.mask_rate),
        }
    }

    /// The centre rate of `pmi` with `rate = "paper"`: `mask_rate` over the mean span, .15 / 8.5 for k = 6.
    fn pmi_center_rate(&self, k: u32) -> f64 {
        self.center_rate.unwrap_or(self.mask_rate / pmi::mean_span(k))
    }

    fn random_mask(&self, cover: u32, total_steps: u64, seed: u64) -> Result<SpanMask> {
        let spans = self.checked_spans(cover)?;
        let borders = self.checked_borders(spans.len(), total_steps)?;
        let draws: Vec<SpanDraw> = spans.iter().map(|&span| self.draw(span, spans[0])).collect();
        Ok(SpanMask::random_mask(&draws, self.schedule.unwrap_or_default(), &borders, total_steps, seed))
    }

    fn other_k(&self, got: usize, k: usize) -> Error {
        let hint = format!("score {k}-mers: `tatabox pmi genome.fa -k {k} -o pmi.tsv`, or leave `mask.scores` out");
        value_error(
            "mask.scores",
            self.named_scores(&format!("scores of {got}-mers")),
            &format!("the tokens are {k}-mers"),
            &hint,
        )
    }

    pub(super) fn other_scores(&self, got: &str) -> Error {
        let scores = match self.strategy {
            Strategy::PmiVocab => "a vocabulary of words of 2 to 10 bases",
            _ => "scores of k-mers of one length",
        };
        let expected = format!("`mask.strategy = \"{}\"` goes by {scores}", self.strategy);
        let hint = format!(
            "leave `mask.scores` out, or give a table of counts: `tatabox count genome.fa -k 1..{LONGEST} -o counts.tsv`"
        );
        value_error("mask.scores", self.named_scores(got), &expected, &hint)
    }

    /// What was got, and from where if that is a file.
    fn named_scores(&self, got: &str) -> String {
        self.scores_file().map_or(got.to_string(), |file| format!("`{file}`, {got}"))
    }

    /// The span lengths of `random-mask`.
    fn checked_spans(&self, cover: u32) -> Result<Vec<u32>> {
        let Some(spans) = &self.spans else { return Ok(default_spans(cover)) };
        let even = spans.iter().all(|span| span % 2 == 0 && (2..=4096).contains(span));
        if spans.is_empty() || !even || !spans.windows(2).all(|pair| pair[0] < pair[1]) {
            let expected = "spans are even (Algorithm 1 halves them), from 2 to 4096, and increase";
            let hint = format!("set `mask.spans = {:?}`", default_spans(cover));
            return Err(value_error("mask.spans", format!("{spans:?}"), expected, &hint));
        }
        Ok(spans.clone())
    }

    /// The borders of `random-mask`, one fewer than its spans.
    fn checked_borders(&self, spans: usize, total_steps: u64) -> Result<Vec<u64>> {
        match &self.borders {
            None if spans - 1 <= PAPER_BORDERS.len() => Ok(scaled_borders(spans - 1, total_steps)),
            // One phase has no border, however many spans it has.
            None if self.schedule == Some(Schedule::FixedWide) => Ok(Vec::new()),
            None => {
                let expected = format!("the paper's borders serve up to {} spans", PAPER_BORDERS.len() + 1);
                let hint = format!("set `mask.borders` to the {} last steps of all phases but the last", spans - 1);
                Err(value_error("mask.spans", format!("a list of {spans}"), &expected, &hint))
            }
            Some(borders) => {
                if borders.len() == spans - 1
                    && borders.first() != Some(&0)
                    && borders.windows(2).all(|pair| pair[0] < pair[1])
                {
                    return Ok(borders.clone());
                }
                let expected = format!("{spans} spans need {} borders, above 0 and increasing", spans - 1);
                let hint = "leave `mask.borders` out: the paper's are scaled to the run";
                Err(value_error("mask.borders", format!("{borders:?}"), &expected, hint))
            }
        }
    }
}

/// Five spans from `cover` rounded up to even, by 2.
pub(super) fn default_spans(cover: u32) -> Vec<u32> {
    let base = cover + cover % 2;
    (0..5).map(|wider| base + 2 * wider).collect()
}

/// The strategies that have a key which not all have.
fn strategies_with(key: &str) -> &'static [Strategy] {
    use Strategy::{KmerSpan, Pmi, PmiVocab, RandomMask, Token};
    match key {
        "mask.center_rate" => &[Token, KmerSpan, RandomMask, Pmi],
        "mask.schedule" | "mask.spans" | "mask.borders" => &[RandomMask],
        "mask.scorer" | "mask.scores" | "mask.min_count" => &[Pmi, PmiVocab],
        "mask.selection" | "mask.permuted" => &[Pmi],
        _ => &[Token, KmerSpan, RandomMask, Pmi, PmiVocab],
    }
}

fn value_error(key: &str, got: impl fmt::Display, expected: &str, hint: &str) -> Error {
    Error::Value { key: key.into(), got: got.to_string(), expected: expected.into(), hint: hint.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::tests::{tokenizer, tokenizer_of};

    fn refused(text: &str) -> String {
        match serde_json::from_str::<MaskConfig>(text) {
            Err(error) => error.to_string(),
            Ok(config) => match config.build(&tokenizer(), 1_000, 0, None) {
                Ok(strategy) => panic!("{text} was taken for {}", strategy.name()),
                Err(error) => {
                    assert!(error.is_usage());
                    error.to_string()
                }
            },
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_key() {
        for (text, message) in [
            (r#"{"strategy": "kmerspan"}"#, "`mask.strategy` is `kmerspan`, but the nearest known name is `kmer-span`"),
            (
                r#"{"strategy": "bpe"}"#,
                "`mask.strategy` is `bpe`, but the known names are `token`, `kmer-span`, `random-mask`, `pmi`, `pmi-vocab`",
            ),
            (
                r#"{"schedule": "fixed_wide"}"#,
                "`mask.schedule` is `fixed_wide`, but the nearest known name is `fixed-wide`",
            ),
            (r#"{"mask_rate": 0}"#, "`mask.mask_rate` is 0, but it is a share above 0 and below 1"),
            (r#"{"mask_rate": 15}"#, "`mask.mask_rate` is 15, but"),
            (r#"{"strategy": "pmi", "scores": ""}"#, "`mask.scores` is empty, but it is `genome` or a file"),
            (r#"{"center_rate": 1.5}"#, "`mask.center_rate` is 1.5, but"),
            (
                r#"{"center_rate": 0.1, "rate": "constant"}"#,
                "`mask.center_rate` is 0.1, but `mask.rate = \"constant\"` derives it",
            ),
            (r#"{"spans": [6, 8]}"#, "`mask.spans` is given, but `mask.strategy = \"kmer-span\"` has none"),
            (r#"{"schedule": "fixed-wide"}"#, "`mask.schedule` is given, but `mask.strategy = \"kmer-span\"` has none"),
            (r#"{"strategy": "pmi", "schedule": "shuffled"}"#, "`mask.schedule` is given, but"),
            (r#"{"strategy": "random-mask", "spans": [6, 7]}"#, "`mask.spans` is [6, 7], but spans are even"),
            (r#"{"strategy": "random-mask", "spans": []}"#, "`mask.spans` is [], but"),
            (r#"{"strategy": "random-mask", "spans": [8, 6]}"#, "`mask.spans` is [8, 6], but"),
            (r#"{"strategy": "random-mask", "borders": [5]}"#, "`mask.borders` is [5], but 5 spans need 4 borders"),
            (r#"{"strategy": "random-mask", "spans": [6, 8], "borders": [0]}"#, "`mask.borders` is [0], but"),
            (r#"{"strategy": "random-mask", "spans": [2, 4, 6, 8, 10, 12]}"#, "`mask.spans` is a list of 6, but"),
            (r#"{"strategy": "pmi", "spans": [6]}"#, "`mask.spans` is given, but `mask.strategy = \"pmi\"` has none"),
            (r#"{"permuted": true}"#, "`mask.permuted` is given, but `mask.strategy = \"kmer-span\"` has none"),
            (r#"{"strategy": "pmi-vocab", "permuted": true}"#, "`mask.permuted` is given, but"),
            (r#"{"strategy": "pmi-vocab", "selection": "paper"}"#, "`mask.selection` is given, but"),
            (r#"{"strategy": "pmi-vocab", "center_rate": 0.1}"#, "`mask.center_rate` is given, but"),
            (r#"{"strategy": "pmi", "selection": "bug"}"#, "`mask.selection` is `bug`, but the known names are"),
            (r#"{"strategy": "pmi", "scorer": "eq2"}"#, "`mask.scorer` is `eq2`, but the nearest known name is `eq1`"),
            (r#"{"strategy": "pmi", "min_count": 0}"#, "`mask.min_count` is 0, but"),
            (r#"{"strategy": "pmi", "center_rate": 0.1, "rate": "constant"}"#, "`mask.center_rate` is 0.1, but"),
            (r#"{"strategy": "pmi"}"#, "`mask.strategy` is pmi, but there are no scores"),
            (r#"{"masking_rate": 0.2}"#, "unknown field `masking_rate`"),
        ] {
            let got = refused(text);
            assert!(got.starts_with(message), "{text}: {got}");
        }
    }

    #[test]
    fn survives_a_round_trip() {
        let config = MaskConfig {
            strategy: Strategy::RandomMask,
            borders: Some(vec![10, 20]),
            spans: Some(vec![6, 8, 10]),
            schedule: Some(Schedule::FixedWide),
            corruption_unit: CorruptionUnit::Span,
            ..MaskConfig::default()
        };
        let text = serde_json::to_string(&config).unwrap();
        assert!(text.contains(r#""schedule":"fixed-wide""#), "{text}");
        assert_eq!(serde_json::from_str::<MaskConfig>(&text).unwrap(), config);
    }

    #[test]
    fn a_description_names_what_is_not_the_default() {
        for (text, described) in [
            ("{}", "kmer-span"),
            (r#"{"mask_rate": 0.3, "schedule": "expanding"}"#, "kmer-span"),
            (
                r#"{"corruption_unit": "span", "rate": "constant"}"#,
                "kmer-span (corruption_unit = span, rate = constant)",
            ),
            (r#"{"strategy": "random-mask", "schedule": "expanding"}"#, "random-mask"),
            (
                r#"{"strategy": "random-mask", "schedule": "shuffled", "spans": [6, 8]}"#,
                "random-mask (schedule = shuffled, spans = [6,8])",
            ),
            (
                r#"{"strategy": "pmi", "scorer": "eq1", "permuted": false, "selection": "paper", "scores": "genome"}"#,
                "pmi",
            ),
            (
                r#"{"strategy": "pmi", "scorer": "ai21", "permuted": true, "selection": "position-bug"}"#,
                "pmi (permuted = true, scorer = ai21, selection = position-bug)",
            ),
            (r#"{"strategy": "pmi-vocab", "scores": "mine.tsv"}"#, "pmi-vocab (scores = mine.tsv)"),
        ] {
            let mut config: MaskConfig = serde_json::from_str(text).unwrap();
            assert_eq!(config.described(), described);
            config.complete();
            assert_eq!(config.described(), described, "as a run has it");
        }
    }

    #[test]
    fn under_another_strategy_only_its_keys_are_left() {
        let all = MaskConfig {
            center_rate: Some(0.02),
            schedule: Some(Schedule::Shuffled),
            borders: Some(vec![9]),
            spans: Some(vec![6, 8]),
            scorer: Some(Scorer::Ai21),
            scores: Some("mine.tsv".into()),
            min_count: Some(5),
            selection: Some(Lookup::PositionBug),
            permuted: Some(true),
            mask_rate: 0.2,
            corruption_unit: CorruptionUnit::Span,
            ..MaskConfig::default()
        };
        for name in Strategy::NAMES {
            for rate in [Rate::Paper, Rate::Constant] {
                let config = all.under(name.parse().unwrap(), rate);
                config.check(&tokenizer()).unwrap();
                assert_eq!((config.mask_rate, config.corruption_unit), (0.2, CorruptionUnit::Span));
            }
        }
        let (pmi, random) = (all.under(Strategy::Pmi, Rate::Paper), all.under(Strategy::RandomMask, Rate::Constant));
        assert_eq!((pmi.scorer, pmi.permuted, pmi.center_rate), (all.scorer, all.permuted, all.center_rate));
        assert_eq!((random.schedule, &random.spans, random.center_rate), (all.schedule, &all.spans, None));
    }

    #[test]
    fn the_shortest_span_is_k_rounded_up_to_even() {
        for (cover, spans) in
            [(1, [2, 4, 6, 8, 10]), (3, [4, 6, 8, 10, 12]), (6, [6, 8, 10, 12, 14]), (7, [8, 10, 12, 14, 16])]
        {
            let config = MaskConfig {
                strategy: Strategy::RandomMask,
                schedule: Some(Schedule::FixedWide),
                ..MaskConfig::default()
            };
            let phases = config.phases(&tokenizer_of(cover), 100, 0).unwrap();
            assert_eq!(phases[0].spans, spans);
            let first = SpanDraw::new(spans[0], 0.15 / f64::from(spans[0]));
            assert!(phases[0].drawn.starts_with(&first.to_string()), "{}", phases[0].drawn);
        }
    }
}
