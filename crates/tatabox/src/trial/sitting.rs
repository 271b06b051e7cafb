//! All trials of an experiment, side by side.

use std::convert::Infallible;
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use super::ended::Ended;
use super::exam::{Exam, Trial};
use crate::error::{Error, Result};
use crate::learner::{Learnt, Lesson};
use crate::workers::{self, News, Tell, side_by_side};

/// What will happen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Who takes part.
    pub learners: Vec<String>,
    /// Fits of all.
    pub runs: usize,
    /// Fits that are there already.
    pub runs_finished: usize,
    /// Words on the data and the design, name and value.
    pub facts: Vec<(String, String)>,
}

/// Hears of an experiment.
pub trait Watcher {
    /// Before the first fit.
    fn planned(&mut self, plan: &Plan) {
        let _ = plan;
    }
    /// Before a batch of fits that run this many at once; `what` says which.
    fn began(&mut self, what: &str, at_once: usize) {
        let _ = (what, at_once);
    }
    /// After a fit: how many are finished now, and words on it.
    fn ended(&mut self, finished: usize, words: &str) {
        let _ = (finished, words);
    }
    /// Something that the user should know.
    fn message(&mut self, text: &str) {
        let _ = text;
    }
}

impl Watcher for () {}

/// How many of these trials go side by side.
///
/// # Errors
/// As [`super::Contestant::bytes`].
fn at_once(exam: &Exam<'_>, trials: &[Trial<'_>]) -> Result<usize> {
    let mut largest = 0;
    let mut asked = Vec::new();
    for trial in trials {
        let kind = (trial.contestant.name(), trial.contestant.settings(&trial.keys)?);
        if !asked.contains(&kind) {
            asked.push(kind);
            largest = largest.max(trial.contestant.bytes(&trial.keys, exam)?);
        }
    }
    Ok(workers::at_once(trials.len(), largest))
}

/// Makes all trials, as many at once as there are threads and memory, and writes the file of each; `heard` is told of each that ended, in no fixed order.
/// False where it was stopped.
///
/// # Errors
/// The first failure of a trial (those beside it come to their end) or of `heard`.
pub fn sit(
    exam: &Exam<'_>,
    trials: &[Trial<'_>],
    stop: &AtomicBool,
    began: &mut dyn FnMut(usize),
    heard: &mut dyn FnMut(usize, Ended) -> Result<()>,
) -> Result<bool> {
    if trials.is_empty() {
        return Ok(true);
    }
    let at_once = at_once(exam, trials)?;
    began(at_once);
    // Only the user stops a fit: one beside a failure is worth its minute.
    let work = |at: usize, _: Tell<'_, Infallible>, _: &AtomicBool| one(exam, &trials[at], stop);
    side_by_side(trials.len(), at_once, stop, &work, &mut |news| match news {
        News::Told(_, never) => match never {},
        News::Done(at, ended) => heard(at, ended),
        News::Failed(_, error) => Err(error),
    })
}

/// One trial, and its file.
fn one(exam: &Exam<'_>, trial: &Trial<'_>, stop: &AtomicBool) -> Result<Option<Ended>> {
    let train = trial.train.of(&exam.pool);
    let lesson = Lesson {
        task: exam.task,
        outputs: exam.outputs.len(),
        train: &train,
        dev: &exam.dev,
        test: &exam.test,
        seed: trial.seed,
    };
    let learnt = match trial.contestant.learner(&trial.keys)?.learn(&lesson, stop) {
        // The seed is fixed: made again, it would diverge again. It counts as one that learnt nothing.
        Err(Error::Diverged { .. }) => Learnt::nothing(&lesson),
        learnt => match learnt? {
            Some(learnt) => learnt,
            None => return Ok(None),
        },
    };
    let ended = Ended::new(exam, trial, learnt)?;
    ended.write(&trial.file)?;
    Ok(Some(ended))
}
