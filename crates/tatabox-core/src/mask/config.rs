//! What a recipe says about masks, and the strategy that comes of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::random_mask::{PAPER_BORDERS, scaled_borders};
use super::{CorruptionUnit, KmerSpan, MaskStrategy, RandomMask, Rate, Schedule, SpanDraw, Strategy, TokenMask};
use crate::error::{Error, Result};

/// The `[mask]` table of a recipe. Keys left out take the defaults: DNABERT's `kmer-span`.
///
/// # Examples
/// ```
/// use tatabox_core::mask::MaskConfig;
/// let config: MaskConfig = serde_json::from_str(r#"{"strategy": "random-mask", "rate": "constant"}"#).unwrap();
/// let strategy = config.build(6, 480_000, 0)?;
/// assert_eq!(strategy.phase(1).draws.len(), 1);
/// assert_eq!(strategy.phase(480_000).draws.len(), 5);
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
    /// `random-mask`: the order of the phases.
    pub schedule: Schedule,
    /// `random-mask`: the last step of each phase but the last, in steps of this run. Left out: 30k, 60k, 100k, 150k of 480k, scaled to the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub borders: Option<Vec<u64>>,
    /// `random-mask`: the lengths of spans, even and increasing. Left out: five from k rounded up to even, by 2 (6, 8, 10, 12, 14 for k = 6).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spans: Option<Vec<u32>>,
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
            schedule: Schedule::default(),
            borders: None,
            spans: None,
            corruption_unit: CorruptionUnit::default(),
            dnabert_compat: false,
        }
    }
}

impl MaskConfig {
    /// The strategy for tokens of which `cover` lie over each base ([`Tokenizer::cover`](crate::tokenizer::Tokenizer::cover): k for overlapping k-mers,
    /// 1 for tokens side by side) in a run of `total_steps`; `seed` orders the phases of `schedule = "shuffled"`.
    ///
    /// # Errors
    /// [`Error::Value`] naming the key: a rate out of range, an odd span, borders that do not increase or do not fit the spans, a key that
    /// contradicts another.
    pub fn build(&self, cover: usize, total_steps: u64, seed: u64) -> Result<Box<dyn MaskStrategy>> {
        let share = |key: &str, value: f64| {
            if value > 0.0 && value < 1.0 {
                Ok(value)
            } else {
                Err(value_error(key, value, "it is a share above 0 and below 1", ""))
            }
        };
        let mask_rate = share("mask.mask_rate", self.mask_rate)?;
        if let Some(rate) = self.center_rate {
            share("mask.center_rate", rate)?;
            if self.rate == Rate::Constant {
                let hint = "leave `mask.center_rate` out, or set `mask.rate = \"paper\"`";
                return Err(value_error(
                    "mask.center_rate",
                    rate,
                    "`mask.rate = \"constant\"` derives it from `mask.mask_rate`",
                    hint,
                ));
            }
        }
        if self.strategy != Strategy::RandomMask {
            for (key, given) in [("mask.spans", self.spans.is_some()), ("mask.borders", self.borders.is_some())] {
                if given {
                    let expected = format!("`mask.strategy = \"{}\"` has none", self.strategy);
                    return Err(value_error(key, "given", &expected, "set `mask.strategy = \"random-mask\"`"));
                }
            }
        }
        let cover = cover.max(1) as u32;
        let draw = |span: u32, shortest: u32| match self.rate {
            Rate::Paper => SpanDraw::new(span, self.center_rate.unwrap_or(mask_rate / f64::from(shortest))),
            Rate::Constant => SpanDraw::covering(span, mask_rate),
        };
        match self.strategy {
            Strategy::Token => Ok(Box::new(TokenMask::new(self.center_rate.unwrap_or(mask_rate)))),
            Strategy::KmerSpan => Ok(Box::new(KmerSpan::new(draw(cover, cover)))),
            Strategy::RandomMask => {
                let spans = self.checked_spans(cover)?;
                let borders = self.checked_borders(spans.len(), total_steps)?;
                let draws: Vec<SpanDraw> = spans.iter().map(|&span| draw(span, spans[0])).collect();
                Ok(Box::new(RandomMask::new(&draws, self.schedule, &borders, total_steps, seed)))
            }
        }
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
            None if self.schedule == Schedule::FixedWide => Ok(Vec::new()),
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
                Err(value_error("mask.borders", format!("{borders:?}"), &expected, ""))
            }
        }
    }
}

