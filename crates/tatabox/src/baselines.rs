//! Learners without pretraining, beside which every table of few-shot evaluation and of benchmarks sets the models.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};

use tatabox_core::assess::is_collapsed;
use tatabox_core::cnn::{Cnn, CnnFit};
use tatabox_core::labelled::{Example, Target};
use tatabox_core::logistic::{Fit, KmerModel};
use tatabox_core::seq::UNKNOWN;

use crate::error::Result;
use crate::learner::{Learner, Learnt, Lesson};

/// Linear regression on counts of 5-mers, logistic for classes and labels: [`tatabox_core::logistic`]. Nothing is drawn, and dev examples choose nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct KmerRegression {
    /// How it is fitted.
    pub fit: Fit,
}

/// A small convolutional network: [`tatabox_core::cnn`].
#[derive(Clone, Copy, Debug, Default)]
pub struct SmallCnn {
    /// How it is trained.
    pub fit: CnnFit,
}

impl KmerRegression {
    /// Its name in tables.
    pub const NAME: &'static str = "kmer-regression";
}

impl SmallCnn {
    /// Its name in tables.
    pub const NAME: &'static str = "cnn";
}

impl Learner for KmerRegression {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn learn(&mut self, lesson: &Lesson<'_>, stop: &AtomicBool) -> Result<Option<Learnt>> {
        let joined: Vec<Cow<'_, [u8]>> = lesson.train.iter().map(|example| joined(example)).collect();
        let sequences: Vec<&[u8]> = joined.iter().map(|codes| codes.as_ref()).collect();
        let targets: Vec<&Target> = lesson.train.iter().map(|example| &example.target).collect();
        let model = KmerModel::fit(lesson.task, &sequences, &targets, lesson.outputs, self.fit);
        let learnt = model.answers(&sequences);
        let asked: Vec<Cow<'_, [u8]>> = lesson.test.iter().map(|example| self::joined(example)).collect();
        let scores = model.answers(&asked.iter().map(|codes| codes.as_ref()).collect::<Vec<_>>());
        let done = Learnt { collapsed: is_collapsed(lesson.task, &targets, &learnt), scores, epochs: 1, best_epoch: 1 };
        Ok((!stop.load(Ordering::Relaxed)).then_some(done))
    }
}

impl Learner for SmallCnn {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn learn(&mut self, lesson: &Lesson<'_>, stop: &AtomicBool) -> Result<Option<Learnt>> {
        let fitted = Cnn::fit(lesson.task, lesson.outputs, lesson.train, lesson.dev, self.fit, lesson.seed, stop);
        let targets: Vec<&Target> = lesson.train.iter().map(|example| &example.target).collect();
        Ok(fitted.map(|cnn| Learnt {
            collapsed: is_collapsed(lesson.task, &targets, &cnn.answers(lesson.train)),
            scores: cnn.answers(lesson.test),
            epochs: cnn.epochs,
            best_epoch: cnn.best_epoch,
        }))
    }
}

/// Both sequences of a pair with an unknown base between, so that no k-mer lies over the seam.
fn joined(example: &Example) -> Cow<'_, [u8]> {
    match &example.second {
        None => Cow::Borrowed(&example.codes),
        Some(second) => [&example.codes, &[UNKNOWN][..], second].concat().into(),
    }
}

#[cfg(test)]
mod tests {
    use tatabox_core::labelled::Task;

    use super::*;

    fn example(codes: &[u8], second: Option<&[u8]>, class: u32) -> Example {
        Example {
            id: String::new(),
            codes: codes.into(),
            second: second.map(Into::into),
            target: Target::Class(class),
            origin: None,
            group: None,
        }
    }

    fn learn(learner: &mut dyn Learner, examples: &[Example]) -> Learnt {
        let all: Vec<&Example> = examples.iter().collect();
        let lesson = Lesson { task: Task::Binary, outputs: 2, train: &all, dev: &[], test: &all, seed: 1 };
        learner.learn(&lesson, &AtomicBool::new(false)).unwrap().unwrap()
    }

    #[test]
    fn both_learn_what_is_easy_and_see_both_sequences_of_a_pair() {
        for second in [false, true] {
            let of = |base: u8, class: u32| {
                let own = [base; 40];
                if second { example(&[3; 40], Some(&own), class) } else { example(&own, None, class) }
            };
            let examples = [of(0, 0), of(1, 1), of(0, 0), of(1, 1)];
            for learner in [&mut KmerRegression::default() as &mut dyn Learner, &mut SmallCnn::default()] {
                let learnt = learn(learner, &examples);
                assert!(learnt.scores[0][0] > 0.7 && learnt.scores[1][1] > 0.7, "{}: {learnt:?}", learner.name());
                assert!(!learnt.collapsed);
            }
        }
    }

    #[test]
    fn what_says_one_thing_has_collapsed() {
        let mut model = KmerRegression::default();
        let examples = [example(&[0; 40], None, 0), example(&[0; 40], None, 1), example(&[0; 40], None, 0)];
        assert!(learn(&mut model, &examples).collapsed);
    }
}
