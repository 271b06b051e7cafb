//! Benchmark suites: several models on many data sets under several seeds, as one table in the shape of the papers'.
//!
//! ```text
//! suite (names, places, metrics, presets) + a folder ─▶ the data sets found ─▶ contestants x seeds ─▶ one table a group
//!
//! bench/  benchmark.toml   the data sets with hashes, the models with hashes, seeds, keys: `--resume` goes on with it
//!         runs/DATASET/LEARNER/seed-1.json   one fit: settings, metrics with intervals
//!         table.txt · table.csv · table.md · table.tex · benchmark.json · report.html
//! ```
//! Figures that a paper printed for the same data stand beside ours, with their source and what is wrong with them. What differs from the papers (epochs, a
//! part that is smaller or not there) is said in the tables. A benchmark that was killed and started again ends with the same tables.

pub mod analysis;
mod design;
mod experiment;
mod pages;
mod published;
mod suite;

pub use analysis::Benchmark;
pub use design::{BENCHMARK, Design, Entry};
pub use experiment::{begin, check, resume};
pub use published::{PUBLISHED, Published};
pub use suite::{Dataset, Suite};
