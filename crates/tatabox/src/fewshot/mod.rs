//! Few-shot evaluation: how good models are after a few labelled examples, over many draws of these.
//!
//! For every number of shots t and every draw d: t examples of each class (t in all where the task is regression or multi-label) are taken from the train
//! part without replacement, with seed d, the same for every model; each model learns from them, with seed d; all answer the same test part. There is no dev part: nothing
//! is chosen. Two baselines always take part.
//!
//! ```text
//! few/  fewshot.toml    data with hashes, models with hashes, shots, draws, keys: `--resume` goes on with it
//!       draws.json      which examples each draw took
//!       runs/LEARNER/shots-10/draw-0.json   one fit: settings, metrics, how often each class was answered
//!       table.txt · table.csv · table.md · table.tex · fewshot.json · report.html
//! ```
//! Everything is a function of `fewshot.toml`, the data and the models: an evaluation that was killed and started again ends with the same tables.

pub mod analysis;
mod design;
mod draw;
mod experiment;
mod pages;

pub use analysis::FewShot;
pub use design::{Design, FEWSHOT, PRESET_FEW, PRESET_MANY};
pub use draw::draw;
pub use experiment::{begin, check, resume};
