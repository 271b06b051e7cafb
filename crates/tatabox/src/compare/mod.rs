//! One experiment: the same model, genome, windows and steps under several arms (usually masks) and seeds, asked the same questions.
//!
//! ```text
//! cmp/  compare.toml        every arm's resolved recipe, the seeds, and the arm that the others are compared with
//!       dataset.json        the genome, what is held out, and what can be guessed without a model
//!       frozen.jsonl        the questions: drawn once, for all arms and seeds
//!       runs/ARM/seed-N/    an ordinary run;  runs/ARM/seed-N.json  its answers to the questions, written when it is finished
//!       compare.json · table.txt · table.csv · table.md · table.tex · report.html
//! ```
//! An arm is a name and recipe keys over a common recipe; nothing here knows what the keys mean. Everything is a function of `compare.toml`, the
//! genome and the seeds: a comparison that was killed and started again ends with the same tables.

pub mod analysis;
pub mod arm;
pub mod design;
mod experiment;
mod pages;
mod record;
mod runs;

pub use analysis::Comparison;
pub use arm::Arm;
pub use design::Design;
pub use experiment::{Request, check, compare, resume};
pub use record::COMPARE;
pub use runs::{Place, Plan, Watcher};
