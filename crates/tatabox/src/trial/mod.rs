//! Trials: who learns what, how many at once, and one file for each. What few-shot evaluation and benchmarks share.
//!
//! ```text
//! contestants x lessons ─▶ trials ─▶ sitting ─▶ runs/…json, one a trial, written whole ─▶ tables
//! ```
//! A [`Contestant`] makes learners; an [`Exam`] is a data set with what is learnt from and what is asked; a [`Trial`] is one fit. A trial whose file is there is
//! never computed again, so a command that was killed loses the fits at work and nothing else. Fits run side by side, each on its share of the threads: small
//! models keep one core busy and hardly two. What a learner answers must not depend on the number of threads.

mod contestant;
mod ended;
mod exam;
mod metric;
mod model;
mod sitting;
mod spread;

pub use contestant::{Contestant, baselines};
pub use ended::Ended;
pub use exam::{Exam, Indices, Trial, hashes};
pub use metric::{metrics_of, primary_metric};
pub use model::{Contestants, Model, Place, open};
pub use sitting::{Plan, Watcher, sit};
pub use spread::{CONFIDENCE, Spread};
