//! Who takes part: a maker of learners.

use serde_json::Value as Json;

use super::exam::Exam;
use crate::baselines::{KmerRegression, SmallCnn};
use crate::error::Result;
use crate::learner::Learner;
use crate::settings::Settings;

/// Who takes part: makes a learner for each worker, so that several can learn side by side.
pub trait Contestant: Sync {
    /// Its name in tables and in the path of its runs.
    fn name(&self) -> &str;

    /// Whether it is one of the baselines, which no fine-tuning key changes.
    fn is_baseline(&self) -> bool {
        false
    }

    /// Everything that decides what it answers, under these fine-tuning keys: kept with every run, and a run with others is never mixed in.
    ///
    /// # Errors
    /// A key that is not known, or a value out of its range.
    fn settings(&self, keys: &Settings) -> Result<Json>;

    /// A learner under these keys.
    ///
    /// # Errors
    /// As [`Contestant::settings`]; or the model cannot be read.
    fn learner(&self, keys: &Settings) -> Result<Box<dyn Learner>>;

    /// Bytes of memory that one fit needs.
    ///
    /// # Errors
    /// As [`Contestant::settings`].
    fn bytes(&self, keys: &Settings, exam: &Exam<'_>) -> Result<u64>;
}

/// The two baselines that always take part.
pub fn baselines() -> Vec<Box<dyn Contestant>> {
    vec![Box::new(Kmers), Box::new(Network)]
}

struct Kmers;

impl Contestant for Kmers {
    fn name(&self) -> &str {
        KmerRegression::NAME
    }

    fn is_baseline(&self) -> bool {
        true
    }

    fn settings(&self, _: &Settings) -> Result<Json> {
        let fit = KmerRegression::default().fit;
        Ok(serde_json::json!({"k": fit.k, "c": fit.c, "steps": fit.steps}))
    }

    fn learner(&self, _: &Settings) -> Result<Box<dyn Learner>> {
        Ok(Box::new(KmerRegression::default()))
    }

    fn bytes(&self, _: &Settings, exam: &Exam<'_>) -> Result<u64> {
        // A k-mer that stands in a sequence is 8 bytes; weights are few.
        Ok(8 * (exam.bases(&exam.pool) + exam.bases(&exam.test)) + (1 << 24))
    }
}

struct Network;

impl Contestant for Network {
    fn name(&self) -> &str {
        SmallCnn::NAME
    }

    fn is_baseline(&self) -> bool {
        true
    }

    fn settings(&self, _: &Settings) -> Result<Json> {
        Ok(serde_json::to_value(SmallCnn::default().fit).expect("a plain struct has a JSON form"))
    }

    fn learner(&self, _: &Settings) -> Result<Box<dyn Learner>> {
        Ok(Box::new(SmallCnn::default()))
    }

    fn bytes(&self, _: &Settings, _: &Exam<'_>) -> Result<u64> {
        Ok(1 << 24)
    }
}
