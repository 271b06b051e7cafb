//! A pretrained encoder as something that learns lessons: many times from the same start.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::FinetuneConfig;
use super::classifier::Classifier;
use super::fit::{Fit, Pause};
use super::pretrained::Pretrained;
use super::record::Record;
use crate::error::Result;
use crate::learner::{Learner, Learnt, Lesson};

/// An encoder and how it is fine-tuned.
#[derive(Clone, Debug)]
pub struct FineTuner {
    name: String,
    pretrained: Arc<Pretrained>,
    config: FinetuneConfig,
}

impl FineTuner {
    /// An encoder that is fine-tuned so, under a name for tables.
    pub fn new(name: impl Into<String>, pretrained: impl Into<Arc<Pretrained>>, config: FinetuneConfig) -> Self {
        Self { name: name.into(), pretrained: pretrained.into(), config }
    }

    /// How it is fine-tuned.
    pub fn config(&self) -> &FinetuneConfig {
        &self.config
    }
}

impl Learner for FineTuner {
    fn name(&self) -> &str {
        &self.name
    }

    fn learn(&mut self, lesson: &Lesson<'_>, stop: &AtomicBool) -> Result<Option<Learnt>> {
        let mut fit = Fit::new(&self.pretrained, &self.config, *lesson)?;
        loop {
            match fit.go_on(stop, &mut ())? {
                Pause::Done => break,
                Pause::Epoch => {}
                Pause::Step if stop.load(std::sync::atomic::Ordering::Relaxed) => return Ok(None),
                Pause::Step => {}
            }
        }
        let record = Record {
            task: lesson.task,
            pairs: lesson.train.iter().any(|example| example.second.is_some()),
            outputs: (0..lesson.outputs).map(|output| output.to_string()).collect(),
            model: self.pretrained.dir.clone(),
            model_sha256: self.pretrained.sha256.clone(),
            config: self.config.clone(),
            source: None,
        };
        let bert = self.config.bert(&self.pretrained.config);
        let epochs = fit.state().epochs.len() as u32;
        let best_epoch = fit.state().best().map_or(epochs, |best| best.epoch as u32);
        let weights = fit.weights()?;
        // Its training memory is free before the classifier takes its own.
        drop(fit);
        let mut classifier = Classifier::with_weights(&record, bert, &weights, self.config.precision())?;
        let collapsed = classifier.is_collapsed(lesson.train)?;
        let scores = classifier.answers(lesson.test)?;
        Ok(Some(Learnt { scores, epochs, best_epoch, collapsed }))
    }
}
