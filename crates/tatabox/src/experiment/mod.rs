//! Experiments of many runs: a directory with a record of what is asked, and tables of what is answered. What comparisons, few-shot evaluations and benchmarks
//! share.
//!
//! ```text
//! DIR/  VERB.toml            what is asked, resolved: the directory is this experiment and no other
//!       runs/                one place for each run; a finished one is never computed again
//!       table.txt · .md · .tex · .csv, VERB.json, report.html
//! ```

mod folder;
mod kind;
mod outcome;

pub use folder::{Folder, Results, quoted};
pub use kind::Kind;
pub use outcome::Outcome;
