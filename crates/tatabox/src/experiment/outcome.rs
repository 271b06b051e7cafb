//! How an experiment ended.

use std::path::PathBuf;

use serde::Serialize;

/// How an experiment ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome<R> {
    /// The directory.
    pub output: PathBuf,
    /// False where it was stopped before its last run.
    pub finished: bool,
    /// Runs that are finished.
    pub runs_finished: usize,
    /// Runs of the whole experiment.
    pub runs: usize,
    /// The result over what everybody has finished; none where there is no such thing.
    #[serde(flatten)]
    pub result: Option<R>,
}
