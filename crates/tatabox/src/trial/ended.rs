//! What a trial left: one JSON file.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tatabox_core::assess::{Assessment, Metric, assess, assess_one_of_many};
use tatabox_core::io::whole;
use tatabox_core::labelled::Target;

use super::exam::{Exam, Trial};
use crate::error::{Error, Result};
use crate::learner::Learnt;

/// What a trial left: how it was set up, and how good its answers are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// Who learnt.
    pub learner: String,
    /// Everything that decided what it answers.
    pub settings: Json,
    /// Of everything that was drawn.
    pub seed: u64,
    /// Examples that were learnt from.
    pub train: u64,
    /// Which: SHA-256 of their indices in the part, in decimal, one a line; `all` for all.
    pub train_sha256: String,
    /// Examples that the best epoch was chosen on.
    pub dev: u64,
    /// Epochs that were trained; 0 where the loss became no number, which counts as a collapse.
    pub epochs: u32,
    /// The epoch whose weights were asked, from 1.
    pub best_epoch: u32,
    /// One class (or one number) was the answer to everything that was learnt from, or to everything that was asked.
    pub collapsed: bool,
    /// The mean answer to the test examples, `[outputs]`: of probabilities or of numbers.
    pub mean_answer: Vec<f64>,
    /// The metrics on the test examples, and how often each class was answered.
    pub assessment: Assessment,
}

impl Ended {
    /// The record of a trial that came to its end.
    pub(super) fn new(exam: &Exam<'_>, trial: &Trial<'_>, learnt: Learnt) -> Result<Ended> {
        let targets: Vec<&Target> = exam.test.iter().map(|example| &example.target).collect();
        let measure = if trial.intervals { assess } else { assess_one_of_many };
        let mut assessment = measure(exam.task, exam.outputs, &targets, &learnt.scores);
        // Curves of hundreds of runs are nobody's reading; a run of `tatabox finetune` keeps them.
        assessment.outputs.iter_mut().for_each(|output| output.curves = None);
        let mean = |output: usize| {
            learnt.scores.iter().map(|row| row[output]).sum::<f64>() / learnt.scores.len().max(1) as f64
        };
        Ok(Ended {
            learner: trial.contestant.name().to_string(),
            settings: trial.contestant.settings(&trial.keys)?,
            seed: trial.seed,
            train: trial.train.count(exam.pool.len()) as u64,
            train_sha256: trial.train.sha256(),
            dev: exam.dev.len() as u64,
            epochs: learnt.epochs,
            best_epoch: learnt.best_epoch,
            collapsed: learnt.collapsed || assessment.collapsed,
            mean_answer: (0..exam.outputs.len()).map(mean).collect(),
            assessment,
        })
    }

    /// The file of a trial; none where it has not ended.
    ///
    /// # Errors
    /// The file cannot be read, or is that of another trial.
    pub fn read(trial: &Trial<'_>, pool: usize) -> Result<Option<Ended>> {
        let text = match std::fs::read_to_string(&trial.file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::file("read", &trial.file)(error)),
        };
        let hint = "remove this file: that run is then made again; or choose another directory with `-o`";
        let wrong = |expected: String, got: String| Error::format(&trial.file, "", expected, got, hint);
        let ended: Ended = serde_json::from_str(&text).map_err(|error| wrong("a result".into(), error.to_string()))?;
        let settings = trial.contestant.settings(&trial.keys)?;
        if ended.settings != settings {
            let (key, here, there) = differing(&settings, &ended.settings);
            return Err(wrong(format!("a result with {key} {here}"), format!("one with {there}")));
        }
        let expected = (trial.contestant.name(), trial.seed, trial.train.count(pool) as u64, trial.train.sha256());
        let got = (ended.learner.as_str(), ended.seed, ended.train, ended.train_sha256.clone());
        if expected != got {
            return Err(wrong(format!("the result of {expected:?}"), format!("that of {got:?}")));
        }
        Ok(Some(ended))
    }

    pub(super) fn write(&self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(Error::file("create", folder))?;
        }
        let text = serde_json::to_string(self).expect("a plain struct has a JSON form") + "\n";
        Ok(whole::write(path, |out| out.write_all(text.as_bytes()))?)
    }

    /// A metric of the test examples; a correlation that is not defined because all answers are the same counts as 0, as Matthews' does.
    pub fn metric(&self, metric: Metric) -> Option<f64> {
        value(self.assessment.metrics.get(&metric).map(|of| of.value), metric, self.collapsed)
    }

    /// A metric of one class, label or target.
    pub fn metric_of(&self, output: usize, metric: Metric) -> Option<f64> {
        let of = self.assessment.outputs.get(output)?;
        value(of.metrics.get(&metric).map(|of| of.value), metric, self.collapsed)
    }
}

fn value(value: Option<f64>, metric: Metric, collapsed: bool) -> Option<f64> {
    let correlation = matches!(metric, Metric::Pearson | Metric::Spearman);
    value.or((correlation && collapsed).then_some(0.0))
}

/// The first key in which two objects differ, with both values.
fn differing(one: &Json, other: &Json) -> (String, String, String) {
    if let (Json::Object(left), Json::Object(right)) = (one, other) {
        for key in left.keys().chain(right.keys()) {
            let (here, there) = (left.get(key).unwrap_or(&Json::Null), right.get(key).unwrap_or(&Json::Null));
            if here != there {
                let (inner, here, there) = differing(here, there);
                let name = if inner.is_empty() {
                    format!("`{key}`")
                } else {
                    format!("`{key}.{}", inner.trim_start_matches('`'))
                };
                return (name, here, there);
            }
        }
    }
    (String::new(), one.to_string(), other.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_that_differs_is_named_with_both_values() {
        let one = serde_json::json!({"a": 1, "train": {"epochs": 5, "rate": 0.1}});
        let other = serde_json::json!({"a": 1, "train": {"epochs": 20, "rate": 0.1}});
        assert_eq!(differing(&one, &other), ("`train.epochs`".into(), "5".into(), "20".into()));
    }
}
