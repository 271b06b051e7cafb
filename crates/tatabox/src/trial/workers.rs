//! Fits side by side.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use rayon::ThreadPoolBuilder;
use serde::Serialize;

use super::ended::Ended;
use super::exam::{Exam, Trial};
use crate::error::{Error, Result};
use crate::learner::{Learnt, Lesson};
use crate::memory::available;

/// The share of free memory that fits side by side may take.
const MEMORY: f64 = 0.7;

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

/// How many of these trials fit beside each other: one a thread, as far as memory goes.
///
/// # Errors
/// As [`super::Contestant::bytes`].
fn at_once(exam: &Exam<'_>, trials: &[Trial<'_>], threads: usize) -> Result<usize> {
    let mut largest = 0;
    let mut asked = Vec::new();
    for trial in trials {
        let kind = (trial.contestant.name(), trial.contestant.settings(&trial.keys)?);
        if !asked.contains(&kind) {
            asked.push(kind);
            largest = largest.max(trial.contestant.bytes(&trial.keys, exam)?);
        }
    }
    let room = match available() {
        Some(free) if largest > 0 => (MEMORY * free.bytes as f64 / largest as f64) as usize,
        _ => usize::MAX,
    };
    Ok(threads.min(trials.len()).min(room).max(1))
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
    let threads = rayon::current_num_threads();
    let workers = at_once(exam, trials, threads)?;
    began(workers);
    let next = AtomicUsize::new(0);
    let halt = AtomicBool::new(false);
    let failure: Mutex<Option<Error>> = Mutex::new(None);
    let fail = |error: Error| {
        halt.store(true, Ordering::Relaxed);
        failure.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get_or_insert(error);
    };
    let mut finished = 0;
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..workers {
            let (sender, next, halt, fail) = (sender.clone(), &next, &halt, &fail);
            scope.spawn(move || {
                // A pool of its own; alone it works on all threads.
                let pool = (workers > 1).then(|| ThreadPoolBuilder::new().num_threads(threads / workers).build());
                let pool = match pool {
                    Some(Ok(pool)) => Some(pool),
                    // A system that gives no more threads: the fit runs on those of all.
                    Some(Err(_)) | None => None,
                };
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= trials.len() || halt.load(Ordering::Relaxed) || stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let work = || one(exam, &trials[at], stop);
                    let done = match &pool {
                        Some(pool) => pool.install(work),
                        None => work(),
                    };
                    match done {
                        Ok(Some(ended)) => {
                            if sender.send((at, ended)).is_err() {
                                break;
                            }
                        }
                        Ok(None) => break,
                        Err(error) => fail(error),
                    }
                }
            });
        }
        drop(sender);
        for (at, ended) in receiver {
            finished += 1;
            if let Err(error) = heard(at, ended) {
                fail(error);
            }
        }
    });
    match failure.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()) {
        Some(error) => Err(error),
        None => Ok(finished == trials.len()),
    }
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