/// Five spans from `cover` rounded up to even, by 2.
pub(super) fn default_spans(cover: u32) -> Vec<u32> {
    let base = cover + cover % 2;
    (0..5).map(|wider| base + 2 * wider).collect()
}

fn value_error(key: &str, got: impl fmt::Display, expected: &str, hint: &str) -> Error {
    Error::Value { key: key.into(), got: got.to_string(), expected: expected.into(), hint: hint.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        match serde_json::from_str::<MaskConfig>(text) {
            Err(error) => error.to_string(),
            Ok(config) => match config.build(6, 1_000, 0) {
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
                "`mask.strategy` is `bpe`, but the known names are `token`, `kmer-span`, `random-mask`",
            ),
            (
                r#"{"schedule": "fixed_wide"}"#,
                "`mask.schedule` is `fixed_wide`, but the nearest known name is `fixed-wide`",
            ),
            (r#"{"mask_rate": 0}"#, "`mask.mask_rate` is 0, but it is a share above 0 and below 1"),
            (r#"{"mask_rate": 15}"#, "`mask.mask_rate` is 15, but"),
            (r#"{"center_rate": 1.5}"#, "`mask.center_rate` is 1.5, but"),
            (
                r#"{"center_rate": 0.1, "rate": "constant"}"#,
                "`mask.center_rate` is 0.1, but `mask.rate = \"constant\"` derives it",
            ),
            (r#"{"spans": [6, 8]}"#, "`mask.spans` is given, but `mask.strategy = \"kmer-span\"` has none"),
            (r#"{"strategy": "random-mask", "spans": [6, 7]}"#, "`mask.spans` is [6, 7], but spans are even"),
            (r#"{"strategy": "random-mask", "spans": []}"#, "`mask.spans` is [], but"),
            (r#"{"strategy": "random-mask", "spans": [8, 6]}"#, "`mask.spans` is [8, 6], but"),
            (r#"{"strategy": "random-mask", "borders": [5]}"#, "`mask.borders` is [5], but 5 spans need 4 borders"),
            (r#"{"strategy": "random-mask", "spans": [6, 8], "borders": [0]}"#, "`mask.borders` is [0], but"),
            (r#"{"strategy": "random-mask", "spans": [2, 4, 6, 8, 10, 12]}"#, "`mask.spans` is a list of 6, but"),
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
            schedule: Schedule::FixedWide,
            corruption_unit: CorruptionUnit::Span,
            ..MaskConfig::default()
        };
        let text = serde_json::to_string(&config).unwrap();
        assert!(text.contains(r#""schedule":"fixed-wide""#), "{text}");
        assert_eq!(serde_json::from_str::<MaskConfig>(&text).unwrap(), config);
    }

    #[test]
    fn the_shortest_span_is_k_rounded_up_to_even() {
        for (cover, spans) in
            [(1, [2, 4, 6, 8, 10]), (3, [4, 6, 8, 10, 12]), (6, [6, 8, 10, 12, 14]), (7, [8, 10, 12, 14, 16])]
        {
            let config =
                MaskConfig { strategy: Strategy::RandomMask, schedule: Schedule::FixedWide, ..MaskConfig::default() };
            let strategy = config.build(cover, 100, 0).unwrap();
            assert_eq!(strategy.phase(1).draws.iter().map(SpanDraw::tokens).collect::<Vec<_>>(), spans);
            assert!((strategy.phase(1).draws[0].center_rate() - 0.15 / f64::from(spans[0])).abs() < 1e-15);
        }
    }
}
