//! Sequences, tokenisers, masks and analyses for language models of DNA: plain values, no tensors, no printing.
//!
//! The modules are listed in order; a module uses only those above it.
//!
//! ```text
//! FASTA ─▶ Sequence ─▶ Tokens ─▶ Masked ─▶ (engine) ─▶ Scores ─▶ Report
//! ```

pub mod error;
pub mod names;
pub mod rng;
pub mod stats;
pub mod units;
pub mod words;

pub mod seq;

pub mod io;

pub mod genome;

pub mod interval;

pub mod labelled;

pub mod promoters;

pub mod tokenizer;

pub mod corpus;

pub mod count;

pub mod pmi;

pub mod mask;

pub mod score;

pub mod baseline;

pub mod simulate;

pub mod metrics;

pub mod logistic;

pub mod cnn;

pub mod report;

pub mod assess;

pub mod audit;

pub use error::{Error, Result};
